//! Users and capabilities: becoming somebody else.

use std::fs;
use std::io;
use std::time::Duration;

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::Guest;
use crate::attack::stage::{Stage, no_run, told};
use crate::attack::{host, sys};

const FAMILY: Family = Family::Privileges;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "become-root",
        family: FAMILY,
        tries: "set user and group ids to root and to others, and join groups",
        bounds: Bounds::USUAL,
        guest: |guest| {
            // EINVAL: the id has no meaning in this user namespace.
            let also = [libc::EINVAL];
            for id in [0, 1, 65_534] {
                guest.refused_by("setuid", sys::call!(libc::SYS_setuid, id), &also);
                guest.refused_by("setgid", sys::call!(libc::SYS_setgid, id), &also);
                guest.refused_by("setreuid", sys::call!(libc::SYS_setreuid, id, id), &also);
                guest.refused_by("setresuid", sys::call!(libc::SYS_setresuid, id, id, id), &also);
                guest.refused_by("setresgid", sys::call!(libc::SYS_setresgid, id, id, id), &also);
            }
            let mut groups = [0u8; 8];
            guest.refused_by("setgroups", sys::call!(libc::SYS_setgroups, 1, &mut groups), &also);
            guest.refused_by("setgroups()", sys::call!(libc::SYS_setgroups, 0, 0), &also);
            let _ = sys::call!(libc::SYS_setfsuid, 0);
            let now = sys::call!(libc::SYS_setfsuid, 0).unwrap_or(0);
            guest.expect("setfsuid", now != 0, format!("still {now}"));
        },
        outside: told,
    },
    Attempt {
        name: "gain-capabilities",
        family: FAMILY,
        tries: "set capabilities, ambient ones too, and take the locks off that keep them away",
        bounds: Bounds::USUAL,
        guest: gain_capabilities,
        outside: told,
    },
    Attempt {
        name: "status-inside",
        family: FAMILY,
        tries: "look for one capability, one extra group or a missing filter in /proc/self/status",
        bounds: Bounds::USUAL,
        guest: status_inside,
        outside: told,
    },
    Attempt {
        name: "status-outside",
        family: FAMILY,
        tries: "be root on the host, or keep a capability that only the host can see",
        bounds: Bounds::USUAL,
        guest: |guest| {
            guest.keep_silent();
            sys::sleep_ms(1_500);
        },
        outside: status_outside,
    },
    Attempt {
        name: "raise-limits",
        family: FAMILY,
        tries: "raise hard limits on processes, files, locked memory and core files",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for (name, resource) in [
                ("NPROC", libc::RLIMIT_NPROC),
                ("NOFILE", libc::RLIMIT_NOFILE),
                ("MEMLOCK", libc::RLIMIT_MEMLOCK),
                ("CORE", libc::RLIMIT_CORE),
                ("SIGPENDING", libc::RLIMIT_SIGPENDING),
                ("MSGQUEUE", libc::RLIMIT_MSGQUEUE),
                ("NICE", libc::RLIMIT_NICE),
                ("RTPRIO", libc::RLIMIT_RTPRIO),
            ] {
                let mut now = [0u8; 16];
                let _ = sys::call!(libc::SYS_prlimit64, 0, resource as i32, 0, &mut now);
                let hard = u64::from_ne_bytes([
                    now[8], now[9], now[10], now[11], now[12], now[13], now[14], now[15],
                ]);
                if hard == libc::RLIM_INFINITY {
                    guest.through(name, "has no limit");
                    continue;
                }
                now[8..].copy_from_slice(&(hard + 1).to_ne_bytes());
                let raised = sys::call!(libc::SYS_prlimit64, 0, resource as i32, &mut now, 0);
                if resource == libc::RLIMIT_CORE {
                    // It seems to succeed; what counts is what the limit is afterwards.
                    let mut after = [0u8; 16];
                    let _ = sys::call!(libc::SYS_prlimit64, 0, resource as i32, 0, &mut after);
                    let kept = after[8..] == hard.to_ne_bytes();
                    guest.expect(name, kept, format!("it is {after:?}"));
                } else {
                    guest.refused(name, raised);
                }
            }
        },
        outside: told,
    },
    Attempt {
        name: "give-files-away",
        family: FAMILY,
        tries: "give files of a shared directory to root and to other users",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let also = [libc::EINVAL, libc::EOVERFLOW];
            let _ = fs::write("/share/file", "x");
            for id in [0, 1, 65_534] {
                guest.refused_by(
                    "owner",
                    std::os::unix::fs::chown("/share/file", Some(id), None),
                    &also,
                );
                guest.refused_by(
                    "group",
                    std::os::unix::fs::chown("/share/file", None, Some(id)),
                    &also,
                );
            }
        },
        outside: owner_is_kept,
    },
];

fn gain_capabilities(guest: &Guest) {
    const VERSION_3: u32 = 0x2008_0522;
    let mut header = [0u8; 8];
    header[..4].copy_from_slice(&VERSION_3.to_ne_bytes());
    for bit in 0..41usize {
        // Effective, permitted, inheritable: for the low 32 bits, then the high.
        let mut sets = [0u8; 24];
        let at = if bit < 32 { 0 } else { 12 };
        let word = (1u32 << (bit % 32)).to_ne_bytes();
        sets[at..at + 4].copy_from_slice(&word);
        sets[at + 4..at + 8].copy_from_slice(&word);
        guest.refused("capset", sys::call!(libc::SYS_capset, &mut header, &mut sets));
    }
    const AMBIENT_RAISE: i32 = 2;
    let ambient = sys::call!(libc::SYS_prctl, libc::PR_CAP_AMBIENT, AMBIENT_RAISE, 21, 0, 0);
    guest.refused("ambient", ambient);
    guest.refused("securebits", sys::call!(libc::SYS_prctl, libc::PR_SET_SECUREBITS, 0, 0, 0, 0));
    // EINVAL: this bit can only be set.
    let privileges = sys::call!(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
    guest.refused_by("no_new_privs", privileges, &[libc::EINVAL]);
}

fn status_inside(guest: &Guest) {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let value = field(name).unwrap_or_default();
        guest.expect(name, value == "0000000000000000", value);
    }
    for (name, wanted) in [("NoNewPrivs", "1"), ("Seccomp", "2"), ("Uid", "1000 1000 1000 1000")] {
        let value = field(name).unwrap_or_default();
        guest.expect(name, value == wanted, value);
    }
    // Unprivileged, the caller's own groups stay, and show as the overflow group.
    let groups = field("Groups").unwrap_or_default();
    let strange = groups.split(' ').any(|group| !matches!(group, "" | "1000" | "65534"));
    guest.expect("Groups", !strange, groups);
}

fn status_outside(stage: &Stage<'_>) -> Verdict {
    let (seen, result) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = Vec::new();
            stage.wait_for(Duration::from_secs(5), || {
                seen = host::guests_with(&stage.marker);
                !seen.is_empty()
            });
            seen.first().map(|pid| {
                ["Uid", "Gid", "CapEff", "CapPrm", "Seccomp", "NoNewPrivs"]
                    .map(|name| host::status_field(*pid, name).unwrap_or_default())
            })
        });
        let result = stage.jail().run();
        (watcher.join().ok().flatten(), result)
    });
    if let Err(error) = result {
        return Verdict::Inconclusive(no_run(&error));
    }
    let Some([users, groups, effective, permitted, filter, privileges]) = seen else {
        return Verdict::Inconclusive("the guest was not seen".to_owned());
    };
    let is_root = |ids: &str| ids.split_whitespace().any(|id| id == "0");
    let none = |set: &str| set.bytes().all(|digit| digit == b'0');
    let holds = !is_root(&users)
        && !is_root(&groups)
        && none(&effective)
        && none(&permitted)
        && filter == "2"
        && privileges == "1";
    let user = users.split_whitespace().next().unwrap_or_default().to_owned();
    Verdict::held_if(
        holds,
        format!(
            "host user {user}, capabilities {effective}, seccomp {filter}, no_new_privs {privileges}"
        ),
    )
}

/// Jails of root have host users from here on (see the plan's identity).
const JAIL_USERS: u32 = 0x7000_0000;

/// As this process: what is made in a shared directory belongs to its owner.
fn owner_is_kept(stage: &Stage<'_>) -> Verdict {
    use std::os::unix::fs::MetadataExt;
    let share = match stage.directory("share") {
        Ok(share) => share,
        Err(error) => return Verdict::Inconclusive(error.to_string()),
    };
    let verdict = stage.jail().writable(&share, "/share").told();
    let owners = || -> io::Result<(u32, u32)> {
        Ok((fs::metadata(share.join("file"))?.uid(), fs::metadata(&share)?.uid()))
    };
    match owners() {
        // Where a file system cannot be id-mapped, it is of the jail's own user.
        Ok((file, directory)) => verdict.and(Verdict::held_if(
            file == directory || file >= JAIL_USERS,
            format!("the file is still of user {file}"),
        )),
        Err(error) => verdict.and(Verdict::Inconclusive(format!("no file was made: {error}"))),
    }
}
