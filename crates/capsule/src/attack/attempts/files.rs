//! Files that the host keeps to itself, by every way that leads to one.

use std::fs::{self, File};

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::Guest;
use crate::attack::stage::{Entry, Stage, judge, no_run, told};
use crate::attack::sys;

const FAMILY: Family = Family::Files;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "host-secrets",
        family: FAMILY,
        tries: "open the host's passwords, keys, homes, logs and sockets by their names",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for path in [
                "/etc/shadow",
                "/etc/gshadow",
                "/etc/sudoers",
                "/etc/ssh",
                "/etc/machine-id",
                "/etc/hostname",
                "/etc/ssl/private",
                "/root",
                "/home",
                "/var",
                "/var/log",
                "/boot",
                "/srv",
                "/mnt",
                "/media",
                "/run",
                "/run/docker.sock",
                "/var/run/docker.sock",
                "/run/systemd",
                "/lost+found",
                "/sys",
                "/sys/kernel",
                "/sys/fs/cgroup",
                "/dev/shm/../../root",
                "/.dockerenv",
            ] {
                guest.unreachable(path, File::open(path));
            }
        },
        outside: told,
    },
    Attempt {
        name: "dot-dot",
        family: FAMILY,
        tries: "climb with .. from every directory to a readable file of the host",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let secret = guest.argument(1);
            for start in ["/", "/tmp", "/workspace", "/proc/self", "/dev/pts", "/share", "/usr"] {
                let path = format!("{start}{}{secret}", "/..".repeat(40));
                guest.unreachable(&path, fs::read(&path));
            }
            // From a directory that is held open while it is moved.
            let _ = fs::create_dir_all("/share/a/b");
            let _ = std::env::set_current_dir("/share/a/b");
            let _ = fs::rename("/share/a/b", "/share/c");
            let path = format!("{}..{secret}", "../".repeat(40));
            guest.unreachable(&path, fs::read(&path));
        },
        outside: |stage| {
            kept_secret(stage, |stage, entry| {
                let share = stage.directory("share")?;
                Ok(entry.writable(&share, "/share"))
            })
        },
    },
    Attempt {
        name: "proc-roots",
        family: FAMILY,
        tries: "reach a readable file of the host by the root and cwd links of /proc",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let secret = guest.argument(1);
            for start in [
                "/proc/self/root",
                "/proc/self/cwd/..",
                "/proc/1/root",
                "/proc/1/cwd",
                "/proc/self/task/1/root",
                "/proc/thread-self/root/..",
                "/proc/2/root",
                "/proc/self/root/proc/1/root",
                "/dev/fd/0/..",
                "/proc/self/fd/1/..",
                "/proc/self/exe/..",
                "/proc/self/map_files/..",
            ] {
                let path = format!("{start}{secret}");
                guest.unreachable(&path, fs::read(&path));
            }
        },
        outside: |stage| kept_secret(stage, |_, entry| Ok(entry)),
    },
    Attempt {
        name: "shared-parent",
        family: FAMILY,
        tries: "climb from a shared directory to its neighbour on the host",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for path in
                ["/share/../host/secret", "/share/inner/../../host/secret", "/share/link/secret"]
            {
                let _ = std::os::unix::fs::symlink("../host", "/share/link");
                guest.unreachable(path, fs::read(path));
            }
            match File::open("/share") {
                Ok(directory) => {
                    use std::os::fd::AsRawFd;
                    let opened = sys::call!(
                        libc::SYS_openat,
                        directory.as_raw_fd(),
                        c"../host/secret",
                        0,
                        0
                    );
                    guest.unreachable("openat(share, ..)", opened);
                }
                Err(error) => guest.unclear("/share", error.to_string()),
            }
        },
        outside: |stage| {
            kept_secret(stage, |stage, entry| {
                let share = stage.directory("share")?;
                fs::create_dir_all(share.join("inner"))?;
                Ok(entry.writable(&share, "/share"))
            })
        },
    },
    Attempt {
        name: "file-handles",
        family: FAMILY,
        tries: "open files by handle, which walks no path and meets no mount",
        bounds: Bounds::USUAL,
        guest: file_handles,
        outside: told,
    },
    Attempt {
        name: "hard-links-out",
        family: FAMILY,
        tries: "link files of read-only places into a writable one, to change them there",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for from in ["/ro/secret", super::super::stage::BINARY, "/bin/sh", "/proc/self/exe"] {
                let to = format!("/share/{}", from.replace('/', "_"));
                guest.unreachable(from, fs::hard_link(from, to));
            }
            let linked = sys::call!(
                libc::SYS_linkat,
                libc::AT_FDCWD,
                c"/proc/self/exe",
                libc::AT_FDCWD,
                c"/share/exe",
                libc::AT_SYMLINK_FOLLOW
            );
            guest.unreachable("linkat(follow)", linked);
            let moved = fs::rename("/ro/secret", "/share/moved");
            guest.unreachable("rename", moved);
        },
        outside: |stage| {
            let scene = stage.secret("ro").and_then(|ro| Ok((ro, stage.directory("share")?)));
            let ((ro, secret), share) = match scene {
                Ok(scene) => scene,
                Err(error) => return Verdict::Inconclusive(error.to_string()),
            };
            let verdict = stage.jail().readonly(&ro, "/ro").writable(&share, "/share").told();
            let kept = fs::read_to_string(ro.join("secret")).is_ok_and(|text| text == secret);
            let made = fs::read_dir(&share).map_or(0, Iterator::count);
            verdict.and(Verdict::held_if(kept && made == 0, "the host's file is unchanged"))
        },
    },
    Attempt {
        name: "symlink-from-share",
        family: FAMILY,
        tries: "leave a link to a host directory in a shared one, for the next jail to be given",
        bounds: Bounds::USUAL,
        guest: |guest| {
            if guest.role() == "plant" {
                for name in ["link", "deep"] {
                    let _ = std::os::unix::fs::symlink(guest.argument(1), format!("/share/{name}"));
                }
                return guest.held("plant", "planted");
            }
            guest.unreachable("/gift/secret", fs::read("/gift/secret"));
        },
        outside: planted_link_is_refused,
    },
];

/// Runs the main part with the path of a host file that anybody may read, and
/// looks for its contents in what came out.
fn kept_secret(
    stage: &Stage<'_>,
    prepare: for<'a> fn(&Stage<'a>, Entry<'a>) -> std::io::Result<Entry<'a>>,
) -> Verdict {
    let (host, secret) = match stage.secret("host") {
        Ok(scene) => scene,
        Err(error) => return Verdict::Inconclusive(error.to_string()),
    };
    let path = host.join("secret").display().to_string();
    let entry = match prepare(stage, stage.jail().role(&["", &path])) {
        Ok(entry) => entry,
        Err(error) => return Verdict::Inconclusive(error.to_string()),
    };
    let result = entry.run();
    let verdict = judge(&result);
    let leaked = result
        .is_ok_and(|outcome| String::from_utf8_lossy(&outcome.stdout.bytes).contains(&secret));
    if leaked { Verdict::Escaped("the host's file was printed".to_owned()) } else { verdict }
}

fn file_handles(guest: &Guest) {
    let mut handle = [0u8; 136];
    handle[..4].copy_from_slice(&128u32.to_ne_bytes());
    let mut mount = [0u8; 4];
    let named = sys::call!(
        libc::SYS_name_to_handle_at,
        libc::AT_FDCWD,
        c"/usr",
        &mut handle,
        &mut mount,
        0
    );
    guest.refused("name_to_handle_at", named);
    // The root of most file systems: inode 2, generation 0 (the "shocker" exploit).
    let mut handle = [0u8; 16];
    handle[..4].copy_from_slice(&8u32.to_ne_bytes());
    handle[4..8].copy_from_slice(&1i32.to_ne_bytes());
    handle[8..12].copy_from_slice(&2u32.to_ne_bytes());
    match File::open("/usr") {
        Ok(directory) => {
            use std::os::fd::AsRawFd;
            let opened =
                sys::call!(libc::SYS_open_by_handle_at, directory.as_raw_fd(), &mut handle, 0);
            guest.refused_by("open_by_handle_at", opened, &[libc::ESTALE]);
        }
        Err(error) => guest.unclear("/usr", error.to_string()),
    }
}

fn planted_link_is_refused(stage: &Stage<'_>) -> Verdict {
    let scene = stage.secret("host").and_then(|host| Ok((host, stage.directory("share")?)));
    let ((host, _), share) = match scene {
        Ok(scene) => scene,
        Err(error) => return Verdict::Inconclusive(error.to_string()),
    };
    let target = host.display().to_string();
    let planted = stage.jail().writable(&share, "/share").role(&["plant", &target]).run();
    if let Err(error) = planted {
        return Verdict::Inconclusive(no_run(&error));
    }
    if fs::read_link(share.join("link")).is_err() {
        return Verdict::Inconclusive("the link was not planted".to_owned());
    }
    let mut verdict = Verdict::Held(String::new());
    for source in [share.join("link"), share.join("deep/.")] {
        verdict = verdict.and(match stage.jail().readonly(&source, "/gift").run() {
            Err(error) if error.failure.code == capsule_spec::ErrorCode::UnsafePath => {
                Verdict::Held(error.failure.code.to_string())
            }
            Err(error) => Verdict::Inconclusive(no_run(&error)),
            Ok(_) => Verdict::Escaped("a jail was given the link's target".to_owned()),
        });
    }
    verdict
}
