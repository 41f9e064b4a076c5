//! What callers may make the server hold at one time, for all of them together: bodies that
//! come, output that is collected, files that are read into an answer.
//!
//! It is taken as the bytes come, never beforehand, so somebody who promises much and sends
//! little takes little from others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are left.
#[derive(Debug)]
pub(crate) struct Memory {
    left: AtomicUsize,
}

/// Bytes that were taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(bytes) })
    }

    /// Nothing yet.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        Held { memory: Arc::clone(self), bytes: 0 }
    }
}

impl Held {
    /// Takes more; whether there was as much.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let taken = self
            .memory
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(bytes));
        if taken.is_ok() {
            self.bytes += bytes;
        }
        taken.is_ok()
    }

    /// Gives some back.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.memory.left.fetch_add(bytes, Ordering::SeqCst);
    }

    /// How much it has.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.left.fetch_add(self.bytes, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back() {
        let memory = Memory::new(10);
        let mut one = memory.hold();
        let mut other = memory.hold();
        assert!(one.grow(6) && !other.grow(5) && other.grow(4) && !one.grow(1));
        other.shrink(3);
        assert!(one.grow(3) && !one.grow(1));
        drop(one);
        other.shrink(100);
        assert_eq!(other.bytes(), 0);
        assert!(other.grow(10) && !other.grow(1));
        drop(other);
        assert!(memory.hold().grow(10));
    }
}
