//! Namespaces and the mount tree: the ground that the jail stands on.

use std::fs::{self, File};
use std::os::fd::AsRawFd;

use crate::attack::attempt::{Attempt, Bounds, Family};
use crate::attack::guest::Guest;
use crate::attack::stage::told;
use crate::attack::sys;

const FAMILY: Family = Family::Kernel;

/// `CLONE_NEWTIME`, which libc lacks on some targets.
const NEWTIME: i32 = 0x80;

const NAMESPACES: [(&str, i32); 8] = [
    ("user", libc::CLONE_NEWUSER),
    ("mount", libc::CLONE_NEWNS),
    ("pid", libc::CLONE_NEWPID),
    ("net", libc::CLONE_NEWNET),
    ("ipc", libc::CLONE_NEWIPC),
    ("uts", libc::CLONE_NEWUTS),
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("time", NEWTIME),
];

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "unshare",
        family: FAMILY,
        tries: "unshare each namespace, alone and together with a user namespace",
        bounds: Bounds::USUAL,
        guest: |guest| {
            // Alone first: after a user namespace all others would be allowed.
            for (name, flag) in NAMESPACES.into_iter().rev() {
                guest.refused(name, sys::call!(libc::SYS_unshare, flag));
            }
            let all = NAMESPACES.iter().fold(0, |all, (_, flag)| all | flag);
            guest.refused("all", sys::call!(libc::SYS_unshare, all));
        },
        outside: told,
    },
    Attempt {
        name: "clone-namespaces",
        family: FAMILY,
        tries: "clone a child into new namespaces",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for (name, flag) in NAMESPACES {
                if flag == NEWTIME {
                    // In clone(2) this bit belongs to the exit signal.
                    continue;
                }
                for flags in [flag, flag | libc::CLONE_NEWUSER] {
                    let cloned = sys::call!(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0);
                    if let Ok(0) = cloned {
                        sys::exit(0);
                    }
                    guest.refused(name, cloned);
                }
            }
        },
        outside: told,
    },
    Attempt {
        name: "clone3",
        family: FAMILY,
        tries: "clone by clone3, whose flags a filter cannot see",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for (name, flag) in NAMESPACES {
                let mut arguments = [0u8; 88];
                let flags = u64::from(flag.cast_unsigned()) | libc::CLONE_NEWUSER as u64;
                arguments[..8].copy_from_slice(&flags.to_ne_bytes());
                arguments[32..40].copy_from_slice(&(libc::SIGCHLD as u64).to_ne_bytes());
                let cloned = sys::call!(libc::SYS_clone3, &mut arguments, 88);
                if let Ok(0) = cloned {
                    sys::exit(0);
                }
                guest.refused(name, cloned);
            }
        },
        outside: told,
    },
    Attempt {
        name: "setns",
        family: FAMILY,
        tries: "enter the namespaces of PID 1 and of itself again",
        bounds: Bounds::USUAL,
        guest: setns,
        outside: told,
    },
    Attempt {
        name: "mount-old",
        family: FAMILY,
        tries: "mount, bind, move and pivot with the old calls",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let mount = |what: &str, flags: u64| {
                let mounted =
                    sys::call!(libc::SYS_mount, c"/tmp", c"/workspace", c"tmpfs", flags, 0);
                guest.refused(what, mounted);
            };
            mount("tmpfs", 0);
            mount("bind", libc::MS_BIND);
            mount("recursive bind", libc::MS_BIND | libc::MS_REC);
            mount("move", libc::MS_MOVE);
            mount("share", libc::MS_SHARED | libc::MS_REC);
            guest.refused("pivot_root", sys::call!(libc::SYS_pivot_root, c"/tmp", c"/tmp"));
        },
        outside: told,
    },
    Attempt {
        name: "mount-new",
        family: FAMILY,
        tries: "open, clone, move and pick mounts with the new calls",
        bounds: Bounds::USUAL,
        guest: |guest| {
            const OPEN_TREE_CLONE: i32 = 1;
            let here = libc::AT_FDCWD;
            guest.refused("fsopen", sys::call!(libc::SYS_fsopen, c"tmpfs", 0));
            guest.refused("fspick", sys::call!(libc::SYS_fspick, here, c"/", 0));
            guest
                .refused("open_tree", sys::call!(libc::SYS_open_tree, here, c"/", OPEN_TREE_CLONE));
            guest.refused("open_tree (no clone)", sys::call!(libc::SYS_open_tree, here, c"/", 0));
            let moved = sys::call!(libc::SYS_move_mount, here, c"/tmp", here, c"/workspace", 0);
            guest.refused("move_mount", moved);
            guest.refused("fsmount", sys::call!(libc::SYS_fsmount, -1, 0, 0));
            let mut attributes = [0u8; 32];
            let set = sys::call!(libc::SYS_mount_setattr, here, c"/tmp", 0, &mut attributes, 32);
            guest.refused("mount_setattr", set);
        },
        outside: told,
    },
    Attempt {
        name: "chroot",
        family: FAMILY,
        tries: "leave the root by chroot and a directory that stays open",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let _ = fs::create_dir("/tmp/cage");
            let inside = fs::read("/etc/passwd").unwrap_or_default();
            let kept = File::open("/");
            guest.refused("chroot", sys::call!(libc::SYS_chroot, c"/tmp/cage"));
            if let Ok(kept) = kept {
                let _ = sys::call!(libc::SYS_fchdir, kept.as_raw_fd());
            }
            let _ = std::env::set_current_dir("../../../../../..");
            let here = fs::read("etc/passwd").unwrap_or_default();
            let is_same = !inside.is_empty() && here == inside;
            guest.expect("the root above", is_same, "is still the sandbox's");
        },
        outside: told,
    },
    Attempt {
        name: "watch-the-host",
        family: FAMILY,
        tries: "watch whole file systems with fanotify, and list mounts by their ids",
        bounds: Bounds::USUAL,
        guest: |guest| {
            const STATMOUNT: i64 = 457;
            const LISTMOUNT: i64 = 458;
            guest.refused("fanotify_init", sys::call!(libc::SYS_fanotify_init, 0x200, 0));
            let mut request = [0u8; 24];
            request[..4].copy_from_slice(&24u32.to_ne_bytes());
            request[8..16].copy_from_slice(&u64::MAX.to_ne_bytes());
            let mut answer = [0u8; 256];
            let listed = sys::call!(LISTMOUNT, &mut request, &mut answer, 32, 0);
            guest.refused("listmount", listed);
            guest.refused("statmount", sys::call!(STATMOUNT, &mut request, &mut answer, 256, 0));
        },
        outside: told,
    },
];

fn setns(guest: &Guest) {
    for name in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"] {
        for owner in ["self", "1"] {
            let path = format!("/proc/{owner}/ns/{name}");
            match File::open(&path) {
                Ok(file) => guest.refused_by(
                    &path,
                    sys::call!(libc::SYS_setns, file.as_raw_fd(), 0),
                    // The own user namespace cannot be entered again by anybody.
                    &[libc::EINVAL],
                ),
                Err(error) => guest.unreachable(&path, Err::<(), _>(error)),
            }
        }
    }
    if let Ok(handle) = sys::call!(libc::SYS_pidfd_open, 1, 0) {
        guest.refused("pidfd of PID 1", sys::call!(libc::SYS_setns, handle, libc::CLONE_NEWNS));
    }
}
