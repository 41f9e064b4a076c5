//! What the caller left open: a folder, a socket of a daemon. An intruder would find it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
use rustix::io::FdFlags;
use rustix::process::{Resource, getrlimit};

use super::sys;

/// Closes what this process inherited. What it opened itself is close-on-exec, as Rust
/// has it; what came through an execve cannot be.
pub(super) fn close_inherited() -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat(CWD, c"/proc/self/fd", flags, Mode::empty()) {
        Ok(folder) => {
            let mut buffer = [MaybeUninit::uninit(); 2048];
            let mut entries = RawDir::new(folder, &mut buffer);
            let mut inherited = Vec::new();
            while let Some(entry) = entries.next() {
                let number = entry?.file_name().to_str().ok().and_then(|name| name.parse().ok());
                inherited.extend(number.filter(|fd| is_inherited(*fd)));
            }
            inherited.into_iter().for_each(sys::close);
        }
        // Without /proc: every number that there can be.
        Err(_) => {
            let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).min(1 << 20);
            let numbers = 3..RawFd::try_from(most).unwrap_or(RawFd::MAX);
            numbers.filter(|fd| is_inherited(*fd)).for_each(sys::close);
        }
    }
    Ok(())
}

fn is_inherited(fd: RawFd) -> bool {
    fd > 2 && sys::descriptor_flags(fd).is_some_and(|flags| !flags.contains(FdFlags::CLOEXEC))
}
