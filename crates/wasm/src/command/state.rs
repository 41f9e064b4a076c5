//! What the host keeps for the program: its rights, its deadline, its memory's bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use wasmtime::ResourceLimiter;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{WasiCtxBuilder, WasiCtxView, WasiView};

/// The store's data.
pub(super) struct State {
    wasi: WasiP1Ctx,
    nothing: WasiP1Ctx,
    pub(super) deadline: Instant,
    pub(super) memory: MemoryBounds,
}

impl State {
    pub(super) fn new(wasi: WasiP1Ctx, most_memory: u64) -> Self {
        Self {
            wasi,
            nothing: WasiCtxBuilder::new().max_random_size(0).build_p1(),
            deadline: Instant::now(),
            memory: MemoryBounds::new(most_memory),
        }
    }

    /// What the program's calls act on. Its time is looked at here because a call burns
    /// next to no fuel: a loop of costly ones would run on long after the deadline. From
    /// then on they act on nothing, and so cost nothing.
    pub(super) fn wasi(&mut self) -> &mut WasiP1Ctx {
        if Instant::now() < self.deadline { &mut self.wasi } else { &mut self.nothing }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi().ctx()
    }
}

/// Bounds all linear memories and tables together: what they start with counts too.
pub(super) struct MemoryBounds {
    most: u64,
    used: u64,
    seen: Arc<Seen>,
}

/// What is told to whoever waits for the program.
#[derive(Debug, Default)]
pub(super) struct Seen {
    peak: AtomicU64,
    is_denied: AtomicBool,
}

/// The same, read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peak {
    /// The most that there was.
    pub(super) bytes: u64,
    /// Whether more was asked for than there may be.
    pub(super) is_denied: bool,
}

impl Seen {
    pub(super) fn get(&self) -> Peak {
        Peak {
            bytes: self.peak.load(Ordering::Relaxed),
            is_denied: self.is_denied.load(Ordering::Relaxed),
        }
    }
}

impl MemoryBounds {
    fn new(most: u64) -> Self {
        Self { most, used: 0, seen: Arc::default() }
    }

    pub(super) fn seen(&self) -> Arc<Seen> {
        self.seen.clone()
    }

    fn take(&mut self, bytes: u64) -> bool {
        let used = self.used.saturating_add(bytes);
        if used > self.most {
            self.seen.is_denied.store(true, Ordering::Relaxed);
            return false;
        }
        self.used = used;
        self.seen.peak.store(used, Ordering::Relaxed);
        true
    }
}

/// What an element of a table takes, at most.
const ELEMENT: u64 = 16;

impl ResourceLimiter for MemoryBounds {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Beyond its own maximum it does not grow, so that is not counted.
        let is_possible = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(is_possible && self.take((desired - current) as u64))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let is_possible = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(is_possible && self.take((desired - current) as u64 * ELEMENT))
    }

    /// A component of an interpreter has eighty.
    fn instances(&self) -> usize {
        1000
    }

    /// Each reserves 4 GiB of addresses.
    fn memories(&self) -> usize {
        100
    }

    fn tables(&self) -> usize {
        1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_count_together() {
        let mut bounds = MemoryBounds::new(1000);
        let seen = bounds.seen();
        assert!(bounds.memory_growing(0, 400, None).unwrap());
        assert!(bounds.memory_growing(0, 400, Some(400)).unwrap());
        assert!(!bounds.memory_growing(400, 401, Some(400)).unwrap());
        assert!(!seen.get().is_denied);
        assert!(!bounds.table_growing(0, 13, None).unwrap());
        assert!(seen.get().is_denied);
        assert!(bounds.table_growing(0, 12, None).unwrap());
        assert_eq!(seen.get().bytes, 992);
    }
}
