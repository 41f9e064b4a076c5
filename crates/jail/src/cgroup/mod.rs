//! Limits by control groups, version 2 or 1, where the caller may make groups.
//!
//! A group is named after the supervisor (`capsule-PID-STARTTIME`), so that the
//! next run can remove what a supervisor that was killed left behind.

mod layout;
mod v1;
mod v2;

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use capsule_spec::Limits;

pub(crate) use layout::{Controller, Layout};

const PREFIX: &str = "capsule-";
/// Where a supervisor moves to when its own group must be free of processes.
const LEAF: &str = "capsule-supervisor";

/// The group of one run.
pub(crate) enum Group {
    V2(v2::Group),
    V1(v1::Group),
}

/// What a group counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Peak memory in bytes, when the memory controller counted it.
    pub(crate) peak_memory: Option<u64>,
    /// How many processes the kernel killed for memory.
    pub(crate) memory_kills: u64,
    /// How many forks the limit refused.
    pub(crate) refused_forks: u64,
}

impl Group {
    /// Makes a group with the limits in force; `None` when this host has none to offer.
    pub(crate) fn create(layout: &Layout, limits: &Limits) -> io::Result<Option<Self>> {
        match layout {
            Layout::V2 { parent, .. } => v2::Group::create(parent, limits).map(Self::V2).map(Some),
            Layout::V1 { parents } => v1::Group::create(parents, limits).map(Self::V1).map(Some),
            Layout::None { .. } => Ok(None),
        }
    }

    /// The descriptor to clone into, where the version has it.
    pub(crate) fn clone_target(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::V2(group) => Some(group.descriptor()),
            Self::V1(_) => None,
        }
    }

    /// Moves a process in, with all its threads.
    pub(crate) fn attach(&self, pid: i32) -> io::Result<()> {
        match self {
            Self::V2(group) => group.attach(pid),
            Self::V1(group) => group.attach(pid),
        }
    }

    /// Lowers the memory limit by what was used before the processes came in.
    pub(crate) fn deduct_memory(&self, limits: &Limits, used: u64) -> io::Result<()> {
        match self {
            Self::V2(_) => Ok(()),
            Self::V1(group) => group.limit_memory(limits.memory.bytes().saturating_sub(used)),
        }
    }

    /// Processes and threads in the group now; 0 where nothing counts them.
    pub(crate) fn processes(&self) -> u64 {
        match self {
            Self::V2(group) => read_number(&group.path().join("pids.current")),
            Self::V1(group) => group.processes(),
        }
        .unwrap_or(0)
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> Counts {
        match self {
            Self::V2(group) => group.counts(),
            Self::V1(group) => group.counts(),
        }
    }

    /// Removes the group. Its processes must be gone.
    pub(crate) fn remove(self) {
        match self {
            Self::V2(group) => remove(group.path()),
            Self::V1(group) => group.paths().for_each(remove),
        }
    }
}

/// The name of this process's group, and the directory it goes to swept of dead ones.
fn name_in(parent: &Path) -> io::Result<PathBuf> {
    let pid = std::process::id();
    let start = start_time(pid)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no start time in /proc"))?;
    sweep(parent);
    Ok(parent.join(format!("{PREFIX}{pid}-{start}-{}", next_serial())))
}

/// One process may run several jails at a time.
fn next_serial() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

/// Removes the groups of supervisors that no longer live.
pub(crate) fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(owner) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        let mut parts = owner.split('-').map(str::parse::<u64>);
        let (Some(Ok(pid)), Some(Ok(start))) = (parts.next(), parts.next()) else { continue };
        if u32::try_from(pid).ok().and_then(start_time) != Some(start) {
            // Fails while processes are in it: then it is the next run's turn.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Field 22 of proc_pid_stat(5). The name in field 2 may hold anything, `)` included.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// A group stays busy for a moment after its last process was reaped.
fn remove(path: &Path) {
    for _ in 0..100 {
        match fs::remove_dir(path) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            _ => return,
        }
    }
}

fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The number after `key` in a flat keyed file.
fn read_keyed(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}
