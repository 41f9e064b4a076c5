//! Owns the Strict profile: a short list for pure computation on files that are already
//! there. Everything else kills the process, so that a violation is seen as SIGSYS.
//!
//! What was seen to run (x86_64, glibc 2.36, and static musl): coreutils that read
//! (`echo`, `cat`, `ls -l`, `head`, `tail`, `sort`, `uniq`, `wc`, `cut`, `tr`, `seq`,
//! `stat`, `du`, `date`, `sleep`, `sha256sum`), `grep`, `sed`, `awk`, `find`, `xargs`,
//! `diff`, `jq`, `perl`, `busybox sh`, pipelines of `dash` and `bash`, `python3` with
//! threads.
//!
//! What dies, by intent: making, removing, renaming, truncating or chmod-ing files
//! (`mkdir`, `rm`, `mv`, `touch`, `sort -o`), signalling (`kill`, `timeout`), `id`, any
//! network, `node`, the JVM. Writing to a file that `open` makes is allowed.
//!
//! After loading, the jail itself needs `execve`, and `write` and `exit_group` to report
//! that it failed. A jail that does more there dies here.

use super::checks::{CLONE_NAMESPACES, EVERY_BIT, OPENAT_SET_ID, PRLIMIT, UNIX, one_of};
use super::rule::{ABSENT, ALLOW, Action, Case, Check, Group, Verdict, rule};

pub(super) static GROUPS: &[Group] = &[
    FILES,
    PROCESSES,
    REFUSED,
    #[cfg(target_arch = "x86_64")]
    X86_64,
];

const fn kill_when(cases: &'static [Case]) -> Action {
    let otherwise = Verdict::Allow;
    Action::Check(Check { cases, otherwise })
}

const fn only_when(cases: &'static [Case]) -> Action {
    let otherwise = Verdict::KillProcess;
    Action::Check(Check { cases, otherwise })
}

const fn errno(number: i32) -> Verdict {
    Verdict::Errno(number as u16)
}

const OPENAT: Action = kill_when(&[Case { when: OPENAT_SET_ID, verdict: Verdict::KillProcess }]);

#[cfg(target_arch = "x86_64")]
const OPEN: Action =
    kill_when(&[Case { when: super::checks::OPEN_SET_ID, verdict: Verdict::KillProcess }]);

const CLONE: Action = kill_when(&[Case { when: CLONE_NAMESPACES, verdict: Verdict::KillProcess }]);

/// "Is this a terminal, how wide, whose?" and the close-on-exec and non-blocking flags.
/// TCGETS2 is what
/// glibc asks since 2.42.
const IOCTL: Action = only_when(&[Case {
    when: &[one_of(
        1,
        EVERY_BIT,
        &[
            libc::TCGETS as u32,
            libc::TCGETS2 as u32,
            libc::TIOCGWINSZ as u32,
            libc::TIOCGPGRP as u32,
            libc::FIONREAD as u32,
            libc::FIONBIO as u32,
            libc::FIOCLEX as u32,
            libc::FIONCLEX as u32,
        ],
    )],
    verdict: Verdict::Allow,
}]);

/// busybox reads its own name to find its applet; threads and processes name themselves.
const PRCTL: Action = only_when(&[Case {
    when: &[one_of(0, EVERY_BIT, &[libc::PR_GET_NAME as u32, libc::PR_SET_NAME as u32])],
    verdict: Verdict::Allow,
}]);

/// No socket is ever made. A unix socket is what glibc and musl try first, for nscd,
/// when a program asks for a user name (`ls -l`), so it is refused quietly; any
/// other family is a violation to be seen.
const SOCKET: Action = only_when(&[Case {
    when: &[one_of(0, EVERY_BIT, &[UNIX])],
    verdict: errno(libc::EAFNOSUPPORT),
}]);

const FILES: Group = Group {
    title: "files and descriptors",
    rules: &[
        rule!(
            ALLOW,
            "reading, writing and the loader's work"
            => [
                SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_lseek, SYS_close,
                SYS_fadvise64,
            ]
        ),
        rule!(OPENAT, "opens files; creating a set-id file kills" => [SYS_openat]),
        rule!(
            ALLOW,
            "looking at files and directories"
            => [
                SYS_newfstatat, SYS_fstat, SYS_statx, SYS_statfs, SYS_fstatfs, SYS_faccessat,
                SYS_faccessat2, SYS_readlinkat, SYS_getdents64, SYS_getcwd, SYS_chdir,
                SYS_fchdir,
            ]
        ),
        rule!(
            ALLOW,
            "pipelines and redirections of a shell"
            => [SYS_fcntl, SYS_dup3, SYS_pipe2, SYS_ppoll]
        ),
        rule!(IOCTL, "terminal queries and close-on-exec; others kill" => [SYS_ioctl]),
    ],
};

const PROCESSES: Group = Group {
    title: "processes and memory",
    rules: &[
        rule!(
            ALLOW,
            "the caller's own address space"
            => [SYS_brk, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_madvise]
        ),
        rule!(
            ALLOW,
            "start-up and locks of every libc"
            => [SYS_futex, SYS_set_robust_list, SYS_set_tid_address, SYS_rseq, SYS_getrandom]
        ),
        rule!(
            ALLOW,
            "busybox drops to the user that it already is; without a capability there is no other"
            => [SYS_setuid, SYS_setgid]
        ),
        rule!(PRLIMIT, "limits of its own, but for core dumps" => [SYS_prlimit64]),
        rule!(CLONE, "forks of a shell, threads of sort; a namespace kills" => [SYS_clone]),
        rule!(
            ALLOW,
            "starting programs, ending, waiting, and abort()"
            => [SYS_execve, SYS_exit, SYS_exit_group, SYS_wait4, SYS_tgkill]
        ),
        rule!(
            ALLOW,
            "the caller's own signals"
            => [
                SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigsuspend,
                SYS_sigaltstack, SYS_restart_syscall,
            ]
        ),
        rule!(
            ALLOW,
            "who and where am I"
            => [
                SYS_getpid, SYS_getppid, SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid,
                SYS_getegid, SYS_uname, SYS_sysinfo, SYS_sched_getaffinity,
            ]
        ),
        rule!(PRCTL, "a process may name itself; other options kill" => [SYS_prctl]),
        rule!(
            ALLOW,
            "sleeping, and the clock where the vdso cannot read it"
            => [SYS_clock_gettime, SYS_clock_nanosleep]
        ),
    ],
};

/// Probes that ordinary programs make and can do without: an errno, not death.
const REFUSED: Group = Group {
    title: "refused without killing",
    rules: &[
        rule!(ABSENT, "libcs try it first and fall back to clone" => [SYS_clone3]),
        rule!(
            ABSENT,
            "shortcuts that cat of busybox, of coreutils 9 and of uutils try before read and write"
            => [SYS_sendfile, SYS_copy_file_range, SYS_splice]
        ),
        rule!(SOCKET, "user name look-ups try nscd; no socket is made" => [SYS_socket]),
        rule!(
            Action::Always(errno(libc::ENOTSOCK)),
            "bash asks whether its input is a socket"
            => [SYS_getpeername]
        ),
        rule!(
            Action::Always(errno(libc::EOPNOTSUPP)),
            "ls -l asks for ACLs"
            => [SYS_getxattr, SYS_lgetxattr, SYS_llistxattr, SYS_listxattr]
        ),
    ],
};

#[cfg(target_arch = "x86_64")]
const X86_64: Group = Group {
    title: "x86_64 only",
    rules: &[
        rule!(ALLOW, "every libc sets its thread pointer with it" => [SYS_arch_prctl]),
        rule!(OPEN, "musl opens with it; creating a set-id file kills" => [SYS_open]),
        rule!(
            ALLOW,
            "old forms of calls above, which glibc and musl still use"
            => [
                SYS_access, SYS_readlink, SYS_stat, SYS_lstat, SYS_dup2, SYS_pipe, SYS_poll,
                SYS_getpgrp, SYS_fork, SYS_vfork,
            ]
        ),
    ],
};
