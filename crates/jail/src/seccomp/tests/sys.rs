//! Owns the test's unsafe calls: a child that loads a filter, makes one call and reports
//! through its exit status.

#![allow(unsafe_code)]

use crate::seccomp::load;

/// How the child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Success,
    Errno(i32),
    Signal(i32),
}

/// The child could not load the filter; above every errno.
const NOT_LOADED: i32 = 200;

/// Loads `program` in a child of this process and runs `attempt` there; `attempt` gives
/// 0 or an errno, and like everything after a fork allocates nothing.
pub(super) fn under(program: &[libc::sock_filter], attempt: impl FnOnce() -> i32) -> Ending {
    // SAFETY: the child below only makes system calls, allocates nothing and leaves
    // through `_exit`, so locks held by other threads of the test do not matter to it.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child == 0 {
        let status = match deny_new_privileges() && load(program).is_ok() {
            true => attempt(),
            false => NOT_LOADED,
        };
        // SAFETY: ends the child at once; no destructor of the parent's state runs.
        unsafe { libc::_exit(status) }
    }
    let mut status = 0;
    // SAFETY: `child` was forked above and nobody else waits for it; `status` is a live
    // local that the kernel writes one int to.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    if libc::WIFSIGNALED(status) {
        return Ending::Signal(libc::WTERMSIG(status));
    }
    match libc::WEXITSTATUS(status) {
        0 => Ending::Success,
        NOT_LOADED => panic!("the child could not load the filter"),
        errno => Ending::Errno(errno),
    }
}

fn deny_new_privileges() -> bool {
    // SAFETY: takes integers only and changes nothing but this thread's own flag.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 }
}

/// Makes one raw call; 0 or the errno. Addresses in `arguments` are the caller's to keep
/// alive.
pub(super) fn call(number: u64, arguments: [u64; 4]) -> i32 {
    let [a, b, c, d] = arguments;
    // SAFETY: runs in the forked child of a test; the calls under test are refused by
    // the filter or take integers and C-string literals with static lifetime.
    let result = unsafe { libc::syscall(number as libc::c_long, a, b, c, d) };
    if result >= 0 {
        return 0;
    }
    // SAFETY: the pointer is this thread's errno, valid for as long as the thread.
    unsafe { *libc::__errno_location() }
}

/// `getpid` by way of the 32-bit entry: in the kernel's eyes a call of another
/// architecture.
#[cfg(target_arch = "x86_64")]
pub(super) fn call_as_i386() -> i32 {
    const GETPID_ON_I386: i32 = 20;
    let result: i32;
    // SAFETY: getpid takes no argument; r8 to r11 are declared lost, as this entry
    // clobbers them, and no memory is touched.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inlateout("eax") GETPID_ON_I386 => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            options(nostack),
        );
    }
    result.signum() - 1
}
