//! Limits by control groups, version 2 or 1, where the caller may make groups.
//!
//! A supervisor holds a lock on its group, so that the next run can tell, and
//! remove, what a supervisor that was killed left behind.

mod freezer;
mod layout;
mod v1;
mod v2;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use capsule_spec::{ExecutionId, Limits};

pub(crate) use freezer::Freezer;
pub(crate) use layout::{Controller, Layout, places_of};

const PREFIX: &str = "capsule-";
/// Where a supervisor moves to when its own group must be free of processes.
const LEAF: &str = "capsule-supervisor";
/// How long a group may stay busy after its last process was reaped.
const REMOVAL: Duration = Duration::from_secs(2);

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

    /// Processor time of all members, those that are gone included; `None` where
    /// nothing counts it.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        match self {
            Self::V2(group) => {
                read_keyed(&group.path().join("cpu.stat"), "usage_usec").map(Duration::from_micros)
            }
            Self::V1(group) => group.processor_time(),
        }
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> Counts {
        match self {
            Self::V2(group) => group.counts(),
            Self::V1(group) => group.counts(),
        }
    }

    /// How many processes the kernel ended for memory so far.
    pub(crate) fn memory_kills(&self) -> u64 {
        match self {
            Self::V2(group) => group.memory_kills(),
            Self::V1(group) => group.memory_kills(),
        }
    }

    /// Where it is: a directory for each hierarchy, with its controller in version 1.
    pub(crate) fn places(&self) -> Vec<(Option<Controller>, PathBuf)> {
        match self {
            Self::V2(group) => vec![(None, group.path().to_owned())],
            Self::V1(group) => group.places(),
        }
    }

    /// A group that an earlier process made, as far as it is there; `None` if nothing is.
    pub(crate) fn take_over(places: Vec<(Option<Controller>, PathBuf)>) -> Option<Self> {
        let mut claims = Vec::new();
        for (controller, path) in places {
            // Empty ones may have been swept by others; each hierarchy for itself.
            let Ok(claim) = Claim::take_over(path) else { continue };
            match controller {
                None => return Some(Self::V2(v2::Group::of(claim))),
                Some(controller) => claims.push((controller, claim)),
            }
        }
        (!claims.is_empty()).then(|| Self::V1(v1::Group::of(claims)))
    }

    /// Bytes of memory in use now.
    pub(crate) fn memory(&self) -> Option<u64> {
        match self {
            Self::V2(group) => read_number(&group.path().join("memory.current")),
            Self::V1(group) => group.memory(),
        }
    }

    /// Bytes of that which are copies of files, and which the kernel gives up when they are
    /// wanted for anything else.
    pub(crate) fn cached(&self) -> Option<u64> {
        match self {
            Self::V2(group) => read_cached(&group.path().join("memory.stat"), ""),
            Self::V1(group) => group.cached(),
        }
    }

    /// Whether [`Group::freeze`] can be used: in version 1 there is the [`Freezer`].
    pub(crate) fn can_freeze(&self) -> bool {
        matches!(self, Self::V2(_))
    }

    /// Stops every process of the group, and answers when they stand, or lets them go on.
    pub(crate) fn freeze(&self, frozen: bool) -> io::Result<()> {
        match self {
            Self::V2(group) => group.freeze(frozen),
            Self::V1(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Removes the group. Its processes must be gone.
    pub(crate) fn remove(self) {
        match self {
            Self::V2(group) => group.remove(),
            Self::V1(group) => group.remove(),
        }
    }
}

/// A directory of the group tree that is this process's as long as it lives: it
/// holds a lock on it. The name says nothing, because the guest can read it.
pub(crate) struct Claim {
    path: PathBuf,
    directory: File,
}

impl Claim {
    /// Makes a directory in `parent`, which is swept of dead ones first.
    fn make(parent: &Path) -> io::Result<Self> {
        sweep(parent);
        // Somebody else's sweep may come between the steps; it cannot for ever.
        for _ in 0..100 {
            let path = parent.join(format!("{PREFIX}{}", ExecutionId::random()));
            fs::create_dir(&path)?;
            if let Some(directory) = File::open(&path).ok().filter(lock)
                && path.exists()
            {
                return Ok(Self { path, directory });
            }
            // Who holds its lock may only have looked.
            let _ = fs::remove_dir(&path);
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    fn path(&self) -> &Path {
        &self.path
    }

    /// Takes over a directory that an earlier process made.
    fn take_over(path: PathBuf) -> io::Result<Self> {
        let directory = File::open(&path)?;
        // A sweep may hold the lock for a moment. Without the lock nothing is lost: a
        // directory with processes in it cannot be removed.
        lock(&directory);
        Ok(Self { path, directory })
    }

    /// Removes the directory. It stays busy for a moment after its last process was reaped,
    /// and for longer on a busy machine: what is given up here stays until another run.
    fn remove(&self) {
        let mut pause = Duration::from_millis(1);
        let mut waited = Duration::ZERO;
        while let Err(error) = fs::remove_dir(&self.path)
            && error.raw_os_error() == Some(libc::EBUSY)
            && waited < REMOVAL
        {
            std::thread::sleep(pause);
            waited += pause;
            pause = (pause * 3 / 2).min(Duration::from_millis(50));
        }
    }
}

/// Whether a directory is called as one of ours is.
pub(crate) fn is_name(name: &OsStr) -> bool {
    let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
    id.is_some_and(|id| id.parse::<ExecutionId>().is_ok())
}

pub(crate) fn lock(directory: &File) -> bool {
    rustix::fs::flock(directory, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Removes the directories that nobody holds a lock on: their supervisors were killed.
pub(crate) fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = is_name(&entry.file_name());
        // The lock is held until the directory is gone: its owner could be about to take it.
        let directory = is_ours.then(|| File::open(entry.path()).ok()).flatten();
        if directory.as_ref().is_some_and(lock) {
            // Fails while processes are in it: then it is the next run's turn.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Memory of files on the kernel's two lists. What programs share without a file, and what is in
/// a tmpfs, is on neither.
fn read_cached(path: &Path, prefix: &str) -> Option<u64> {
    let bytes = |list: &str| read_keyed(path, &format!("{prefix}{list}"));
    Some(bytes("inactive_file")?.saturating_add(bytes("active_file")?))
}

/// The number after `key` in a flat keyed file.
fn read_keyed(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}
