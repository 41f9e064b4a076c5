//! Files of a sandbox from outside, and what a guest does to whoever uses them.

use std::time::{Duration, Instant};

use capsule_backend::sandbox::{Change, EntryKind, OpenMode};
use capsule_spec::{ByteSize, ErrorCode};

use crate::backend::{is_gvisor, is_jail};
use crate::place::{self, Place, read, sh, within, write};

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_in_and_out() {
    let place = Place::new();
    let sandbox = place.make("files").await;
    for size in [0, 1, 4096, 1 << 20, 20 << 20] {
        let bytes = pattern(size);
        write(&sandbox, "/workspace/data", &bytes).await.unwrap();
        assert_eq!(sandbox.stat("/workspace/data").await.unwrap().size, size as u64);
        assert!(read(&sandbox, "/workspace/data").await.unwrap() == bytes, "{size}");
    }
    // Names that shells and protocols stumble over.
    for name in ["a b", "new\nline", "quo'te\"s", "-rf", "ünï", "$(id)", "*", "back\\slash", "a;b"]
    {
        let path = format!("/workspace/{name}");
        write(&sandbox, &path, name.as_bytes()).await.unwrap();
        assert_eq!(read(&sandbox, &path).await.unwrap(), name.as_bytes());
        assert_eq!(sandbox.stat(&path).await.unwrap().name, name);
    }
    let entries = sandbox.list("/workspace", 100).await.unwrap();
    assert_eq!(entries.len(), 10);
    assert_eq!(sandbox.list("/workspace", 9).await.unwrap_err().code, ErrorCode::ServerLimit);
    // They belong to the sandbox's user, who can use them.
    let stat =
        "python3 -c 'import os; s = os.stat(\"data\"); print(s.st_uid, oct(s.st_mode)[-3:])'";
    let said = sh(&sandbox, &format!("{stat}; rm data; echo $?")).await;
    assert_eq!(said.out, "1000 644\n0\n");
    // Nothing of the interim is left.
    let said =
        sh(&sandbox, "python3 -c 'import os; print(\"capsule\" in str(os.listdir()))'").await;
    assert_eq!(said.out, "False\n");
    place.end("files", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_there_when_it_is_complete() {
    let place = Place::new();
    let sandbox = place.make("whole").await;
    write(&sandbox, "/tmp/file", b"old").await.unwrap();
    sh(&sandbox, "chmod 700 /tmp/file").await;
    let mut file = sandbox.open("/tmp/file", OpenMode::Write { mode: 0o600 }).await.unwrap();
    file.write(b"new").await.unwrap();
    // gVisor has no files without a name, so there it is seen at once.
    let seen: &[u8] = if is_gvisor() { b"new" } else { b"old" };
    assert_eq!(read(&sandbox, "/tmp/file").await.unwrap(), seen);
    file.finish().await.unwrap();
    assert_eq!(read(&sandbox, "/tmp/file").await.unwrap(), b"new");
    // Who replaces a file keeps its mode.
    assert_eq!(sandbox.stat("/tmp/file").await.unwrap().mode, 0o700);
    // One that is given up leaves nothing.
    let mut file = sandbox.open("/tmp/other", OpenMode::Write { mode: 0o600 }).await.unwrap();
    file.write(&pattern(1 << 20)).await.unwrap();
    drop(file);
    if is_gvisor() {
        sh(&sandbox, "rm /tmp/other").await;
    }
    assert_eq!(sandbox.stat("/tmp/other").await.unwrap_err().code, ErrorCode::FileNotFound);
    let names = "python3 -c 'import os; print(*os.listdir(\"/tmp\"))'";
    assert_eq!(sh(&sandbox, names).await.out, "file\n");
    // Through a link the target is written, and the link stays.
    sh(&sandbox, "ln -s /tmp/file /tmp/link").await;
    write(&sandbox, "/tmp/link", b"by link").await.unwrap();
    assert_eq!(read(&sandbox, "/tmp/file").await.unwrap(), b"by link");
    let link = sandbox.stat("/tmp/link").await.unwrap();
    assert_eq!((link.kind, link.target.as_deref()), (EntryKind::Link, Some("/tmp/file")));
    // Set-id bits are not to be had.
    let file = sandbox.open("/tmp/set", OpenMode::Write { mode: 0o6755 }).await.unwrap();
    file.finish().await.unwrap();
    assert_eq!(sandbox.stat("/tmp/set").await.unwrap().mode, 0o755);
    place.end("whole", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_change() {
    let place = Place::new();
    let sandbox = place.make("names").await;
    let make = |path: &str| Change::MakeDirectory(path.to_owned());
    let remove = |path: &str, recursive| Change::Remove { path: path.to_owned(), recursive };
    let rename = |from: &str, to: &str| Change::Move { from: from.to_owned(), to: to.to_owned() };
    sandbox.change(&make("/workspace/a/b/c")).await.unwrap();
    sandbox.change(&make("/workspace/a/b/c/")).await.unwrap();
    write(&sandbox, "/workspace/a/b/c/x", b"x").await.unwrap();
    let failure = |result: Result<(), capsule_spec::Failure>| result.unwrap_err().code;
    assert_eq!(failure(sandbox.change(&make("/workspace/a/b/c/x")).await), ErrorCode::FileInTheWay);
    assert_eq!(failure(sandbox.change(&make("/usr/x")).await), ErrorCode::FileDenied);
    assert_eq!(
        failure(sandbox.change(&remove("/workspace/a", false)).await),
        ErrorCode::FileInTheWay
    );
    sandbox.change(&rename("/workspace/a/b", "/workspace/d")).await.unwrap();
    write(&sandbox, "/workspace/y", b"y").await.unwrap();
    sandbox.change(&rename("/workspace/y", "/workspace/d/c/x")).await.unwrap();
    assert_eq!(read(&sandbox, "/workspace/d/c/x").await.unwrap(), b"y");
    // Across mounts, which the private places are.
    sandbox.change(&rename("/workspace/d/c/x", "/tmp/x")).await.unwrap();
    assert_eq!(read(&sandbox, "/tmp/x").await.unwrap(), b"y");
    assert_eq!(
        failure(sandbox.change(&rename("/workspace/d", "/tmp/d")).await),
        ErrorCode::WrongFileKind
    );
    assert_eq!(
        failure(sandbox.change(&rename("/workspace/d/c", "/workspace/a")).await),
        ErrorCode::FileInTheWay
    );
    sandbox.change(&remove("/workspace/d", true)).await.unwrap();
    assert_eq!(
        failure(sandbox.change(&remove("/workspace/d", true)).await),
        ErrorCode::FileNotFound
    );
    // gVisor says first that the directory above a mount may not be changed.
    let expected = if is_gvisor() { ErrorCode::FileDenied } else { ErrorCode::FileInTheWay };
    assert_eq!(failure(sandbox.change(&remove("/workspace", true)).await), expected);
    // A mount, or a directory of an image.
    let expected = if is_jail() { ErrorCode::FileInTheWay } else { ErrorCode::FileDenied };
    assert_eq!(failure(sandbox.change(&remove("/usr", true)).await), expected);
    place.end("names", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_directories_and_deep_ones_are_removed() {
    let place = Place::new();
    let sandbox = place.make("large").await;
    let script = "import os\n\
        for n in range(20000): open(f'wide{n}','w').close()\n\
        for d in range(300):\n  os.mkdir('deep'); os.symlink('/usr','link'); os.chdir('deep')\n";
    let python = |code: &str| format!("mkdir all; cd all; python3 -c \"{code}\"");
    let said = sh(&sandbox, &python(script)).await;
    assert_eq!(said.code(), 0, "{said:?}");
    let entries = within(20, sandbox.list("/workspace/all", 100_000)).await.unwrap();
    assert_eq!(entries.len(), 20_002);
    let all = Change::Remove { path: "/workspace/all".to_owned(), recursive: true };
    within(20, sandbox.change(&all)).await.unwrap();
    assert!(sandbox.list("/workspace", 1).await.unwrap().is_empty());
    let is_there = "python3 -c 'import os; print(len(os.listdir(\"/usr\")) > 0)'";
    assert_eq!(sh(&sandbox, is_there).await.out, "True\n");
    place.end("large", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_blocks_whoever_reads() {
    let place = Place::new();
    let sandbox = place.make("blocks").await;
    sh(
        &sandbox,
        "mkfifo fifo; ln -s fifo tofifo; python3 -c 'import socket; \
        socket.socket(socket.AF_UNIX).bind(\"sock\")'; mkdir dir; ln -s loop loop; \
        ln -s /dev/zero zero; truncate -s 100G sparse",
    )
    .await;
    for path in ["fifo", "tofifo", "sock", "dir", "loop", "zero"] {
        let path = format!("/workspace/{path}");
        let code = read(&sandbox, &path).await.map(drop).unwrap_err().code;
        assert_eq!(code, ErrorCode::WrongFileKind, "{path}");
        let code = write(&sandbox, &path, b"x").await.unwrap_err().code;
        assert_eq!(code, ErrorCode::WrongFileKind, "{path}");
    }
    for path in ["/dev/zero", "/dev/null", "/dev/pts/ptmx"] {
        let code = read(&sandbox, path).await.map(drop).unwrap_err().code;
        assert_eq!(code, ErrorCode::WrongFileKind, "{path}");
    }
    assert_eq!(
        sandbox.list("/workspace/fifo", 9).await.unwrap_err().code,
        ErrorCode::WrongFileKind
    );
    // As large as it says, and read as far as wanted.
    assert_eq!(sandbox.stat("/workspace/sparse").await.unwrap().size, 100 << 30);
    let mut file = sandbox.open("/workspace/sparse", OpenMode::Read).await.unwrap();
    assert_eq!(file.read(1000).await.unwrap().len(), 1000);
    place.end("blocks", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out() {
    let place = Place::new();
    let sandbox = place.make("out").await;
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "host").unwrap();
    let host = secret.path().to_str().unwrap();
    sh(
        &sandbox,
        &format!(
            "ln -s {host} link; ln -s / root; ln -s /proc/self/exe exe; \
        ln -s /proc/1/root/{host} magic; ln -s /proc/self/environ environ; \
        ln -s ../../../../../../..{host} up"
        ),
    )
    .await;
    for path in [
        host.to_owned(),
        format!("/workspace/../..{host}"),
        format!("/workspace/root/{host}"),
        "/workspace/link".to_owned(),
        "/workspace/magic".to_owned(),
        "/workspace/up".to_owned(),
        format!("/proc/1/root{host}"),
        format!("/proc/self/root{host}"),
        "/proc/self/exe".to_owned(),
        "/workspace/exe".to_owned(),
        "/proc/self/environ".to_owned(),
        "/workspace/environ".to_owned(),
        "/proc/1/environ".to_owned(),
        "/proc/self/maps".to_owned(),
        "/proc/self/mem".to_owned(),
        "/proc/self/ns/net".to_owned(),
        "/proc/thread-self/fd/3".to_owned(),
        "/etc/shadow".to_owned(),
    ] {
        match read(&sandbox, &path).await {
            // What was written below, at the same path inside.
            Ok(bytes) => assert_eq!(bytes, b"guest", "{path}"),
            Err(failure) => {
                let expected =
                    [ErrorCode::FileNotFound, ErrorCode::FileDenied, ErrorCode::WrongFileKind];
                // gVisor has errors of its own for what is of a process that has ended.
                let is_own = is_gvisor() && failure.code == ErrorCode::SystemFailure;
                assert!(is_own || expected.contains(&failure.code), "{path} {failure:?}");
            }
        }
        let _ = write(&sandbox, &path, b"guest").await;
    }
    assert_eq!(std::fs::read(secret.path()).unwrap(), b"host");
    for path in ["/proc", "/proc/self", "/proc/self/fd", "/proc/1"] {
        let failure = sandbox.list(path, 100_000).await.unwrap_err();
        assert!([ErrorCode::FileDenied, ErrorCode::FileNotFound].contains(&failure.code), "{path}");
    }
    for path in ["/usr/x", "/etc/x", "/x", "/bin/sh"] {
        assert_eq!(write(&sandbox, path, b"x").await.unwrap_err().code, ErrorCode::FileDenied);
    }
    for path in
        ["", "relative", "/nul\0byte", &format!("/{}", "x/".repeat(1 << 19)), &"x".repeat(9999)]
    {
        assert_eq!(read(&sandbox, path).await.unwrap_err().code, ErrorCode::InvalidPath);
        let change = Change::Remove { path: path.to_owned(), recursive: true };
        assert_eq!(sandbox.change(&change).await.unwrap_err().code, ErrorCode::InvalidPath);
    }
    let name = format!("/workspace/{}", "n".repeat(300));
    assert_eq!(write(&sandbox, &name, b"x").await.unwrap_err().code, ErrorCode::InvalidPath);
    place.end("out", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_change_lead_nowhere_else() {
    let place = Place::new();
    let sandbox = place.make("race").await;
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "host").unwrap();
    let host = secret.path().to_str().unwrap().to_owned();
    let flip = format!(
        "import os\nopen('/tmp/real','w').write('guest')\nwhile True:\n  \
         os.symlink('/tmp/real','/tmp/n'); os.rename('/tmp/n','/tmp/x')\n  \
         os.symlink('{host}','/tmp/n'); os.rename('/tmp/n','/tmp/x')\n"
    );
    let process = place::start(&sandbox, &place::program(&["python3", "-c", &flip])).await;
    // A question to gVisor takes its time beside somebody who keeps it busy.
    let (patience, least) = if is_gvisor() { (6, 2) } else { (1, 20) };
    let until = Instant::now() + Duration::from_secs(patience);
    let (mut seen, mut tries) = (0, 0);
    while Instant::now() < until {
        tries += 1;
        if let Ok(bytes) = read(&sandbox, "/tmp/x").await {
            assert!(bytes == b"guest" || bytes == b"mine", "{bytes:?}");
            seen += 1;
        }
        let _ = write(&sandbox, "/tmp/x", b"mine").await;
    }
    assert!(tries > least && seen > 0, "{tries} {seen}");
    assert_eq!(std::fs::read(secret.path()).unwrap(), b"host");
    drop(process);
    place.end("race", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_has_an_end() {
    let place = Place::new();
    let mut recipe = place::recipe();
    recipe.limits.disk = ByteSize::from_mib(8);
    recipe.limits.disk_inodes = 500;
    let sandbox = place.make_with("disk", &recipe).await;
    let failure = write(&sandbox, "/workspace/big", &pattern(20 << 20)).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::DiskLimit);
    if is_gvisor() {
        // It was there from the first byte.
        sh(&sandbox, "rm /workspace/big").await;
    }
    assert_eq!(sandbox.stat("/workspace/big").await.unwrap_err().code, ErrorCode::FileNotFound);
    write(&sandbox, "/workspace/fits", &pattern(4 << 20)).await.unwrap();
    let used = sandbox.usage().await.unwrap().disk.unwrap();
    assert!((4 << 20..6 << 20).contains(&used), "{used}");
    if is_gvisor() {
        // Names are not counted there: they are memory, which is.
        return place.end("disk", &sandbox).await;
    }
    let mut last = Ok(());
    for number in 0..600 {
        last = write(&sandbox, &format!("/tmp/{number}"), b"").await;
        if last.is_err() {
            break;
        }
    }
    assert_eq!(last.unwrap_err().code, ErrorCode::DiskLimit);
    place.end("disk", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_of_the_host_have_their_rights() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::new();
    let (open, closed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(open.path().join("host"), "host").unwrap();
    std::fs::write(closed.path().join("host"), "host").unwrap();
    if !is_jail() {
        // Nobody maps owners there: what is to be written must be that user's.
        for path in [open.path().to_owned(), open.path().join("host")] {
            std::os::unix::fs::chown(path, Some(1000), Some(1000)).unwrap();
        }
    }
    let mut recipe = place::recipe();
    for (folder, inside, access) in [
        (&open, "/workspace/open", capsule_spec::Access::ReadWrite),
        (&closed, "/workspace/closed", capsule_spec::Access::ReadOnly),
    ] {
        recipe.policy.files.push(capsule_spec::Mount {
            source: capsule_spec::HostPath::new(folder.path().to_str().unwrap()).unwrap(),
            destination: capsule_spec::GuestPath::new(inside).unwrap(),
            access,
        });
    }
    let sandbox = place.make_with("mounts", &recipe).await;
    write(&sandbox, "/workspace/open/new", b"guest").await.unwrap();
    write(&sandbox, "/workspace/open/host", b"changed").await.unwrap();
    assert_eq!(read(&sandbox, "/workspace/closed/host").await.unwrap(), b"host");
    for path in ["/workspace/closed/host", "/workspace/closed/new"] {
        let failure = write(&sandbox, path, b"guest").await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::FileDenied, "{path}");
    }
    let remove = |path: &str| Change::Remove { path: path.to_owned(), recursive: true };
    for path in ["/workspace/closed/host", "/workspace/closed", "/workspace/open", "/workspace"] {
        let code = sandbox.change(&remove(path)).await.unwrap_err().code;
        assert!([ErrorCode::FileDenied, ErrorCode::FileInTheWay].contains(&code), "{path} {code}");
    }
    // A mount below what is removed is not entered.
    let code = sandbox.change(&remove("/workspace")).await.unwrap_err().code;
    // gVisor says first that the directory above a mount may not be changed.
    let expected = if is_gvisor() { ErrorCode::FileDenied } else { ErrorCode::FileInTheWay };
    assert_eq!(code, expected);
    place.end("mounts", &sandbox).await;
    assert_eq!(std::fs::read(open.path().join("new")).unwrap(), b"guest");
    assert_eq!(std::fs::read(open.path().join("host")).unwrap(), b"changed");
    assert_eq!(std::fs::read(closed.path().join("host")).unwrap(), b"host");
    // What a guest makes belongs to the owner of the folder.
    let owner = |path: &std::path::Path| std::fs::metadata(path).unwrap().uid();
    assert_eq!(owner(&open.path().join("new")), owner(open.path()));
    assert_eq!(std::fs::read_dir(open.path()).unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_in_a_folder_that_is_removed_is_not_emptied() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("host"), "host").unwrap();
    let mut recipe = place::recipe();
    recipe.policy.files.push(capsule_spec::Mount {
        source: capsule_spec::HostPath::new(folder.path().to_str().unwrap()).unwrap(),
        destination: capsule_spec::GuestPath::new("/workspace/a/b").unwrap(),
        access: capsule_spec::Access::ReadWrite,
    });
    let sandbox = place.make_with("inner", &recipe).await;
    let remove = Change::Remove { path: "/workspace/a".to_owned(), recursive: true };
    // Directories above a mount are root's in a container, unless it has a kernel of its own.
    let is_owned = is_jail() || is_gvisor();
    let expected = if is_owned { ErrorCode::FileInTheWay } else { ErrorCode::FileDenied };
    assert_eq!(sandbox.change(&remove).await.unwrap_err().code, expected);
    place.end("inner", &sandbox).await;
    assert_eq!(std::fs::read(folder.path().join("host")).unwrap(), b"host");
}

/// While a sandbox stands still the server reads its private files itself: of nothing else,
/// whatever names and links the guest made.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_sandbox_that_stands_still() {
    let place = Place::new();
    let sandbox = place.make("still").await;
    sh(
        &sandbox,
        "mkdir a; echo inside >a/file; ln -s /etc a/out; ln -s /proc/1/root a/root; \
         ln -s ../../etc/hostname a/name; mkfifo a/pipe; ln -s a way; ln a/file a/same",
    )
    .await;
    sandbox.freeze(true).await.unwrap();
    assert_eq!(read(&sandbox, "/workspace/a/file").await.unwrap(), b"inside\n");
    let mut names: Vec<String> =
        sandbox.list("/workspace/a", 100).await.unwrap().into_iter().map(|one| one.name).collect();
    names.sort();
    assert_eq!(names, ["file", "name", "out", "pipe", "root", "same"]);
    let link = sandbox.stat("/workspace/a/out").await.unwrap();
    assert_eq!(link.target.as_deref(), Some("/etc"));
    // In gVisor files are always read from inside, where no path leads out.
    let outside: &[&str] = &[
        "/workspace/a/out/hostname",
        "/workspace/a/root/etc/hostname",
        "/workspace/a/name",
        "/workspace/way/file",
        "/workspace/../etc/hostname",
        "/workspace/a/pipe",
        "/etc/hostname",
        "/proc/1/root/etc/hostname",
        "/proc/self/environ",
        "/usr/bin/env",
    ];
    for path in outside.iter().filter(|_| !is_gvisor()) {
        let refused = sandbox.open(path, OpenMode::Read).await.map(drop);
        assert!(refused.is_err(), "{path}");
    }
    let outside = ["/", "/etc", "/workspace/way", "/workspace/a/out", "/proc"];
    for path in outside.iter().filter(|_| !is_gvisor()) {
        assert!(sandbox.list(path, 10_000).await.is_err(), "{path}");
    }
    // Nothing is written meanwhile.
    assert!(sandbox.open("/workspace/new", OpenMode::Write { mode: 0o644 }).await.is_err());
    sandbox.freeze(false).await.unwrap();
    assert_eq!(read(&sandbox, "/workspace/way/file").await.unwrap(), b"inside\n");
    sandbox.kill_all().await.unwrap();
    assert_eq!(read(&sandbox, "/workspace/a/same").await.unwrap(), b"inside\n");
    place.end("still", &sandbox).await;
}
