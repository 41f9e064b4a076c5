//! Version 1's freezer: a hierarchy of its own, in which processes stand still
//! (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst).
//!
//! Joined only when something is to be stopped. A stopped process hears of a signal,
//! SIGKILL included, when it goes on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Claim, layout};

/// A group of processes that can be stopped.
pub(crate) struct Freezer {
    claim: Claim,
}

impl Freezer {
    /// `None` where this process may make no such group.
    pub(crate) fn create() -> io::Result<Option<Self>> {
        let Some(parent) = layout::freezer_parent() else { return Ok(None) };
        Claim::make(&parent).map(|claim| Some(Self { claim }))
    }

    /// Removes those that nobody holds and nothing is in. Runs sweep beside their own groups,
    /// which are in other hierarchies.
    pub(crate) fn sweep() {
        if let Some(parent) = layout::freezer_parent() {
            super::sweep(&parent);
        }
    }

    /// One that an earlier process made.
    pub(crate) fn take_over(path: PathBuf) -> Option<Self> {
        Claim::take_over(path).ok().map(|claim| Self { claim })
    }

    pub(crate) fn path(&self) -> &Path {
        self.claim.path()
    }

    pub(crate) fn attach(&self, pid: i32) -> io::Result<()> {
        fs::write(self.path().join("cgroup.procs"), pid.to_string())
    }

    /// Stops all members; answers when they stand.
    pub(crate) fn stop(&self) -> io::Result<()> {
        let file = self.path().join("freezer.state");
        for _ in 0..1000 {
            // Again each time: what was forked meanwhile is asked anew.
            fs::write(&file, "FROZEN")?;
            if fs::read_to_string(&file)?.trim() == "FROZEN" {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    pub(crate) fn go(&self) -> io::Result<()> {
        fs::write(self.path().join("freezer.state"), "THAWED")
    }

    pub(crate) fn remove(&self) {
        self.claim.remove();
    }
}
