//! Signal handlers that write the signal's number into a socket.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};

/// Where the handler writes.
static TOLD: AtomicI32 = AtomicI32::new(-1);

/// Catches signals; their numbers come out of what is returned, a byte each.
pub(super) fn catch(signals: &[libc::c_int]) -> io::Result<UnixStream> {
    let (told, tell) = UnixStream::pair()?;
    told.set_nonblocking(true)?;
    // A handler must not wait: more signals than fit are as good as those that fit.
    tell.set_nonblocking(true)?;
    // Open as long as the process lives: the handler may run at any time.
    TOLD.store(tell.into_raw_fd(), Ordering::SeqCst);
    for signal in signals {
        let handler = handle as extern "C" fn(libc::c_int);
        // SAFETY: all zeros is a valid sigaction: an empty mask and no flags.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: `action` lives in this frame, and `handle` does only what a handler may.
        if unsafe { libc::sigaction(*signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(told)
}

extern "C" fn handle(signal: libc::c_int) {
    // SAFETY: errno belongs to this thread and is always there.
    let errno = unsafe { *libc::__errno_location() };
    let byte = u8::try_from(signal).unwrap_or(0);
    // SAFETY: the descriptor is never closed, and `byte` lives in this frame; write(2) may
    // be called in a handler.
    unsafe { libc::write(TOLD.load(Ordering::SeqCst), (&raw const byte).cast(), 1) };
    // SAFETY: as above; whoever was interrupted finds its errno.
    unsafe { *libc::__errno_location() = errno };
}
