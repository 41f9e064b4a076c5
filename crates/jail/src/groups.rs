//! The control groups of runs as somebody outside sees them: who holds which, and which
//! nobody holds any more.
//!
//! Owns: the look, for audits. Refuses to know: how groups are made, limited and swept,
//! which is `cgroup`'s. Names say nothing of who made them, because a guest can read its
//! own; so a group is told by who has it open, or by that nobody has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cgroup;

const ROOT: &str = "/sys/fs/cgroup";
/// Deep enough for a user's session slice on version 2 and a container's on version 1.
const DEPTH: usize = 8;
/// A group is empty for moments while it is made and while it is removed. Only of one that
/// was empty for so long is it asked who holds it: to see that, the lock is taken.
const SETTLED: Duration = Duration::from_secs(1);

/// The groups that were there before something began.
#[derive(Clone, Debug)]
pub struct Audit {
    before: BTreeSet<PathBuf>,
}

impl Audit {
    /// Looks at what is there.
    pub fn begin() -> Self {
        Self { before: all() }
    }

    /// Groups that came between then and now and that are left: no process lives in them, and
    /// nobody holds them. Waits for each to go, at most for `patience`; answers at once if
    /// there is none. To be asked when what is audited has ended: groups that come later are
    /// none of its.
    ///
    /// What another's supervisor left on this host meanwhile is found, too.
    pub fn left(&self, patience: Duration) -> Vec<PathBuf> {
        let until = Instant::now() + patience;
        let mut since: BTreeMap<PathBuf, Option<Instant>> = all()
            .into_iter()
            .filter(|group| !self.before.contains(group))
            .map(|group| (group, None))
            .collect();
        loop {
            let now = Instant::now();
            since.retain(|group, began| {
                *began = is_empty(group).then(|| began.unwrap_or(now));
                group.exists()
            });
            // One in which something lives is somebody's; so is one that is held.
            let is_settled = |began: Instant| now - began >= SETTLED;
            let empty =
                |(group, began): (&PathBuf, &Option<Instant>)| Some((group.clone(), (*began)?));
            let (settled, moving): (Vec<_>, Vec<_>) =
                since.iter().filter_map(empty).partition(|(_, began)| is_settled(*began));
            let mut left: Vec<_> = settled.into_iter().map(|(group, _)| group).collect();
            left.retain(|group| is_abandoned(group));
            if now >= until || left.is_empty() && moving.is_empty() {
                return left;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The groups that a process holds: a supervisor, or a server. None of a process that the
/// caller may not look into.
pub fn held_by(pid: u32) -> BTreeSet<PathBuf> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .filter(|path| path.starts_with(ROOT))
        .filter(|path| path.file_name().is_some_and(cgroup::is_name))
        .collect()
}

/// Every group of a run on this host, in any hierarchy.
fn all() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    find(Path::new(ROOT), DEPTH, &mut found);
    found
}

fn find(directory: &Path, depth: usize, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if cgroup::is_name(&entry.file_name()) {
            found.insert(entry.path());
        } else if depth > 0 {
            find(&entry.path(), depth - 1, found);
        }
    }
}

/// Whether a group is there and no process lives in it.
fn is_empty(group: &Path) -> bool {
    fs::read_to_string(group.join("cgroup.procs"))
        .is_ok_and(|processes| processes.lines().all(is_dead))
}

fn is_abandoned(group: &Path) -> bool {
    is_empty(group) && File::open(group).is_ok_and(|directory| cgroup::lock(&directory))
}

/// A process that ended and was not reaped may be listed for a moment. What is in another
/// process namespace is listed as 0, and lives.
fn is_dead(pid: &str) -> bool {
    if pid == "0" {
        return false;
    }
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // After the name, which ends with the last bracket.
    let state = status.rsplit(')').next().unwrap_or_default().trim_start();
    state.starts_with(['Z', 'X'])
}

#[cfg(test)]
mod tests {
    use super::is_dead;

    #[test]
    fn the_living_and_the_unseen_are_not_dead() {
        assert!(!is_dead(&std::process::id().to_string()));
        assert!(!is_dead("0"));
    }

    #[test]
    fn a_process_is_dead_before_it_is_reaped_and_after() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id().to_string();
        while !is_dead(&pid) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.wait().unwrap();
        assert!(is_dead(&pid));
    }
}
