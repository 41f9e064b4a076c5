//! The processes of a jail, seen from outside through `/proc`.

use std::collections::HashSet;
use std::fs;
use std::io;

use crate::cgroup::Group;
use crate::plan::ProcessRlimit;
use crate::sys;

/// PID 1 and all its descendants, as host process ids. Orphans become PID 1's
/// children, so none is missed but for those that fork while this looks.
pub(super) fn of(init: i32) -> Vec<i32> {
    let mut found = vec![init];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
    }
    found
}

/// Moves every process of a jail into its group.
///
/// Once a process is in, so are its later children. A pass that finds nobody new
/// is therefore the last: whoever forks while we look was seen, or is the child
/// of one who is in. Returns them.
pub(super) fn attach_all(group: &Group, init: i32) -> io::Result<HashSet<i32>> {
    // A pass takes some 50 us, a fork more: a chain of forks cannot outrun it for long.
    const PASSES: usize = 1000;
    let mut attached = HashSet::new();
    for _ in 0..PASSES {
        let fresh: Vec<i32> = of(init).into_iter().filter(|pid| attached.insert(*pid)).collect();
        if fresh.is_empty() {
            return Ok(attached);
        }
        for pid in fresh {
            match group.attach(pid) {
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                result => result?,
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the processes fork faster than they can be moved"))
}

/// Lifts each member's soft process limit to its hard one, which is a little above
/// the group's: the limit refuses a fork before the group can, and is not counted.
pub(super) fn leave_counting_to_group(members: &HashSet<i32>, limit: ProcessRlimit) {
    for pid in members {
        sys::replace_process_limit(*pid, limit.soft, limit.hard);
    }
}

/// Bytes of memory that all processes hold for themselves, and those in the
/// private file system. Shared pages count for each that maps them.
pub(super) fn memory(init: i32) -> u64 {
    let processes: u64 = of(init).into_iter().filter_map(resident).sum();
    processes.saturating_add(private_files(init))
}

fn resident(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kibibytes = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    Some((kibibytes("RssAnon:")? + kibibytes("RssShmem:")?) * 1024)
}

/// Asked at `/dev/shm`, where no file of the caller can be mounted.
fn private_files(init: i32) -> u64 {
    rustix::fs::statfs(format!("/proc/{init}/root/dev/shm").as_str())
        .map(|usage| (usage.f_blocks - usage.f_bfree) * usage.f_bsize as u64)
        .unwrap_or(0)
}
