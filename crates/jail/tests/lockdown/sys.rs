//! System calls of intruders.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a call came to.
pub(crate) type Result<T = ()> = std::result::Result<T, i32>;

pub(crate) fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(249)
}

/// One raw call. Pointers among the arguments stay valid for as long as it lasts.
pub(crate) fn call(number: libc::c_long, arguments: [u64; 6]) -> Result<i64> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: pointers that callers pass are to values that live until they look at the
    // result; the process is one that is meant to try this, and does nothing else.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 { Err(errno()) } else { Ok(result) }
}

/// One whose first arguments are numbers, the rest zero.
pub(crate) fn numbers(number: libc::c_long, arguments: &[u64]) -> Result<i64> {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    call(number, all)
}

pub(crate) fn text(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no NUL in a test's path")
}

/// A child by the raw call, which must be one: it ends at once.
pub(crate) fn child(number: libc::c_long, arguments: [u64; 6]) -> Result {
    let pid = call(number, arguments)?;
    if pid == 0 {
        // SAFETY: ends the child; nothing of the parent's runs in it.
        unsafe { libc::_exit(0) }
    }
    let mut status = 0;
    // SAFETY: `status` is a live local.
    unsafe { libc::waitpid(pid as i32, &raw mut status, libc::__WALL) };
    Ok(())
}

/// A page of memory of this process.
pub(crate) fn page() -> Result<u64> {
    const PLAIN: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;
    const PRIVATE: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    let page = call(libc::SYS_mmap, [0, 4096, PLAIN, PRIVATE, u64::MAX, 0])?;
    Ok(page.cast_unsigned())
}

pub(crate) fn is_root() -> bool {
    // SAFETY: takes nothing.
    unsafe { libc::geteuid() == 0 }
}

pub(crate) fn landlock_version() -> u32 {
    let version = call(libc::SYS_landlock_create_ruleset, [0, 0, 1, 0, 0, 0]).unwrap_or(0);
    u32::try_from(version).unwrap_or(0)
}

pub(crate) fn let_it_be_inherited(file: &File) {
    // SAFETY: takes numbers; the file is open.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) };
}

pub(crate) fn number(file: &File) -> i32 {
    file.as_raw_fd()
}
