//! What this process may do for the rest of its life, and all its children with it.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, set_no_new_privs};

use super::Inside;
use crate::sys;

pub(super) fn set_limits(inside: &mut Inside<'_>) -> io::Result<()> {
    let prepared = inside.prepared;
    let both = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    // A guest that inherits a real-time class could starve the host, and version 1
    // groups refuse such a process.
    sys::schedule_ordinarily()?;
    setrlimit(Resource::Rtprio, both(0))?;
    setrlimit(Resource::Nice, both(0))?;
    // Not 0: at 1, and only there, no handler of the host is started (kernel/coredump).
    setrlimit(Resource::Core, both(1))?;
    setrlimit(Resource::Nofile, both(prepared.open_files))?;
    setrlimit(Resource::Memlock, both(64 << 10))?;
    // POSIX message queues and pending signals are kernel memory outside the memory limit.
    setrlimit(Resource::Msgqueue, both(0))?;
    setrlimit(Resource::Sigpending, both(1024))?;
    if let Some(limit) = prepared.processes {
        let limit = Rlimit { current: Some(limit.soft), maximum: Some(limit.hard) };
        setrlimit(Resource::Nproc, limit)?;
    }
    Ok(())
}

pub(super) fn drop_capabilities(_: &mut Inside<'_>) -> io::Result<()> {
    crate::capabilities::give_up(CapabilitySet::empty())?;
    // A guest has the same user as PID 1 and must not write to its memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

pub(super) fn forbid_new(_: &mut Inside<'_>) -> io::Result<()> {
    Ok(set_no_new_privs(true)?)
}

pub(super) fn enforce_landlock(inside: &mut Inside<'_>) -> io::Result<()> {
    inside.prepared.landlock.enforce()
}
