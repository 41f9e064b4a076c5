//! System calls of PID 1. One call a block; no allocation, no lock.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;

use crate::Command;
use crate::command::StartStep;

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// The signals that PID 1 takes from its queue instead of from a handler.
const WAITED: [c_int; 8] = [
    libc::SIGCHLD,
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    crate::END_SIGNAL,
];

fn waited() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `set` is a local of the right type; sigemptyset initialises all of it.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in WAITED {
        // SAFETY: `set` was initialised above and `signal` is a valid number.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: sigemptyset initialised it.
    unsafe { set.assume_init() }
}

/// Blocks the waited signals: a blocked signal to PID 1 is queued, where one
/// with the default action would be dropped (pid_namespaces(7)).
pub(crate) fn block_signals() {
    let set = waited();
    // SAFETY: `set` is initialised; the old set is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) };
}

/// Gives the command the default action and an empty mask for every signal.
///
/// By the raw call: musl's sigaction takes a lock for SIGABRT, which another thread
/// of the calling program may have held at the clone (its posix_spawn does), and
/// refuses the signals that it keeps for itself.
pub(crate) fn reset_signals() {
    /// The kernel's sigaction: handler, flags, restorer and mask, all zero for SIG_DFL.
    const DEFAULT: [u64; 4] = [0; 4];
    const MASK_BYTES: usize = 8;
    let none = ptr::null_mut::<u64>();
    for signal in 1..=64 {
        // SAFETY: `DEFAULT` is a complete sigaction of the kernel; the old one is not
        // asked for. Errors (SIGKILL, SIGSTOP) do not matter.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), none, MASK_BYTES)
        };
    }
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the local.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: `set` was initialised above.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), ptr::null_mut()) };
}

/// Why PID 1 woke up.
pub(crate) enum Wakeup {
    /// A signal from outside the jail: kill(2) by a process this namespace cannot name.
    Outside(i32),
    /// A child ended, or a guest sent a signal.
    Other,
}

pub(crate) fn wait_for_signal() -> Wakeup {
    let set = waited();
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: both point to initialised locals of the right type.
    let signal = unsafe { libc::sigwaitinfo(&raw const set, info.as_mut_ptr()) };
    if signal <= 0 || signal == libc::SIGCHLD {
        return Wakeup::Other;
    }
    // SAFETY: the call succeeded, so the kernel filled it in; zeroed is valid too.
    let info = unsafe { info.assume_init() };
    // A guest can forge si_pid only with a negative si_code (rt_sigqueueinfo(2)).
    // SAFETY: si_pid is valid for SI_USER, which is checked first.
    let outside = info.si_code == libc::SI_USER && unsafe { info.si_pid() } == 0;
    if outside { Wakeup::Outside(signal) } else { Wakeup::Other }
}

fn wait(flags: c_int) -> Option<(i32, i32)> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a local; no rusage is asked for.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
        match pid {
            1.. => return Some((pid, status)),
            -1 if errno() == libc::EINTR => {}
            _ => return None,
        }
    }
}

/// Reaps one child that has ended, if there is one.
pub(crate) fn reap() -> Option<(i32, i32)> {
    wait(libc::WNOHANG | libc::__WALL)
}

/// Waits for a child to end; `None` when there is none left.
pub(crate) fn reap_blocking() -> Option<(i32, i32)> {
    wait(libc::__WALL)
}

pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: takes numbers only.
    unsafe { libc::kill(pid, signal) };
}

/// Kills every process of the jail but this one.
pub(crate) fn kill_all() {
    kill(-1, libc::SIGKILL);
}

pub(crate) fn new_session() {
    // SAFETY: takes nothing.
    unsafe { libc::setsid() };
}

pub(crate) fn duplicate(fd: RawFd, target: RawFd) {
    // SAFETY: takes numbers only; the fds were opened by the supervisor above 2.
    unsafe { libc::dup2(fd, target) };
}

pub(crate) fn keep_across_execute(fd: RawFd) {
    // SAFETY: takes numbers only. A duplicate has the flag clear already, but the same
    // number duplicated onto itself keeps it.
    unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
}

pub(crate) fn close(fd: RawFd) {
    // SAFETY: the supervisor opened it for the command; nothing in this process, a copy
    // of the supervisor's, uses it again.
    unsafe { libc::close(fd) };
}

pub(crate) fn close_from(first: u32) {
    // SAFETY: closes descriptors of this process only; nothing here owns one as a Rust value.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

pub(crate) fn change_directory(path: &CStr) -> Result<(), i32> {
    // SAFETY: `path` ends with NUL.
    if unsafe { libc::chdir(path.as_ptr()) } == 0 { Ok(()) } else { Err(errno()) }
}

/// Returns the errno when the call fails, and otherwise not at all.
pub(crate) fn execve(path: &CString, argv: &[*const c_char], envp: &[*const c_char]) -> i32 {
    // SAFETY: `Command::new` ends both arrays with null, and their strings outlive this call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    errno()
}

pub(crate) fn monotonic_nanoseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a local of the right type.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

pub(crate) fn send(socket: RawFd, message: &[u8]) {
    // SAFETY: pointer and length come from one slice. If the supervisor is gone, so are we soon.
    unsafe { libc::send(socket, message.as_ptr().cast(), message.len(), libc::MSG_NOSIGNAL) };
}

pub(crate) fn exit() -> ! {
    // SAFETY: takes a number; runs no destructors, as is wanted in a cloned process.
    unsafe { libc::_exit(0) }
}

struct Start<'a, 'b> {
    command: &'a Command<'b>,
    failed: Option<(StartStep, i32)>,
}

extern "C" fn start(argument: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes a `Start` that lives on its stack, and CLONE_VFORK
    // keeps `spawn` from touching it until this function is done.
    let start = unsafe { &mut *argument.cast::<Start<'_, '_>>() };
    start.failed = Some(start.command.execute());
    127
}

/// Starts the command in a child that shares this memory until it executes
/// (as vfork does): nothing is copied, and a failure comes back in `Start`.
///
/// The child's stack is a mapping, not an array: the compiler would touch every page
/// of an array, and a child uses two or three.
pub(crate) fn spawn(command: &Command<'_>) -> Result<i32, (StartStep, i32)> {
    const STACK_BYTES: usize = 64 * 1024;
    // SAFETY: asks for new pages anywhere, so it touches nothing that exists.
    let stack = unsafe {
        libc::mmap(
            ptr::null_mut(),
            STACK_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
            -1,
            0,
        )
    };
    if stack == libc::MAP_FAILED {
        return Err((StartStep::Clone, errno()));
    }
    let mut request = Start { command, failed: None };
    // SAFETY: the end of a mapping is a valid place for a pointer that is only written below.
    let top = unsafe { stack.byte_add(STACK_BYTES) };
    // SAFETY: `stack` is aligned, large enough for `start`, and outlives the child's use
    // of it because nothing unmaps it.
    let pid = unsafe {
        libc::clone(
            start,
            top,
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw mut request).cast(),
        )
    };
    // SAFETY: `request` is a live local; the child wrote to it behind the compiler's back.
    let failed = unsafe { ptr::read_volatile(&raw const request.failed) };
    match (pid, failed) {
        (-1, _) => Err((StartStep::Clone, errno())),
        (_, Some(failed)) => Err(failed),
        (pid, None) => Ok(pid),
    }
}

/// `rchar` and `wchar` of an open `/proc/self/io` (proc_pid_io(5)): reaped
/// children are counted in.
pub(crate) fn io_counters(fd: RawFd) -> Option<(u64, u64)> {
    let mut text = [0u8; 256];
    // SAFETY: pointer and length come from one local array.
    let length = unsafe { libc::pread(fd, text.as_mut_ptr().cast(), text.len(), 0) };
    let text = text.get(..usize::try_from(length).ok()?)?;
    Some((counter(text, b"rchar: ")?, counter(text, b"wchar: ")?))
}

fn counter(text: &[u8], name: &[u8]) -> Option<u64> {
    let digits = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
    digits.iter().try_fold(0u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit.checked_sub(b'0')?))
    })
}
