//! Default profile: address space and System V / POSIX shared objects.

use crate::seccomp::rule::{ALLOW, DENY, Group, rule};

pub(super) const GROUP: Group = Group {
    title: "memory and shared objects",
    rules: &[
        rule!(
            ALLOW,
            "the caller's own address space; JIT compilers need writable and executable pages"
            => [
                SYS_brk, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_msync, SYS_madvise,
                SYS_mincore, SYS_mlock, SYS_mlock2, SYS_munlock, SYS_mlockall, SYS_munlockall,
                SYS_pkey_alloc, SYS_pkey_free, SYS_pkey_mprotect, SYS_membarrier, SYS_mseal,
                SYS_map_shadow_stack,
            ]
        ),
        rule!(
            ALLOW,
            "allocators purge in batches with it; on another process it needs CAP_SYS_NICE"
            => [SYS_process_madvise]
        ),
        rule!(
            ALLOW,
            "anonymous files count against the memory limit like any page"
            => [SYS_memfd_create]
        ),
        rule!(
            DENY,
            "pages that the host can neither swap, dump nor snapshot"
            => [SYS_memfd_secret]
        ),
        rule!(
            ALLOW,
            "reads where memory lives; numeric libraries and the JVM ask at start"
            => [SYS_get_mempolicy]
        ),
        rule!(
            DENY,
            "where memory lives is the host's decision; libraries treat a refusal as no hint"
            => [
                SYS_set_mempolicy, SYS_set_mempolicy_home_node, SYS_mbind, SYS_move_pages,
                SYS_migrate_pages,
            ]
        ),
        rule!(
            DENY,
            "deprecated and emulated by the kernel; no caller is left"
            => [SYS_remap_file_pages]
        ),
        rule!(DENY, "tells which pages of shared files others have touched" => [SYS_cachestat]),
        rule!(
            ALLOW,
            "shared memory, semaphores and queues stay inside the IPC namespace"
            => [
                SYS_shmget, SYS_shmat, SYS_shmdt, SYS_shmctl, SYS_semget, SYS_semop,
                SYS_semtimedop, SYS_semctl, SYS_msgget, SYS_msgsnd, SYS_msgrcv, SYS_msgctl,
                SYS_mq_open, SYS_mq_unlink, SYS_mq_timedsend, SYS_mq_timedreceive, SYS_mq_notify,
                SYS_mq_getsetattr,
            ]
        ),
    ],
};
