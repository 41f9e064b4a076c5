//! Volumes: what outlives a sandbox, that nobody gets past its size, and that it leads nowhere.
//!
//! Who attacks: a guest, as fast as it can; two of them at once; one whose server was killed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use capsule_backend::sandbox::{OpenMode, Recipe, Sandbox, Sandboxes, VolumeMount};
use capsule_spec::{Access, ByteSize, ErrorCode, GuestPath};

use crate::backend;
use crate::place::{self, Place, program, run, sh, start};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 16 * MIB;

fn volumes(place: &Place) -> &dyn capsule_backend::sandbox::Volumes {
    place.residents.volumes().unwrap()
}

/// Makes a volume; where this host or user cannot have one it is refused, which is all that
/// there is to see.
async fn made(place: &Place, name: &str) -> bool {
    match volumes(place).create(name, ByteSize::from_bytes(SIZE)).await {
        Ok(()) => true,
        Err(failure) => {
            assert_eq!(failure.code, ErrorCode::VolumesUnavailable, "{failure:?}");
            assert!(!place.state().join("volumes").join(format!("{name}.new")).exists());
            skip(&failure.message);
            false
        }
    }
}

fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("volumes").to_owned();
    assert!(std::env::var_os("CAPSULE_NO_SKIP").is_none(), "may not be skipped: {test}: {why}");
    if let Some(log) = std::env::var_os("CAPSULE_SKIP_LOG") {
        use std::io::Write;
        let log = fs::File::options().append(true).create(true).open(log);
        let _ = log.and_then(|mut log| writeln!(log, "{test}: {why}"));
    }
}

fn with(volume: &str, path: &str, access: Access) -> Recipe {
    let destination = GuestPath::mount_point(path).unwrap();
    let volumes = vec![VolumeMount { volume: volume.to_owned(), destination, access }];
    Recipe { volumes, ..place::recipe() }
}

fn image(place: &Place, name: &str) -> PathBuf {
    place.state().join(format!("volumes/{name}.img"))
}

/// Bytes of the host's disk.
fn taken(place: &Place, name: &str) -> u64 {
    fs::metadata(image(place, name)).unwrap().blocks() * 512
}

/// Names of loop devices of this file.
fn device_names(place: &Place, name: &str) -> Vec<String> {
    let wanted = image(place, name);
    let blocks = fs::read_dir("/sys/block").unwrap().flatten();
    let has_it = |one: &fs::DirEntry| {
        let backing = fs::read_to_string(one.path().join("loop/backing_file"));
        backing.is_ok_and(|path| path.trim_end() == wanted.to_str().unwrap())
    };
    let found = blocks.filter(has_it);
    found.map(|one| one.file_name().into_string().unwrap()).collect()
}

fn devices(place: &Place, name: &str) -> usize {
    device_names(place, name).len()
}

async fn no_device(place: &Place, name: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while devices(place, name) > 0 {
        assert!(Instant::now() < deadline, "the device stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn python(sandbox: &Arc<dyn Sandbox>, script: &str) -> String {
    let said = run(sandbox, &program(&["python3", "-c", script])).await;
    assert_eq!((said.code(), said.err.as_str()), (0, ""), "{said:?}");
    said.out.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_outlives_sandboxes_and_servers() {
    let place = Place::new();
    if !made(&place, "v").await {
        return;
    }
    let first = place.make_with("first", &with("v", "/data", Access::ReadWrite)).await;
    let said = sh(&first, "ls -A /data; stat -c '%u %a' /data; echo kept >/data/file").await;
    assert_eq!((said.out.as_str(), said.err.as_str()), ("1000 755\n", ""));
    assert_eq!(devices(&place, "v"), 1);
    let device = format!("/dev/{} ", device_names(&place, "v")[0]);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&device), "none on the host: {mounts}");
    // A second one shares it as it is now, but may not write.
    let second = place.make_with("second", &with("v", "/deep/er/data", Access::ReadOnly)).await;
    assert_eq!(devices(&place, "v"), 1, "two devices of one image would destroy it");
    assert_eq!(sh(&second, "cat /deep/er/data/file").await.out, "kept\n");
    for script in [
        "echo no >/deep/er/data/file",
        "touch /deep/er/data/new",
        "rm /deep/er/data/file",
        "mkdir /deep/other",
    ] {
        let said = sh(&second, script).await;
        let denied = ["Read-only", "Permission denied"].iter().any(|why| said.err.contains(why));
        assert!(said.code() != 0 && denied, "{script}: {said:?}");
    }
    // By the server's own calls, too.
    place::write(&first, "/data/by-server", b"x").await.unwrap();
    assert_eq!(place::read(&second, "/deep/er/data/by-server").await.unwrap(), b"x");
    let refused = second.open("/deep/er/data/file", OpenMode::Write { mode: 0o644 }).await;
    assert_eq!(refused.err().unwrap().code, ErrorCode::FileDenied);
    // While it stands still only its own files are told about.
    first.freeze(true).await.unwrap();
    assert_eq!(first.stat("/data/file").await.unwrap_err().code, ErrorCode::FileDenied);
    first.freeze(false).await.unwrap();
    let (first_traces, second_traces) = (place.traces("first"), place.traces("second"));
    drop((first, second));
    let Place { residents, folder } = place;
    residents.sweep(&[]).await.unwrap();
    first_traces.assert_gone();
    second_traces.assert_gone();
    let place = Place { residents, folder };
    no_device(&place, "v").await;
    let third = place.make_with("third", &with("v", "/data", Access::ReadWrite)).await;
    assert_eq!(sh(&third, "cat /data/file").await.out, "kept\n");
    place.end("third", &third).await;
    no_device(&place, "v").await;
    volumes(&place).remove("v").await.unwrap();
    let gone = place.residents.create("no", &with("v", "/data", Access::ReadWrite)).await;
    assert_eq!(gone.err().unwrap().code, ErrorCode::VolumeNotFound);
    assert!(place.files_of("no").is_empty());
}

/// Each as one guest would; what it stored, and the error that stopped it.
const BYTES: &[(&str, &str)] = &[
    (
        "one file",
        "
fd = os.open('/data/big', os.O_CREAT|os.O_WRONLY)
while True: done += os.write(fd, b'x' * 65536)",
    ),
    (
        "removed and held open",
        "
held = []
while True:
    fd = os.open('/data/t', os.O_CREAT|os.O_EXCL|os.O_WRONLY); os.unlink('/data/t'); held.append(fd)
    for _ in range(16): done += os.write(fd, b'x' * 65536)",
    ),
    (
        "never named",
        "
held = []
while True:
    fd = os.open('/data', os.O_TMPFILE|os.O_RDWR, 0o600); held.append(fd)
    os.posix_fallocate(fd, 0, 1 << 20); done += 1 << 20",
    ),
    (
        "removed and held by a mapping",
        "
held = []
while True:
    fd = os.open('/data/t', os.O_CREAT|os.O_EXCL|os.O_RDWR); os.unlink('/data/t')
    os.posix_fallocate(fd, 0, 1 << 20)
    m = mmap.mmap(fd, 1 << 20); os.close(fd); m[:] = b'x' * (1 << 20); held.append(m)
    done += 1 << 20",
    ),
    (
        "holes that are filled",
        "
fd = os.open('/data/holes', os.O_CREAT|os.O_RDWR)
os.truncate(fd, 1 << 40)
at = 0
while True: done += os.pwrite(fd, b'x' * 4096, at); at += 1 << 20",
    ),
    (
        "many files",
        "
number = 0
while True:
    with open('/data/%d' % number, 'wb', 0) as f: done += f.write(b'x' * 40960)
    number += 1",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_past_the_size() {
    let place = Place::new();
    if !made(&place, "v").await {
        return;
    }
    for (number, (what, how)) in BYTES.iter().enumerate() {
        let name = format!("box-{number}");
        let sandbox = place.make_with(&name, &with("v", "/data", Access::ReadWrite)).await;
        let how = how.replace('\n', "\n    ");
        let script = format!(
            "import os, mmap\ndone = 0\ntry:{how}\nexcept OSError as e: print(done, e.errno)"
        );
        let said = python(&sandbox, &script).await;
        let mut words = said.split_whitespace().map(|word| word.parse::<u64>().unwrap());
        let (done, errno) = (words.next().unwrap(), words.next().unwrap());
        assert_eq!(errno, 28, "{what}: {said}");
        assert!(done > 64 << 10 && done < SIZE, "{what}: {said}");
        sh(&sandbox, "sync").await;
        assert!(taken(&place, "v") <= SIZE, "{what}: {}", taken(&place, "v"));
        // Whoever makes room has room.
        sh(&sandbox, "rm -rf /data/*").await;
        assert_eq!(
            sh(&sandbox, "echo well >/data/f; cat /data/f; rm /data/f").await.out,
            "well\n",
            "{what}"
        );
        place.end(&name, &sandbox).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_counted() {
    let place = Place::new();
    if !made(&place, "v").await {
        return;
    }
    let sandbox = place.make_with("names", &with("v", "/data", Access::ReadWrite)).await;
    let count = "import os\nn = 0\ntry:\n    while n < 10**6: os.close(os.open('/data/%d' % n, os.O_CREAT)); n += 1\nexcept OSError as e: print(n, e.errno)";
    let said = python(&sandbox, count).await;
    let names: u64 = said.strip_suffix(" 28").expect("no room").parse().unwrap();
    assert!((900..2100).contains(&names), "one for 16 KiB: {names}");
    // Directories, links and pipes are names, too; another name of a file costs its bytes.
    for script in ["mkdir /data/d", "ln -s x /data/l", "mkfifo /data/p"] {
        let said = sh(&sandbox, script).await;
        assert!(said.err.contains("No space"), "{script}: {said:?}");
    }
    let link = "import os\nn = 0\ntry:\n    while n < 10**6: os.link('/data/0', '/data/' + 'l' * 200 + str(n)); n += 1\nexcept OSError as e: print(e.errno)";
    assert!(["28", "31"].contains(&python(&sandbox, link).await.as_str()), "no space, or no links");
    assert!(taken(&place, "v") <= SIZE);
    place.end("names", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_have_one_size() {
    let place = Place::new();
    if !made(&place, "v").await {
        return;
    }
    let mut sandboxes = Vec::new();
    for name in ["one", "two", "three"] {
        sandboxes.push((name, place.make_with(name, &with("v", "/data", Access::ReadWrite)).await));
    }
    assert_eq!(devices(&place, "v"), 1);
    let mut writers = Vec::new();
    for (name, sandbox) in &sandboxes {
        let script = format!(
            "import os\ndone = 0\nfd = os.open('/data/{name}', os.O_CREAT|os.O_WRONLY)\ntry:\n    while True: done += os.write(fd, b'x' * 65536)\nexcept OSError as e: print(done, e.errno)"
        );
        writers.push(start(sandbox, &program(&["python3", "-c", &script])).await);
    }
    let mut sum = 0;
    for writer in &writers {
        writer.close_input();
        let said = place::finish(writer).await;
        let done = said.out.trim().strip_suffix(" 28").unwrap_or_else(|| panic!("{said:?}"));
        sum += done.parse::<u64>().unwrap();
    }
    assert!(sum > 8 * MIB && sum < SIZE, "{sum}");
    // What one writes the others see, and locks of one hold for the others.
    let (one, two) = (&sandboxes[0].1, &sandboxes[1].1);
    sh(one, "rm /data/*; echo hello >/data/from-one").await;
    assert_eq!(sh(two, "cat /data/from-one").await.out, "hello\n");
    let lock = "import fcntl, sys, time\nf = open('/data/lock', 'w')\nfcntl.flock(f, fcntl.LOCK_EX)\nprint('mine', flush=True)\ntime.sleep(100)";
    let holder = start(one, &program(&["python3", "-c", lock])).await;
    place::hear(&holder, "mine").await;
    let said = sh(two, "flock -n /data/lock true || echo taken").await;
    assert_eq!(said.out, "taken\n");
    for (name, sandbox) in &sandboxes {
        place.end(name, sandbox).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_leads_nowhere() {
    let place = Place::new();
    if !(made(&place, "v").await && made(&place, "other").await) {
        return;
    }
    let sandbox = place.make_with("box", &with("v", "/data", Access::ReadWrite)).await;
    let options = sh(&sandbox, "grep ' /data ' /proc/mounts").await.out;
    assert!(options.contains("nosuid") && options.contains("nodev"), "{options}");
    for script in [
        // The mount point stays where it is.
        "umount /data",
        "mv /data /workspace/x",
        "rmdir /data",
        "mount -o remount,suid,dev /data",
        // No device, no set-id program.
        "mknod /data/disk b 7 0",
        "cp /bin/sh /data/sh && chmod 4755 /data/sh && [ -u /data/sh ]",
        "chown 0 /data",
        "chattr +i /data",
        // The device that it is on, and that of others.
        "cat /dev/loop0",
        "ls /dev/loop-control",
        "dd if=/dev/zero of=/data/../dev/loop0 count=1",
        // Not even by way of the kernel's own requests.
        "python3 -c \"import fcntl,os; fcntl.ioctl(os.open('/data',0), 0xC0045877, 0)\"",
        "fsfreeze -f /data",
    ] {
        let said = sh(&sandbox, script).await;
        assert!(said.code() != 0, "{script}: {said:?}");
    }
    // A link is followed inside only, by the guest and by the server.
    sh(&sandbox, "ln -s /etc/shadow /data/shadow; ln -s / /data/root").await;
    for path in ["/data/shadow", "/data/root/etc/shadow", "/data/root/../../etc/shadow"] {
        assert!(place::read(&sandbox, path).await.is_err(), "{path}");
    }
    assert!(
        sandbox.list("/data/root", 1000).await.map_or(true, |all| {
            !all.iter().any(|one| one.name == "root" || one.name == "home")
        })
    );
    // Nobody else's volume is seen, nor where its image is.
    let seen = sh(&sandbox, "cat /proc/self/mountinfo /proc/mounts").await.out;
    assert!(!seen.contains(".img") && !seen.contains("other"), "{seen}");
    let alone = place.make("alone").await;
    let said = sh(&alone, "ls /data; ls /dev | grep loop; grep -c ext4.*loop /proc/mounts").await;
    assert!(!said.out.contains("file") && said.out.trim().ends_with('0'), "{said:?}");
    // On the host an image is the server's alone.
    let metadata = fs::metadata(image(&place, "v")).unwrap();
    assert_eq!((metadata.mode() & 0o777, metadata.uid()), (0o600, 0));
    assert_eq!(fs::metadata(place.state().join("volumes")).unwrap().mode() & 0o777, 0o700);
    place.end("alone", &alone).await;
    place.end("box", &sandbox).await;
    no_device(&place, "v").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_server_finds_the_device() {
    let folder = tempfile::Builder::new().prefix("capsule-resident-").tempdir().unwrap();
    let lease = Duration::from_secs(20);
    // A runtime of its own, which ends as a killed server does.
    let old = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let old = old.unwrap();
    let state = folder.path().join("state");
    let path = state.clone();
    let was_made = old.spawn(async move {
        let residents = backend::open(path, lease).unwrap();
        let place = Place { residents, folder };
        if !made(&place, "v").await {
            return None;
        }
        let sandbox = place.make_with("old", &with("v", "/data", Access::ReadWrite)).await;
        sh(&sandbox, "echo before >/data/file").await;
        Some(place.folder)
    });
    let Some(folder) = was_made.await.unwrap() else {
        tokio::task::spawn_blocking(move || drop(old)).await.unwrap();
        return;
    };
    tokio::task::spawn_blocking(move || old.shutdown_timeout(Duration::from_secs(5)))
        .await
        .unwrap();

    let place = Place { residents: backend::open(&state, lease).unwrap(), folder };
    let sandbox = place.residents.adopt("old").await.unwrap().expect("it lives");
    assert_eq!(sh(&sandbox, "cat /data/file").await.out, "before\n");
    let new = place.make_with("new", &with("v", "/data", Access::ReadWrite)).await;
    assert_eq!(devices(&place, "v"), 1, "the one that it has already");
    sh(&new, "echo after >/data/file").await;
    assert_eq!(sh(&sandbox, "cat /data/file").await.out, "after\n");
    place.end("old", &sandbox).await;
    assert_eq!(sh(&new, "cat /data/file").await.out, "after\n");
    place.end("new", &new).await;
    no_device(&place, "v").await;
}

/// What cannot be mounted leaves nothing, and says nothing of the host.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_not_there_is_refused() {
    let place = Place::new();
    if !made(&place, "v").await {
        return;
    }
    let refused =
        place.residents.create("box", &with("v", "/usr/nowhere", Access::ReadWrite)).await;
    let failure = refused.err().unwrap();
    assert_eq!(failure.code, ErrorCode::MountFailed, "{failure:?}");
    assert!(!format!("{failure:?}").contains(".img"), "{failure:?}");
    assert!(place.files_of("box").is_empty());
    no_device(&place, "v").await;
}
