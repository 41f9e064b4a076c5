//! A program that wants out of what it was granted, or to break its host.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use capsule_backend::guest::{Grant, Meter};
use capsule_spec::Access;
use tempfile::TempDir;

use crate::support::*;

/// A folder for the guest, and beside it a secret.
fn scene() -> (TempDir, std::path::PathBuf) {
    let folder = TempDir::new().unwrap();
    let host = folder.path().canonicalize().unwrap();
    fs::create_dir_all(host.join("inside/sub")).unwrap();
    fs::create_dir(host.join("outside")).unwrap();
    fs::write(host.join("outside/secret"), "secret").unwrap();
    fs::write(host.join("inside/f"), "harmless").unwrap();
    (folder, host)
}

#[test]
fn every_way_out_is_refused() {
    let Some(sandbox) = Sandbox::new() else { return };
    let (_folder, host) = scene();
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, host.join("inside").join(name)).unwrap();
    };
    link(host.join("outside/secret").to_str().unwrap(), "absolute");
    link("../outside", "relative");
    link("/proc/self", "magic");
    let _socket = std::os::unix::net::UnixListener::bind(host.join("inside/socket")).unwrap();
    let fifo = host.join("inside/fifo");
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let files = [
        granted(&host.join("inside"), "/data", Access::ReadWrite),
        granted(&host.join("inside"), "/view", Access::ReadOnly),
    ];
    let body = format!(
        r#"
outside = {outside:?}
for path in ("/data/absolute", "/data/relative/secret", "/data/magic/environ", "/data/magic/root/etc/passwd",
             "/data/socket", "/data/fifo"):
    denied(errno.EPERM, lambda: open(path))
    denied(errno.EPERM, lambda: open(path, "w"))
denied(errno.EPERM, lambda: os.listdir("/data/relative"))
denied(errno.EPERM, lambda: os.listdir("/data/magic/fd"))
for path in (outside + "/secret", "/data/../outside/secret", "/data/../.." + outside + "/secret", "/etc/passwd",
             "/proc/self/environ", "/dev/null", "/data/../../../../../../etc/passwd", "../../etc/passwd"):
    denied(errno.ENOENT, lambda: open(path))
fd = os.open("/data", os.O_RDONLY | os.O_DIRECTORY)
denied(errno.EPERM, lambda: os.open("../outside/secret", os.O_RDONLY, dir_fd=fd))
denied(errno.EPERM, lambda: os.open("relative/secret", os.O_RDONLY, dir_fd=fd))
os.close(fd)
for target in ("/etc/passwd", "../outside/secret", "sub/../../outside"):
    denied(errno.EPERM, lambda: os.symlink(target, "/data/new"))
os.symlink("/etc/passwd", "/tmp/link")
denied(errno.ENOENT, lambda: open("/tmp/link"))
denied(errno.EXDEV, lambda: os.rename("/tmp/link", "/data/link"))
denied(errno.EXDEV, lambda: os.link("/view/f", "/data/g"))
denied(errno.EXDEV, lambda: os.rename("/view/f", "/data/g"))
for act in (lambda: open("/view/f", "w"), lambda: open("/view/f", "a"), lambda: open("/view/new", "w"),
            lambda: os.mkdir("/view/new"), lambda: os.unlink("/view/f"), lambda: os.rmdir("/view/sub"),
            lambda: os.rename("/view/f", "/view/g"), lambda: os.symlink("f", "/view/g"),
            lambda: os.link("/view/f", "/view/g"), lambda: os.utime("/view/f", (1, 1)),
            lambda: os.truncate("/view/f", 0), lambda: open("/new", "w"), lambda: os.mkdir("/new")):
    denied(errno.EROFS, act)
denied(errno.EBUSY, lambda: os.rename("/data", "/tmp/data"))
denied(errno.EBUSY, lambda: os.rmdir("/data"))
"#,
        outside = host.join("outside"),
    );
    assert_eq!(sandbox.value(&files, &program(&body)), "null");
    assert_eq!(fs::read(host.join("outside/secret")).unwrap(), b"secret");
    assert_eq!(fs::read(host.join("inside/f")).unwrap(), b"harmless");
    assert_eq!(fs::read_dir(host.join("inside")).unwrap().count(), 7);
}

#[test]
fn files_are_made_without_rights_for_others() {
    use std::os::unix::fs::PermissionsExt;
    let Some(sandbox) = Sandbox::new() else { return };
    let (_folder, host) = scene();
    let files = [granted(&host.join("inside"), "/data", Access::ReadWrite)];
    let body = r#"
os.close(os.open("/data/new", os.O_CREAT | os.O_WRONLY, 0o6777))
os.mkdir("/data/dir", 0o7777)
for change in (lambda: os.chmod("/data/new", 0o6777), lambda: os.chmod("/data/f", 0o6777)):
    try:
        change()
    except (OSError, AttributeError):
        pass
"#;
    assert_eq!(sandbox.value(&files, &program(body)), "null");
    let mode = |name: &str| {
        fs::metadata(host.join("inside").join(name)).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(mode("new") & !0o644, 0);
    assert_eq!(mode("dir") & !0o755, 0);
    assert_eq!(mode("f") & 0o7111, 0);
}

/// Somebody on the host swaps what the guest opens and a link that leads out.
#[test]
fn a_race_does_not_lead_out() {
    let Some(sandbox) = Sandbox::new() else { return };
    let (_folder, host) = scene();
    let inside = host.join("inside");
    fs::create_dir(inside.join("door")).unwrap();
    fs::write(inside.join("door/secret"), "harmless").unwrap();
    std::os::unix::fs::symlink(host.join("outside"), inside.join("out")).unwrap();
    let files = [granted(&inside, "/data", Access::ReadWrite)];
    let body = r#"
import time
end = time.monotonic() + 3
seen, refused, planted = set(), 0, 0
while time.monotonic() < end:
    try:
        seen.add(open("/data/door/secret").read())
    except OSError:
        refused += 1
    try:
        open("/data/door/planted", "w").close()
        planted += 1
        os.unlink("/data/door/planted")
    except OSError:
        pass
assert seen == {"harmless"}, seen
assert refused > 10 and planted > 10, (refused, planted)
"#;
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            while !done.load(Ordering::Relaxed) {
                let (one, two) = (inside.join("door"), inside.join("out"));
                renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let result = sandbox.run(&files, &program(body));
        done.store(true, Ordering::Relaxed);
        assert_eq!(result.unwrap(), "null");
    });
    assert_eq!(fs::read_dir(host.join("outside")).unwrap().count(), 1);
}

/// Work of the host burns no fuel; the deadline must hold all the same.
#[test]
fn a_guest_that_only_reads_files_can_be_stopped() {
    let Some(sandbox) = Sandbox::new() else { return };
    for busy in [
        "f = open('/tmp/big', 'w+b'); f.truncate(1 << 40)\nb = bytearray(1 << 25)\nwhile f.readinto(b): pass",
        "while True: os.path.exists('/tmp/none/none')",
        "while True: os.listdir('/')",
        "f = open('/tmp/f', 'wb', buffering=0)\nb = bytes(1 << 25)\nwhile True: f.seek(0); f.write(b)",
    ] {
        let mut guest = sandbox.open(&program(busy));
        let grant = grant(&[]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let begun = Instant::now();
        let result = runtime.block_on(async {
            let call = guest.call("main", NO_ARGUMENTS, &grant);
            tokio::time::timeout(Duration::from_millis(500), call).await
        });
        let took = begun.elapsed();
        assert!(result.is_err(), "{busy}: {result:?}");
        println!("{took:?}: {busy}");
        assert!(took < Duration::from_millis(1500), "{busy}: {took:?}");
    }
}

/// The time that the host takes is not charged as work of the guest, not even in passing:
/// what one run burnt is enough for another.
#[test]
fn the_hosts_time_is_not_the_guests_work() {
    let Some(sandbox) = Sandbox::new() else { return };
    let body = r#"
f = open("/tmp/big", "w+b", buffering=0)
f.truncate(1 << 27)
b = bytearray(1 << 24)
for _ in range(300):
    os.path.exists("/tmp" + "/." * 1900)
while f.readinto(b):
    pass
"#;
    let run = |budget| {
        let grant = Grant { meter: Meter::new(budget), ..grant(&[]) };
        let mut guest = sandbox.open(&program(body));
        let result = block_on(guest.call("main", NO_ARGUMENTS, &grant));
        (result, grant.meter.used())
    };
    let (result, used) = run(1 << 50);
    result.unwrap();
    let (result, again) = run(used + used / 100);
    assert!(result.is_ok(), "{result:?}: {used} and {again}");
}
