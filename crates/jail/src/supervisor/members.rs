//! The processes of a jail, seen from outside through `/proc`.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use crate::plan::{Identity, ProcessRlimit};
use crate::sys;

/// PID 1 and all its descendants, as host process ids. Orphans become PID 1's
/// children, so none is missed but for those that fork while this looks.
pub(crate) fn of(init: i32) -> Vec<i32> {
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

/// Moves every process of a jail into its group, as `attach` does it, and returns them.
///
/// Once a process is in, so are its later children, so what can be missed is a
/// process that came and whose parent went between two looks. A chain of forks
/// can hide like that from a walk down the tree. So as root, where the jail's
/// user is nobody else's, all processes of the host are looked through as well:
/// the kernel lists them by rising number, and new ones have higher numbers. Two
/// looks in a row must find nobody new.
pub(crate) fn attach_all(
    attach: impl Fn(i32) -> io::Result<()>,
    init: i32,
    identity: &Identity,
) -> io::Result<HashSet<i32>> {
    // A look takes some 50 us, a fork more: a chain of forks cannot outrun it for long.
    const LOOKS: usize = 1000;
    let mut attached = HashSet::new();
    let mut quiet = 0;
    for _ in 0..LOOKS {
        let mut found = of(init);
        if identity.mapped_by_supervisor {
            found.extend(of_user(identity.outside_user));
        }
        let fresh: Vec<i32> = found.into_iter().filter(|pid| attached.insert(*pid)).collect();
        quiet = if fresh.is_empty() { quiet + 1 } else { 0 };
        if quiet == 2 {
            return Ok(attached);
        }
        for pid in fresh {
            match attach(pid) {
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                result => result?,
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the processes fork faster than they can be moved"))
}

/// All processes of the host that run as `user`. By their credentials: a process
/// can make its files in `/proc` look like root's.
fn of_user(user: u32) -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    processes.filter(move |pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let own = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        own.and_then(|ids| ids.split_whitespace().next()?.parse().ok()) == Some(user)
    })
}

/// Lifts each member's soft process limit to its hard one, which is a little above
/// the group's: the limit refuses a fork before the group can, and is not counted.
pub(crate) fn leave_counting_to_group(members: &HashSet<i32>, limit: ProcessRlimit) {
    for pid in members {
        sys::replace_process_limit(*pid, limit.soft, limit.hard);
    }
}

/// Bytes of memory that all processes hold for themselves, their page tables, and
/// the private file system, of which `files` is any directory. Shared pages count
/// for each process that maps them. What no process maps is not seen: memfds,
/// System V segments, buffers of pipes and sockets.
///
/// PID 1 does not count: it is a copy of the supervisor, which may be a large program,
/// and allocates nothing. Nor does the command before its execve, which has PID 1's
/// memory (CLONE_VFORK).
pub(crate) fn memory(init: i32, files: Option<&OwnedFd>) -> u64 {
    let copy = status(init);
    let guests = of(init).into_iter().skip(1).map(status);
    let processes: u64 =
        guests.filter(|guest| !is_same(guest, &copy)).map(|guest| resident(&guest)).sum();
    let files = files.and_then(|files| rustix::fs::fstatfs(files).ok());
    let files = files.map_or(0, |usage| (usage.f_blocks - usage.f_bfree) * usage.f_bsize as u64);
    processes.saturating_add(files)
}

fn status(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

/// Whether two processes have one memory: it looks the same to the last page. A guest
/// cannot make its own look like PID 1's, which it cannot see.
fn is_same(one: &str, other: &str) -> bool {
    let names = ["VmPeak:", "VmSize:", "VmData:", "VmStk:", "VmExe:", "VmLib:"];
    names.into_iter().all(|name| kibibytes(one, name) == kibibytes(other, name))
        && kibibytes(one, "VmSize:").is_some()
}

/// What a process holds for itself; 0 if it is gone.
fn resident(status: &str) -> u64 {
    let names = ["RssAnon:", "RssShmem:", "VmPTE:"];
    names.into_iter().filter_map(|name| kibibytes(status, name)).sum::<u64>() * 1024
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_shares_memory_is_known_by_it() {
        let own = status(i32::try_from(std::process::id()).unwrap());
        assert!(is_same(&own, &own));
        let mut child = std::process::Command::new("/bin/sleep").arg("5").spawn().unwrap();
        let other = status(i32::try_from(child.id()).unwrap());
        assert!(resident(&other) > 0 && !is_same(&own, &other));
        // A process that is gone is like no other, and holds nothing.
        assert!(!is_same("", "") && resident("") == 0);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
