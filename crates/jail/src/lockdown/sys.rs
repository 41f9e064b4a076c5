//! System calls of the lock-down that no library wraps safely.
#![allow(unsafe_code)]

use std::os::fd::RawFd;

use rustix::io::FdFlags;

/// Whether this process has no other thread. False where nobody can tell.
pub(super) fn is_single_threaded() -> bool {
    // SAFETY: takes a number. With other threads the kernel refuses (EINVAL), and
    // without there is nothing to be parted from (unshare(2)).
    if unsafe { libc::unshare(libc::CLONE_THREAD) } == 0 {
        return true;
    }
    // Containers forbid the question.
    threads() == Some(1)
}

/// How many threads this process has, as /proc says: the links of a directory are two
/// and one for each directory in it.
pub(super) fn threads() -> Option<u64> {
    let stat = rustix::fs::stat(c"/proc/self/task").ok()?;
    #[allow(clippy::useless_conversion, reason = "its type differs between architectures")]
    u64::from(stat.st_nlink).checked_sub(2)
}

/// None when nothing is open there.
pub(super) fn descriptor_flags(fd: RawFd) -> Option<FdFlags> {
    // SAFETY: takes numbers; one that is not open is answered with EBADF.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    (flags >= 0).then(|| FdFlags::from_bits_retain(flags.cast_unsigned()))
}

/// Closes a descriptor that no value of this process owns.
pub(super) fn close(fd: RawFd) {
    // SAFETY: callers close what was inherited through execve and was never made a Rust
    // value; nothing else closes it.
    unsafe { libc::close(fd) };
}
