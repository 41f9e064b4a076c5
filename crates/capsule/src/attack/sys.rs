//! System calls of the hostile programs, and the few that the side outside needs.
//! One call a block.
//!
//! [`call!`] makes any call there is, by its number. That can damage the process
//! that makes it, which is a guest and good for nothing else.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_long, c_void};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// An argument of a system call.
pub(super) enum Argument<'a> {
    Number(c_long),
    Text(&'a CStr),
    Bytes(&'a mut [u8]),
}

impl From<i64> for Argument<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number as c_long)
    }
}

impl From<i32> for Argument<'_> {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Argument<'_> {
    fn from(number: u32) -> Self {
        Self::Number(number as c_long)
    }
}

impl From<u64> for Argument<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number as c_long)
    }
}

impl From<usize> for Argument<'_> {
    fn from(number: usize) -> Self {
        Self::Number(number as c_long)
    }
}

impl<'a> From<&'a CStr> for Argument<'a> {
    fn from(text: &'a CStr) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a mut [u8]> for Argument<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, const LENGTH: usize> From<&'a mut [u8; LENGTH]> for Argument<'a> {
    fn from(bytes: &'a mut [u8; LENGTH]) -> Self {
        Self::Bytes(bytes)
    }
}

/// `call!(SYS_mount, c"none", c"/tmp", 0)`: missing arguments are 0.
macro_rules! call {
    ($number:expr $(, $argument:expr)* $(,)?) => {
        $crate::attack::sys::make_call($number, &mut [$($argument.into()),*])
    };
}
pub(super) use call;

/// Makes a system call.
pub(super) fn make_call(number: c_long, arguments: &mut [Argument<'_>]) -> io::Result<i64> {
    let mut words: [c_long; 6] = [0; 6];
    for (word, argument) in words.iter_mut().zip(arguments) {
        *word = match argument {
            Argument::Number(number) => *number,
            Argument::Text(text) => text.as_ptr() as c_long,
            Argument::Bytes(bytes) => bytes.as_mut_ptr() as c_long,
        };
    }
    let [a, b, c, d, e, f] = words;
    // SAFETY: pointers come from live borrows of `arguments`; buffers are made as large
    // as the call's structures by the attempts, and a guest has no state worth keeping.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Takes a new descriptor that [`call!`] returned.
pub(super) fn own(descriptor: i64) -> OwnedFd {
    // SAFETY: callers pass what a call that opens something has just returned.
    unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) }
}

/// fork(2): `None` in the child. For guests, which have one thread.
pub(super) fn fork() -> io::Result<Option<i32>> {
    // SAFETY: the caller is a guest with one thread, so the child is complete.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(pid)),
    }
}

pub(super) fn exit(code: i32) -> ! {
    // SAFETY: takes a number; runs no destructors, as is wanted in a forked process.
    unsafe { libc::_exit(code) }
}

/// waitpid(2): the wait status.
pub(super) fn wait(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a local.
        if unsafe { libc::waitpid(pid, &raw mut status, 0) } >= 0 {
            return Ok(status);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

pub(super) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    if unsafe { libc::kill(pid, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ignores every signal that can be ignored.
pub(super) fn ignore_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_IGN needs no handler; refusals (SIGKILL, SIGSTOP) do not matter.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

pub(super) fn sleep_ms(milliseconds: u64) {
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
}

/// Anonymous memory, shared or private, that lives as long as the process.
pub(super) fn map(bytes: usize, flags: c_int, descriptor: RawFd) -> io::Result<&'static mut [u8]> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: asks for a new mapping at an address of the kernel's choice.
    let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, descriptor, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just mapped `bytes` writable bytes there, never unmapped here.
    Ok(unsafe { std::slice::from_raw_parts_mut(start.cast(), bytes) })
}

/// Attaches a System V segment of `bytes` bytes.
pub(super) fn attach_segment(id: c_int, bytes: usize) -> io::Result<&'static mut [u8]> {
    // SAFETY: asks for an address of the kernel's choice.
    let start: *mut c_void = unsafe { libc::shmat(id, ptr::null(), 0) };
    if start as isize == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the segment was made with this size and is never detached here.
    Ok(unsafe { std::slice::from_raw_parts_mut(start.cast(), bytes) })
}

/// getpid() as a 32-bit program makes it: another table of calls, unseen by a
/// filter that looks at numbers alone.
#[cfg(target_arch = "x86_64")]
pub(super) fn call_32_bit() -> i64 {
    const GETPID_32: i64 = 20;
    let result: i64;
    // SAFETY: getpid takes nothing and touches no memory; the 64-bit kernel clears
    // r8 to r11 on this entry, which are declared.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inlateout("rax") GETPID_32 => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}

/// Sends one descriptor over a unix socket.
pub(super) fn send_descriptor(
    socket: BorrowedFd<'_>,
    descriptor: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut byte = [1u8];
    let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0u64; 4];
    let mut message = message(&mut vector, &mut control);
    let space = control_length();
    message.msg_controllen = space.1 as _;
    // SAFETY: `message` has room for one header, as given by `control`.
    let header = unsafe { &mut *libc::CMSG_FIRSTHDR(&raw const message) };
    header.cmsg_level = libc::SOL_SOCKET;
    header.cmsg_type = libc::SCM_RIGHTS;
    header.cmsg_len = space.0 as _;
    // SAFETY: the data of this header lies inside `control`, with room for one int.
    unsafe { ptr::write_unaligned(libc::CMSG_DATA(header).cast(), descriptor.as_raw_fd()) };
    // SAFETY: everything that `message` points to is a live local.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives one descriptor from a unix socket; `None` when none came along.
pub(super) fn receive_descriptor(socket: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0u8];
    let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0u64; 4];
    let mut message = message(&mut vector, &mut control);
    // SAFETY: everything that `message` points to is a live local.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
    if received < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel filled in `message`, whose control buffer is live.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    if header.is_null() {
        return Ok(None);
    }
    // SAFETY: a header that the kernel wrote holds at least one descriptor, which is ours.
    Ok(Some(unsafe {
        OwnedFd::from_raw_fd(ptr::read_unaligned(libc::CMSG_DATA(header).cast::<RawFd>()))
    }))
}

fn message(vector: &mut libc::iovec, control: &mut [u64; 4]) -> libc::msghdr {
    // SAFETY: a zeroed msghdr is valid: null pointers with length 0.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<[u64; 4]>() as _;
    message
}

/// Length of, and space for, a control message with one descriptor.
fn control_length() -> (u32, u32) {
    let bytes = size_of::<RawFd>() as u32;
    // SAFETY: pure arithmetic.
    let length = unsafe { libc::CMSG_LEN(bytes) };
    // SAFETY: pure arithmetic.
    (length, unsafe { libc::CMSG_SPACE(bytes) })
}

/// Lets a descriptor survive execve, as careless callers do.
pub(super) fn make_inheritable(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes numbers only.
    let result = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFD, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The caller's effective user.
pub(super) fn effective_user() -> u32 {
    // SAFETY: takes nothing.
    unsafe { libc::geteuid() }
}
