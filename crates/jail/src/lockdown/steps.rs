//! The steps of a lock-down, and what becomes of one that fails.

use std::io;

use capsule_spec::{ErrorCode, Failure};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, clear_ambient_capability_set, set_no_new_privs};

use super::report::LockdownReport;
use crate::capabilities;

/// One of them.
pub(super) struct Step<'a> {
    name: &'static str,
    is_wall: bool,
    take: &'a dyn Fn() -> io::Result<()>,
}

impl<'a> Step<'a> {
    /// One that every kernel can take.
    pub(super) fn needed(name: &'static str, take: &'a dyn Fn() -> io::Result<()>) -> Self {
        Self { name, is_wall: false, take }
    }

    /// One that some kernels cannot take, or that what this process runs in forbids.
    pub(super) fn wall(name: &'static str, take: &'a dyn Fn() -> io::Result<()>) -> Self {
        Self { name, is_wall: true, take }
    }
}

/// Takes them, in order.
pub(super) fn take(steps: &[Step<'_>], report: &mut LockdownReport) -> Result<(), Failure> {
    for step in steps {
        match (step.take)() {
            Ok(()) => {}
            Err(error) if step.is_wall && is_absent(&error) => {
                report.weaker.push(format!("{}: refused on this host: {error}", step.name));
            }
            Err(error) => {
                let message =
                    format!("this process cannot lock itself down: {}: {error}", step.name);
                return Err(Failure::new(ErrorCode::SystemFailure, message));
            }
        }
    }
    Ok(())
}

/// How kernels without a wall answer, and containers that forbid to build it. E2BIG: the
/// kernel stacks no more than 16 layers of Landlock.
fn is_absent(error: &io::Error) -> bool {
    let absent = [libc::ENOSYS, libc::EOPNOTSUPP, libc::EPERM, libc::EINVAL, libc::E2BIG];
    error.raw_os_error().is_some_and(|number| absent.contains(&number))
}

pub(super) fn forbid_dumps() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

pub(super) fn forbid_privileges() -> io::Result<()> {
    Ok(set_no_new_privs(true)?)
}

pub(super) fn drop_capabilities(kept: CapabilitySet) -> io::Result<()> {
    let own = rustix::thread::capabilities(None)?;
    if own.effective.contains(CapabilitySet::SETPCAP) {
        return capabilities::give_up(kept);
    }
    // The bounding set stays, and bounds nothing: without execve there is no way up to it.
    clear_ambient_capability_set()?;
    capabilities::keep(kept & own.permitted)
}
