//! Owns the questions put to the kernel: a forked child loads the real filter, makes one
//! call, and the test sees what came of it. Without the filter each of these attempts
//! ends otherwise (`without_the_filter_...`), at least for root.

use super::sys::{Ending, call, under};
use crate::seccomp::{Profile, numbers, program};
use std::ffi::CStr;

const EPERM: Ending = Ending::Errno(libc::EPERM);
const ENOSYS: Ending = Ending::Errno(libc::ENOSYS);
const SIGSYS: Ending = Ending::Signal(libc::SIGSYS);

const NOWHERE: u64 = libc::AT_FDCWD as u64;

fn attempt(number: libc::c_long, arguments: [u64; 4]) -> Ending {
    under(program(Profile::Default), || call(number as u64, arguments))
}

fn attempt_strict(number: libc::c_long, arguments: [u64; 4]) -> Ending {
    under(program(Profile::Strict), || call(number as u64, arguments))
}

fn address(text: &'static CStr) -> u64 {
    text.as_ptr() as u64
}

#[test]
fn namespaces_are_refused() {
    let user = libc::CLONE_NEWUSER as u64;
    assert_eq!(attempt(libc::SYS_unshare, [user, 0, 0, 0]), EPERM);
    for flag in [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_PARENT,
    ] {
        // CLONE_SIGHAND without CLONE_VM: EINVAL from behind the filter, so no child is
        // made whatever the filter says.
        let flags = (flag | libc::CLONE_SIGHAND) as u64;
        assert_eq!(attempt(libc::SYS_clone, [flags, 0, 0, 0]), EPERM, "{flag:#x}");
    }
    let harmless = libc::CLONE_SIGHAND as u64;
    assert_eq!(attempt(libc::SYS_clone, [harmless, 0, 0, 0]), Ending::Errno(libc::EINVAL));
    assert_eq!(attempt(libc::SYS_clone3, [0, 0, 0, 0]), ENOSYS);
    assert_eq!(attempt(libc::SYS_setns, [0, 0, 0, 0]), EPERM);
}

#[test]
fn dangerous_calls_are_refused_and_new_ones_look_absent() {
    assert_eq!(attempt(libc::SYS_io_uring_setup, [1, 0, 0, 0]), EPERM);
    assert_eq!(attempt(libc::SYS_bpf, [0; 4]), EPERM);
    assert_eq!(attempt(libc::SYS_ptrace, [0; 4]), EPERM);
    assert_eq!(attempt(libc::SYS_keyctl, [0; 4]), EPERM);
    assert_eq!(attempt(libc::SYS_openat2, [NOWHERE, 0, 0, 0]), ENOSYS);
    assert_eq!(attempt(0x3fff, [0; 4]), ENOSYS);
    assert_eq!(attempt(libc::SYS_getpid, [0; 4]), Ending::Success);
}

#[test]
fn sockets_reach_only_the_network_namespace() {
    let family = Ending::Errno(97);
    let socket = |domain: i32, kind: i32, protocol: i32| {
        attempt(libc::SYS_socket, [domain as u64, kind as u64, protocol as u64, 0])
    };
    assert_eq!(socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0), family);
    assert_eq!(socket(libc::AF_PACKET, libc::SOCK_RAW, 0), family);
    assert_eq!(socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0), family);
    assert_eq!(socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_KOBJECT_UEVENT), family);
    assert_eq!(socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE), Ending::Success);
    assert_eq!(socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP), EPERM);
    assert_eq!(socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP), Ending::Errno(93));
    let close_on_exec = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    assert_eq!(socket(libc::AF_INET, close_on_exec, 0), Ending::Success);
    assert_eq!(socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0), Ending::Success);
}

/// On a bad descriptor, so that only the filter can say EPERM.
#[test]
fn terminal_injection_is_refused_whatever_the_high_half_says() {
    let ioctl = |request: u64| attempt(libc::SYS_ioctl, [u64::MAX, request, 0, 0]);
    let injection = u64::from(libc::TIOCSTI as u32);
    assert_eq!(ioctl(injection), EPERM);
    assert_eq!(ioctl(0xdead_beef_0000_0000 | injection), EPERM);
    for request in [libc::TIOCLINUX, libc::TIOCCONS, libc::TIOCSETD] {
        assert_eq!(ioctl(u64::from(request as u32)), EPERM, "{request:#x}");
    }
    assert_eq!(ioctl(u64::from(libc::TCGETS as u32)), Ending::Errno(libc::EBADF));
}

/// On a path that is not there: EPERM comes from the filter, ENOENT from behind it.
#[test]
fn set_id_bits_are_refused() {
    let path = address(c"/nonexistent/capsule-seccomp-test");
    let absent = Ending::Errno(libc::ENOENT);
    let fchmodat = |mode| attempt(libc::SYS_fchmodat, [NOWHERE, path, mode, 0]);
    for mode in [0o4755, 0o2755, 0o6755, 0xdead_0000_0000 | 0o4755] {
        assert_eq!(fchmodat(mode), EPERM, "{mode:o}");
        assert_eq!(attempt(numbers::SYS_fchmodat2, [NOWHERE, path, mode, 0]), EPERM);
        assert_eq!(attempt(libc::SYS_fchmod, [u64::MAX, mode, 0, 0]), EPERM);
    }
    assert_eq!(fchmodat(0o755), absent);
    assert_eq!(fchmodat(0o1777), absent);

    let openat = |flags: i32, mode| attempt(libc::SYS_openat, [NOWHERE, path, flags as u64, mode]);
    assert_eq!(openat(libc::O_CREAT | libc::O_WRONLY, 0o4755), EPERM);
    assert_eq!(openat(libc::O_TMPFILE | libc::O_RDWR, 0o2755), EPERM);
    assert_eq!(openat(libc::O_CREAT | libc::O_WRONLY, 0o755), absent);
    // The mode is not read here, and open() passes on whatever the register held.
    assert_eq!(openat(libc::O_DIRECTORY, 0o7777), absent);
}

#[test]
fn set_id_bits_are_refused_on_a_real_file_and_others_are_not() {
    let file = std::env::temp_dir().join(format!("capsule-seccomp-{}", std::process::id()));
    std::fs::write(&file, "").expect("the temporary folder is writable");
    let path = std::ffi::CString::new(file.to_string_lossy().as_bytes()).expect("no NUL");
    let fchmodat = |mode| {
        let path = path.as_ptr() as u64;
        attempt(libc::SYS_fchmodat, [NOWHERE, path, mode, 0])
    };
    assert_eq!(fchmodat(0o4755), EPERM);
    assert_eq!(fchmodat(0o755), Ending::Success);
    std::fs::remove_file(&file).expect("made above");
}

#[test]
fn only_plain_nodes_are_made() {
    let path = address(c"/nonexistent/capsule-seccomp-test");
    let mknodat = |mode| attempt(libc::SYS_mknodat, [NOWHERE, path, u64::from(mode), 0]);
    assert_eq!(mknodat(libc::S_IFCHR | 0o600), EPERM);
    assert_eq!(mknodat(libc::S_IFBLK | 0o600), EPERM);
    assert_eq!(mknodat(libc::S_IFREG | 0o4755), EPERM);
    assert_eq!(mknodat(libc::S_IFIFO | 0o600), Ending::Errno(libc::ENOENT));
    assert_eq!(mknodat(0o600), Ending::Errno(libc::ENOENT));
}

#[test]
fn a_guest_may_tighten_itself_but_not_listen() {
    let filter = u64::from(libc::SECCOMP_SET_MODE_FILTER);
    // A null program: EFAULT comes from behind the filter.
    let load = |flags| attempt(libc::SYS_seccomp, [filter, flags, 0, 0]);
    assert_eq!(load(0), Ending::Errno(libc::EFAULT));
    assert_eq!(load(u64::from(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32)), EPERM);
}

#[test]
fn own_attributes_are_limited() {
    let prctl = |option: i32| attempt(libc::SYS_prctl, [option as u64, 0, 0, 0]);
    assert_eq!(prctl(libc::PR_GET_DUMPABLE), Ending::Success);
    assert_eq!(prctl(libc::PR_SET_MM), EPERM);
    assert_eq!(prctl(4000), Ending::Errno(libc::EINVAL));
    let personality = |value| attempt(libc::SYS_personality, [value, 0, 0, 0]);
    assert_eq!(personality(0xffff_ffff), Ending::Success);
    assert_eq!(personality(libc::ADDR_NO_RANDOMIZE as u64), Ending::Success);
    assert_eq!(personality(libc::READ_IMPLIES_EXEC as u64), EPERM);
}

#[test]
fn strict_kills_what_it_does_not_list() {
    assert_eq!(attempt_strict(libc::SYS_getpid, [0; 4]), Ending::Success);
    assert_eq!(attempt_strict(libc::SYS_clone3, [0; 4]), ENOSYS);
    assert_eq!(attempt_strict(libc::SYS_mkdirat, [NOWHERE, 0, 0, 0]), SIGSYS);
    assert_eq!(attempt_strict(libc::SYS_unshare, [0; 4]), SIGSYS);
    assert_eq!(attempt_strict(0x3fff, [0; 4]), SIGSYS);
    let create = (libc::O_CREAT | libc::O_WRONLY) as u64;
    let path = address(c"/nonexistent/capsule-seccomp-test");
    let openat = |mode| attempt_strict(libc::SYS_openat, [NOWHERE, path, create, mode]);
    assert_eq!(openat(0o4755), SIGSYS);
    assert_eq!(openat(0o644), Ending::Errno(libc::ENOENT));
    let namespace = libc::CLONE_NEWUSER as u64;
    assert_eq!(attempt_strict(libc::SYS_clone, [namespace, 0, 0, 0]), SIGSYS);
    let memory_map = libc::PR_SET_MM as u64;
    assert_eq!(attempt_strict(libc::SYS_prctl, [memory_map, 0, 0, 0]), SIGSYS);
    let inet = libc::AF_INET as u64;
    assert_eq!(attempt_strict(libc::SYS_socket, [inet, 1, 0, 0]), SIGSYS);
    let unix = libc::AF_UNIX as u64;
    assert_eq!(attempt_strict(libc::SYS_socket, [unix, 1, 0, 0]), Ending::Errno(97));
    let injection = u64::from(libc::TIOCSTI as u32);
    assert_eq!(attempt_strict(libc::SYS_ioctl, [u64::MAX, injection, 0, 0]), SIGSYS);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn other_numberings_kill() {
    const X32: libc::c_long = 0x4000_0000;
    for profile in [Profile::Default, Profile::Strict] {
        let code = program(profile);
        assert_eq!(under(code, super::sys::call_as_i386), SIGSYS);
        let getpid_on_x32 = (X32 | libc::SYS_getpid) as u64;
        assert_eq!(under(code, || call(getpid_on_x32, [0; 4])), SIGSYS);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn old_forms_get_the_same_answers() {
    let path = address(c"/nonexistent/capsule-seccomp-test");
    let absent = Ending::Errno(libc::ENOENT);
    assert_eq!(attempt(libc::SYS_chmod, [path, 0o4755, 0, 0]), EPERM);
    assert_eq!(attempt(libc::SYS_chmod, [path, 0o755, 0, 0]), absent);
    assert_eq!(attempt(libc::SYS_creat, [path, 0o2755, 0, 0]), EPERM);
    assert_eq!(attempt(libc::SYS_creat, [path, 0o644, 0, 0]), absent);
    let create = libc::O_CREAT as u64;
    assert_eq!(attempt(libc::SYS_open, [path, create, 0o4755, 0]), EPERM);
    assert_eq!(attempt(libc::SYS_open, [path, 0, 0o4755, 0]), absent);
    let device = u64::from(libc::S_IFCHR);
    assert_eq!(attempt(libc::SYS_mknod, [path, device, 0, 0]), EPERM);
}

/// The same attempts with a filter that allows everything: each denial above is the
/// filter's, not the machine's.
#[test]
fn without_the_filter_the_answers_differ() {
    let open = [libc::sock_filter { code: 6, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW }];
    let attempt = |number: libc::c_long, arguments| under(&open, || call(number as u64, arguments));
    let path = address(c"/nonexistent/capsule-seccomp-test");
    let absent = Ending::Errno(libc::ENOENT);
    assert_eq!(attempt(libc::SYS_unshare, [0; 4]), Ending::Success);
    assert_ne!(attempt(libc::SYS_clone3, [0; 4]), ENOSYS);
    assert_ne!(attempt(libc::SYS_openat2, [NOWHERE, 0, 0, 0]), ENOSYS);
    assert_eq!(attempt(libc::SYS_fchmodat, [NOWHERE, path, 0o4755, 0]), absent);
    let injection = u64::from(libc::TIOCSTI as u32);
    let bad = Ending::Errno(libc::EBADF);
    assert_eq!(attempt(libc::SYS_ioctl, [u64::MAX, injection, 0, 0]), bad);
}
