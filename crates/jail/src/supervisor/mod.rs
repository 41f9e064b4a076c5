//! Stands outside the jail: starts it, moves its streams, keeps its time, and
//! says in the end what came of it.
//!
//! ```text
//!            clone                 maps written          report or end of PID 1
//! Prepared ─────────▶ building the jail ─────▶ running ───────────────────────▶ Outcome
//!                          │                     │  deadline, second signal,
//!                          │                     │  memory, lost reader
//!                          │                     ▼
//!                          │                  ending: END_SIGNAL to PID 1,
//!                          │                     │    SIGKILL after a grace
//!                          └── any failure ──────┴──▶ PID 1 dead, groups removed
//! ```
//!
//! One thread, one poll loop, no time limit on anything but the deadline itself.

mod attendant;
pub(crate) mod door;
mod ending;
pub(crate) mod members;
mod processor;
pub(crate) mod sources;
mod spawn;
mod streams;
mod verdict;
mod watch;

use std::os::fd::OwnedFd;
use std::time::SystemTime;

use capsule_backend::{BackendError, Observer, Output};
use capsule_spec::{ErrorCode, Event, Failure, Outcome};

use crate::cgroup::{Group, Layout};
use crate::jail::Signals;
use crate::plan::Plan;
pub(crate) use attendant::{Attendant, Attended};
use ending::Reason;
pub(crate) use processor::Processor;
pub(crate) use spawn::{clone_error, map_error, namespaces};
pub(crate) use verdict::{not_executed, not_started};

/// What the caller of a run wants of it.
pub(crate) struct Caller {
    /// Where the streams go, unless somebody attends.
    pub(crate) output: Output,
    pub(crate) signals: Signals,
    pub(crate) attended: Option<Attended>,
}

/// Runs a plan to its end.
pub(crate) fn run(
    plan: &Plan,
    layout: &Layout,
    caller: Caller,
    observer: &mut dyn Observer,
) -> Result<Outcome, BackendError> {
    let mut group = Grouping::new(plan, layout)?;
    let result = spawn::start(plan, group.clone_target(), caller).and_then(|jail| {
        observer.observe(Event::Started { id: plan.execution_id });
        let started = SystemTime::now();
        let end = watch::until_end(jail, plan, &mut group, observer)?;
        verdict::outcome(plan, end, group.counts(), started, observer)
    });
    group.remove();
    result
}

/// When the run's control group comes into being.
pub(crate) struct Grouping<'a> {
    layout: &'a Layout,
    group: Option<Group>,
    state: Joining,
    /// Memory that was used before the processes joined, which the group did not see.
    used_before: u64,
}

/// Whether the processes are in their group yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joining {
    /// They are, from birth or by now; or there is no group to join.
    Done,
    /// They join before the command starts.
    BeforeStart,
    /// They join once the run has lived a few milliseconds.
    Later,
}

impl<'a> Grouping<'a> {
    fn new(plan: &Plan, layout: &'a Layout) -> Result<Self, BackendError> {
        let (group, state) = match layout {
            Layout::None { .. } => (None, Joining::Done),
            // Being born inside costs next to nothing.
            Layout::V2 { .. } => (create(plan, layout)?, Joining::Done),
            Layout::V1 { .. } if plan.limits_before_start => {
                (create(plan, layout)?, Joining::BeforeStart)
            }
            Layout::V1 { .. } => (None, Joining::Later),
        };
        Ok(Self { layout, group, state, used_before: 0 })
    }

    fn clone_target(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.group.as_ref().and_then(Group::clone_target)
    }

    pub(crate) fn state(&self) -> Joining {
        self.state
    }

    /// Moves every process of the jail in; what they used so far is deducted from
    /// their limit. Returns the limit that they have outrun by then, if any.
    fn join(
        &mut self,
        plan: &Plan,
        init: i32,
        files: Option<&OwnedFd>,
    ) -> Result<Option<Reason>, BackendError> {
        self.state = Joining::Done;
        if self.group.is_none() {
            self.group = create(plan, self.layout)?;
        }
        let Some(group) = &self.group else { return Ok(None) };
        let members = members::attach_all(|pid| group.attach(pid), init, &plan.identity)
            .map_err(|error| cgroup_error(&error))?;
        if let Some(limit) = plan.process_rlimit {
            members::leave_counting_to_group(&members, limit);
        }
        // Not the members: some are dead by now, and threads count.
        if group.processes() > u64::from(plan.limits.max_pids) + 1 {
            return Ok(Some(Reason::Processes));
        }
        let used = members::memory(init, files);
        self.used_before = used;
        if used >= plan.limits.memory.bytes() {
            return Ok(Some(Reason::Memory(used)));
        }
        match group.deduct_memory(&plan.limits, used) {
            Ok(()) => Ok(None),
            // The group has grown beyond what is left while we added up.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                Ok(Some(Reason::Memory(used)))
            }
            Err(error) => Err(cgroup_error(&error)),
        }
    }

    pub(crate) fn counts(&self) -> crate::cgroup::Counts {
        let counts = self.group.as_ref().map(Group::counts).unwrap_or_default();
        let peak_memory = counts.peak_memory.map(|peak| peak.saturating_add(self.used_before));
        crate::cgroup::Counts { peak_memory, ..counts }
    }

    /// Processor time of all members so far, where the group counts it.
    fn processor_time(&self) -> Option<std::time::Duration> {
        self.group.as_ref()?.processor_time()
    }

    fn remove(self) {
        if let Some(group) = self.group {
            group.remove();
        }
    }
}

fn create(plan: &Plan, layout: &Layout) -> Result<Option<Group>, BackendError> {
    Group::create(layout, &plan.limits).map_err(|error| cgroup_error(&error))
}

fn cgroup_error(error: &std::io::Error) -> BackendError {
    BackendError {
        failure: Failure::new(ErrorCode::CgroupFailed, "the control group could not be set up")
            .hint("run \"capsule doctor\" to see what this host allows"),
        internal: format!("control group: {error}"),
    }
}

/// A failure of a call that should have succeeded.
pub(crate) fn system_error(what: &str, error: &std::io::Error) -> BackendError {
    let short = matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN | libc::ENOSPC)
    );
    let failure = if short {
        Failure::new(ErrorCode::OutOfResources, format!("this host has no room left to {what}"))
            .hint("wait, or raise the limits on descriptors and processes (ulimit -n, ulimit -u)")
    } else {
        Failure::new(ErrorCode::SystemFailure, format!("the operating system refused to {what}"))
    };
    BackendError { failure, internal: format!("{what}: {error}") }
}
