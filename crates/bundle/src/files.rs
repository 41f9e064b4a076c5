//! Questions to the file system below a root, and their answers.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};

use crate::limits::MOST_OF_A_FILE;
use crate::trace::{Hash, Kind, Stamp};

/// Seconds of the clock by which files are stamped.
pub fn now() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec
}

/// The hash of what a file of a folder says.
pub fn hash_of(folder: &OwnedFd, name: &str) -> Option<Hash> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(beneath(folder.as_fd(), name, flags | OFlags::NOFOLLOW).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MOST_OF_A_FILE + 1).read_to_end(&mut bytes).ok()?;
    Some(hash(&bytes))
}

/// The hash of what a file says.
pub fn hash(bytes: &[u8]) -> Hash {
    *blake3::hash(bytes).as_bytes()
}

/// Opens what is below `root`, and stays there.
///
/// # Errors
/// As `open` has them, and when the path leads out.
pub fn beneath(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let path = if path.is_empty() { "." } else { path };
    // The kernel asks to try again when something on the way was renamed meanwhile.
    for _ in 0..8 {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Err(rustix::io::Errno::AGAIN) => {}
            result => return Ok(result?),
        }
    }
    Err(io::ErrorKind::WouldBlock.into())
}

/// What stands under a name of a folder.
pub fn kind_in(folder: BorrowedFd<'_>, name: &str) -> Kind {
    if matches!(name, "" | ".") {
        return Kind::Folder;
    }
    // A name with a slash, or the parent, would be a path out of the folder.
    if name == ".." || name.contains(['/', '\0']) {
        return Kind::Missing;
    }
    let Ok(found) = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
        return Kind::Missing;
    };
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(folder, name, Vec::new());
            let target = target.ok().and_then(|target| target.into_string().ok());
            target.map_or(Kind::Missing, Kind::Link)
        }
        _ => Kind::Other,
    }
}

/// What a stamp of this is.
pub fn stamp(stat: &Stat) -> Stamp {
    Stamp {
        device: stat.st_dev,
        inode: stat.st_ino,
        length: stat.st_size,
        changed: (stat.st_ctime, stat.st_ctime_nsec.try_into().unwrap_or_default()),
    }
}
