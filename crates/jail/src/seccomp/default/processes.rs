//! Default profile: processes, threads, signals, identity and self-restriction.

use crate::seccomp::checks;
use crate::seccomp::rule::{ABSENT, ALLOW, DENY, Group, rule};

pub(super) const GROUP: Group = Group {
    title: "processes and threads",
    rules: &[
        rule!(
            checks::CLONE,
            "processes and threads; no new namespaces, in which the guest would hold every \
             capability again, and no child for the caller's parent"
            => [SYS_clone]
        ),
        rule!(
            ABSENT,
            "its flags are behind a pointer that a filter cannot follow; libcs fall back to \
             clone"
            => [SYS_clone3]
        ),
        rule!(
            ALLOW,
            "starting programs, ending and waiting"
            => [SYS_execve, SYS_execveat, SYS_exit, SYS_exit_group, SYS_wait4, SYS_waitid]
        ),
        rule!(
            ALLOW,
            "handles and signals reach only the PID namespace"
            => [
                SYS_pidfd_open, SYS_pidfd_send_signal, SYS_kill, SYS_tkill, SYS_tgkill,
                SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo,
            ]
        ),
        rule!(
            ALLOW,
            "the caller's own signals"
            => [
                SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigpending, SYS_rt_sigtimedwait,
                SYS_rt_sigsuspend, SYS_rt_sigreturn, SYS_sigaltstack, SYS_restart_syscall,
            ]
        ),
        rule!(
            ALLOW,
            "thread primitives of every libc"
            => [
                SYS_futex, SYS_futex_waitv, SYS_futex_wake, SYS_futex_wait, SYS_futex_requeue,
                SYS_set_robust_list, SYS_get_robust_list, SYS_set_tid_address, SYS_rseq,
                SYS_gettid, SYS_getrandom,
            ]
        ),
        rule!(
            ALLOW,
            "scheduling; real-time classes and better priorities need a capability"
            => [
                SYS_sched_yield, SYS_sched_getaffinity, SYS_sched_setaffinity,
                SYS_sched_getscheduler, SYS_sched_setscheduler, SYS_sched_getparam,
                SYS_sched_setparam, SYS_sched_getattr, SYS_sched_setattr,
                SYS_sched_get_priority_max, SYS_sched_get_priority_min,
                SYS_sched_rr_get_interval, SYS_getpriority, SYS_setpriority, SYS_ioprio_get,
                SYS_ioprio_set, SYS_getcpu,
            ]
        ),
        rule!(
            ALLOW,
            "process groups, sessions and ids; without capabilities ids change only to the \
             caller's own"
            => [
                SYS_getpid, SYS_getppid, SYS_getpgid, SYS_setpgid, SYS_getsid, SYS_setsid,
                SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getresuid, SYS_getresgid,
                SYS_getgroups, SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid,
                SYS_setresgid, SYS_setgroups, SYS_setfsuid, SYS_setfsgid, SYS_capget, SYS_capset,
            ]
        ),
        rule!(
            ALLOW,
            "usage and names"
            => [SYS_getrlimit, SYS_getrusage, SYS_times, SYS_sysinfo, SYS_uname]
        ),
        rule!(
            checks::PRLIMIT,
            "the caller's own limits, which it can only lower; not PID 1's, and not the one \
             that keeps crash handlers of the host asleep"
            => [SYS_prlimit64]
        ),
        rule!(
            checks::SETRLIMIT,
            "the caller's own limits, but for core dumps"
            => [SYS_setrlimit]
        ),
        rule!(
            checks::PERSONALITY,
            "queries, and what toolchains set; not the flags that make memory executable or \
             map page 0"
            => [SYS_personality]
        ),
        rule!(
            checks::PRCTL,
            "the caller's own attributes; not PR_SET_MM, which forges what /proc tells the \
             host, nor options newer than this table"
            => [SYS_prctl]
        ),
        rule!(
            checks::SECCOMP,
            "a guest may tighten itself; no listener, which would answer in place of a \
             supervisor's own"
            => [SYS_seccomp]
        ),
        rule!(
            ALLOW,
            "a guest may tighten itself"
            => [SYS_landlock_create_ruleset, SYS_landlock_add_rule, SYS_landlock_restrict_self]
        ),
        rule!(
            DENY,
            "labels of the host's security modules are the host's business"
            => [SYS_lsm_get_self_attr, SYS_lsm_set_self_attr, SYS_lsm_list_modules]
        ),
        rule!(
            DENY,
            "reads, changes or steals from another process, past what signals and pipes allow"
            => [
                SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd,
                SYS_kcmp, SYS_process_mrelease,
            ]
        ),
    ],
};
