//! System calls of a resident PID 1 and of the processes that share its memory.
//!
//! Made without the C library: its wrappers keep errno in memory that belongs to one
//! thread, which is shared here by processes that run at the same time. Errors come back
//! as numbers. One call a block; no allocation, no lock.
#![allow(unsafe_code)]

use std::arch::asm;
use std::ffi::{c_int, c_void};
use std::ptr;

/// An errno.
pub(super) type Errno = i32;

/// Makes a system call.
///
/// # Safety
/// Pointers among the arguments are good for what the call does with them.
#[cfg(target_arch = "x86_64")]
unsafe fn raw(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the kernel's convention; it changes rax, rcx and r11 only, and memory as
    // the caller has allowed.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Makes a system call.
///
/// # Safety
/// Pointers among the arguments are good for what the call does with them.
#[cfg(target_arch = "aarch64")]
unsafe fn raw(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the kernel's convention; it changes x0 only, and memory as the caller has
    // allowed.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number as isize,
            inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    result
}

fn check(result: isize) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| result.wrapping_neg() as Errno)
}

/// A call that takes numbers only.
fn plain(number: libc::c_long, arguments: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: callers in this file pass no pointer through here.
    check(unsafe { raw(number, arguments) })
}

pub(super) const AT_FDCWD: c_int = libc::AT_FDCWD;

fn int(number: c_int) -> usize {
    number as isize as usize
}

// ---- Memory ----

/// Fresh pages that are there when they are first touched.
pub(super) fn map(bytes: usize) -> Result<usize, Errno> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    plain(libc::SYS_mmap, [0, bytes, int(protection), int(flags), int(-1), 0])
}

/// Gives pages back. Nothing may use them any more.
pub(super) fn unmap(address: usize, bytes: usize) {
    let _ = plain(libc::SYS_munmap, [address, bytes, 0, 0, 0, 0]);
}

/// Empties pages; they read as zero afterwards.
pub(super) fn empty(address: usize, bytes: usize) {
    let _ = plain(libc::SYS_madvise, [address, bytes, int(libc::MADV_DONTNEED), 0, 0, 0]);
}

/// A table in fresh memory, for ever.
pub(super) fn table(bytes: usize) -> Result<&'static super::table::Table, Errno> {
    debug_assert!(bytes == size_of::<super::table::Table>());
    let address = map(bytes)?;
    // SAFETY: the pages are new, zero, as large as a table, and never unmapped; a table is
    // made of atomic numbers, for which zero is a value.
    Ok(unsafe { &*(address as *const super::table::Table) })
}

/// Where the program's own variables end (end(3)).
pub(super) fn end_of_program() -> usize {
    unsafe extern "C" {
        static _end: u8;
    }
    (&raw const _end) as usize
}

/// An address that belongs to this thread for the C library.
pub(super) fn own_address() -> usize {
    // SAFETY: takes nothing, and its result is not followed.
    #[cfg(target_os = "linux")]
    let location = unsafe { libc::__errno_location() };
    location as usize
}

/// Bytes of pages from [`map`]. Each part of an area has one user at a time (table.rs
/// says which), and they are unmapped only when that one is done.
pub(super) fn bytes<'a>(address: usize, count: usize) -> Option<&'a mut [u8]> {
    // SAFETY: callers pass parts of live mappings of theirs, as said above; any byte is a
    // valid u8.
    (address != 0).then(|| unsafe { std::slice::from_raw_parts_mut(address as *mut u8, count) })
}

/// As [`bytes`], for pointers.
pub(super) fn words<'a>(address: usize, count: usize) -> Option<&'a mut [usize]> {
    debug_assert!(address.is_multiple_of(align_of::<usize>()));
    // SAFETY: as above, and the address is that of a page or a multiple of 8 behind one.
    (address != 0).then(|| unsafe { std::slice::from_raw_parts_mut(address as *mut usize, count) })
}

/// A slot or job whose address [`start`] was given.
pub(super) fn shared<'a, T>(address: *mut c_void) -> &'a T {
    // SAFETY: `start` is called with the address of a part of the table, which lives for
    // ever and is made of atomic numbers.
    unsafe { &*address.cast::<T>() }
}

// ---- Processes ----

/// Starts a process that shares this memory and runs `entry(argument)` on the stack
/// that ends at `top`; with `wait`, this one sleeps until it has executed or ended.
pub(super) fn start(
    entry: extern "C" fn(*mut c_void) -> c_int,
    top: usize,
    argument: usize,
    wait: bool,
) -> Result<i32, Errno> {
    let flags = libc::CLONE_VM | libc::SIGCHLD | if wait { libc::CLONE_VFORK } else { 0 };
    let (top, argument) = (top as *mut c_void, argument as *mut c_void);
    // SAFETY: `top` ends a stack that nobody else uses and that is mapped for as long as
    // the process lives; `entry` never returns.
    let pid = unsafe { libc::clone(entry, top, flags, argument) };
    if pid > 0 { Ok(pid) } else { Err(libc::EAGAIN) }
}

pub(super) fn exit(code: c_int) -> ! {
    loop {
        let _ = plain(libc::SYS_exit_group, [int(code), 0, 0, 0, 0, 0]);
    }
}

pub(super) fn kill(pid: i32, signal: i32) -> Result<(), Errno> {
    plain(libc::SYS_kill, [int(pid), int(signal), 0, 0, 0, 0]).map(drop)
}

/// A child that has ended.
pub(super) struct Reaped {
    pub(super) pid: i32,
    pub(super) status: i32,
    /// Nanoseconds of it and of the children that it waited for.
    pub(super) processor: u64,
}

impl Reaped {
    /// It was only stopped, and is there.
    pub(super) fn is_stopped(&self) -> bool {
        libc::WIFSTOPPED(self.status)
    }
}

/// Reaps a child that has ended; none if none has; ECHILD if there is none at all. With
/// [`libc::WUNTRACED`] it also tells of those that were stopped.
pub(super) fn reap(block: bool, more: c_int) -> Result<Option<Reaped>, Errno> {
    // The kernel's rusage: two times of two words, and fourteen more words.
    let mut usage = [0u64; 18];
    let mut status: c_int = 0;
    let flags = more | libc::__WALL | if block { 0 } else { libc::WNOHANG };
    let arguments = [
        int(-1),
        ptr::from_mut(&mut status) as usize,
        int(flags),
        usage.as_mut_ptr() as usize,
        0,
        0,
    ];
    // SAFETY: both pointers are to locals as large as the kernel's types.
    let pid = match check(unsafe { raw(libc::SYS_wait4, arguments) }) {
        Err(libc::EINTR) => return Ok(None),
        result => result?,
    };
    if pid == 0 {
        return Ok(None);
    }
    let [user_s, user_us, kernel_s, kernel_us, ..] = usage;
    let seconds = user_s.wrapping_add(kernel_s).wrapping_mul(1_000_000_000);
    let processor = seconds.wrapping_add(user_us.wrapping_add(kernel_us).wrapping_mul(1000));
    Ok(Some(Reaped { pid: pid as i32, status, processor }))
}

pub(super) fn own_number() -> i32 {
    plain(libc::SYS_getpid, [0; 6]).map_or(0, |pid| pid as i32)
}

pub(super) fn parent_number() -> i32 {
    plain(libc::SYS_getppid, [0; 6]).map_or(0, |pid| pid as i32)
}

pub(super) fn control(option: c_int, argument: usize) -> Result<(), Errno> {
    plain(libc::SYS_prctl, [int(option), argument, 0, 0, 0, 0]).map(drop)
}

pub(super) fn new_session() {
    let _ = plain(libc::SYS_setsid, [0; 6]);
}

/// Real, effective and saved group, then user. No supplementary groups are touched.
fn set_identity(group: [u32; 3], user: [u32; 3]) -> Result<(), Errno> {
    let ([real, effective, saved], [a, b, c]) = (group, user);
    plain(libc::SYS_setresgid, [real as usize, effective as usize, saved as usize, 0, 0, 0])?;
    plain(libc::SYS_setresuid, [a as usize, b as usize, c as usize, 0, 0, 0]).map(drop)
}

/// See `act_for` in mod.rs.
pub(super) fn act_for(user: u32) -> Result<(), Errno> {
    plain(libc::SYS_setgroups, [0; 6])?;
    set_identity([0, user, 0], [0, user, 0])?;
    // The kernel's header (version 3, this process) and its three sets in two halves.
    let header = [0x2008_0522_u32, 0];
    let none = [0u32; 6];
    let arguments = [header.as_ptr() as usize, none.as_ptr() as usize, 0, 0, 0, 0];
    // SAFETY: both are locals of the kernel's types, of version 3.
    check(unsafe { raw(libc::SYS_capset, arguments) }).map(drop)
}

/// Gives up what [`act_for`] kept.
pub(super) fn become_for_good(user: u32) -> Result<(), Errno> {
    set_identity([user; 3], [user; 3])
}

/// Soft and hard limit of this process.
pub(super) fn limit_files(most: u64) {
    let limit = [most, most];
    let resource = libc::RLIMIT_NOFILE as usize;
    // SAFETY: `limit` is a complete rlimit64; the old one is not asked for.
    let _ = unsafe { raw(libc::SYS_prlimit64, [0, resource, limit.as_ptr() as usize, 0, 0, 0]) };
}

/// Blocks these signals and no others.
pub(super) fn block(signals: u64) {
    let arguments = [int(libc::SIG_SETMASK), ptr::from_ref(&signals) as usize, 0, 8, 0, 0];
    // SAFETY: `signals` is a kernel's signal set of 8 bytes; the old one is not asked for.
    let _ = unsafe { raw(libc::SYS_rt_sigprocmask, arguments) };
}

/// The bit of a signal in a set.
pub(super) const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Waits for one of these blocked signals, at most so long.
pub(super) fn wait_for(signals: u64, nanoseconds: Option<u64>) {
    let time = nanoseconds.map(timespec);
    let time = time.as_ref().map_or(0, |time| ptr::from_ref(time) as usize);
    let arguments = [ptr::from_ref(&signals) as usize, 0, time, 8, 0, 0];
    // SAFETY: set and time are locals of the kernel's types; no details are asked for.
    let _ = unsafe { raw(libc::SYS_rt_sigtimedwait, arguments) };
}

/// Returns only when it fails.
pub(super) fn execute(path: &[u8], argv: usize, envp: usize) -> Errno {
    // SAFETY: the path ends with NUL, as its maker checked; both arrays end with null and
    // point to strings of the same message.
    match check(unsafe { raw(libc::SYS_execve, [path.as_ptr() as usize, argv, envp, 0, 0, 0]) }) {
        Ok(_) => 0,
        Err(errno) => errno,
    }
}

// ---- Time and events ----

fn timespec(nanoseconds: u64) -> [i64; 2] {
    [(nanoseconds / 1_000_000_000) as i64, (nanoseconds % 1_000_000_000) as i64]
}

/// Nanoseconds that go on while the machine sleeps.
pub(super) fn now() -> u64 {
    let mut time = [0i64; 2];
    let clock = libc::CLOCK_BOOTTIME as usize;
    // SAFETY: `time` is a timespec.
    let _ =
        unsafe { raw(libc::SYS_clock_gettime, [clock, time.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    let [seconds, nanoseconds] = time;
    seconds as u64 * 1_000_000_000 + nanoseconds as u64
}

/// Waits until one of `fds` is ready, at most so long.
pub(super) fn poll(fds: &mut [libc::pollfd], nanoseconds: Option<u64>) {
    let time = nanoseconds.map(timespec);
    let time = time.as_ref().map_or(0, |time| ptr::from_ref(time) as usize);
    let arguments = [fds.as_mut_ptr() as usize, fds.len(), time, 0, 8, 0];
    // SAFETY: pointer and count are of one slice; the time is a local; no mask is given.
    if check(unsafe { raw(libc::SYS_ppoll, arguments) }).is_err() {
        for fd in fds {
            fd.revents = 0;
        }
    }
}

/// A descriptor that is readable while one of these blocked signals waits.
pub(super) fn signal_descriptor(signals: u64) -> Result<i32, Errno> {
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    let arguments = [int(-1), ptr::from_ref(&signals) as usize, 8, int(flags), 0, 0];
    // SAFETY: `signals` is a kernel's signal set of 8 bytes.
    check(unsafe { raw(libc::SYS_signalfd4, arguments) }).map(|fd| fd as i32)
}

pub(super) fn event_descriptor() -> Result<i32, Errno> {
    let flags = libc::EFD_CLOEXEC | libc::EFD_NONBLOCK;
    plain(libc::SYS_eventfd2, [0, int(flags), 0, 0, 0, 0]).map(|fd| fd as i32)
}

/// Wakes who waits for an event descriptor.
pub(super) fn wake(event: i32) {
    let one = 1u64.to_ne_bytes();
    let _ = write(event, &one);
}

// ---- Descriptors ----

pub(super) fn close(fd: i32) {
    if fd >= 0 {
        let _ = plain(libc::SYS_close, [int(fd), 0, 0, 0, 0, 0]);
    }
}

pub(super) fn close_from(first: u32) {
    // No number is higher, and some kernels take no higher one.
    let _ = plain(libc::SYS_close_range, [first as usize, int(i32::MAX), 0, 0, 0, 0]);
}

fn close_range(first: i32, last: i32) {
    if first <= last {
        let _ = plain(libc::SYS_close_range, [int(first), int(last), 0, 0, 0, 0]);
    }
}

/// Closes all above the three streams but these two, of which one may be -1.
pub(super) fn close_all_but(one: i32, other: i32) {
    let (low, high) = (one.min(other).max(2), one.max(other));
    close_range(3, low - 1);
    close_range(low + 1, high - 1);
    close_range(high + 1, i32::MAX);
}

/// Whether a descriptor is of the file system of processes, or of that of namespaces.
pub(super) fn is_of_kernel(fd: i32) -> Result<bool, Errno> {
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    const NSFS_MAGIC: u64 = 0x6e73_6673;
    // The kernel's statfs of 64 bits has 15 words; the first is the magic number.
    let mut words = [0u64; 16];
    // SAFETY: `words` is larger than a statfs.
    let asked =
        unsafe { raw(libc::SYS_fstatfs, [int(fd), words.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    match check(asked) {
        // gVisor's tell nothing, but each mount has a device of its own.
        Err(libc::ENOSYS) => {
            let processes = stat(AT_FDCWD, c"/proc".to_bytes_with_nul(), true)?;
            return Ok(stat(fd, &[0], false)?.identity.0 == processes.identity.0);
        }
        result => result?,
    };
    let [magic, ..] = words;
    Ok(magic == PROC_SUPER_MAGIC || magic == NSFS_MAGIC)
}

/// `fd` under another number, closed by execve.
pub(super) fn move_to(fd: i32, number: i32) -> Result<(), Errno> {
    if fd == number {
        return Ok(());
    }
    plain(libc::SYS_dup3, [int(fd), int(number), int(libc::O_CLOEXEC), 0, 0, 0]).map(drop)
}

/// `fd` under the number of a stream, kept by execve. They are never the same.
pub(super) fn as_stream(fd: i32, number: i32) {
    let _ = plain(libc::SYS_dup3, [int(fd), int(number), 0, 0, 0, 0]);
}

pub(super) fn pipe() -> Result<(i32, i32), Errno> {
    let mut ends = [-1 as c_int; 2];
    let arguments = [ends.as_mut_ptr() as usize, int(libc::O_CLOEXEC), 0, 0, 0, 0];
    // SAFETY: `ends` is where the kernel puts two numbers.
    check(unsafe { raw(libc::SYS_pipe2, arguments) })?;
    let [read, write] = ends;
    Ok((read, write))
}

pub(super) fn read(fd: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
    let arguments = [int(fd), buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0];
    // SAFETY: pointer and length are of one slice.
    check(unsafe { raw(libc::SYS_read, arguments) })
}

fn write(fd: i32, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: pointer and length are of one slice.
    check(unsafe { raw(libc::SYS_write, [int(fd), bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) })
}

/// A second number for the same file, closed by execve.
pub(super) fn duplicate(fd: i32) -> i32 {
    let command = int(libc::F_DUPFD_CLOEXEC);
    plain(libc::SYS_fcntl, [int(fd), command, 3, 0, 0, 0]).map_or(-1, |fd| fd as i32)
}

/// Lets go on what a freezer has stopped.
pub(super) fn thaw(freezer: i32) {
    if freezer >= 0 {
        let _ = write(freezer, b"THAWED");
    }
}

pub(super) fn set_nonblocking(fd: i32) {
    let flags = plain(libc::SYS_fcntl, [int(fd), int(libc::F_GETFL), 0, 0, 0, 0]).unwrap_or(0);
    let flags = flags | libc::O_NONBLOCK as usize;
    let _ = plain(libc::SYS_fcntl, [int(fd), int(libc::F_SETFL), flags, 0, 0, 0]);
}

/// A fresh pseudo-terminal of this size: both its ends.
pub(super) fn terminal(columns: u16, rows: u16) -> Result<(i32, i32), Errno> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    let outer = open(c"/dev/pts/ptmx".to_bytes_with_nul(), flags, 0)?;
    let inner = unlock(outer, columns, rows);
    if inner.is_err() {
        close(outer);
    }
    Ok((outer, inner?))
}

fn unlock(outer: i32, columns: u16, rows: u16) -> Result<i32, Errno> {
    let unlocked: c_int = 0;
    let pointer = ptr::from_ref(&unlocked) as usize;
    // SAFETY: TIOCSPTLCK reads one int.
    check(unsafe {
        raw(libc::SYS_ioctl, [int(outer), libc::TIOCSPTLCK as usize, pointer, 0, 0, 0])
    })?;
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pointer = ptr::from_ref(&size) as usize;
    // SAFETY: TIOCSWINSZ reads one winsize.
    check(unsafe {
        raw(libc::SYS_ioctl, [int(outer), libc::TIOCSWINSZ as usize, pointer, 0, 0, 0])
    })?;
    /// `_IO('T', 0x41)`; libc has it for glibc alone.
    const TIOCGPTPEER: usize = 0x5441;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    match plain(libc::SYS_ioctl, [int(outer), TIOCGPTPEER, int(flags), 0, 0, 0]) {
        // gVisor has no such call.
        Err(libc::ENOTTY) => inner_by_name(outer, flags),
        result => result.map(|fd| fd as i32),
    }
}

/// The inner end by its name, where it cannot be asked for: what is mounted there is the
/// sandbox's own, and no guest can change it.
fn inner_by_name(outer: i32, flags: c_int) -> Result<i32, Errno> {
    let mut number: c_int = 0;
    let pointer = ptr::from_mut(&mut number) as usize;
    // SAFETY: TIOCGPTN writes one int.
    check(unsafe {
        raw(libc::SYS_ioctl, [int(outer), libc::TIOCGPTN as usize, pointer, 0, 0, 0])
    })?;
    let mut path = [0u8; 32];
    super::files::numbered(b"/dev/pts/", number.unsigned_abs().into(), b"", &mut path);
    open(&path, flags, 0)
}

/// Makes a terminal that of this session.
pub(super) fn take_terminal(fd: i32) {
    let _ = plain(libc::SYS_ioctl, [int(fd), libc::TIOCSCTTY as usize, 0, 0, 0, 0]);
}

// ---- Sockets ----

pub(super) fn listen(socket: i32) -> Result<(), Errno> {
    plain(libc::SYS_listen, [int(socket), 8, 0, 0, 0, 0]).map(drop)
}

pub(super) fn accept(socket: i32) -> Result<i32, Errno> {
    let flags = libc::SOCK_CLOEXEC;
    plain(libc::SYS_accept4, [int(socket), 0, 0, int(flags), 0, 0]).map(|fd| fd as i32)
}

/// The process at the other end, as this namespace numbers it: 0 is one outside of it.
pub(super) fn peer(socket: i32) -> Result<i32, Errno> {
    let mut peer = libc::ucred { pid: -1, uid: 0, gid: 0 };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    let arguments = [
        int(socket),
        int(libc::SOL_SOCKET),
        int(libc::SO_PEERCRED),
        ptr::from_mut(&mut peer) as usize,
        ptr::from_mut(&mut size) as usize,
        0,
    ];
    // SAFETY: both pointers are to locals of the right type, and the size is that of one.
    check(unsafe { raw(libc::SYS_getsockopt, arguments) })?;
    Ok(peer.pid)
}

/// A listener on this port of the own loopback.
pub(super) fn door(port: u16) -> Result<i32, Errno> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    let socket = plain(libc::SYS_socket, [int(libc::AF_INET), int(kind), 0, 0, 0, 0])? as i32;
    let one: c_int = 1;
    let arguments = [
        int(socket),
        int(libc::SOL_SOCKET),
        int(libc::SO_REUSEADDR),
        ptr::from_ref(&one) as usize,
        size_of::<c_int>(),
        0,
    ];
    // SAFETY: the option is one int. Without it connections of an earlier door that are
    // not quite over would be in the way.
    let _ = unsafe { raw(libc::SYS_setsockopt, arguments) };
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    let size = size_of::<libc::sockaddr_in>();
    let arguments = [int(socket), ptr::from_ref(&address) as usize, size, 0, 0, 0];
    // SAFETY: the address is a local of the size that is given.
    let bound = check(unsafe { raw(libc::SYS_bind, arguments) });
    let listening = bound.and_then(|_| plain(libc::SYS_listen, [int(socket), 128, 0, 0, 0, 0]));
    match listening {
        Ok(_) => Ok(socket),
        Err(errno) => {
            close(socket);
            Err(errno)
        }
    }
}

/// Room for the descriptors of one message, as the kernel lays it out (cmsg(3)).
#[repr(C)]
struct Rights {
    length: usize,
    level: c_int,
    kind: c_int,
    fds: [c_int; 4],
}

const RIGHTS_HEAD: usize = 16;

/// Sends a message and some descriptors, at most four.
pub(super) fn send(socket: i32, message: &[u8], fds: &[i32], wait: bool) -> Result<(), Errno> {
    let mut rights = Rights {
        length: RIGHTS_HEAD + 4 * fds.len().min(4),
        level: libc::SOL_SOCKET,
        kind: libc::SCM_RIGHTS,
        fds: [-1; 4],
    };
    for (place, fd) in rights.fds.iter_mut().zip(fds) {
        *place = *fd;
    }
    let part = [message.as_ptr() as usize, message.len()];
    // The kernel's msghdr on 64 bits: name, its length, parts, their count, rights, their
    // bytes, flags. Each takes a word.
    let space = if fds.is_empty() { 0 } else { rights.length.next_multiple_of(8) };
    let rights = if fds.is_empty() { 0 } else { ptr::from_ref(&rights) as usize };
    let header = [0, 0, part.as_ptr() as usize, 1, rights, space, 0];
    let flags = libc::MSG_NOSIGNAL | if wait { 0 } else { libc::MSG_DONTWAIT };
    let arguments = [int(socket), header.as_ptr() as usize, int(flags), 0, 0, 0];
    // SAFETY: the header names a slice, and a local of as many bytes as it says.
    check(unsafe { raw(libc::SYS_sendmsg, arguments) }).map(drop)
}

/// What came.
pub(super) struct Received {
    /// 0 when the other side is gone.
    pub(super) bytes: usize,
    /// A descriptor that came along.
    pub(super) fd: i32,
    /// It was longer than the buffer, or brought more than it may.
    pub(super) cut: bool,
}

pub(super) fn receive(socket: i32, buffer: &mut [u8]) -> Result<Received, Errno> {
    let mut rights = Rights { length: 0, level: 0, kind: 0, fds: [-1; 4] };
    let part = [buffer.as_mut_ptr() as usize, buffer.len()];
    let space = RIGHTS_HEAD + 8;
    let mut header =
        [0, 0, part.as_ptr() as usize, 1, ptr::from_mut(&mut rights) as usize, space, 0];
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    let arguments = [int(socket), header.as_mut_ptr() as usize, int(flags), 0, 0, 0];
    // SAFETY: the header names a slice, and a local with at least as much room as it says.
    let bytes = check(unsafe { raw(libc::SYS_recvmsg, arguments) })?;
    // SAFETY: the kernel wrote to both behind the compiler's back.
    let (rights, header) =
        unsafe { (ptr::read_volatile(&raw const rights), ptr::read_volatile(&raw const header)) };
    let came = if rights.length > RIGHTS_HEAD && rights.kind == libc::SCM_RIGHTS {
        (rights.length - RIGHTS_HEAD) / 4
    } else {
        0
    };
    let [first, second, ..] = rights.fds;
    if came > 1 {
        close(second);
    }
    let [.., state] = header;
    let cut = came > 1 || state as c_int & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
    Ok(Received { bytes, fd: if came > 0 { first } else { -1 }, cut })
}

// ---- Files. Paths end with NUL, which `Text` in files.rs sees to. ----

/// Opens a path as any process would. By openat: the filters refuse openat2, whose
/// arguments they cannot see.
pub(super) fn open(path: &[u8], flags: c_int, mode: u32) -> Result<i32, Errno> {
    open_at(AT_FDCWD, path, flags, mode)
}

pub(super) fn open_at(directory: i32, path: &[u8], flags: c_int, mode: u32) -> Result<i32, Errno> {
    debug_assert!(path.contains(&0));
    let arguments = [int(directory), path.as_ptr() as usize, int(flags), mode as usize, 0, 0];
    loop {
        // SAFETY: the path ends with NUL.
        match check(unsafe { raw(libc::SYS_openat, arguments) }) {
            Err(libc::EINTR) => {}
            result => return result.map(|fd| fd as i32),
        }
    }
}

/// What a file is, as far as it matters here.
#[derive(Clone, Copy)]
pub(super) struct Stat {
    pub(super) mode: u32,
    pub(super) identity: (u64, u64),
    pub(super) is_mount: bool,
    pub(super) size: u64,
}

/// statx(2). An empty path means the descriptor itself.
pub(super) fn stat(directory: i32, path: &[u8], follow: bool) -> Result<Stat, Errno> {
    debug_assert!(path.ends_with(&[0]));
    const WANTED: u32 = libc::STATX_BASIC_STATS;
    // 32 words: the kernel's struct is 256 bytes.
    let mut words = [0u64; 32];
    let flags = libc::AT_EMPTY_PATH | if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    let mut ask = |flags: c_int| {
        let (path, words) = (path.as_ptr() as usize, words.as_mut_ptr() as usize);
        let arguments = [int(directory), path, int(flags), WANTED as usize, words, 0];
        // SAFETY: the path ends with NUL, and `words` has the size of a statx.
        check(unsafe { raw(libc::SYS_statx, arguments) })
    };
    match ask(flags | libc::AT_NO_AUTOMOUNT) {
        // gVisor mounts nothing by itself, and does not know the flag.
        Err(libc::EINVAL) => ask(flags)?,
        result => result?,
    };
    // Offsets of linux/stat.h: attributes at 8, mode at 28, inode at 32, size at 40,
    // the device's two numbers at 136.
    let [_, attributes, _, mode, inode, size, ..] = words;
    let device = words.get(17).copied().unwrap_or(0);
    const MOUNT_ROOT: u64 = 0x2000;
    #[cfg(target_endian = "little")]
    let mode = (mode >> 32) as u32 & 0xffff;
    Ok(Stat { mode, identity: (device, inode), is_mount: attributes & MOUNT_ROOT != 0, size })
}

pub(super) fn make_directory(path: &[u8], mode: u32) -> Result<(), Errno> {
    debug_assert!(path.contains(&0));
    let arguments = [int(AT_FDCWD), path.as_ptr() as usize, mode as usize, 0, 0, 0];
    // SAFETY: the path ends with NUL.
    check(unsafe { raw(libc::SYS_mkdirat, arguments) }).map(drop)
}

pub(super) fn rename(from: &[u8], to: &[u8]) -> Result<(), Errno> {
    debug_assert!(from.ends_with(&[0]) && to.ends_with(&[0]));
    let cwd = int(AT_FDCWD);
    let arguments = [cwd, from.as_ptr() as usize, cwd, to.as_ptr() as usize, 0, 0];
    // SAFETY: both paths end with NUL.
    check(unsafe { raw(libc::SYS_renameat2, arguments) }).map(drop)
}

pub(super) fn unlink(directory: i32, path: &[u8], is_directory: bool) -> Result<(), Errno> {
    debug_assert!(path.ends_with(&[0]));
    let flags = if is_directory { libc::AT_REMOVEDIR } else { 0 };
    let arguments = [int(directory), path.as_ptr() as usize, int(flags), 0, 0, 0];
    // SAFETY: the path ends with NUL.
    check(unsafe { raw(libc::SYS_unlinkat, arguments) }).map(drop)
}

/// Gives the file behind a link of /proc a name.
pub(super) fn link(from: &[u8], to: &[u8]) -> Result<(), Errno> {
    debug_assert!(from.ends_with(&[0]) && to.ends_with(&[0]));
    let cwd = int(AT_FDCWD);
    let follow = int(libc::AT_SYMLINK_FOLLOW);
    let arguments = [cwd, from.as_ptr() as usize, cwd, to.as_ptr() as usize, follow, 0];
    // SAFETY: both paths end with NUL.
    check(unsafe { raw(libc::SYS_linkat, arguments) }).map(drop)
}

/// What changes of files are told by.
pub(super) fn notify_descriptor() -> Result<i32, Errno> {
    let flags = libc::IN_CLOEXEC | libc::IN_NONBLOCK;
    plain(libc::SYS_inotify_init1, [int(flags), 0, 0, 0, 0, 0]).map(|fd| fd as i32)
}

/// Makes a symbolic link.
pub(super) fn symlink(target: &[u8], path: &[u8]) -> Result<(), Errno> {
    debug_assert!(target.ends_with(&[0]) && path.ends_with(&[0]));
    let (target, path) = (target.as_ptr() as usize, path.as_ptr() as usize);
    // SAFETY: both texts end with NUL.
    check(unsafe { raw(libc::SYS_symlinkat, [target, int(AT_FDCWD), path, 0, 0, 0]) }).map(drop)
}

pub(super) fn change_mode(fd: i32, mode: u32) -> Result<(), Errno> {
    plain(libc::SYS_fchmod, [int(fd), mode as usize, 0, 0, 0, 0]).map(drop)
}

pub(super) fn change_directory(path: &[u8]) -> Result<(), Errno> {
    debug_assert!(path.contains(&0));
    // SAFETY: the path ends with NUL.
    check(unsafe { raw(libc::SYS_chdir, [path.as_ptr() as usize, 0, 0, 0, 0, 0]) }).map(drop)
}

/// Entries of a directory as the kernel packs them (getdents64(2)).
pub(super) fn entries(directory: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
    let arguments = [int(directory), buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0];
    // SAFETY: pointer and length are of one slice.
    check(unsafe { raw(libc::SYS_getdents64, arguments) })
}

pub(super) fn rewind(directory: i32) {
    let _ = plain(libc::SYS_lseek, [int(directory), 0, int(libc::SEEK_SET), 0, 0, 0]);
}

/// Copies from one file to another inside the kernel.
pub(super) fn copy(from: i32, to: i32, most: usize) -> Result<usize, Errno> {
    plain(libc::SYS_sendfile, [int(to), int(from), 0, most, 0, 0])
}
