//! System calls that no library of ours wraps. One call a block.
//!
//! What runs between the clone and the execve of the command allocates nothing
//! and takes no lock: the calling program may have other threads.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_long};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

#[cfg(test)]
mod tests;

fn check(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

pub(crate) fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub(crate) fn effective_group() -> u32 {
    rustix::process::getegid().as_raw()
}

/// Reads a file of `/proc` in one go: std asks for its size, which is always 0, and
/// then feels its way. What does not fit is cut off.
pub(crate) fn read_small<'a>(path: &CStr, buffer: &'a mut [u8]) -> io::Result<&'a str> {
    use rustix::fs::{Mode, OFlags, open};
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let length = rustix::io::read(&file, &mut *buffer)?;
    std::str::from_utf8(&buffer[..length]).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Major and minor version of the running kernel.
pub(crate) fn kernel_version() -> (u32, u32) {
    let uname = rustix::system::uname();
    let release = uname.release().to_str().unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Which side of [`clone_into`] this is.
pub(crate) enum Side {
    Inside,
    Outside { pid: i32, pidfd: OwnedFd },
}

/// clone3(2): the child gets the namespaces in `flags`, a copy of this process's
/// memory, and starts in `cgroup` where one is given.
///
/// The child must not allocate or lock, and must never return from the caller's frame.
pub(crate) fn clone_into(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Side> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    // The kernel protects a namespace's PID 1 from signals with the default action
    // only: an inherited handler, such as the Rust runtime's for SIGSEGV, would let a
    // guest kill it.
    const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    #[repr(C)]
    #[derive(Default)]
    struct CloneArgs {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }
    let mut pidfd: RawFd = -1;
    let arguments = CloneArgs {
        flags: flags
            | libc::CLONE_PIDFD as u64
            | CLONE_CLEAR_SIGHAND
            | if cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 },
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
        ..CloneArgs::default()
    };
    // SAFETY: `arguments` is a complete clone_args of the size that is passed; without
    // CLONE_VM the child has its own copy of this stack, so both sides may return.
    let pid = check(unsafe {
        libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArgs>())
    })?;
    if pid == 0 {
        return Ok(Side::Inside);
    }
    // SAFETY: CLONE_PIDFD succeeded, so the kernel wrote a new descriptor that nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Side::Outside { pid: pid as i32, pidfd })
}

/// fork(2) by way of libc, for a child that goes on to allocate and start threads.
pub(crate) fn fork() -> io::Result<Side> {
    // SAFETY: takes and releases the lock of our programs' allocator, and asks libc to do
    // so round each fork: without that the lock stays taken in the child for ever where
    // another thread had it.
    unsafe { dlmalloc::enable_alloc_after_fork() };
    // SAFETY: libc's fork and the line above leave both allocators usable in the child;
    // other locks that another thread may hold belong to code that the child does not call.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        return Ok(Side::Inside);
    }
    let pid = check(c_long::from(pid))? as i32;
    let name = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
    match rustix::process::pidfd_open(name, rustix::process::PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Side::Outside { pid, pidfd }),
        Err(error) => {
            // SAFETY: takes numbers only; an unreaped child's number is its own.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            reap(pid)?;
            Err(error.into())
        }
    }
}

pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: takes a number; runs no destructors, as is wanted in a cloned process.
    unsafe { libc::_exit(code) }
}

/// Resources of a process that ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) user: Duration,
    pub(crate) kernel: Duration,
    /// Of the largest process, in bytes.
    pub(crate) max_memory: u64,
}

/// Waits for a child of this process and reaps it.
pub(crate) fn reap(pid: i32) -> io::Result<(i32, Usage)> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are to locals of the right type.
        let result = unsafe { libc::wait4(pid, &raw mut status, libc::__WALL, usage.as_mut_ptr()) };
        match check(c_long::from(result)) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // SAFETY: zeroed is a valid rusage, and wait4 filled it in.
    let usage = unsafe { usage.assume_init() };
    let duration = |time: libc::timeval| {
        Duration::new(time.tv_sec.cast_unsigned(), time.tv_usec as u32 * 1000)
    };
    let usage = Usage {
        user: duration(usage.ru_utime),
        kernel: duration(usage.ru_stime),
        max_memory: usage.ru_maxrss.cast_unsigned() * 1024,
    };
    Ok((status, usage))
}

pub(crate) fn kill(pidfd: BorrowedFd<'_>, signal: i32) {
    // SAFETY: takes numbers only; a pidfd cannot name another process by reuse.
    unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
}

/// The signals that a supervisor passes on, as a set.
fn forwarded() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the local.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in
        [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2]
    {
        // SAFETY: `set` was initialised above and `signal` is a valid number.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: sigemptyset initialised it.
    unsafe { set.assume_init() }
}

/// Blocks the forwarded signals, for good, and makes them readable from a descriptor.
/// A one-shot program must not be ended by one between the end of the jail and its
/// answer.
pub(crate) fn signal_descriptor() -> io::Result<OwnedFd> {
    let set = forwarded();
    // SAFETY: `set` is initialised; the old set is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
    // SAFETY: `set` is initialised; -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    check(c_long::from(fd))?;
    // SAFETY: signalfd returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The next signal from a descriptor of [`signal_descriptor`], if one is waiting.
pub(crate) fn next_signal(fd: BorrowedFd<'_>) -> Option<i32> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: pointer and length are those of one local.
    let read = unsafe { libc::read(fd.as_raw_fd(), info.as_mut_ptr().cast(), size) };
    if usize::try_from(read) != Ok(size) {
        return None;
    }
    // SAFETY: the kernel filled all of it in; zeroed is valid too.
    Some(unsafe { info.assume_init() }.ssi_signo as i32)
}

/// Changes the flags of a mount, and of all below it when `recursive` (mount_setattr(2)).
pub(crate) fn change_mount(
    directory: BorrowedFd<'_>,
    path: &CStr,
    recursive: bool,
    attributes: MountAttributes,
) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH
        | libc::AT_SYMLINK_NOFOLLOW
        | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `path` ends with NUL; `attributes` is a complete mount_attr of the passed size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            directory.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    check(result).map(drop)
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct MountAttributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    pub(crate) propagation: u64,
    pub(crate) user_namespace: u64,
}

impl MountAttributes {
    pub(crate) const RDONLY: u64 = 0x1;
    pub(crate) const NOSUID: u64 = 0x2;
    pub(crate) const NODEV: u64 = 0x4;
    pub(crate) const IDMAP: u64 = 0x0010_0000;
}

pub(crate) fn landlock_version() -> u32 {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: the version query takes no attributes.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::null::<u8>(),
            0usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(version).unwrap_or(0)
}

/// `struct landlock_ruleset_attr`; older kernels take the first `size` bytes of it.
#[repr(C)]
pub(crate) struct RulesetAttributes {
    pub(crate) handled_access_fs: u64,
    pub(crate) handled_access_net: u64,
    pub(crate) scoped: u64,
}

pub(crate) fn create_ruleset(attributes: &RulesetAttributes, size: usize) -> io::Result<OwnedFd> {
    debug_assert!(size <= size_of::<RulesetAttributes>());
    // SAFETY: `size` bytes of `attributes` are readable, as asserted above.
    let fd = check(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const *attributes, size, 0u32)
    })?;
    // SAFETY: the call returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

pub(crate) fn allow_beneath(
    ruleset: BorrowedFd<'_>,
    path: BorrowedFd<'_>,
    access: u64,
) -> io::Result<()> {
    const LANDLOCK_RULE_PATH_BENEATH: c_int = 1;
    #[repr(C, packed)]
    struct PathBeneath {
        allowed_access: u64,
        parent_fd: i32,
    }
    let rule = PathBeneath { allowed_access: access, parent_fd: path.as_raw_fd() };
    // SAFETY: `rule` is a complete landlock_path_beneath_attr.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            LANDLOCK_RULE_PATH_BENEATH,
            &raw const rule,
            0u32,
        )
    })
    .map(drop)
}

pub(crate) fn restrict_self(ruleset: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0u32) })
        .map(drop)
}

/// Joins a new, empty session keyring (keyctl(2)). A kernel without keys has none to leak.
pub(crate) fn join_new_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    let result = unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, ptr::null::<u8>(), 0, 0, 0)
    };
    match check(result) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        result => result.map(drop),
    }
}

/// Raises the soft limit on processes of another process from `soft` to `hard`,
/// unless it has set limits of its own. A process that is gone has none.
pub(crate) fn replace_process_limit(pid: i32, soft: u64, hard: u64) {
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let new = libc::rlimit64 { rlim_cur: hard, rlim_max: hard };
    // SAFETY: `old` is a local of the right type; no new limit is given.
    let read = unsafe { prlimit(pid, ptr::null(), &raw mut old) };
    if read == 0 && old.rlim_cur == soft && old.rlim_max == hard {
        // SAFETY: `new` is complete; the old limit is not asked for.
        unsafe { prlimit(pid, &raw const new, ptr::null_mut()) };
    }
}

/// prlimit(2), whose wrapper names its first argument differently in each libc.
///
/// # Safety
/// Both pointers are null or point to a limit.
unsafe fn prlimit(pid: i32, new: *const libc::rlimit64, old: *mut libc::rlimit64) -> c_long {
    // SAFETY: by this function's own contract.
    unsafe { libc::syscall(libc::SYS_prlimit64, pid, libc::RLIMIT_NPROC, new, old) }
}

/// Puts the null device in the place of the caller's three streams.
pub(crate) fn forget_streams() -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, open};
    let null = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    for stream in 0..3 {
        // SAFETY: takes numbers only; `null` is open and is none of the three.
        check(c_long::from(unsafe { libc::dup2(null.as_raw_fd(), stream) }))?;
    }
    Ok(())
}

/// Closes every descriptor from 3 on that is not in `keep`, which is sorted.
pub(crate) fn close_all_but(keep: &[RawFd]) -> io::Result<()> {
    let mut first: u32 = 3;
    for fd in keep {
        let fd = fd.cast_unsigned();
        if fd > first {
            close_range(first, fd - 1)?;
        }
        first = first.max(fd + 1);
    }
    // No number is higher, and some kernels take no higher one.
    close_range(first, i32::MAX.cast_unsigned())
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: runs in a cloned process whose other descriptors no Rust value will use again.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Brings the loopback interface of a socket's network namespace up (netdevice(7)).
pub(crate) fn raise_loopback(socket: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let mut request = MaybeUninit::<libc::ifreq>::zeroed();
    // SAFETY: zeroed is a valid ifreq: it holds bytes, integers and a union of both.
    let request = unsafe { request.assume_init_mut() };
    request.ifr_name[0] = b'l' as _;
    request.ifr_name[1] = b'o' as _;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as _;
    // SAFETY: SIOCSIFFLAGS takes an ifreq, and this one is complete with a terminated name.
    let setter = unsafe {
        rustix::ioctl::Updater::<{ libc::SIOCSIFFLAGS as rustix::ioctl::Opcode }, _>::new(request)
    };
    // SAFETY: the setter above pairs the request with its opcode.
    unsafe { rustix::ioctl::ioctl(socket, setter) }
}

/// Leaves a real-time scheduling class for the ordinary one, and a priority above
/// the ordinary for that (sched(7)).
pub(crate) fn schedule_ordinarily() -> io::Result<()> {
    // The kernel's sched_param is this one number; musl's has more, and no wrapper.
    let priority: c_int = 0;
    // SAFETY: `priority` is a complete sched_param; 0 names this process.
    check(unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_OTHER, &raw const priority)
    })?;
    if rustix::process::getpriority_process(None)? < 0 {
        rustix::process::setpriority_process(None, 0)?;
    }
    Ok(())
}

/// Sends `message`, and `fd` with it.
pub(crate) fn send_with_descriptor(
    socket: BorrowedFd<'_>,
    message: &[u8],
    fd: BorrowedFd<'_>,
) -> io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(socket, &[io::IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Drops every user, group and capability that root has and a helper does not
/// need, for a process that goes on to talk to strangers.
pub(crate) fn become_user(user: u32, group: u32) -> io::Result<()> {
    // SAFETY: an empty list has no pointer to be read.
    check(unsafe { libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>()) })?;
    // SAFETY: takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_setresgid, group, group, group) })?;
    // SAFETY: takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) }).map(drop)
}

/// A descriptor that the caller knows to be open for as long as it uses the result.
pub(crate) fn borrow<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: callers name descriptors that they know to be open for as long as they
    // use the result: those of `apply` until the process executes or ends, those of
    // the supervisor while it polls them.
    unsafe { BorrowedFd::borrow_raw(fd) }
}
