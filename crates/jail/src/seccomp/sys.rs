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
    let Ok(len) = u16::try_from(program.len()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let header = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    let no_flags: libc::c_ulong = 0;
    // SAFETY: `header` is a live local whose pointer and length are those of `program`,
    // borrowed for the whole call; the kernel copies it and never writes to it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER),
            no_flags,
            &raw const header,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
