//! What the host keeps for one guest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use capsule_backend::guest::{Grant, Outside, Room, Taken};
use capsule_spec::Failure;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::files::{Files, MOST_RESOURCES, View};
use super::network::Network;
use super::operations::Operations;
use super::witness::Witness;

/// The store's data.
pub(crate) struct State {
    wasi: WasiCtx,
    witness: Witness,
    table: ResourceTable,
    files: Files,
    pub(crate) memory: MemoryLimit,
    pub(crate) network: Network,
    pub(crate) operations: Operations,
    pub(crate) outside: Arc<dyn Outside>,
    pub(crate) pulse: Pulse,
}

impl State {
    pub(crate) fn new(outside: Arc<dyn Outside>, pulse: Pulse) -> Self {
        // No argument, no variable, no file, no socket; streams that go nowhere.
        let witness = Witness::default();
        let mut wasi = WasiCtxBuilder::new();
        witness.stand_at(&mut wasi);
        let wasi = wasi.build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MOST_RESOURCES);
        Self {
            wasi,
            witness,
            table,
            files: Files::new(pulse.clone()),
            memory: MemoryLimit::default(),
            network: Network::new(),
            operations: Operations::new(),
            outside,
            pulse,
        }
    }

    /// A call begins, and lasts until the next one: what it may touch.
    ///
    /// # Errors
    /// When something cannot be granted; the call must not happen then.
    pub(crate) fn grant(&mut self, grant: &Grant) -> Result<(), Failure> {
        self.memory
            .grant(usize::try_from(grant.ram.bytes()).unwrap_or(usize::MAX), grant.meter.room());
        self.network.grant(grant);
        self.files.grant(grant)
    }

    /// Takes back what a program may not use while it is loaded.
    pub(crate) fn deny(&mut self) {
        self.network.deny();
    }

    /// Whether the guest looked for a file or a host that a grant could have given it.
    pub(crate) fn looked_for_rights(&self) -> bool {
        self.files.looked() || self.network.was_refused()
    }

    /// Whether its memory may hold what another run of the same code would not: the time,
    /// a random number.
    pub(crate) fn asked(&self) -> bool {
        self.witness.has_seen()
    }

    /// How often the guest's libraries asked for the root, if the guest holds no other
    /// handle and waits for nothing: then its memory is all there is to it.
    pub(crate) fn roots_alone(&self) -> Option<usize> {
        self.files.roots_alone().filter(|_| self.table.is_empty() && self.operations.is_idle())
    }

    pub(crate) fn files(&mut self) -> View<'_> {
        View { files: &mut self.files, table: &mut self.table }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Bounds linear memory, and remembers its peak.
#[derive(Debug, Default)]
pub(crate) struct MemoryLimit {
    /// Bytes that memory may grow to. What a guest starts with does not count as growth.
    pub(crate) most: usize,
    /// The most it has had.
    pub(crate) peak: usize,
    /// Whether it wanted more in this call than it may have.
    pub(crate) was_refused: bool,
    /// What it has grown by, of what its run has.
    taken: Option<Taken>,
    /// Where answers of the tasks that it called lie, until it has heard them.
    pub(crate) room: Option<Arc<Room>>,
}

impl MemoryLimit {
    fn grant(&mut self, most: usize, room: &Arc<Room>) {
        self.most = most;
        self.was_refused = false;
        self.room = Some(room.clone());
        // A sandbox that was loaded before its call belongs to the same run.
        if !self.taken.as_ref().is_some_and(|taken| taken.is_of(room)) {
            self.taken = Room::take(room, 0);
        }
    }
}

impl MemoryLimit {
    /// The memory begins with so much, which may be more than the guest's own image;
    /// false if its run has no room for it.
    #[must_use]
    pub(crate) fn begins_with(&mut self, length: usize) -> bool {
        let more = length.saturating_sub(self.peak);
        self.peak = self.peak.max(length);
        self.taken.as_mut().is_none_or(|taken| taken.more(more))
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // At instantiation the current size is 0: that much every guest has.
        let mut more = |bytes| self.taken.as_mut().is_none_or(|taken| taken.more(bytes));
        let granted = current == 0 || desired <= self.most && more(desired.saturating_sub(current));
        if granted {
            self.peak = self.peak.max(desired);
        }
        self.was_refused |= !granted;
        Ok(granted)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        const MOST: usize = 100_000;
        Ok(current == 0 || desired <= MOST)
    }
}

/// Whether the guest waits for its host. When it stops for a moment and does not
/// wait, it has burnt a slice of fuel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse(Arc<AtomicBool>);

impl Pulse {
    /// It waits until the answer is dropped.
    pub(crate) fn waiting(&self) -> Waiting {
        self.0.store(true, Ordering::Relaxed);
        Waiting(self.clone())
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct Waiting(Pulse);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}
