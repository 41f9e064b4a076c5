//! System calls between the fork and the broker's life.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use rustix::process::{Pid, WaitOptions, waitpid};

/// None in the child. For a process with one thread.
pub(super) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the caller has one thread, so no lock is held that the child would miss.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Pid::from_raw(child))
}

/// Parts from the runner: from its terminal, its streams, and all that it has open.
/// Ends the process where that cannot be: nothing may outlive the runner.
pub(super) fn stand_alone(socket: &UnixStream) {
    let _ = rustix::thread::set_name(c"capsule-broker");
    // A signal from the terminal is the runner's to act on.
    let parted = rustix::process::setsid().is_ok() && forget_streams().is_ok();
    let kept = socket.as_raw_fd().cast_unsigned();
    // A pipe that stays open here would keep somebody waiting.
    let closed = (kept <= 3 || close_range(3, kept - 1)) && close_range(kept + 1, u32::MAX);
    if !parted || !closed || kept < 3 {
        end();
    }
}

fn forget_streams() -> rustix::io::Result<()> {
    use rustix::fs::{Mode, OFlags, open};
    let null = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)
}

fn close_range(first: u32, last: u32) -> bool {
    // SAFETY: what is closed was copied by the fork; the values that own it are never
    // used or dropped in this process, which leaves by `end`.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) == 0 }
}

/// Ends this process without a destructor.
pub(super) fn end() -> ! {
    // SAFETY: takes a number.
    unsafe { libc::_exit(0) }
}

/// Whether a child has ended; reaps it.
pub(super) fn has_ended(child: Pid) -> bool {
    !matches!(waitpid(Some(child), WaitOptions::NOHANG), Ok(None) | Err(rustix::io::Errno::INTR))
}

/// Threads of this process, as far as /proc tells.
pub(super) fn threads() -> u64 {
    #[allow(clippy::useless_conversion, reason = "its type differs between architectures")]
    rustix::fs::stat(c"/proc/self/task")
        .map_or(1, |stat| u64::from(stat.st_nlink).saturating_sub(2))
}
