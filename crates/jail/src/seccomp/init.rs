//! Owns what PID 1 itself may call once the command is on its way: reap, pass
//! signals on, report, end. It shares its user with the guest, so should a guest
//! ever get hold of it, it must gain nothing.

use super::rule::{ALLOW, Group, rule};

pub(super) static GROUPS: &[Group] = &[Group {
    title: "the life of PID 1",
    rules: &[
        rule!(
            ALLOW,
            "wait for children and for signals from outside"
            => [SYS_wait4, SYS_rt_sigtimedwait, SYS_rt_sigreturn, SYS_restart_syscall]
        ),
        rule!(ALLOW, "pass signals on, and end the jail" => [SYS_kill]),
        rule!(ALLOW, "the time of the end, where the vDSO has no clock" => [SYS_clock_gettime]),
        rule!(ALLOW, "read the I/O counters" => [SYS_pread64]),
        rule!(ALLOW, "report to the supervisor" => [SYS_sendto]),
        rule!(ALLOW, "end" => [SYS_exit, SYS_exit_group]),
    ],
}];
