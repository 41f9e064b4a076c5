//! System calls of the tests' own side. One call a block.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A signal that a test sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "signal(7) says what they are")]
pub enum Signal {
    Hangup = 1,
    Interrupt = 2,
    Kill = 9,
    User1 = 10,
    Terminate = 15,
    Continue = 18,
    Stop = 19,
}

/// A resource limit of the supervisor itself (setrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `RLIMIT_NOFILE`.
    OpenFiles(u64),
    /// `RLIMIT_NPROC`; means nothing to root.
    Processes(u64),
}

/// Sends a signal to a process.
pub fn send_signal(pid: u32, signal: Signal) {
    // SAFETY: takes numbers only.
    let result = unsafe { libc::kill(pid.cast_signed(), signal as i32) };
    assert!(result == 0, "kill({pid}, {signal:?}): {}", io::Error::last_os_error());
}

/// The effective user of the tests.
pub fn own_user() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets `command` start as another user, with no group but that user's.
pub(crate) fn start_as(command: &mut Command, user: u32) {
    let become_user = move || {
        // SAFETY: a null list of length 0 is allowed.
        check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
        // SAFETY: takes numbers only.
        check(unsafe { libc::setresgid(user, user, user) })?;
        // SAFETY: takes numbers only.
        check(unsafe { libc::setresuid(user, user, user) })
    };
    // SAFETY: the closure makes system calls only and allocates nothing.
    unsafe { command.pre_exec(become_user) };
}

/// Lets `command` start with a limit on it.
pub(crate) fn start_limited(command: &mut Command, limit: Limit) {
    let (resource, value) = match limit {
        Limit::OpenFiles(value) => (libc::RLIMIT_NOFILE, value),
        Limit::Processes(value) => (libc::RLIMIT_NPROC, value),
    };
    let set = move || {
        let both = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: `both` is a local of the right type.
        check(unsafe { libc::setrlimit(resource, &raw const both) })
    };
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(set) };
}

/// Lets `command` start with `number` refused by a seccomp filter, as a
/// container's does it.
pub(crate) fn start_without_call(command: &mut Command, number: i64, errno: i32) {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let one = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        one(LOAD_NUMBER, 0, 0, 0),
        one(EQUAL, 0, 1, u32::try_from(number).expect("numbers of system calls are small")),
        one(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()),
        one(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let load = move || {
        let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
        // SAFETY: takes numbers only.
        check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
        // SAFETY: `program` points to `filter`, which the closure owns and which has four entries.
        check(unsafe {
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
        })
    };
    // SAFETY: the closure makes system calls only and allocates nothing.
    unsafe { command.pre_exec(load) };
}

/// Lets `command` inherit a descriptor that is open at `number`, to be found out.
pub(crate) fn start_with_descriptor(command: &mut Command, number: i32) {
    let open = move || {
        // SAFETY: the path ends with NUL.
        let fd = unsafe { libc::open(c"/etc/passwd".as_ptr(), libc::O_RDONLY) };
        // SAFETY: takes numbers only; dup2 leaves close-on-exec off.
        if fd >= 0 && unsafe { libc::dup2(fd, number) } == number {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: the closure makes system calls only and allocates nothing.
    unsafe { command.pre_exec(open) };
}

/// A new terminal: what a user sits before, and what a program gets.
pub(crate) fn terminal() -> io::Result<(File, File)> {
    let keyboard = File::options().read(true).write(true).open("/dev/ptmx")?;
    let unlocked: libc::c_int = 0;
    // SAFETY: the descriptor is open, and the call reads one number, which lives here.
    check(unsafe {
        libc::ioctl(keyboard.as_raw_fd(), libc::TIOCSPTLCK as _, &raw const unlocked)
    })?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the descriptor is open, and the call takes a number.
    let program = unsafe { libc::ioctl(keyboard.as_raw_fd(), libc::TIOCGPTPEER as _, flags) };
    if program < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made it, for nobody else.
    let program = unsafe { OwnedFd::from_raw_fd(program) };
    Ok((keyboard, program.into()))
}

/// Changes the size of a terminal.
pub(crate) fn resize(terminal: &File, columns: u16, rows: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open, and `size` lives in this frame.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ as _, &raw const size) })
}

/// Whether a terminal shows what is typed, and edits lines.
pub(crate) fn is_cooked(terminal: &File) -> io::Result<bool> {
    // SAFETY: all zeros is a valid termios.
    let mut attributes: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and `attributes` lives in this frame.
    check(unsafe { libc::tcgetattr(terminal.as_raw_fd(), &raw mut attributes) })?;
    let wanted = libc::ICANON | libc::ECHO | libc::ISIG;
    Ok(attributes.c_lflag & wanted == wanted && attributes.c_oflag & libc::OPOST != 0)
}

/// Lets `command` start as the first of a session on its standard input.
pub(crate) fn start_on_terminal(command: &mut Command) {
    let take = || {
        // SAFETY: takes nothing.
        check(unsafe { libc::setsid() }.min(0))?;
        // SAFETY: takes numbers only.
        check(unsafe { libc::ioctl(0, libc::TIOCSCTTY as _, 0) })
    };
    // SAFETY: the closure makes system calls only and allocates nothing.
    unsafe { command.pre_exec(take) };
}
