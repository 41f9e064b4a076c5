//! Volumes of a real server: from the command line, over a server that was killed, and that no
//! device is left.

use std::os::unix::process::CommandExt;
use std::process::Command;

use capsule_tests::{Binary, Caller, path_of};
use serde_json::json;

use crate::command_line::capsule;
use crate::server::Serve;
use crate::suite::exec::until;

/// Makes a volume; where this host has none it is refused, and the test is skipped.
pub(crate) fn made(serve: &Serve, name: &str) -> bool {
    let params = json!({ "name": name, "size_bytes": 16 << 20 });
    match serve.call("volume.v1.create", params) {
        Ok(_) => true,
        Err(refused) => {
            assert_eq!(refused.error_code, "E2012", "{}", refused.message);
            capsule_tests::skip(&refused.message);
            false
        }
    }
}

/// Loop devices whose file is below a server's folder.
fn devices(serve: &Serve) -> usize {
    let below = serve.data.to_str().unwrap().to_owned();
    let blocks = std::fs::read_dir("/sys/block").unwrap().flatten();
    let files =
        blocks.filter_map(|one| std::fs::read_to_string(one.path().join("loop/backing_file")).ok());
    files.filter(|file| file.starts_with(&below)).count()
}

#[test]
fn a_volume_is_used_from_the_command_line() {
    let serve = Serve::start(&[]);
    if !made(&serve, "probe") {
        return;
    }
    let ok =
        |arguments: &[&str]| capsule(&serve, arguments).finish().ended_with(0).text().to_owned();
    assert_eq!(ok(&["volume", "rm", "probe"]), "probe\n");
    assert_eq!(ok(&["volume", "create", "data", "--size", "16MiB"]), "data\n");
    let make = |volume: &str| ok(&["sandbox", "create", "-t", "shell", "--volume", volume]);
    let (first, second) = (make("data:/data"), make("data:/mnt/data:ro"));
    let (first, second) = (first.trim(), second.trim());
    ok(&["sandbox", "exec", first, "--", "sh", "-c", "echo kept >/data/file"]);
    assert_eq!(ok(&["sandbox", "exec", second, "--", "cat", "/mnt/data/file"]), "kept\n");
    let denied = ["sandbox", "exec", second, "--", "touch", "/mnt/data/file"];
    capsule(&serve, &denied).finish().ended_with(1);
    let shown = ok(&["sandbox", "get", second]);
    assert!(shown.contains("data:/mnt/data:ro"), "{shown}");
    // Files go in and out as they do elsewhere.
    let from = tempfile::tempdir().unwrap();
    std::fs::write(from.path().join("a"), "from outside").unwrap();
    ok(&["sandbox", "cp", from.path().join("a").to_str().unwrap(), &format!("{first}:/data/a")]);
    assert_eq!(ok(&["sandbox", "exec", second, "--", "cat", "/mnt/data/a"]), "from outside");
    let listed = ok(&["volume", "ls"]);
    assert!(listed.contains("data  16 MiB") || listed.contains("data  16.0 MiB"), "{listed}");
    let refused = capsule(&serve, &["volume", "rm", "data"]).finish().ended_with(1);
    assert!(refused.errors().contains("E3017"), "{refused}");
    // A snapshot is of the workspace, and holds nothing of it.
    let snapshot = serve.call("sandbox.v1.snapshot", json!({ "id": first })).unwrap();
    assert_eq!(snapshot["snapshot"]["files"], json!(0), "{snapshot}");
    ok(&["sandbox", "rm", first, second]);
    until(|| devices(&serve) == 0);
    ok(&["volume", "rm", "data"]);
    let left = std::fs::read_dir(serve.data.join("jails/volumes")).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn a_killed_server_leaves_volumes_to_the_next_one() {
    let serve = Serve::start(&[]);
    if !made(&serve, "v") {
        return;
    }
    let mounted = json!({ "template": "shell", "volumes": [{ "volume": "v", "path": "/data" }] });
    let id = serve.create_with(mounted.clone());
    serve.shell(&id, "echo before >/data/file");
    // It goes on writing while there is no server.
    let script = "while :; do date >>/data/log; sleep 0.01; done";
    let params = json!({ "id": id, "cmd": ["/bin/sh", "-c", script] });
    serve.call("sandbox.v1.start", params).unwrap();
    let (data, _folder) = serve.kill();
    std::fs::write(data.join("jails/volumes/half.new"), "half").unwrap();

    let mut serve = Serve::again(&data, &[]);
    assert!(!data.join("jails/volumes/half.new").exists());
    let refused = serve.call("volume.v1.delete", json!({ "name": "v" })).unwrap_err();
    assert_eq!(refused.error_code, "E3017");
    let other = serve.create_with(mounted);
    assert_eq!(devices(&serve), 1, "the device that it has already");
    assert_eq!(serve.shell(&other, "cat /data/file"), "before\n");
    let lines = || serve.shell(&other, "wc -l </data/log");
    let before = lines();
    until(|| lines() != before);
    assert_eq!(serve.stop(), Some(0));
    until(|| devices(&serve) == 0);
    // What the host's own tools say of the file system that was left.
    let image = std::fs::read_dir(data.join("jails/volumes")).unwrap().flatten().next().unwrap();
    let check = std::process::Command::new("e2fsck").arg("-fn").arg(image.path()).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

#[test]
fn e1018_unknown_volume() {
    let volumes = json!([{ "volume": "none", "path": "/data" }]);
    let params = json!({ "template": "shell", "volumes": volumes });
    let refused = Serve::start(&[]).call("sandbox.v1.create", params).unwrap_err();
    assert_eq!(refused.error_code, "E1018", "{}", refused.message);
}

/// A server that is not root's, and its folder.
fn unprivileged() -> (tempfile::TempDir, Serve) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = Command::new(path_of(Binary::Capsule));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
    if let Some(user) = Caller::Unprivileged.change_to() {
        std::os::unix::fs::chown(folder.path(), Some(user), Some(user)).unwrap();
        command.uid(user).gid(user);
    }
    let serve = Serve::run(command, &data);
    (folder, serve)
}

#[test]
fn e2012_volume_of_a_server_that_may_not_mount() {
    let (_folder, serve) = unprivileged();
    let params = json!({ "name": "v", "size_bytes": 16 << 20 });
    let refused = serve.call("volume.v1.create", params).unwrap_err();
    assert_eq!((refused.code, &*refused.error_code), (-32003, "E2012"), "{}", refused.message);
    assert_eq!(serve.call("volume.v1.list", json!({})).unwrap()["volumes"], json!([]));
    let left = std::fs::read_dir(serve.data.join("jails/volumes")).unwrap().count();
    assert_eq!(left, 0, "nothing is left");
}

#[test]
fn e3017_volume_that_a_sandbox_has() {
    let serve = Serve::start(&[]);
    if !made(&serve, "v") {
        return;
    }
    let volumes = json!([{ "volume": "v", "path": "/data", "mode": "ro" }]);
    let id = serve.create_with(json!({ "template": "shell", "volumes": volumes }));
    serve.call("sandbox.v1.pause", json!({ "id": id })).unwrap();
    let refused = serve.call("volume.v1.delete", json!({ "name": "v" })).unwrap_err();
    assert_eq!((refused.code, &*refused.error_code), (-32012, "E3017"), "{}", refused.message);
}
