//! Owns the one call that loads a filter. What the filter says is not known here.

#![allow(unsafe_code)]

use std::io;

/// Loads `program` for the calling thread and everything it starts; it cannot be taken
/// off again.
///
/// Runs between fork and exec: allocates nothing, takes no lock. `no_new_privs` must be
/// set already, else EACCES; no flag is used, so no privilege is needed. After it
/// returns, only the calls that the program allows are left to the caller.
///
/// # Errors
/// EINVAL for a program that is empty, longer than 4096 instructions or malformed, and
/// whatever the kernel says.
pub fn load(program: &[libc::sock_filter]) -> io::Result<()> {
    load_with(program, 0)
}

/// As [`load`], for every thread that the process has: all of them or none.
///
/// # Errors
/// As [`load`]; EAGAIN when some thread cannot take it.
pub(crate) fn load_for_all_threads(program: &[libc::sock_filter]) -> io::Result<()> {
    load_with(program, libc::SECCOMP_FILTER_FLAG_TSYNC)
}

fn load_with(program: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<()> {
    let Ok(len) = u16::try_from(program.len()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let header = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: `header` is a live local whose pointer and length are those of `program`,
    // borrowed for the whole call; the kernel copies it and never writes to it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER),
            flags,
            &raw const header,
        )
    };
    match result {
        0 => Ok(()),
        // With TSYNC: the number of a thread that stood in the way.
        thread if thread > 0 => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
        _ => Err(io::Error::last_os_error()),
    }
}
