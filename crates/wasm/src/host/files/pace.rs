//! Lets others run while a guest keeps its host busy.
//!
//! Work of the host burns no fuel, and fuel is what interrupts a guest: without this, a
//! guest that does nothing but read files would never let a deadline be looked at.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::super::state::Pulse;

/// Work after which others get their turn.
const TURN: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Pace {
    pulse: Pulse,
    spent: AtomicU64,
}

impl Pace {
    pub(super) fn new(pulse: Pulse) -> Self {
        Self { pulse, spent: AtomicU64::new(0) }
    }

    /// So much time went into the guest's request.
    pub(super) fn spend(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.spent.fetch_add(time, Ordering::Relaxed);
    }

    /// Whether it is time to let others run.
    pub(super) fn is_due(&self) -> bool {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed)) >= TURN
    }

    /// Lets others run, if it is time to.
    pub(super) async fn rest(&self) {
        if self.is_due() {
            self.spent.store(0, Ordering::Relaxed);
            // A guest that pauses and does not wait would be charged fuel.
            let _waiting = self.pulse.waiting();
            tokio::task::yield_now().await;
        }
    }

    /// Waits for something that is slow on the host.
    pub(super) async fn wait<T>(&self, slow: impl Future<Output = T>) -> T {
        let _waiting = self.pulse.waiting();
        slow.await
    }
}
