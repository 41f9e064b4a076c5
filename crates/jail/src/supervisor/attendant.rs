//! Somebody of this program who attends a run while it lasts: hears its output,
//! counts its processor time, may end it, and speaks to the command.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use capsule_backend::guest::Channel;

/// A run that somebody attends.
pub(crate) struct Attended {
    pub(crate) attendant: Arc<dyn Attendant>,
    /// The command's end of the channel: its descriptor 3.
    pub(crate) channel: OwnedFd,
}

/// Who attends. All calls come from the thread of the run.
pub(crate) trait Attendant: Send + Sync {
    /// Becomes readable, or hangs up, when the run is to end: every process of the
    /// jail is then killed at once.
    fn stop(&self) -> BorrowedFd<'_>;

    /// Output, as it comes. While this blocks, the run's clock stands still.
    fn hear(&self, channel: Channel, bytes: &[u8]);

    /// Processor time that the run has used so far, seen every few milliseconds.
    /// Answers how much it may still use; none ends it.
    fn spent(&self, time: Duration) -> Duration;
}
