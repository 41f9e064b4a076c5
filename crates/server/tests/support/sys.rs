//! System calls of the sandboxes without walls.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use capsule_backend::sandbox::TerminalSize;

/// A new terminal: its outer and its inner side.
pub(super) fn open_terminal(size: TerminalSize) -> (File, OwnedFd) {
    let (mut outside, mut inside) = (-1, -1);
    let window = window(size);
    // SAFETY: both numbers and the size live in this frame; the other pointers may be null.
    let opened = unsafe {
        libc::openpty(
            &raw mut outside,
            &raw mut inside,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            (&raw const window).cast_mut(),
        )
    };
    assert_eq!(opened, 0, "{}", io::Error::last_os_error());
    // SAFETY: openpty just made this descriptor, and nobody else has it.
    let outside = unsafe { File::from_raw_fd(outside) };
    // SAFETY: likewise.
    let inside = unsafe { OwnedFd::from_raw_fd(inside) };
    (outside, inside)
}

/// Lets a command run in a terminal, as the leader of a session of its own.
pub(super) fn in_terminal(command: &mut Command, inside: &OwnedFd) {
    let stream = || Stdio::from(inside.try_clone().unwrap());
    command.stdin(stream()).stdout(stream()).stderr(stream());
    let lead = || {
        // SAFETY: setsid takes no argument.
        if unsafe { libc::setsid() } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: descriptor 0 is the terminal, and the argument is a number.
        if unsafe { libc::ioctl(0, libc::TIOCSCTTY as _, 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(lead) };
}

/// Lets a command be killed when the thread ends that starts it.
pub(super) fn end_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let tie = move || {
        // SAFETY: prctl takes numbers only here.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // It may have ended before that.
        // SAFETY: getppid takes no argument.
        if unsafe { libc::getppid() }.cast_unsigned() != parent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(tie) };
}

pub(super) fn resize(terminal: &File, size: TerminalSize) {
    let window = window(size);
    // SAFETY: the descriptor is open, and the size lives in this frame.
    let resized =
        unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ as _, &raw const window) };
    assert_eq!(resized, 0, "{}", io::Error::last_os_error());
}

fn window(size: TerminalSize) -> libc::winsize {
    libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Sends a signal to a process, or with a negative number to a group.
pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: kill takes numbers only.
    unsafe { libc::kill(pid, signal) };
}
