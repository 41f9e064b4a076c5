//! Why and how a run is brought to its end from outside.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use capsule_init::END_SIGNAL;

use crate::sys;

/// PID 1 needs this long at most to kill, reap and report; then it is killed.
const GRACE: Duration = Duration::from_millis(250);

/// Why a run was ended before the command ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Deadline,
    /// A signal of the caller, after the command had its chance.
    Interrupted(i32),
    /// The supervisor's own count of memory.
    Memory(u64),
    /// More processes than the limit, found when they joined their group.
    Processes,
    /// Who attends the run ended it.
    Stopped,
    /// The processor time that it may have is used up.
    Processor,
    /// Nobody reads the output any more.
    OutputLost,
}

/// The end, once it has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) reason: Reason,
    kill_at: Option<Instant>,
}

impl Ending {
    /// Asks PID 1 to end everything and to report.
    pub(super) fn begin(reason: Reason, pidfd: BorrowedFd<'_>) -> Self {
        if reason == Reason::Stopped {
            // Nobody waits for a report.
            sys::kill(pidfd, libc::SIGKILL);
            return Self { reason, kill_at: None };
        }
        sys::kill(pidfd, END_SIGNAL);
        Self { reason, kill_at: Instant::now().checked_add(GRACE) }
    }

    /// When to look again.
    pub(super) fn next_action(&self) -> Option<Instant> {
        self.kill_at
    }

    /// Kills PID 1, and with it the namespace, when the grace is over.
    pub(super) fn advance(&mut self, pidfd: BorrowedFd<'_>) {
        if self.kill_at.is_some_and(|at| Instant::now() >= at) {
            sys::kill(pidfd, libc::SIGKILL);
            self.kill_at = None;
        }
    }
}
