//! Default profile: calls that no guest gets. Most need a capability that the jail has
//! dropped; they are refused here too, because a kernel bug behind a capability check
//! is still a kernel bug, and because namespaces hand capabilities out.

use crate::seccomp::rule::{ABSENT, DENY, Group, rule};

pub(super) const GROUP: Group = Group {
    title: "refused to every guest",
    rules: &[
        rule!(
            DENY,
            "a new namespace gives every capability in it; an old one is outside the jail"
            => [SYS_unshare, SYS_setns]
        ),
        rule!(
            DENY,
            "the mount tree is the jail's wall"
            => [
                SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_open_tree,
                SYS_open_tree_attr, SYS_move_mount, SYS_fsopen, SYS_fsconfig, SYS_fsmount,
                SYS_fspick, SYS_mount_setattr,
            ]
        ),
        rule!(
            ABSENT,
            "tells no more than /proc/self/mountinfo, to which callers fall back"
            => [SYS_statmount, SYS_listmount]
        ),
        rule!(
            DENY,
            "file handles open files without walking a path, past mounts and Landlock"
            => [SYS_name_to_handle_at, SYS_open_by_handle_at]
        ),
        rule!(
            DENY,
            "watches whole file systems of the host; inotify serves a guest"
            => [SYS_fanotify_init, SYS_fanotify_mark]
        ),
        rule!(
            DENY,
            "opens and connects without passing this filter, and has a long record of kernel \
             bugs"
            => [SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register]
        ),
        rule!(
            DENY,
            "lets a guest stop the kernel in the middle of a copy, the aid of most kernel \
             exploits"
            => [SYS_userfaultfd]
        ),
        rule!(
            ABSENT,
            "gives pages away by reference, the way into CVE-2020-29374 when a parent shares \
             pages with the guest; callers fall back to write"
            => [SYS_vmsplice]
        ),
        rule!(
            DENY,
            "runs guest code in the kernel, or measures the host"
            => [SYS_bpf, SYS_perf_event_open, SYS_lookup_dcookie]
        ),
        rule!(
            DENY,
            "keyrings are not separated by namespaces unless there is a user namespace"
            => [SYS_add_key, SYS_request_key, SYS_keyctl]
        ),
        rule!(
            DENY,
            "replaces, extends or stops the host's kernel"
            => [
                SYS_kexec_load, SYS_kexec_file_load, SYS_init_module, SYS_finit_module,
                SYS_delete_module, SYS_reboot,
            ]
        ),
        rule!(
            DENY,
            "administers the host"
            => [
                SYS_swapon, SYS_swapoff, SYS_quotactl, SYS_quotactl_fd, SYS_acct, SYS_syslog,
                SYS_sethostname, SYS_setdomainname, SYS_vhangup, SYS_nfsservctl,
            ]
        ),
    ],
};
