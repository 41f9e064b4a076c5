//! The control group of a sandbox: when it is joined, what it counts.
//!
//! In version 1 the first move of a process after a quiet time costs milliseconds, so a
//! sandbox joins in the background, soon after its first process was started; what it
//! has used by then is deducted from its limit, and the number of its processes is
//! limited by RLIMIT_NPROC from the start. With `require` it joins before it is made.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use capsule_spec::{Failure, Limits};

use super::{errors, lock};
use crate::cgroup::{Controller, Freezer, Group, Layout};
use crate::plan::{Identity, Plan, ProcessRlimit};
use crate::supervisor::members;

pub(super) type Places = Vec<(Option<Controller>, PathBuf)>;

pub(super) struct Grouping {
    state: Mutex<State>,
    memory_kills: AtomicU64,
}

struct State {
    group: Option<Group>,
    /// Once something was stopped, where version 1 is.
    freezer: Option<Freezer>,
    /// Memory that was used before the processes joined, which the group does not see.
    used_before: u64,
    /// No group is to be made any more.
    is_over: bool,
}

/// What a later join needs of a plan.
#[derive(Clone)]
pub(super) struct Joining {
    pub(super) layout: Layout,
    pub(super) limits: Limits,
    pub(super) identity: Identity,
    pub(super) process_rlimit: Option<ProcessRlimit>,
}

impl Joining {
    pub(super) fn new(plan: &Plan, layout: &Layout) -> Self {
        Self {
            layout: layout.clone(),
            limits: plan.limits.clone(),
            identity: plan.identity,
            process_rlimit: plan.process_rlimit,
        }
    }
}

impl Grouping {
    pub(super) fn of(group: Option<Group>) -> Self {
        let state = State { group, freezer: None, used_before: 0, is_over: false };
        Self { state: Mutex::new(state), memory_kills: AtomicU64::new(0) }
    }

    /// One that somebody else made for a process, and removes.
    pub(super) fn of_process(pid: i32) -> (Self, Places) {
        let places = crate::cgroup::places_of(pid);
        (Self::of(Group::take_over(places.clone())), places)
    }

    /// One that earlier processes made and joined.
    pub(super) fn take_over(places: &Places, freezer: Option<&PathBuf>) -> Self {
        let grouping = Self::of(Group::take_over(places.clone()));
        lock(&grouping.state).freezer = freezer.cloned().and_then(Freezer::take_over);
        grouping
    }

    /// Whether there is a group, or there will be none.
    pub(super) fn is_settled(&self, layout: &Layout) -> bool {
        !matches!(layout, Layout::V1 { .. }) || lock(&self.state).group.is_some()
    }

    pub(super) fn create(layout: &Layout, limits: &Limits) -> Result<Option<Group>, Failure> {
        Group::create(layout, limits).map_err(|error| errors::group(&error))
    }

    /// Moves every process of the sandbox into a group of its own. Answers where it is,
    /// if it was made now. Blocks, some milliseconds.
    pub(super) fn join(
        &self,
        joining: &Joining,
        init: i32,
        files: Option<&OwnedFd>,
    ) -> Result<Option<Places>, Failure> {
        let mut state = lock(&self.state);
        if state.is_over || state.group.is_some() {
            return Ok(None);
        }
        let Some(group) = Self::create(&joining.layout, &joining.limits)? else { return Ok(None) };
        let places = group.places();
        let group = state.group.insert(group);
        let members = members::attach_all(|pid| group.attach(pid), init, &joining.identity)
            .map_err(|error| errors::group(&error))?;
        if let Some(limit) = joining.process_rlimit {
            members::leave_counting_to_group(&members, limit);
        }
        let used = members::memory(init, files);
        let _ = group.deduct_memory(&joining.limits, used);
        state.used_before = used;
        Ok(Some(places))
    }

    pub(super) fn memory(&self) -> Option<u64> {
        let state = lock(&self.state);
        Some(state.group.as_ref()?.memory()?.saturating_add(state.used_before))
    }

    /// Of that, what the kernel gives up when it is wanted for anything else.
    pub(super) fn cached(&self) -> u64 {
        lock(&self.state).group.as_ref().and_then(Group::cached).unwrap_or(0)
    }

    pub(super) fn peak_memory(&self) -> Option<u64> {
        let state = lock(&self.state);
        Some(state.group.as_ref()?.counts().peak_memory?.saturating_add(state.used_before))
    }

    pub(super) fn processor_time(&self) -> Option<Duration> {
        lock(&self.state).group.as_ref()?.processor_time()
    }

    pub(super) fn processes(&self) -> Option<u64> {
        lock(&self.state).group.as_ref().map(Group::processes).filter(|count| *count > 0)
    }

    /// How many processes the kernel killed for memory so far. Never waits: while the
    /// group is joined, or stopped, the last count stands.
    pub(super) fn memory_kills(&self) -> u64 {
        if let Ok(state) = self.state.try_lock() {
            let kills = state.group.as_ref().map_or(0, Group::memory_kills);
            self.memory_kills.store(kills, Ordering::Relaxed);
        }
        self.memory_kills.load(Ordering::Relaxed)
    }

    /// Makes what [`Grouping::stop`] needs in version 1, unless it is there, and answers where
    /// it is. Whoever may have to let the processes go must know of it before they stop.
    pub(super) fn make_freezer(&self) -> Option<PathBuf> {
        let mut state = lock(&self.state);
        let can_freeze = state.group.as_ref().is_some_and(Group::can_freeze);
        if state.is_over || can_freeze {
            return None;
        }
        if state.freezer.is_none() {
            state.freezer = Freezer::create().ok().flatten();
        }
        state.freezer.as_ref().map(|freezer| freezer.path().to_owned())
    }

    /// Stops every process below `init`, and in version 2 that one, too. `None` where no
    /// group can; blocks for some milliseconds.
    pub(super) fn stop(&self, init: i32, identity: &Identity) -> Option<io::Result<()>> {
        let state = lock(&self.state);
        if let Some(group) = state.group.as_ref().filter(|group| group.can_freeze()) {
            return Some(group.freeze(true));
        }
        let freezer = state.freezer.as_ref()?;
        // PID 1 goes on: it answers, and ends the others if its lease is over.
        let attach = |pid: i32| if pid == init { Ok(()) } else { freezer.attach(pid) };
        Some(members::attach_all(attach, init, identity).and_then(|_| freezer.stop()))
    }

    /// Lets them go on. `None` where no group has stopped them.
    pub(super) fn go(&self) -> Option<io::Result<()>> {
        let state = lock(&self.state);
        if let Some(group) = state.group.as_ref().filter(|group| group.can_freeze()) {
            return Some(group.freeze(false));
        }
        state.freezer.as_ref().map(Freezer::go)
    }

    /// Whether PID 1 stands still with the others.
    pub(super) fn stops_init(&self) -> bool {
        lock(&self.state).group.as_ref().is_some_and(Group::can_freeze)
    }

    /// Waits until no process is left in any of its groups. Blocks.
    pub(super) fn await_empty(&self, most: Duration) {
        let places: Vec<PathBuf> = {
            let state = lock(&self.state);
            let groups = state.group.iter().flat_map(Group::places).map(|(_, path)| path);
            groups.chain(state.freezer.iter().map(|freezer| freezer.path().to_owned())).collect()
        };
        let until = Instant::now() + most;
        let is_empty = |path: &PathBuf| {
            let processes = std::fs::read_to_string(path.join("cgroup.procs"));
            processes.is_ok_and(|processes| processes.is_empty())
        };
        while !places.iter().all(is_empty) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Removes the group, whose processes are gone. Blocks for moments.
    pub(super) fn remove(&self) {
        let mut state = lock(&self.state);
        state.is_over = true;
        if let Some(group) = state.group.take() {
            group.remove();
        }
        if let Some(freezer) = state.freezer.take() {
            freezer.remove();
        }
    }
}
