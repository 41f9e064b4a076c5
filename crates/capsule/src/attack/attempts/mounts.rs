//! Writing where it is not allowed, and races on what is mounted.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::Guest;
use crate::attack::stage::{Stage, judge, no_run, told};
use crate::attack::sys;

const FAMILY: Family = Family::Mounts;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "write-system",
        family: FAMILY,
        tries: "change the system directories and the root",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for directory in ["/", "/usr", "/usr/bin", "/etc", "/dev", "/opt/capsule-attack"] {
                if Path::new(directory).exists() {
                    let path = format!("{directory}/capsule-attack-file");
                    guest.refused(&path, File::create(&path));
                    guest.refused(directory, fs::create_dir(format!("{path}.d")));
                }
            }
            for file in ["/etc/passwd", "/bin/sh", "/proc/self/exe", super::super::stage::BINARY] {
                let written = OpenOptions::new().write(true).open(file);
                guest.refused_by(file, written, &[libc::ETXTBSY, libc::ENOENT]);
            }
        },
        outside: told,
    },
    Attempt {
        name: "write-read-only",
        family: FAMILY,
        tries: "change, remove, rename, chmod, truncate and tag files of a read-only mount",
        bounds: Bounds::USUAL,
        guest: write_read_only,
        outside: read_only_is_unchanged,
    },
    Attempt {
        name: "remount",
        family: FAMILY,
        tries: "remount read-only places as writable",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let flags = libc::MS_REMOUNT | libc::MS_BIND;
            for place in [c"/", c"/usr", c"/proc", c"/proc/sys", c"/opt/capsule-attack/capsule"] {
                let what = place.to_string_lossy().into_owned();
                guest
                    .refused(&what, sys::call!(libc::SYS_mount, c"none", place, c"none", flags, 0));
                // struct mount_attr with attr_clr = MOUNT_ATTR_RDONLY.
                let mut attributes = [0u8; 32];
                attributes[8] = 1;
                let changed = sys::call!(
                    libc::SYS_mount_setattr,
                    libc::AT_FDCWD,
                    place,
                    0,
                    &mut attributes,
                    32
                );
                guest.refused(&what, changed);
            }
        },
        outside: told,
    },
    Attempt {
        name: "unmask",
        family: FAMILY,
        tries: "unmount what covers /proc, and mount another one",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for place in [c"/proc/sys", c"/proc", c"/dev/null", c"/"] {
                let what = place.to_string_lossy().into_owned();
                let unmounted = sys::call!(libc::SYS_umount2, place, libc::MNT_DETACH);
                guest.refused(&what, unmounted);
            }
            let mounted = sys::call!(libc::SYS_mount, c"proc", c"/tmp", c"proc", 0, 0);
            guest.refused("mount proc", mounted);
            let bound = sys::call!(libc::SYS_mount, c"/tmp", c"/etc", c"none", libc::MS_BIND, 0);
            guest.refused("mount over /etc", bound);
        },
        outside: told,
    },
    Attempt {
        name: "link-as-destination",
        family: FAMILY,
        tries: "leave a link in a shared directory where the next jail mounts something",
        bounds: Bounds::USUAL,
        guest: |guest| {
            if guest.role() == "plant" {
                let _ = std::os::unix::fs::symlink("/etc", "/share/here");
                return guest.held("plant", "planted");
            }
            let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
            guest.expect("/etc", passwd.contains("capsule:"), "is the jail's own");
        },
        outside: link_as_destination,
    },
    Attempt {
        name: "source-race",
        family: FAMILY,
        tries: "exchange a directory and a link to the host without a pause, while jails mount what is below",
        bounds: Bounds { timeout_ms: 20_000, ..Bounds::USUAL },
        guest: source_race,
        outside: source_race_is_lost,
    },
    Attempt {
        name: "execute-from-proc",
        family: FAMILY,
        tries: "write through /proc/self/mem into the read-only program that is running",
        bounds: Bounds::USUAL,
        guest: |guest| {
            // Writing private pages of the own process is no escape; the file must not change.
            let written = OpenOptions::new().write(true).open("/proc/self/exe");
            guest.refused_by("/proc/self/exe", written, &[libc::ETXTBSY]);
            let truncated = sys::call!(libc::SYS_truncate, c"/proc/self/exe", 0);
            guest.refused_by("truncate", truncated, &[libc::ETXTBSY]);
        },
        outside: |stage| {
            let before = fs::metadata(stage.binary).map(|data| (data.len(), data.modified().ok()));
            let verdict = told(stage);
            let after = fs::metadata(stage.binary).map(|data| (data.len(), data.modified().ok()));
            let same = before.is_ok() && before.ok() == after.ok();
            verdict.and(Verdict::held_if(same, "the file on the host is unchanged"))
        },
    },
];

fn write_read_only(guest: &Guest) {
    guest.refused("open to write", OpenOptions::new().write(true).open("/ro/secret"));
    guest.refused("append", OpenOptions::new().append(true).open("/ro/secret"));
    guest.refused("truncate", sys::call!(libc::SYS_truncate, c"/ro/secret", 0));
    guest.refused("remove", fs::remove_file("/ro/secret"));
    guest.refused("rename", fs::rename("/ro/secret", "/ro/other"));
    guest.refused("chmod", fs::set_permissions("/ro/secret", PermissionsExt::from_mode(0o777)));
    guest.refused("create", File::create("/ro/new"));
    guest.refused("mkdir", fs::create_dir("/ro/directory"));
    guest.refused("symlink", std::os::unix::fs::symlink("/", "/ro/link"));
    guest.refused(
        "mknod",
        sys::call!(libc::SYS_mknodat, libc::AT_FDCWD, c"/ro/pipe", libc::S_IFIFO | 0o600, 0),
    );
    let mut value = *b"x";
    let tagged = sys::call!(libc::SYS_setxattr, c"/ro/secret", c"user.capsule", &mut value, 1, 0);
    guest.refused("setxattr", tagged);
    let times = sys::call!(libc::SYS_utimensat, libc::AT_FDCWD, c"/ro/secret", 0, 0);
    guest.refused("utimensat", times);
    let by_link = OpenOptions::new().write(true).open("/proc/self/root/ro/secret");
    guest.refused("by /proc/self/root", by_link);
    if let Ok(file) = File::open("/ro/secret") {
        use std::os::fd::AsRawFd;
        let again = format!("/proc/self/fd/{}", file.as_raw_fd());
        guest.refused("reopen", OpenOptions::new().write(true).open(again));
    }
}

fn read_only_is_unchanged(stage: &Stage<'_>) -> Verdict {
    let prepared = stage.secret("ro").and_then(|(ro, secret)| {
        // Modes must not be what keeps the guest out.
        fs::set_permissions(&ro, PermissionsExt::from_mode(0o777))?;
        fs::set_permissions(ro.join("secret"), PermissionsExt::from_mode(0o666))?;
        Ok((ro, secret))
    });
    let (ro, secret) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Verdict::Inconclusive(error.to_string()),
    };
    let verdict = stage.jail().readonly(&ro, "/ro").told();
    let kept = fs::read_to_string(ro.join("secret")).is_ok_and(|text| text == secret);
    let alone = fs::read_dir(&ro).map_or(0, Iterator::count) == 1;
    verdict.and(Verdict::held_if(kept && alone, "unchanged on the host"))
}

fn link_as_destination(stage: &Stage<'_>) -> Verdict {
    let scene = stage.directory("share").and_then(|share| Ok((share, stage.secret("gift")?)));
    let (share, (gift, _)) = match scene {
        Ok(scene) => scene,
        Err(error) => return Verdict::Inconclusive(error.to_string()),
    };
    let planted = stage.jail().writable(&share, "/share").role(&["plant"]).run();
    if let Err(error) = planted {
        return Verdict::Inconclusive(no_run(&error));
    }
    if fs::read_link(share.join("here")).is_err() {
        return Verdict::Inconclusive("the link was not planted".to_owned());
    }
    let result = stage.jail().writable(&share, "/share").readonly(&gift, "/share/here").run();
    match &result {
        Err(error) => Verdict::Held(format!("refused: {}", error.failure.code)),
        Ok(_) => judge(&result),
    }
}

fn source_race(guest: &Guest) {
    if guest.role() == "look" {
        // An empty place and a directory without the secret are both fine.
        let found = fs::read("/gift/secret");
        return guest.unreachable("/gift/secret", found.map(drop));
    }
    guest.keep_silent();
    let _ = fs::create_dir_all("/share/door/inner");
    let _ = std::os::unix::fs::symlink(guest.argument(1), "/share/link");
    let _ = File::create("/share/ready");
    while !Path::new("/share/stop").exists() {
        for _ in 0..500 {
            let exchanged = sys::call!(
                libc::SYS_renameat2,
                libc::AT_FDCWD,
                c"/share/door",
                libc::AT_FDCWD,
                c"/share/link",
                libc::RENAME_EXCHANGE
            );
            if exchanged.is_err() {
                return guest.unclear("exchange", "refused");
            }
        }
    }
    guest.held("exchange", "raced");
}

/// The link leads to a directory that has `inner/secret`; the real one has not.
fn source_race_is_lost(stage: &Stage<'_>) -> Verdict {
    const RACE: Duration = Duration::from_millis(800);
    let scene = stage.directory("share").and_then(|share| {
        let host = stage.directory("host")?;
        stage.secret("host/inner")?;
        Ok((share, host))
    });
    let (share, host) = match scene {
        Ok(scene) => scene,
        Err(error) => return Verdict::Inconclusive(error.to_string()),
    };
    let target = host.display().to_string();
    let source = share.join("door/inner");
    let race = || -> io::Result<(usize, usize, Verdict)> {
        if !stage.wait_for(Duration::from_secs(5), || share.join("ready").exists()) {
            return Ok((0, 0, Verdict::Inconclusive("the racer never came".to_owned())));
        }
        let (mut given, mut refused) = (0, 0);
        let mut verdict = Verdict::Held(String::new());
        let until = Instant::now() + RACE;
        while Instant::now() < until || given + refused < 4 {
            let result = stage.jail().readonly(&source, "/gift").role(&["look"]).run();
            match &result {
                Err(_) => refused += 1,
                Ok(_) => {
                    given += 1;
                    if let Verdict::Escaped(what) = judge(&result) {
                        verdict = Verdict::Escaped(format!("{what} after {given} jails"));
                        break;
                    }
                }
            }
        }
        Ok((given, refused, verdict))
    };
    let ((given, refused, verdict), racer) = std::thread::scope(|scope| {
        let racer =
            scope.spawn(|| stage.jail().writable(&share, "/share").role(&["", &target]).run());
        let raced = race();
        let _ = File::create(share.join("stop"));
        (raced.unwrap_or((0, 0, Verdict::Inconclusive("no race".to_owned()))), racer.join())
    });
    match racer {
        Ok(Err(error)) => return Verdict::Inconclusive(no_run(&error)),
        Err(_) => return Verdict::Inconclusive("the racer's thread panicked".to_owned()),
        Ok(Ok(_)) => {}
    }
    verdict.and(Verdict::Held(format!("{given} jails got the directory, {refused} were refused")))
}
