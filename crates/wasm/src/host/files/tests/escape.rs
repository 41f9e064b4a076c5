//! Ways out of a granted folder, each of which must fail.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

const CREATE: OpenFlags = OpenFlags::CREATE;

#[test]
fn links_are_followed_while_they_stay() {
    let mut scene = Scene::new(Access::ReadOnly);
    let inside = scene.inside();
    fs::create_dir_all(inside.join("a/b")).unwrap();
    fs::write(inside.join("a/file"), "here").unwrap();
    link("a/file", inside.join("down"));
    link("../file", inside.join("a/b/up"));
    link("a", inside.join("dir"));
    link("../../inside/a/file", inside.join("a/around"));
    for path in ["data/down", "data/a/b/up", "data/dir/file", "data/dir/b/up", "data/a/../down"] {
        assert_eq!(scene.read(path).unwrap(), b"here", "{path}");
    }
    // It comes back, but it was outside.
    denied(scene.read("data/a/around"), ErrorCode::NotPermitted);
    assert_eq!(scene.files.read_link_at(0, "data/down").unwrap(), "a/file");
}

#[test]
fn links_out_are_not_followed() {
    let mut scene = Scene::new(Access::ReadWrite);
    let inside = scene.inside();
    fs::create_dir(inside.join("sub")).unwrap();
    link(scene.host.join("outside/secret"), inside.join("absolute"));
    link(scene.host.join("outside"), inside.join("absolute_dir"));
    link("../outside/secret", inside.join("relative"));
    link("../../outside", inside.join("sub/dir"));
    link("sub/dir", inside.join("twice"));
    link("../outside/new", inside.join("dangling"));
    link("/proc/self/root", inside.join("magic"));
    link("/", inside.join("root"));
    for path in [
        "data/absolute",
        "data/absolute_dir/secret",
        "data/relative",
        "data/sub/dir/secret",
        "data/twice/secret",
        "data/magic/etc/passwd",
        "data/root/etc/passwd",
    ] {
        denied(scene.read(path), ErrorCode::NotPermitted);
        denied(scene.files.stat_at(0, path, Last::Follow), ErrorCode::NotPermitted);
        denied(scene.write(path, b"x"), ErrorCode::NotPermitted);
    }
    denied(scene.write("data/dangling", b"x"), ErrorCode::NotPermitted);
    denied(scene.files.unlink_at(0, "data/sub/dir/secret"), ErrorCode::NotPermitted);
    denied(scene.files.create_directory_at(0, "data/twice/new"), ErrorCode::NotPermitted);
    denied(scene.list("data/absolute_dir"), ErrorCode::NotPermitted);
    assert_eq!(fs::read(scene.host.join("outside/secret")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(scene.host.join("outside")).unwrap().count(), 1);
    // The links themselves are the guest's to see and to remove.
    scene.files.unlink_at(0, "data/absolute").unwrap();
    assert!(scene.host.join("outside/secret").exists());
}

#[test]
fn dots_do_not_lead_out() {
    let mut scene = Scene::new(Access::ReadOnly);
    for path in [
        "data/../outside/secret",
        "../outside/secret",
        "data/../../outside/secret",
        "outside/secret",
    ] {
        denied(scene.read(path), ErrorCode::NoEntry);
    }
    let whole = scene.host.join("outside/secret");
    denied(scene.read(whole.to_str().unwrap()), ErrorCode::NotPermitted);
    denied(scene.read(&whole.to_str().unwrap()[1..]), ErrorCode::NoEntry);
    let folder = scene.open("data", OpenFlags::DIRECTORY, READ).unwrap();
    let open = scene.files.open_at(folder, "../outside", Last::Follow, OpenFlags::empty(), READ);
    denied(open, ErrorCode::NotPermitted);
    denied(scene.files.stat_at(folder, "..", Last::Follow), ErrorCode::NotPermitted);
}

#[test]
fn what_is_no_file_is_not_opened() {
    let mut scene = Scene::new(Access::ReadWrite);
    let inside = scene.inside();
    mknodat(CWD, inside.join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(inside.join("socket")).unwrap();
    let begun = Instant::now();
    for path in ["data/fifo", "data/socket"] {
        denied(scene.read(path), ErrorCode::NotPermitted);
        denied(scene.write(path, b"x"), ErrorCode::NotPermitted);
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "opening a FIFO blocks");
    if rustix::process::geteuid().is_root() {
        let null = rustix::fs::makedev(1, 3);
        mknodat(CWD, inside.join("null"), FileType::CharacterDevice, Mode::RUSR, null).unwrap();
        denied(scene.read("data/null"), ErrorCode::NotPermitted);
    }
    fs::write(inside.join("setuid"), "program").unwrap();
    fs::set_permissions(inside.join("setuid"), fs::Permissions::from_mode(0o4755)).unwrap();
    denied(scene.write("data/setuid", b"mine"), ErrorCode::NotPermitted);
    assert_eq!(scene.read("data/setuid").unwrap(), b"program");
}

#[test]
fn the_kernels_own_files_stay_the_kernels() {
    let mut scene = Scene::bare();
    let root = |source: &str, destination: &str| Granted {
        source: source.into(),
        destination: destination.to_owned(),
        access: Access::ReadWrite,
    };
    assert!(scene.grant(vec![root("/proc", "/p")]).is_err());
    assert!(scene.grant(vec![root("/proc/self/mem", "/p")]).is_err());
    assert!(scene.grant(vec![root("/sys", "/p")]).is_err());
    assert!(scene.grant(vec![root("/dev/null", "/p")]).is_err());
    scene.grant(vec![root("/", "/host")]).unwrap();
    for path in ["host/proc/self/mem", "host/proc/self/environ", "host/proc/1/root/etc/passwd"] {
        denied(scene.read(path), ErrorCode::NotPermitted);
        denied(scene.write(path, b"x"), ErrorCode::NotPermitted);
    }
    denied(scene.list("host/proc"), ErrorCode::NotPermitted);
    denied(scene.list("host/sys"), ErrorCode::NotPermitted);
    denied(scene.read("host/dev/null"), ErrorCode::NotPermitted);
    assert!(scene.list("host").unwrap().contains(&"etc".to_owned()));
}

#[test]
fn read_only_means_it() {
    let mut scene = Scene::new(Access::ReadOnly);
    fs::write(scene.inside().join("f"), "here").unwrap();
    fs::create_dir(scene.inside().join("d")).unwrap();
    scene.write("tmp/own", b"x").unwrap();
    let files = &mut scene.files;
    let times = super::super::stat::timestamps(
        wasmtime_wasi::p2::bindings::filesystem::types::NewTimestamp::Now,
        wasmtime_wasi::p2::bindings::filesystem::types::NewTimestamp::Now,
    )
    .unwrap();
    denied(files.create_directory_at(0, "data/new"), ErrorCode::ReadOnly);
    denied(files.symlink_at("f", 0, "data/new"), ErrorCode::ReadOnly);
    denied(files.link_at((0, "data/f", Last::Keep), (0, "data/new")), ErrorCode::ReadOnly);
    denied(files.rename_at((0, "data/f"), (0, "data/new")), ErrorCode::ReadOnly);
    denied(files.unlink_at(0, "data/f"), ErrorCode::ReadOnly);
    denied(files.remove_directory_at(0, "data/d"), ErrorCode::ReadOnly);
    denied(files.set_times_at(0, "data/f", Last::Follow, &times), ErrorCode::ReadOnly);
    denied(scene.write("data/f", b"x"), ErrorCode::ReadOnly);
    denied(scene.write("data/new", b"x"), ErrorCode::ReadOnly);
    denied(scene.open("data/f", OpenFlags::TRUNCATE, READ), ErrorCode::ReadOnly);
    let number = scene.open("data/f", OpenFlags::empty(), READ).unwrap();
    let file = scene.files.file(number).unwrap().clone();
    denied(file.write(Some(0), b"x"), ErrorCode::BadDescriptor);
    denied(file.resize(0), ErrorCode::Invalid);
    denied(file.set_times(&times), ErrorCode::ReadOnly);
    // The directories on the way are nobody's.
    denied(scene.write("new", b"x"), ErrorCode::ReadOnly);
    denied(scene.files.create_directory_at(0, "new"), ErrorCode::ReadOnly);
    denied(scene.files.rename_at((0, "tmp/own"), (0, "new")), ErrorCode::ReadOnly);
    assert_eq!(scene.list("data").unwrap(), ["d", "f"]);
    assert_eq!(fs::read(scene.inside().join("f")).unwrap(), b"here");
}

#[test]
fn a_link_of_the_guests_cannot_mislead_the_host() {
    let mut scene = Scene::new(Access::ReadWrite);
    fs::write(scene.inside().join("f"), "here").unwrap();
    for target in ["/etc/passwd", "../outside/secret", "a/../../outside", ".."] {
        denied(scene.files.symlink_at(target, 0, "data/l"), ErrorCode::NotPermitted);
    }
    scene.files.symlink_at("f", 0, "data/l").unwrap();
    assert_eq!(scene.read("data/l").unwrap(), b"here");
    // Nor can one be brought in from where any target goes.
    scene.files.symlink_at("/etc/passwd", 0, "tmp/l").unwrap();
    denied(scene.files.rename_at((0, "tmp/l"), (0, "data/m")), ErrorCode::CrossDevice);
    let hard = scene.files.link_at((0, "tmp/l", Last::Keep), (0, "data/m"));
    denied(hard, ErrorCode::CrossDevice);
}

#[test]
fn mounts_are_apart() {
    let mut scene = Scene::bare();
    fs::create_dir(scene.host.join("second")).unwrap();
    fs::write(scene.host.join("second/f"), "here").unwrap();
    let all = vec![
        scene.granted("inside", "/one", Access::ReadWrite),
        scene.granted("second", "/two", Access::ReadOnly),
        scene.granted("outside/secret", "/file", Access::ReadOnly),
    ];
    scene.grant(all).unwrap();
    for old in ["two/f", "file"] {
        let link = scene.files.link_at((0, old, Last::Keep), (0, "one/stolen"));
        denied(link, ErrorCode::CrossDevice);
    }
    denied(scene.files.rename_at((0, "two/f"), (0, "one/f")), ErrorCode::CrossDevice);
    denied(scene.files.rename_at((0, "file"), (0, "one/f")), ErrorCode::Busy);
    denied(scene.files.unlink_at(0, "file"), ErrorCode::Busy);
    denied(scene.write("file", b"x"), ErrorCode::ReadOnly);
    assert_eq!(scene.read("file").unwrap(), b"secret");
    // A granted file gives nothing else in its folder.
    denied(scene.read("file/../outside/secret"), ErrorCode::NotDirectory);
    assert_eq!(scene.list(".").unwrap(), ["file", "one", "tmp", "two"]);
}

/// Somebody on the host swaps a directory and a link that leads out, as fast as he can,
/// while the guest goes through it in every way that it has.
#[test]
fn a_race_does_not_lead_out() {
    let mut scene = Scene::new(Access::ReadWrite);
    let inside = scene.inside();
    for folder in ["real", "real/sub"] {
        fs::create_dir(inside.join(folder)).unwrap();
    }
    fs::write(inside.join("real/secret"), "harmless").unwrap();
    fs::write(inside.join("plain"), "harmless").unwrap();
    fs::create_dir(scene.host.join("outside/sub")).unwrap();
    link(scene.host.join("outside"), inside.join("out"));
    link("../outside/secret", inside.join("file_out"));
    fs::rename(inside.join("real"), inside.join("door")).unwrap();
    fs::write(inside.join("file_door"), "harmless").unwrap();
    let done = AtomicBool::new(false);
    let (mut reached, mut refused) = (0, 0);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            use rustix::fs::{RenameFlags, renameat_with};
            let swap = |one: &str, two: &str| {
                let (one, two) = (inside.join(one), inside.join(two));
                renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE).unwrap();
            };
            while !done.load(Ordering::Relaxed) {
                swap("door", "out");
                swap("file_door", "file_out");
            }
        });
        let end = Instant::now() + Duration::from_secs(3);
        for round in 0.. {
            if Instant::now() > end {
                break;
            }
            for path in ["data/door/secret", "data/file_door", "data/door/../door/secret"] {
                match scene.read(path) {
                    Ok(bytes) => {
                        assert_eq!(bytes, b"harmless", "{path} led out");
                        reached += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
            let _ = scene.write("data/door/planted", b"x");
            let _ = scene.write("data/file_door", b"harmless");
            let _ = scene.files.create_directory_at(0, &format!("data/door/d{}", round % 7));
            let _ = scene.files.remove_directory_at(0, "data/door/sub");
            let _ = scene.files.unlink_at(0, "data/door/planted");
            let _ = scene.files.rename_at((0, "data/plain"), (0, "data/door/moved"));
            let _ = scene.files.rename_at((0, "data/door/moved"), (0, "data/plain"));
            let _ = scene
                .open("data/door/new", CREATE | OpenFlags::EXCLUSIVE, WRITE)
                .map(|number| scene.files.open.remove(number));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(reached > 100 && refused > 100, "no race took place: {reached} and {refused}");
    let outside = scene.host.join("outside");
    assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
    let mut names: Vec<_> =
        fs::read_dir(outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["secret", "sub"]);
}
