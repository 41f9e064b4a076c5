//! Default profile: files, descriptors and waiting on them.

use crate::seccomp::checks;
use crate::seccomp::rule::{ABSENT, ALLOW, Group, UNSUPPORTED, rule};

pub(super) const GROUP: Group = Group {
    title: "files and descriptors",
    rules: &[
        rule!(
            ALLOW,
            "ordinary reading and writing"
            => [
                SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64,
                SYS_preadv, SYS_pwritev, SYS_preadv2, SYS_pwritev2, SYS_lseek, SYS_close,
                SYS_close_range, SYS_readahead, SYS_fadvise64, SYS_sendfile, SYS_copy_file_range,
                SYS_splice, SYS_tee,
            ]
        ),
        rule!(
            checks::OPENAT,
            "opens files; a new file may not carry set-id bits, somebody on the host could run \
             it"
            => [SYS_openat]
        ),
        rule!(
            ABSENT,
            "its flags and mode are behind a pointer that a filter cannot follow; callers fall \
             back to openat"
            => [SYS_openat2]
        ),
        rule!(
            checks::MODE_SECOND,
            "changes modes; set-id bits are refused, somebody on the host could run the file"
            => [SYS_fchmod]
        ),
        rule!(
            checks::MODE_THIRD,
            "changes modes; set-id bits are refused, somebody on the host could run the file"
            => [SYS_fchmodat, SYS_fchmodat2]
        ),
        rule!(
            checks::MKNODAT,
            "makes regular files, pipes and sockets; never devices, nor set-id files"
            => [SYS_mknodat]
        ),
        rule!(
            ALLOW,
            "directories, links and names; paths are confined by the mounts and by Landlock"
            => [
                SYS_getdents64, SYS_getcwd, SYS_chdir, SYS_fchdir, SYS_mkdirat, SYS_unlinkat,
                SYS_renameat, SYS_renameat2, SYS_linkat, SYS_symlinkat, SYS_readlinkat,
                SYS_umask,
            ]
        ),
        rule!(
            ALLOW,
            "file metadata; without capabilities ids change only to the caller's own"
            => [
                SYS_fstat, SYS_newfstatat, SYS_statx, SYS_statfs, SYS_fstatfs, SYS_faccessat,
                SYS_faccessat2, SYS_fchown, SYS_fchownat, SYS_utimensat, SYS_truncate,
                SYS_ftruncate, SYS_fallocate, SYS_getxattr, SYS_lgetxattr, SYS_fgetxattr,
                SYS_listxattr, SYS_llistxattr,
                SYS_flistxattr, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr,
                SYS_getxattrat, SYS_listxattrat, SYS_removexattrat,
            ]
        ),
        rule!(
            ALLOW,
            "databases, package tools and git flush what they write; `sync` also flushes the \
             host, a noise that its io limits must bound"
            => [SYS_sync, SYS_syncfs, SYS_fsync, SYS_fdatasync, SYS_sync_file_range]
        ),
        rule!(
            ALLOW,
            "descriptors, locks and pipes"
            => [SYS_dup, SYS_dup3, SYS_fcntl, SYS_flock, SYS_pipe2]
        ),
        rule!(
            checks::IOCTL,
            "terminals and devices that the mounts expose; not the requests that type into the \
             host's terminal, divert its console or load a line discipline"
            => [SYS_ioctl]
        ),
        rule!(
            ALLOW,
            "event loops"
            => [
                SYS_ppoll, SYS_pselect6, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait,
                SYS_epoll_pwait2, SYS_eventfd2, SYS_signalfd4, SYS_inotify_init1,
                SYS_inotify_add_watch, SYS_inotify_rm_watch,
            ]
        ),
        rule!(
            UNSUPPORTED,
            "attributes of files: in a folder of the host they would be labels and access lists \
             that outlive the jail, and kernels with BPF LSM before 6.10 let an owner write \
             security labels; programs that copy them go on without"
            => [SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_setxattrat]
        ),
        rule!(
            ABSENT,
            "the old asynchronous io: its requests count against one limit of the whole host"
            => [
                SYS_io_setup, SYS_io_destroy, SYS_io_submit, SYS_io_cancel, SYS_io_getevents,
                SYS_io_pgetevents,
            ]
        ),
    ],
};
