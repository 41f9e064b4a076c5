//! What happens in a run, in order, for whoever watches.

use std::time::Duration;

use capsule_spec::ErrorCode;

/// Names a call within its run; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// One thing that happened to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    /// It was called, and may have to wait.
    Called {
        /// Which one.
        call: CallId,
        /// By whom; none for the first.
        parent: Option<CallId>,
        /// The task's name.
        task: String,
    },
    /// An attempt began; the first is 1.
    Started {
        /// Which one.
        call: CallId,
        /// Which attempt.
        attempt: u32,
    },
    /// An attempt failed and another one will follow.
    Retrying {
        /// Which one.
        call: CallId,
        /// Why it failed.
        reason: String,
        /// When the next begins.
        after: Duration,
    },
    /// It is over.
    Ended {
        /// Which one.
        call: CallId,
        /// The error's type and code, if it failed.
        error: Option<(String, ErrorCode)>,
        /// How long it took.
        took: Duration,
        /// Fuel that it and what it called used.
        fuel: u64,
    },
}

/// Watches a run. Called from any thread; must not block.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn observe(&self, event: TaskEvent);
}

/// An observer that does not care.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _: TaskEvent) {}
}
