//! Two jails at the same time, one after the other's things.
//!
//! The victim makes what the attacker looks for, says so through a shared
//! directory, and stays until the attacker is done.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use capsule_backend::BackendError;
use capsule_spec::{Outcome, Status, Wall};

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::Guest;
use crate::attack::stage::{Stage, admitted, describe, judge, no_run};
use crate::attack::{host, sys};

const FAMILY: Family = Family::Neighbours;
const KEY: i32 = 0x00ca_b501;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "neighbour-processes",
        family: FAMILY,
        tries: "see, signal and take a handle of another jail's processes",
        bounds: Bounds::USUAL,
        guest: |guest| {
            if guest.role() == "victim" {
                return until_over(guest);
            }
            let target: i32 = guest.argument(1).parse().unwrap_or(0);
            let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
            let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
            let count = pids.count();
            guest.expect("/proc", count <= 2, format!("{count} processes"));
            for signal in [libc::SIGTERM, libc::SIGKILL, 0] {
                guest.refused_by("kill", sys::kill(target, signal), &[libc::ESRCH]);
            }
            let handle = sys::call!(libc::SYS_pidfd_open, target, 0);
            guest.refused_by("pidfd_open", handle, &[libc::ESRCH, libc::EINVAL]);
            guest.refused_by("kill(-1)", sys::kill(-1, libc::SIGKILL), &[libc::ESRCH]);
        },
        outside: |stage| beside_a_victim(stage, false),
    },
    Attempt {
        name: "neighbour-files",
        family: FAMILY,
        tries: "read another jail's private files",
        bounds: Bounds::USUAL,
        guest: |guest| {
            if guest.role() == "victim" {
                for place in ["/tmp", "/workspace", "/dev/shm"] {
                    let _ = fs::write(format!("{place}/private"), "secret");
                }
                return until_over(guest);
            }
            for place in ["/tmp", "/workspace", "/dev/shm"] {
                let path = format!("{place}/private");
                guest.unreachable(&path, fs::read(&path));
            }
            let path = format!("/proc/{}/root/tmp/private", guest.argument(1));
            guest.unreachable(&path, fs::read(&path));
        },
        outside: |stage| beside_a_victim(stage, false),
    },
    Attempt {
        name: "neighbour-sockets",
        family: FAMILY,
        tries: "connect to another jail's abstract sockets and ports",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let name = "capsule-attack-neighbour";
            let address = SocketAddr::from_abstract_name(name);
            if guest.role() == "victim" {
                let _listener = address.and_then(|address| UnixListener::bind_addr(&address));
                let _port = std::net::TcpListener::bind("127.0.0.1:7777");
                return until_over(guest);
            }
            let connected = address.and_then(|address| UnixStream::connect_addr(&address));
            guest.refused_by("abstract socket", connected, &[libc::ECONNREFUSED]);
            let port = std::net::TcpStream::connect("127.0.0.1:7777");
            guest.refused_by("port", port, &[libc::ECONNREFUSED]);
        },
        outside: |stage| beside_a_victim(stage, false),
    },
    Attempt {
        name: "neighbour-system-v",
        family: FAMILY,
        tries: "attach to another jail's System V memory, queues and semaphores, by key and by id",
        bounds: Bounds::USUAL,
        guest: neighbour_system_v,
        outside: |stage| beside_a_victim(stage, false),
    },
    Attempt {
        name: "neighbour-directory",
        family: FAMILY,
        tries: "pass a directory of one jail to another through a socket in a directory that both share",
        bounds: Bounds::USUAL,
        guest: neighbour_directory,
        outside: |stage| beside_a_victim(stage, true),
    },
    Attempt {
        name: "descriptor-from-nowhere",
        family: FAMILY,
        tries: "receive a directory of the host from a host process by a socket in a shared directory",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let received = UnixStream::connect("/share/host-socket").and_then(|stream| {
                stream.set_read_timeout(Some(Duration::from_secs(4)))?;
                sys::receive_descriptor(stream.as_fd())
            });
            match received {
                Ok(Some(directory)) => walk_from(guest, directory.as_raw_fd()),
                Ok(None) => guest.held("descriptor", "none came"),
                Err(error) => guest.unreachable("/share/host-socket", Err::<(), _>(error)),
            }
        },
        outside: descriptor_from_host,
    },
    Attempt {
        name: "neighbour-keys",
        family: FAMILY,
        tries: "use one kernel keyring from two jails",
        bounds: Bounds::USUAL,
        guest: |guest| {
            const USER: i32 = -4;
            let mut payload = *b"secret";
            if guest.role() == "victim" {
                let _ = sys::call!(libc::SYS_add_key, c"user", c"neighbour", &mut payload, 6, USER);
                return until_over(guest);
            }
            const SEARCH: i32 = 10;
            let found = sys::call!(libc::SYS_keyctl, SEARCH, USER, c"user", c"neighbour", 0);
            guest.refused_by("keyctl(search)", found, &[libc::ENOKEY]);
        },
        outside: |stage| beside_a_victim(stage, false),
    },
];

/// Says that everything is in place, and stays until the attacker is done.
fn until_over(guest: &Guest) {
    let _ = File::create("/meeting/ready");
    for _ in 0..2_000 {
        if Path::new("/meeting/over").exists() {
            return guest.held("victim", "lived on");
        }
        sys::sleep_ms(4);
    }
    guest.unclear("victim", "nobody said that it was over");
}

fn neighbour_system_v(guest: &Guest) {
    let make = libc::IPC_CREAT | libc::IPC_EXCL | 0o666;
    if guest.role() == "victim" {
        let _ = sys::call!(libc::SYS_shmget, KEY, 4096, make);
        let _ = sys::call!(libc::SYS_msgget, KEY, make);
        let _ = sys::call!(libc::SYS_semget, KEY, 1, make);
        return until_over(guest);
    }
    let none = [libc::ENOENT, libc::EINVAL, libc::EIDRM];
    guest.refused_by("shmget", sys::call!(libc::SYS_shmget, KEY, 4096, 0), &none);
    guest.refused_by("msgget", sys::call!(libc::SYS_msgget, KEY, 0), &none);
    guest.refused_by("semget", sys::call!(libc::SYS_semget, KEY, 1, 0), &none);
    for id in 0..32 {
        guest.refused_by("shmat", sys::call!(libc::SYS_shmat, id, 0, 0), &none);
    }
    let listed = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    guest.expect("/proc/sysvipc/shm", listed.lines().count() <= 1, "empty");
}

fn neighbour_directory(guest: &Guest) {
    const SOCKET: &str = "/meeting/socket";
    if guest.role() == "victim" {
        let _ = fs::write("/tmp/secret", "secret");
        let listener = UnixListener::bind(SOCKET);
        // The two are users apart where the file system cannot be id-mapped.
        let _ = fs::set_permissions(SOCKET, fs::Permissions::from_mode(0o777));
        let _ = File::create("/meeting/ready");
        let sent = listener.and_then(|listener| {
            let (stream, _) = listener.accept()?;
            let directory = File::open("/tmp")?;
            sys::send_descriptor(stream.as_fd(), directory.as_fd())
        });
        return match sent {
            Ok(()) => until_over(guest),
            Err(error) => guest.unclear("send", error.to_string()),
        };
    }
    let received = UnixStream::connect(SOCKET).and_then(|stream| {
        stream.set_read_timeout(Some(Duration::from_secs(4)))?;
        sys::receive_descriptor(stream.as_fd())
    });
    match received {
        Ok(Some(directory)) => walk_from(guest, directory.as_raw_fd()),
        Ok(None) => guest.held("descriptor", "none came"),
        Err(error) => guest.unreachable("socket", Err::<(), _>(error)),
    }
}

/// Tries to open what is in, above and beside a directory that was handed in.
fn walk_from(guest: &Guest, directory: i32) {
    for path in [c"secret", c"../../../../../../etc/shadow", c"..", c"."] {
        let what = path.to_string_lossy().into_owned();
        guest.unreachable(&what, sys::call!(libc::SYS_openat, directory, path, 0, 0));
    }
    let flags = libc::O_CREAT | libc::O_WRONLY;
    let made = sys::call!(libc::SYS_openat, directory, c"made", flags, 0o644);
    guest.unreachable("make a file", made);
}

/// Runs the victim, the attacker beside it, and says what each had to tell.
fn beside_a_victim(stage: &Stage<'_>, shares: bool) -> Verdict {
    let meeting = match stage.directory("meeting") {
        Ok(meeting) => meeting,
        Err(error) => return Verdict::Inconclusive(error.to_string()),
    };
    let (victim, attacker) = std::thread::scope(|scope| {
        let victim =
            scope.spawn(|| stage.jail().writable(&meeting, "/meeting").role(&["victim"]).run());
        let is_ready = stage.wait_for(Duration::from_secs(8), || meeting.join("ready").exists());
        let target = host::guests_with(&stage.marker).first().copied().unwrap_or(0);
        let attacker = is_ready.then(|| {
            let entry = stage.jail().role(&["", &target.to_string()]);
            if shares { entry.writable(&meeting, "/meeting") } else { entry }.run()
        });
        let _ = File::create(meeting.join("over"));
        (victim.join(), attacker)
    });
    let Ok(victim) = victim else {
        return Verdict::Inconclusive("the victim's thread panicked".to_owned());
    };
    let Some(attacker) = attacker else {
        return Verdict::Inconclusive(format!("the victim never was ready: {:?}", judge(&victim)));
    };
    unhurt(victim).and(disclosed(attacker))
}

fn unhurt(victim: Result<Outcome, BackendError>) -> Verdict {
    match &victim {
        Err(error) => Verdict::Inconclusive(no_run(error)),
        Ok(outcome) if outcome.status == Status::Success => judge(&victim),
        Ok(outcome) if outcome.status == Status::Timeout => {
            Verdict::Inconclusive("the victim waited in vain".to_owned())
        }
        Ok(outcome) => Verdict::Escaped(format!("the victim was hurt: {}", describe(outcome))),
    }
}

/// A descriptor that somebody outside hands in meets one wall, Landlock; where the
/// outcome says that it does not stand, nothing was hidden.
fn disclosed(result: Result<Outcome, BackendError>) -> Verdict {
    match (judge(&result), &result) {
        (Verdict::Escaped(what), Ok(outcome)) => match admitted(outcome, Wall::Landlock) {
            Some(why) => Verdict::Skipped(format!("{what}; {why}")),
            None => Verdict::Escaped(what),
        },
        (verdict, _) => verdict,
    }
}

fn descriptor_from_host(stage: &Stage<'_>) -> Verdict {
    let scene = stage.directory("share").and_then(|share| {
        let (host, _) = stage.secret("host")?;
        let listener = UnixListener::bind(share.join("host-socket"))?;
        fs::set_permissions(share.join("host-socket"), fs::Permissions::from_mode(0o777))?;
        listener.set_nonblocking(true)?;
        Ok((share, File::open(host)?, listener))
    });
    let (share, directory, listener) = match scene {
        Ok(scene) => scene,
        Err(error) => return Verdict::Inconclusive(error.to_string()),
    };
    let result = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            stage.wait_for(Duration::from_secs(5), || match listener.accept() {
                Ok((stream, _)) => sys::send_descriptor(stream.as_fd(), directory.as_fd()).is_ok(),
                Err(_) => false,
            })
        });
        let result = stage.jail().writable(&share, "/share").run();
        let _ = sender.join();
        result
    });
    disclosed(result)
}
