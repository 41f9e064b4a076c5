//! Files of a sandbox that stands still. PID 1 may stand still with the others, so the server
//! looks itself: below the private places only, from the root that PID 1 handed out before,
//! and the kernel follows no link and leaves no file system on the way (openat2(2)). Whoever
//! could change anything meanwhile has been stopped.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use capsule_spec::Failure;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use super::errors;
use crate::plan::private_places;

/// A directory, to be read.
pub(super) fn directory(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Failure> {
    open(root, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Any file, without opening it.
pub(super) fn look(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Failure> {
    open(root, path, OFlags::PATH | OFlags::NOFOLLOW)
}

/// A regular file, to be read.
pub(super) fn file(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Failure> {
    // A pipe is opened at once, without whoever writes to it.
    let fd = open(root, path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK)?;
    let failed = |errno: Errno| errors::file(path, errno.raw_os_error());
    match FileType::from_raw_mode(fstat(&fd).map_err(failed)?.st_mode) {
        FileType::RegularFile => Ok(fd),
        FileType::Directory => Err(failed(Errno::ISDIR)),
        _ => Err(failed(Errno::INVAL)),
    }
}

fn open(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Failure> {
    let failed = |errno: Errno| errors::file(path, errno.raw_os_error());
    let (place, rest) = split(path).ok_or_else(|| failed(Errno::ACCESS))?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let at = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = openat2(root, place, at, Mode::empty(), resolve).map_err(failed)?;
    let resolve = resolve | ResolveFlags::NO_XDEV;
    openat2(place.as_fd(), rest, flags | OFlags::CLOEXEC, Mode::empty(), resolve).map_err(failed)
}

/// The private place that a path is in, and the path from there.
fn split(path: &str) -> Option<(CString, CString)> {
    let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    if !path.starts_with('/') || !Path::new(path).components().all(is_plain) {
        return None;
    }
    let within = |place: &String| Path::new(path).strip_prefix(place).ok().map(Path::to_owned);
    let (place, rest) =
        private_places().into_iter().find_map(|place| within(&place).map(|rest| (place, rest)))?;
    let rest = if rest.as_os_str().is_empty() { "." } else { rest.to_str()? };
    Some((CString::new(place.trim_start_matches('/')).ok()?, CString::new(rest).ok()?))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn only_private_places_are_looked_at() {
        let at = |path| {
            split(path)
                .map(|(place, rest)| (place.into_string().unwrap(), rest.into_string().unwrap()))
        };
        assert_eq!(at("/workspace/a/b"), Some(("workspace".into(), "a/b".into())));
        assert_eq!(at("/workspace/"), Some(("workspace".into(), ".".into())));
        assert_eq!(at("/dev/shm/a"), Some(("dev/shm".into(), "a".into())));
        for path in [
            "/",
            "/etc/passwd",
            "workspace/a",
            "/workspace/../etc",
            "/workspaces/a",
            "/proc/1/root",
            "/workspace/a\0b",
        ] {
            assert_eq!(at(path), None, "{path:?}");
        }
    }
}
