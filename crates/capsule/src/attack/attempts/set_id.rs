//! Files that give whoever runs them another user: using them, and leaving some
//! on the host.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::Guest;
use crate::attack::stage::{Stage, judge, told};
use crate::attack::sys;

const FAMILY: Family = Family::Privileges;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "run-set-user",
        family: FAMILY,
        tries: "run a set-user-id copy of this binary that root left in a shared directory",
        bounds: Bounds::USUAL,
        guest: run_set_user,
        outside: planted_by_root,
    },
    Attempt {
        name: "run-su",
        family: FAMILY,
        tries: "run the host's own set-user-id programs",
        bounds: Bounds::USUAL,
        guest: run_su,
        outside: told,
    },
    Attempt {
        name: "leave-set-user",
        family: FAMILY,
        tries: "leave a set-user-id file in a shared directory, by each call that sets modes",
        bounds: Bounds::USUAL,
        guest: |guest| leave(guest, libc::S_ISUID),
        outside: no_set_id_left,
    },
    Attempt {
        name: "leave-set-group",
        family: FAMILY,
        tries: "leave a set-group-id file in a shared directory, by each call that sets modes",
        bounds: Bounds::USUAL,
        guest: |guest| leave(guest, libc::S_ISGID),
        outside: no_set_id_left,
    },
    Attempt {
        name: "leave-capabilities",
        family: FAMILY,
        tries: "leave a file with capabilities in its attributes in a shared directory",
        bounds: Bounds::USUAL,
        guest: leave_capabilities,
        outside: |stage| match stage.directory("share") {
            Ok(share) => stage.jail().writable(&share, "/share").told(),
            Err(error) => Verdict::Inconclusive(error.to_string()),
        },
    },
];

fn run_set_user(guest: &Guest) {
    if guest.role() == "who" {
        guest.keep_silent();
        sys::exit(if sys::effective_user() == 1000 { 42 } else { 43 });
    }
    let run = Command::new("/share/planted")
        .args(["attack", "--inside", &guest.name, &guest.marker, "who"])
        .status();
    match run.map(|status| status.code()) {
        Ok(Some(42)) => guest.held("planted", "ran as the same user"),
        Ok(Some(43)) => guest.through("planted", "ran as another user"),
        Ok(other) => guest.unclear("planted", format!("exit {other:?}")),
        Err(error) => guest.refused::<()>("planted", Err(error)),
    }
}

fn planted_by_root(stage: &Stage<'_>) -> Verdict {
    if sys::effective_user() != 0 {
        return Verdict::Skipped("only root can leave a set-user-id file of root".to_owned());
    }
    let share = stage.directory("share").and_then(|share| {
        let planted = share.join("planted");
        fs::copy(stage.binary, &planted)?;
        fs::set_permissions(&planted, PermissionsExt::from_mode(0o4755))?;
        // Another owner than the directory's, so that the id map leaves root what it is.
        std::os::unix::fs::chown(&share, Some(65_534), Some(65_534))?;
        Ok(share)
    });
    match share {
        Ok(share) => stage.jail().writable(&share, "/share").told(),
        Err(error) => Verdict::Inconclusive(error.to_string()),
    }
}

fn run_su(guest: &Guest) {
    let mut found = 0;
    for directory in ["/usr/bin", "/usr/sbin", "/bin", "/sbin"] {
        for name in ["su", "mount", "passwd", "newgrp", "pkexec", "sudo", "busybox"] {
            let path = format!("{directory}/{name}");
            let Ok(data) = fs::metadata(&path) else { continue };
            if data.permissions().mode() & libc::S_ISUID == 0 {
                continue;
            }
            found += 1;
            // What it does does not matter; who it is while it does it does.
            match sys::fork() {
                Ok(None) => {
                    let _ = Command::new(&path).arg("--help").output();
                    sys::exit(0);
                }
                Ok(Some(pid)) => drop(sys::wait(pid)),
                Err(error) => return guest.unclear("fork", error.to_string()),
            }
            let ran = Command::new(&path).args(["-c", "id -u", "root"]).output();
            let as_root = ran.is_ok_and(|output| output.stdout.starts_with(b"0"));
            guest.expect(&path, !as_root, "gave nothing");
        }
    }
    if found == 0 {
        guest.absent("set-user-id programs", "this host has none in its system directories");
    }
}

/// Every way to a mode with `bit`.
fn leave(guest: &Guest, bit: u32) {
    let here = libc::AT_FDCWD;
    let mode = bit | 0o755;
    let _ = fs::write("/share/file", "#!/bin/sh\n");
    let path = c"/share/file";
    #[cfg(target_arch = "x86_64")]
    {
        guest.refused("chmod", sys::call!(libc::SYS_chmod, path, mode));
        guest.refused("creat", sys::call!(libc::SYS_creat, c"/share/creat", mode));
        let flags = libc::O_CREAT | libc::O_WRONLY;
        guest.refused("open", sys::call!(libc::SYS_open, c"/share/open", flags, mode));
        let node = sys::call!(libc::SYS_mknod, c"/share/mknod", libc::S_IFREG | mode, 0);
        guest.refused("mknod", node);
    }
    if let Ok(file) = File::open("/share/file") {
        guest.refused("fchmod", sys::call!(libc::SYS_fchmod, file.as_raw_fd(), mode));
        let by_link = format!("/proc/self/fd/{}", file.as_raw_fd());
        guest.refused(
            "chmod of /proc/self/fd",
            fs::set_permissions(by_link, PermissionsExt::from_mode(mode)),
        );
    }
    guest.refused("fchmodat", sys::call!(libc::SYS_fchmodat, here, path, mode));
    const FCHMODAT2: i64 = 452;
    guest.refused("fchmodat2", sys::call!(FCHMODAT2, here, path, mode, 0));
    let flags = libc::O_CREAT | libc::O_WRONLY;
    guest.refused("openat", sys::call!(libc::SYS_openat, here, c"/share/openat", flags, mode));
    let mut how = [0u8; 24];
    how[..8].copy_from_slice(&(flags as u64).to_ne_bytes());
    how[8..16].copy_from_slice(&u64::from(mode).to_ne_bytes());
    guest.refused("openat2", sys::call!(libc::SYS_openat2, here, c"/share/openat2", &mut how, 24));
    let node = sys::call!(libc::SYS_mknodat, here, c"/share/mknodat", libc::S_IFREG | mode, 0);
    guest.refused("mknodat", node);
    let flags = libc::O_TMPFILE | libc::O_WRONLY;
    let hidden = sys::call!(libc::SYS_openat, here, c"/share", flags, mode);
    guest.refused("O_TMPFILE", hidden);
    // The old asynchronous interface and a directory's inheritance go around no mode check.
    let directory = sys::call!(libc::SYS_mkdirat, here, c"/share/directory", mode);
    let made = fs::metadata("/share/directory").map(|data| data.permissions().mode() & bit);
    guest.expect(
        "mkdirat",
        directory.is_err() || made.is_ok_and(|bits| bits == 0),
        "drops the bit",
    );
}

fn no_set_id_left(stage: &Stage<'_>) -> Verdict {
    let share = match stage.directory("share") {
        Ok(share) => share,
        Err(error) => return Verdict::Inconclusive(error.to_string()),
    };
    let result = stage.jail().writable(&share, "/share").run();
    let verdict = judge(&result);
    if !share.join("file").exists() {
        return Verdict::Inconclusive("the guest could write nothing at all".to_owned());
    }
    let left = set_id_files(&share);
    verdict.and(Verdict::held_if(left.is_empty(), format!("{} such files on the host", left.len())))
}

fn set_id_files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let set_id = libc::S_ISUID | libc::S_ISGID;
    entries
        .filter(|entry| entry.metadata().is_ok_and(|data| data.permissions().mode() & set_id != 0))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn leave_capabilities(guest: &Guest) {
    if let Err(error) = fs::write("/share/file", "x") {
        return guest.unclear("write", error.to_string());
    }
    // vfs_cap_data, version 2: CAP_SYS_ADMIN permitted and effective. And version 3,
    // which names the root user it is for.
    let mut version_2 = [0u8; 20];
    version_2[..4].copy_from_slice(&0x0200_0001u32.to_le_bytes());
    version_2[6] = 0x20;
    let mut version_3 = [0u8; 24];
    version_3[..4].copy_from_slice(&0x0300_0001u32.to_le_bytes());
    version_3[6] = 0x20;
    let name = c"security.capability";
    let set = sys::call!(libc::SYS_setxattr, c"/share/file", name, &mut version_2, 20, 0);
    guest.refused("version 2", set);
    let set = sys::call!(libc::SYS_setxattr, c"/share/file", name, &mut version_3, 24, 0);
    guest.refused("version 3", set);
    for name in [c"security.capsule", c"trusted.capsule"] {
        let mut value = *b"x";
        let set = sys::call!(libc::SYS_setxattr, c"/share/file", name, &mut value, 1, 0);
        guest.refused(&name.to_string_lossy(), set);
    }
}
