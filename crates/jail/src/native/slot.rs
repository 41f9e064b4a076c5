//! A number for each jail that is at work: each has a host user of its own by it
//! (`plan::identity`), and so no more can be at work at a time than there are users.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use capsule_spec::{ErrorCode, Failure};
use tokio::sync::{Semaphore, SemaphorePermit};

const SLOTS: usize = 32;
/// Tasks that wait for tasks may hold all slots for ever, so nobody waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);

static FREE: Semaphore = Semaphore::const_new(SLOTS);
static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A number that no other living jail of this process has. Free again when dropped.
pub(super) struct Slot {
    pub(super) number: u32,
    _permit: SemaphorePermit<'static>,
}

/// Waits for a slot.
pub(super) async fn take() -> Result<Slot, Failure> {
    let full = || {
        Failure::new(ErrorCode::OutOfResources, format!("{SLOTS} jails are at work already"))
            .hint("call fewer tasks with isolation=\"jail\" at a time")
    };
    let permit = tokio::time::timeout(PATIENCE, FREE.acquire()).await.map_err(|_| full())?;
    let permit = permit.map_err(|_| full())?;
    loop {
        let taken = TAKEN.load(Ordering::Acquire);
        // The permit says that there is one.
        let number = taken.trailing_ones();
        let mine = 1u32.checked_shl(number).ok_or_else(full)?;
        if TAKEN.compare_exchange(taken, taken | mine, Ordering::AcqRel, Ordering::Acquire).is_ok()
        {
            return Ok(Slot { number, _permit: permit });
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Before the permit is given back, which fields are after this.
        TAKEN.fetch_and(!(1 << self.number), Ordering::AcqRel);
    }
}
