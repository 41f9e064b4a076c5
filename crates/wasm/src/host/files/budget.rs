//! What a guest may add to folders of the host in one call.
//!
//! Everything written counts, also over what was there, and what is deleted is not given
//! back: a sum that only grows cannot be cheated with files that are deleted but open,
//! holes that are filled later, or links.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{ErrorCode, Result};

/// Bytes that one call may write.
const BYTES: u64 = 1 << 30;
/// Files, directories and links that one call may make.
const NAMES: u64 = 100_000;

#[derive(Debug)]
pub(super) struct Budget {
    bytes: AtomicU64,
    names: AtomicU64,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { bytes: AtomicU64::new(BYTES), names: AtomicU64::new(NAMES) }
    }

    /// Another call begins.
    pub(super) fn renew(&self) {
        self.bytes.store(BYTES, Ordering::Relaxed);
        self.names.store(NAMES, Ordering::Relaxed);
    }

    /// Takes all of `bytes`.
    pub(super) fn spend(&self, bytes: u64) -> Result<()> {
        take(&self.bytes, bytes)
    }

    /// Gives back what was not written after all.
    pub(super) fn refund(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes one name.
    pub(super) fn name(&self) -> Result<()> {
        take(&self.names, 1)
    }
}

fn take(budget: &AtomicU64, amount: u64) -> Result<()> {
    budget
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(amount))
        .map(drop)
        .map_err(|_| ErrorCode::Quota)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_and_a_new_call_has_all_of_it() {
        let budget = Budget::new();
        assert!(budget.spend(BYTES - 1).is_ok());
        assert!(matches!(budget.spend(2), Err(ErrorCode::Quota)));
        assert!(matches!(budget.spend(u64::MAX), Err(ErrorCode::Quota)));
        assert!(budget.spend(1).is_ok());
        budget.refund(5);
        assert!(budget.spend(5).is_ok());
        assert!((0..NAMES).all(|_| budget.name().is_ok()));
        assert!(matches!(budget.name(), Err(ErrorCode::Quota)));
        budget.renew();
        assert!(budget.spend(BYTES).is_ok() && budget.name().is_ok());
    }
}
