//! System calls of the server's side that no library of ours wraps.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets this process open as many files as it may: each sandbox takes a few. Jails have
/// limits of their own.
pub(super) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Not allowed to is as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// The process that listens at the other end of a connection, and a descriptor of it.
///
/// By the number, checked afterwards: the connection still stands, so the process has
/// lived all the time, and nobody else can have had its number.
pub(super) fn peer(connection: BorrowedFd<'_>) -> std::io::Result<(i32, OwnedFd)> {
    let peer = rustix::net::sockopt::socket_peercred(connection)?;
    let pid = peer.pid.as_raw_nonzero().get();
    Ok((pid, open_process(pid)?))
}

/// A descriptor of a process.
pub(super) fn open_process(pid: i32) -> std::io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(std::io::ErrorKind::NotFound)?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

/// Reaps a child by its descriptor; somebody else's is not ours to reap.
pub(super) fn reap(pidfd: BorrowedFd<'_>) {
    let id = rustix::process::WaitId::PidFd(pidfd);
    let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOHANG;
    let _ = rustix::process::waitid(id, options);
}

/// Sets the size of a terminal.
pub(super) fn resize(terminal: BorrowedFd<'_>, columns: u16, rows: u16) -> std::io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize, and `size` is one.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

/// A descriptor that tasks can wait for.
pub(super) fn waitable(fd: OwnedFd, interest: Interest) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` keeps its number open, and the same, until it is dropped, which
    // is after `AsyncFd` has let go of it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}
