//! Default profile: calls that exist on x86_64 only, mostly the old forms of others.
//! Each has the verdict of the form that replaced it.

use crate::seccomp::checks;
use crate::seccomp::rule::{ALLOW, DENY, Group, rule};

pub(super) const GROUP: Group = Group {
    title: "x86_64 only",
    rules: &[
        rule!(
            ALLOW,
            "old forms of file calls that are allowed"
            => [
                SYS_stat, SYS_lstat, SYS_access, SYS_getdents, SYS_mkdir, SYS_rmdir, SYS_rename,
                SYS_link, SYS_unlink, SYS_symlink, SYS_readlink, SYS_chown, SYS_lchown,
                SYS_utime, SYS_utimes, SYS_futimesat, SYS_pipe, SYS_dup2,
            ]
        ),
        rule!(
            checks::OPEN,
            "opens files; a new file may not carry set-id bits, somebody on the host could run \
             it"
            => [SYS_open]
        ),
        rule!(
            checks::MODE_SECOND,
            "makes files or changes modes; set-id bits are refused"
            => [SYS_creat, SYS_chmod]
        ),
        rule!(
            checks::MKNOD,
            "makes regular files, pipes and sockets; never devices, nor set-id files"
            => [SYS_mknod]
        ),
        rule!(
            ALLOW,
            "old forms of waiting calls that are allowed"
            => [
                SYS_poll, SYS_select, SYS_epoll_create, SYS_epoll_wait, SYS_eventfd,
                SYS_signalfd, SYS_inotify_init,
            ]
        ),
        rule!(
            ALLOW,
            "old forms of process and clock calls that are allowed"
            => [SYS_fork, SYS_vfork, SYS_getpgrp, SYS_pause, SYS_alarm, SYS_time]
        ),
        rule!(ALLOW, "every libc sets its thread pointer with it" => [SYS_arch_prctl]),
        rule!(
            ALLOW,
            "only the kernel's own trampoline may call it; refusing it kills guests while the \
             host traces them with uprobes (kernels 6.11 to 6.13)"
            => [SYS_uretprobe]
        ),
        rule!(
            DENY,
            "ports and segments of the machine"
            => [SYS_iopl, SYS_ioperm, SYS_modify_ldt]
        ),
        rule!(
            DENY,
            "obsolete, tells about the host's file systems or loads libraries the a.out way"
            => [SYS_ustat, SYS_sysfs, SYS_uselib]
        ),
    ],
};
