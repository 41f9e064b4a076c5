//! Sandboxes whose root is a directory: what they see of it, and what nobody reaches by it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use capsule_backend::sandbox::{Recipe, Root, Sandboxes};
use capsule_spec::ErrorCode;

use crate::place::{Place, program, read, recipe, run, sh, write};

/// A root with a shell and the libraries that it needs, taken from this host.
fn fill(root: &Path) {
    for folder in ["usr/bin", "usr/lib", "etc/app", "var/lib", "opt", "tmp", "dev", "proc/1"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let mut wanted = vec![PathBuf::from("/bin/sh")];
    for name in ["cat", "ls", "id", "touch", "grep", "ln", "sleep"] {
        wanted.push(PathBuf::from("/usr/bin").join(name));
    }
    let mut libraries = Vec::new();
    for file in &wanted {
        let told = Command::new("ldd").arg(file).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let paths = told.split_whitespace().filter(|word| word.starts_with('/'));
        libraries.extend(paths.map(PathBuf::from));
        let to = root.join("usr/bin").join(file.file_name().unwrap());
        fs::copy(file, &to).unwrap();
    }
    libraries.sort();
    libraries.dedup();
    for library in &libraries {
        let to = root.join(library.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(library, &to).unwrap();
    }
    symlink("usr/bin", root.join("bin")).unwrap();
    fs::write(root.join("etc/app/setting"), "of the root").unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    fs::write(root.join("etc/shadow"), "secret").unwrap();
    fs::write(root.join("opt/mark"), "this root").unwrap();
    fs::write(root.join("opt/own"), "for its owner").unwrap();
    fs::set_permissions(root.join("opt/own"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(root.join("proc/1/planted"), "").unwrap();
    symlink("/etc/hostname", root.join("opt/out")).unwrap();
}

fn of(root: &Path) -> Recipe {
    Recipe { root: Root::Directory(root.to_owned()), ..recipe() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_the_root_and_cannot_be_written() {
    let place = Place::new();
    let root = place.folder.path().join("root");
    fs::create_dir(&root).unwrap();
    fill(&root);
    // Nobody else may look into the folder above it, as with a server's data folder.
    fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let sandbox = place.make_with("box", &of(&root)).await;
    let said = sh(&sandbox, "cat /opt/mark /etc/app/setting; id -u; ls /proc/1/planted").await;
    assert_eq!(said.out, "this rootof the root1000\n", "{said:?}");
    // The host's own files are not there, nor the root's secrets; a link leads nowhere else.
    for path in ["/etc/shadow", "/opt/out", "/usr/bin/env", "/etc/os-release", "/run"] {
        let said = run(&sandbox, &program(&["cat", path])).await;
        assert_eq!((said.code(), said.out.as_str()), (1, ""), "{path}: {said:?}");
    }
    let passwd = read(&sandbox, "/etc/passwd").await.unwrap();
    assert!(String::from_utf8(passwd).unwrap().contains("capsule:x:1000"));
    // Nothing of it can be changed, by a process or by the server.
    for path in ["/opt/new", "/usr/bin/new", "/etc/new", "/new", "/etc/app/new", "/var/lib/new"] {
        let said = run(&sandbox, &program(&["touch", path])).await;
        assert_ne!(said.code(), 0, "{path}");
        let refused = write(&sandbox, path, b"x").await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::FileDenied, "{path}: {refused:?}");
        assert!(!root.join(path.trim_start_matches('/')).exists());
    }
    let said =
        sh(&sandbox, "echo x >/opt/mark || echo denied; ln /opt/mark /tmp/mark || echo denied")
            .await;
    assert_eq!(said.out, "denied\ndenied\n", "{said:?}");
    assert_eq!(fs::read_to_string(root.join("opt/mark")).unwrap(), "this root");
    // Its own places are private, and writable.
    let said =
        sh(&sandbox, "echo a >/workspace/a; echo b >/tmp/b; ls /workspace /tmp; ls -A /dev/shm")
            .await;
    assert_eq!(said.code(), 0, "{said:?}");
    assert!(fs::read_dir(root.join("tmp")).unwrap().next().is_none());
    // The same walls: no capability, no new privileges, a filter.
    let said = sh(&sandbox, "grep -E 'CapEff|NoNewPrivs|^Seccomp:' /proc/self/status").await;
    assert_eq!(said.out, "CapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n");
    // And nothing else is mounted.
    let mounts = sh(&sandbox, "cat /proc/self/mountinfo").await.out;
    let expected = ["dev", "etc", "lib", "lib64", "opt", "proc", "tmp", "usr", "var", "workspace"];
    for point in mounts.lines().filter_map(|line| line.split(' ').nth(4)) {
        let top = point.split('/').nth(1).unwrap();
        assert!(point == "/" || expected.contains(&top), "{mounts}");
    }
    place.end("box", &sandbox).await;
}

/// Two sandboxes of one root share nothing that either can write.
#[tokio::test(flavor = "multi_thread")]
async fn a_root_joins_no_two_sandboxes() {
    let place = Place::new();
    let root = place.folder.path().join("root");
    fs::create_dir(&root).unwrap();
    fill(&root);
    let one = place.make_with("one", &of(&root)).await;
    let two = place.make_with("two", &of(&root)).await;
    sh(&one, "echo mine >/workspace/file; echo mine >/tmp/file").await;
    let said = sh(&two, "ls /workspace /tmp").await;
    assert_eq!(said.out, "/tmp:\n\n/workspace:\n", "{said:?}");
    place.end("one", &one).await;
    place.end("two", &two).await;
}

/// Sockets and devices of a root are left out at the top, and are no use below it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_no_way_out() {
    let place = Place::new();
    let root = place.folder.path().join("root");
    fs::create_dir(&root).unwrap();
    fill(&root);
    for path in ["pipe", "opt/pipe"] {
        let made = Command::new("mkfifo").arg("-m").arg("666").arg(root.join(path)).status();
        assert!(made.unwrap().success());
    }
    let _listener = std::os::unix::net::UnixListener::bind(root.join("opt/socket")).unwrap();
    let sandbox = place.make_with("box", &of(&root)).await;
    let said = sh(&sandbox, "ls /pipe").await;
    assert_ne!(said.code(), 0);
    // Landlock lets nobody write there, read-only mount or not.
    let said = sh(&sandbox, "(echo x >/opt/pipe) 2>&1").await;
    assert!(said.out.contains("denied") || said.out.contains("Permission"), "{said:?}");
    place.end("box", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_none_is_refused() {
    let place = Place::new();
    let folder = place.folder.path().canonicalize().unwrap();
    let root = folder.join("root");
    fs::create_dir(&root).unwrap();
    fill(&root);
    symlink(&root, folder.join("link")).unwrap();
    fs::write(folder.join("file"), "").unwrap();
    let many = folder.join("many");
    fs::create_dir(&many).unwrap();
    for number in 0..600 {
        fs::create_dir(many.join(number.to_string())).unwrap();
    }
    for (path, code) in [
        (folder.join("link"), ErrorCode::UnsafePath),
        (folder.join("link/usr"), ErrorCode::UnsafePath),
        (folder.join("nothing"), ErrorCode::MountFailed),
        (folder.join("file"), ErrorCode::MountFailed),
        (many, ErrorCode::MountFailed),
        (PathBuf::from("/"), ErrorCode::InvalidPath),
        (PathBuf::from("root"), ErrorCode::InvalidPath),
    ] {
        let refused = place.residents.create("box", &of(&path)).await.map(drop).unwrap_err();
        assert_eq!(refused.code, code, "{}: {refused:?}", path.display());
        assert!(place.files_of("box").is_empty());
    }
}
