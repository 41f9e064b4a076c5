//! Descriptors of the host, counted: a guest may hold some of them, all guests together
//! half of what this process may open, so that none of them starves the process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use rustix::process::{Resource, getrlimit};

use super::error::{ErrorCode, Result};

/// Open files and directories of a guest, of any kind.
pub(super) const MOST_OPEN: usize = 1024;

/// What this process may open.
static LIMIT: LazyLock<usize> = LazyLock::new(|| {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20);
    usize::try_from(limit).unwrap_or(usize::MAX).min(1 << 20)
});

/// Open for guests in this process.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Descriptors of the host that one guest holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots(Arc<AtomicUsize>);

impl Slots {
    /// Room for one more.
    pub(super) fn take(&self) -> Result<Slot> {
        let slot = Slot(self.0.clone());
        let own = self.0.fetch_add(1, Ordering::Relaxed);
        let all = OPEN.fetch_add(1, Ordering::Relaxed);
        // Too many are given back by the drop of `slot`.
        match own >= MOST_OPEN.min(*LIMIT / 4) || all >= *LIMIT / 2 {
            true => Err(ErrorCode::InsufficientMemory),
            false => Ok(slot),
        }
    }
}

#[derive(Debug)]
pub(super) struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A descriptor of the host that a guest caused to be open.
#[derive(Debug)]
pub(super) struct Handle {
    fd: OwnedFd,
    slot: Slot,
}

impl Handle {
    /// Opens it, if there is room.
    pub(super) fn open(
        slots: &Slots,
        open: impl FnOnce() -> rustix::io::Result<OwnedFd>,
    ) -> Result<Self> {
        let slot = slots.take()?;
        Ok(Self { fd: open().map_err(super::error::of)?, slot })
    }

    /// The descriptor, for somebody who keeps it as long as the slot.
    pub(super) fn into_parts(self) -> (OwnedFd, Slot) {
        (self.fd, self.slot)
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_an_end_of_descriptors_and_gets_them_back() {
        let _alone = super::super::tests::HOARD.lock();
        let slots = Slots::default();
        let held: Vec<Slot> = std::iter::from_fn(|| slots.take().ok()).take(5000).collect();
        assert!(held.len() <= MOST_OPEN && held.len() <= *LIMIT / 4);
        assert!(matches!(slots.take(), Err(ErrorCode::InsufficientMemory)));
        drop(held);
        assert!(slots.take().is_ok());
        assert_eq!(slots.0.load(Ordering::Relaxed), 0);
    }
}
