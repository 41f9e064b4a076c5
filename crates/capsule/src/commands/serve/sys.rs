//! The signals that tell a server to stop.
#![allow(unsafe_code)]

use std::io::{self, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};

use tokio::io::AsyncReadExt;

/// Where the handler writes.
static TOLD: AtomicI32 = AtomicI32::new(-1);

/// From now on, a first SIGTERM or SIGINT is told through what is returned. A second one
/// ends the process, as it would have.
pub(super) fn stop_signals() -> io::Result<UnixStream> {
    let (told, tell) = UnixStream::pair()?;
    told.set_nonblocking(true)?;
    tell.set_nonblocking(true)?;
    // Open as long as the process lives: the handler may run at any time.
    TOLD.store(tell.into_raw_fd(), Ordering::SeqCst);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let handler = handle as extern "C" fn(libc::c_int);
        // SAFETY: all zeros is a valid sigaction: an empty mask and no flags.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART | libc::SA_RESETHAND;
        // SAFETY: `action` lives in this frame, and `handle` does only what a handler may.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(told)
}

extern "C" fn handle(_: libc::c_int) {
    let byte = 1_u8;
    // SAFETY: the descriptor is never closed, and `byte` lives in this frame; write(2) may
    // be called in a handler.
    unsafe { libc::write(TOLD.load(Ordering::SeqCst), (&raw const byte).cast(), 1) };
}

/// Answers when a signal came.
pub(super) async fn stopped(told: UnixStream) {
    let number = told.as_raw_fd();
    match tokio::net::UnixStream::from_std(told) {
        // The other end is never closed, so an answer is a signal.
        Ok(mut told) => drop(told.read_u8().await),
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: signals cannot be heard ({number}): {error}");
        }
    }
}
