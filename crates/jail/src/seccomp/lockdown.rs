//! Owns what a process may still call while it runs guests in WebAssembly. It is no
//! guest's filter: it is for the host program itself, should a bug of the engine hand it
//! to a guest. So it lists what that program really calls (seen with strace), forbids
//! machine code that was not there before, and kills where no library of ours could
//! have meant it.
//!
//! Not here: which files and ports. Landlock decides that; see `crate::lockdown`.

use super::checks::{
    EVERY_BIT, INTERNET, NETLINK, OPENAT, PRLIMIT_QUERY, STREAM_TYPES, TYPE_MASK, UNIX, any_bit,
    one_of,
};
use super::rule::{ABSENT, ALLOW, Action, Case, Check, DENY, EPERM, Group, Verdict, rule};

/// While tasks may be granted hosts.
pub(super) static CONNECTED: &[Group] = &[
    FILES,
    MEMORY,
    THREADS,
    CONVERSATION,
    SOCKETS,
    KILLED,
    #[cfg(target_arch = "x86_64")]
    X86_64,
];

/// Where no task reaches a host.
pub(super) static ALONE: &[Group] = &[
    FILES,
    MEMORY,
    THREADS,
    CONVERSATION,
    NO_SOCKETS,
    KILLED,
    #[cfg(target_arch = "x86_64")]
    X86_64,
];

/// Laid over [`CONNECTED`] once it is known that no task reaches a host.
pub(super) static SEAL: &[Group] = &[NO_SOCKETS];

const EACCES: Verdict = Verdict::Errno(libc::EACCES as u16);
const REFUSED: Action = Action::Always(EACCES);
const KILL: Action = Action::Always(Verdict::KillProcess);

const fn only_when(cases: &'static [Case], otherwise: Verdict) -> Action {
    Action::Check(Check { cases, otherwise })
}

/// What an engine has to run was mapped before. Without this, whoever can write to
/// memory and change a mapping has written a program.
const NOT_EXECUTABLE: Action = Action::Check(Check {
    cases: &[Case { when: &[any_bit(2, libc::PROT_EXEC as u32)], verdict: EPERM }],
    otherwise: Verdict::Allow,
});

/// `pthread_create` of musl and of glibc: a thread of this process and nothing else. The
/// bit that glibc lacks is the old CLONE_DETACHED, which the kernel ignores.
const THREAD: u32 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID) as u32;
const CLONE: Action = only_when(
    &[Case {
        when: &[one_of(0, EVERY_BIT, &[THREAD, THREAD | libc::CLONE_DETACHED as u32])],
        verdict: Verdict::Allow,
    }],
    EPERM,
);

/// Not F_SETOWN and its like, which have signals sent to others.
const FCNTL: Action = only_when(
    &[Case {
        when: &[one_of(
            1,
            EVERY_BIT,
            &[
                libc::F_DUPFD as u32,
                libc::F_DUPFD_CLOEXEC as u32,
                libc::F_GETFD as u32,
                libc::F_SETFD as u32,
                libc::F_GETFL as u32,
                libc::F_SETFL as u32,
            ],
        )],
        verdict: Verdict::Allow,
    }],
    EPERM,
);

/// "Is this a terminal, how wide?" and the flags of a descriptor. Nothing that types
/// into the caller's terminal.
const IOCTL: Action = only_when(
    &[Case {
        when: &[one_of(
            1,
            EVERY_BIT,
            &[
                libc::TCGETS as u32,
                libc::TIOCGWINSZ as u32,
                libc::FIONREAD as u32,
                libc::FIONBIO as u32,
                libc::FIOCLEX as u32,
            ],
        )],
        verdict: Verdict::Allow,
    }],
    EPERM,
);

/// Names of threads, and what tightens.
const PRCTL: Action = only_when(
    &[Case {
        when: &[one_of(
            0,
            EVERY_BIT,
            &[libc::PR_SET_NAME as u32, libc::PR_GET_NAME as u32, libc::PR_SET_VMA as u32],
        )],
        verdict: Verdict::Allow,
    }],
    EPERM,
);

const SECCOMP: Action = only_when(
    &[Case {
        when: &[
            one_of(0, EVERY_BIT, &[libc::SECCOMP_SET_MODE_FILTER]),
            one_of(1, EVERY_BIT, &[0, libc::SECCOMP_FILTER_FLAG_TSYNC as u32]),
        ],
        verdict: Verdict::Allow,
    }],
    EPERM,
);

/// TCP, UDP to name servers, and route netlink, by which the C library lists the own
/// addresses. No unix sockets: behind them are daemons that do what they are told.
const SOCKET: Action = only_when(
    &[
        Case {
            when: &[
                one_of(0, EVERY_BIT, INTERNET),
                one_of(1, TYPE_MASK, STREAM_TYPES),
                one_of(2, EVERY_BIT, &[0, libc::IPPROTO_TCP as u32, libc::IPPROTO_UDP as u32]),
            ],
            verdict: Verdict::Allow,
        },
        Case {
            when: &[
                one_of(0, EVERY_BIT, &[NETLINK]),
                one_of(2, EVERY_BIT, &[libc::NETLINK_ROUTE as u32]),
            ],
            verdict: Verdict::Allow,
        },
    ],
    EACCES,
);

/// What an event loop may wake itself with. Not a pair of datagrams: each end of it can
/// still send to any daemon's socket.
const SOCKETPAIR: Action = only_when(
    &[Case {
        when: &[one_of(0, EVERY_BIT, &[UNIX]), one_of(1, TYPE_MASK, &[libc::SOCK_STREAM as u32])],
        verdict: Verdict::Allow,
    }],
    EACCES,
);

const FILES: Group = Group {
    title: "files and descriptors",
    rules: &[
        rule!(
            ALLOW,
            "reading and writing what is open"
            => [
                SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64,
                SYS_preadv, SYS_pwritev, SYS_preadv2, SYS_pwritev2, SYS_lseek, SYS_close,
                SYS_fadvise64, SYS_fsync, SYS_fdatasync, SYS_ftruncate, SYS_fallocate,
            ]
        ),
        rule!(
            OPENAT,
            "opens files that Landlock grants; a new file may not carry set-id bits, somebody \
             on the host could run it"
            => [SYS_openat]
        ),
        rule!(
            ALLOW,
            "what guests name is resolved beneath a granted folder with it; its mode is out of \
             a filter's sight, but without capabilities the first byte that is written to a \
             file takes its set-id bits away"
            => [SYS_openat2]
        ),
        rule!(
            ALLOW,
            "files of guests, beneath what Landlock grants"
            => [
                SYS_getdents64, SYS_mkdirat, SYS_unlinkat, SYS_renameat, SYS_renameat2,
                SYS_linkat, SYS_symlinkat, SYS_readlinkat, SYS_utimensat,
            ]
        ),
        rule!(
            ALLOW,
            "looking at files"
            => [SYS_fstat, SYS_newfstatat, SYS_statx, SYS_fstatfs, SYS_faccessat, SYS_faccessat2]
        ),
        rule!(FCNTL, "flags and copies of descriptors; no signals to their owners" => [SYS_fcntl]),
        rule!(
            IOCTL,
            "whether and how wide a terminal is; nothing that types into it"
            => [SYS_ioctl]
        ),
        rule!(
            ALLOW,
            "the event loop"
            => [
                SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_pwait2,
                SYS_eventfd2, SYS_ppoll, SYS_pipe2,
            ]
        ),
    ],
};

const MEMORY: Group = Group {
    title: "memory",
    rules: &[
        rule!(
            NOT_EXECUTABLE,
            "memory of guests and of the host; none of it becomes executable"
            => [SYS_mmap, SYS_mprotect]
        ),
        rule!(
            ALLOW,
            "memory of guests and of the host"
            => [SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise, SYS_membarrier]
        ),
        rule!(
            DENY,
            "other ways to memory that can be executed, or that others share"
            => [
                SYS_pkey_mprotect, SYS_remap_file_pages, SYS_map_shadow_stack, SYS_memfd_create,
                SYS_memfd_secret, SYS_shmget, SYS_shmat, SYS_personality,
            ]
        ),
    ],
};

const THREADS: Group = Group {
    title: "threads and time",
    rules: &[
        rule!(CLONE, "threads; no process" => [SYS_clone]),
        rule!(ABSENT, "its flags are behind a pointer; libcs fall back to clone" => [SYS_clone3]),
        rule!(
            ALLOW,
            "thread primitives of every libc"
            => [
                SYS_futex, SYS_futex_waitv, SYS_futex_wake, SYS_futex_wait, SYS_futex_requeue,
                SYS_set_robust_list, SYS_set_tid_address, SYS_rseq, SYS_sched_yield,
                SYS_sched_getaffinity, SYS_getrandom, SYS_exit, SYS_exit_group,
            ]
        ),
        rule!(
            ALLOW,
            "the own signal handlers: the engine catches traps with them"
            => [
                SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack,
                SYS_restart_syscall,
            ]
        ),
        rule!(
            ALLOW,
            "who am I, and what have I used; sleeping, and the clock where the vDSO has none"
            => [
                SYS_getpid, SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid,
                SYS_uname, SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep,
                SYS_nanosleep, SYS_gettimeofday, SYS_getrusage,
            ]
        ),
        rule!(ALLOW, "the broker's end is waited for" => [SYS_wait4]),
        rule!(PRLIMIT_QUERY, "how many files may be open; nothing is set" => [SYS_prlimit64]),
        rule!(PRCTL, "threads name themselves" => [SYS_prctl]),
        rule!(
            SECCOMP,
            "once the program's tasks are known this process tightens itself further"
            => [SYS_seccomp]
        ),
        rule!(
            ALLOW,
            "once the program's tasks are known this process tightens itself further"
            => [SYS_landlock_create_ruleset, SYS_landlock_add_rule, SYS_landlock_restrict_self]
        ),
        rule!(
            DENY,
            "signals to anybody; abort() ends all the same"
            => [
                SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo,
                SYS_pidfd_open, SYS_pidfd_send_signal,
            ]
        ),
        rule!(
            DENY,
            "attributes that outlive a task: modes, owners, labels, devices"
            => [
                SYS_fchmod, SYS_fchmodat, SYS_fchmodat2, SYS_fchown, SYS_fchownat, SYS_mknodat,
                SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_setxattrat,
            ]
        ),
    ],
};

const CONVERSATION: Group = Group {
    title: "what is connected already",
    rules: &[
        rule!(
            ALLOW,
            "standard streams and the broker may be sockets"
            => [
                SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg, SYS_shutdown, SYS_getsockopt,
            ]
        ),
        rule!(
            SOCKETPAIR,
            "an event loop wakes itself with a pair of streams"
            => [SYS_socketpair]
        ),
        rule!(
            REFUSED,
            "nobody is served from here"
            => [SYS_listen, SYS_accept, SYS_accept4]
        ),
    ],
};

const SOCKETS: Group = Group {
    title: "sockets, while tasks may be granted hosts",
    rules: &[
        rule!(
            SOCKET,
            "TCP, UDP to name servers, and the list of the own addresses"
            => [SYS_socket]
        ),
        rule!(
            ALLOW,
            "work on sockets that the rule above let through"
            => [
                SYS_connect, SYS_bind, SYS_getsockname, SYS_getpeername, SYS_setsockopt,
                SYS_sendmmsg, SYS_recvmmsg,
            ]
        ),
    ],
};

const NO_SOCKETS: Group = Group {
    title: "sockets, where no task is granted a host",
    rules: &[rule!(
        REFUSED,
        "no task of the run may reach a host"
        => [SYS_socket, SYS_connect, SYS_bind]
    )],
};

/// Nothing that this process links ever calls these.
const KILLED: Group = Group {
    title: "only an intruder would try",
    rules: &[
        rule!(KILL, "starts another program" => [SYS_execve, SYS_execveat]),
        rule!(
            KILL,
            "reads, changes or steals from another process"
            => [
                SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise,
                SYS_process_mrelease, SYS_pidfd_getfd, SYS_kcmp,
            ]
        ),
        rule!(
            KILL,
            "a new namespace gives every capability in it"
            => [SYS_unshare, SYS_setns]
        ),
        rule!(
            KILL,
            "mounts and roots"
            => [
                SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_open_tree,
                SYS_open_tree_attr, SYS_move_mount, SYS_fsopen, SYS_fsconfig, SYS_fsmount,
                SYS_fspick, SYS_mount_setattr,
            ]
        ),
        rule!(
            KILL,
            "large parts of the kernel that stand behind one call, past this filter"
            => [
                SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_bpf,
                SYS_perf_event_open, SYS_userfaultfd,
            ]
        ),
        rule!(KILL, "keys of the caller" => [SYS_keyctl, SYS_add_key, SYS_request_key]),
        rule!(
            KILL,
            "opens files past any path, and so past Landlock"
            => [SYS_open_by_handle_at, SYS_name_to_handle_at]
        ),
        rule!(
            KILL,
            "administers the host"
            => [
                SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load,
                SYS_kexec_file_load, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct, SYS_syslog,
                SYS_quotactl, SYS_settimeofday, SYS_clock_settime, SYS_sethostname,
            ]
        ),
    ],
};

#[cfg(target_arch = "x86_64")]
const X86_64: Group = Group {
    title: "x86_64 only",
    rules: &[
        rule!(
            super::checks::OPEN,
            "musl opens with it; a new file may not carry set-id bits"
            => [SYS_open]
        ),
        rule!(
            ALLOW,
            "old forms of calls above, which musl still uses"
            => [SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_poll, SYS_epoll_wait]
        ),
        rule!(
            ALLOW,
            "only the kernel's own trampoline may call it; refusing it kills while the host \
             traces with uprobes (kernels 6.11 to 6.13)"
            => [SYS_uretprobe]
        ),
        rule!(KILL, "starts another process" => [SYS_fork, SYS_vfork]),
        rule!(DENY, "modes and devices" => [SYS_chmod, SYS_creat, SYS_mknod]),
        rule!(KILL, "ports and segments of the machine" => [SYS_iopl, SYS_ioperm, SYS_modify_ldt]),
    ],
};
