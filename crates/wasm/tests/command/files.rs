//! Programs that reach for files.

use std::fs;
use std::os::unix::fs::symlink;

use capsule_spec::{Access, ErrorCode, HostPath, Mount};

use crate::place::{
    CREATE, LOOP, NOENT, NOTCAPABLE, PERM, Place, READ, TRUNCATE, WRITE, exit_with, opening,
    refused, run, start,
};

#[test]
fn paths_do_not_leave_a_mount() {
    let place = Place::new();
    let data = place.mount("data", "/", Access::ReadWrite);
    fs::write(place.path("secret"), "secret").unwrap();
    fs::write(place.path("data/own"), "own").unwrap();
    fs::create_dir(place.path("data/sub")).unwrap();
    symlink("/etc/passwd", place.path("data/absolute")).unwrap();
    symlink("../secret", place.path("data/relative")).unwrap();
    symlink("../../secret", place.path("data/sub/deep")).unwrap();
    symlink("/proc/self/root", place.path("data/magic")).unwrap();
    symlink("loop", place.path("data/loop")).unwrap();
    symlink("own", place.path("data/fine")).unwrap();
    let through_proc = format!("/proc/self/fd/3/..{}", place.path("secret").display());
    for (path, allowed) in [
        ("own", true),
        ("sub/../own", true),
        ("./own", true),
        ("fine", true),
        ("../secret", false),
        ("../data/own", false),
        ("sub/../../secret", false),
        ("../../../../../../../../etc/passwd", false),
        ("/etc/passwd", false),
        ("/", false),
        ("..", false),
        ("absolute", false),
        ("relative", false),
        ("sub/deep", false),
        ("magic/etc/passwd", false),
        ("own/../../secret", false),
        ("own\\00/../../secret", false),
        (through_proc.as_str(), false),
    ] {
        let mut command = place.preview1(&opening(path, 0, READ));
        command.mounts = vec![data.clone()];
        let outcome = run(&command);
        assert_eq!(outcome.exit_code == Some(0), allowed, "{path}: {outcome:?}");
        assert!(outcome.exit_code.is_some(), "{path}: {outcome:?}");
    }
    for (path, number) in [("../secret", PERM), ("absolute", PERM), ("loop", LOOP), ("no", NOENT)] {
        let mut command = place.preview1(&opening(path, 0, READ));
        command.mounts = vec![data.clone()];
        assert_eq!(run(&command).exit_code, Some(number), "{path}");
    }
    // Creating is no way out either.
    let mut command = place.preview1(&opening("../made", CREATE, READ | WRITE));
    command.mounts = vec![data];
    assert_eq!(run(&command).exit_code, Some(PERM));
    assert!(!place.path("made").exists());
}

#[test]
fn links_that_it_makes_lead_nowhere() {
    let place = Place::new();
    let data = place.mount("data", "/", Access::ReadWrite);
    fs::write(place.path("secret"), "secret").unwrap();
    for to in ["../secret", "/etc/passwd", "../../../../../etc/passwd", "."] {
        let length = to.len();
        let call = |name: &str, operands: &str| format!("(call ${name} {operands})");
        let make = call(
            "path_symlink",
            &format!(
                "(i32.const 4096) (i32.const {length}) (i32.const 3) (i32.const 5000) (i32.const 3)"
            ),
        );
        let open = call(
            "path_open",
            "(i32.const 3) (i32.const 1) (i32.const 5000) (i32.const 3) (i32.const 0) \
             (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 16)",
        );
        let mut command = place.preview1(&format!(
            "(data (i32.const 4096) \"{to}\") (data (i32.const 5000) \"out\") {}",
            start(&format!("(drop {make}) (call $proc_exit {open})"))
        ));
        command.mounts = vec![data.clone()];
        let outcome = run(&command);
        // The one to its own folder works: the test would notice if none were made.
        assert_eq!(outcome.exit_code == Some(0), to == ".", "{to}: {outcome:?}");
        let _ = fs::remove_file(place.path("data/out"));
    }
}

#[test]
fn a_read_only_mount_stays_as_it_is() {
    let place = Place::new();
    let fixed = place.mount("fixed", "/fixed", Access::ReadOnly);
    let free = place.mount("free", "/free", Access::ReadWrite);
    fs::write(place.path("fixed/file"), "before").unwrap();
    let open = |flags: i32, rights: i32, more: i32| {
        exit_with(&format!("path_open 3 0 4096 4 {flags} {rights}L {rights}L {more} 16"))
    };
    for (what, body) in [
        ("write", open(0, WRITE, 0)),
        ("read and write", open(0, READ | WRITE, 0)),
        ("truncate", open(TRUNCATE, READ, 0)),
        ("create", exit_with(&format!("path_open 3 0 5000 3 {CREATE} {READ}L {READ}L 0 16"))),
        ("append", open(0, WRITE, 1)),
        ("unlink", exit_with("path_unlink_file 3 4096 4")),
        ("make a folder", exit_with("path_create_directory 3 5000 3")),
        ("set times", exit_with("path_filestat_set_times 3 0 4096 4 0L 0L 5")),
        ("link away", exit_with("path_link 3 0 4096 4 4 5100 3")),
        ("link into", exit_with("path_link 4 0 5000 3 3 5000 3")),
        ("rename away", exit_with("path_rename 3 4096 4 4 5000 3")),
        ("rename over", exit_with("path_rename 4 5000 3 3 4096 4")),
        ("a symbolic link", exit_with("path_symlink 4096 4 3 5000 3")),
    ] {
        fs::write(place.path("free/new"), "other").unwrap();
        let names = "(data (i32.const 4096) \"file\") (data (i32.const 5000) \"new\")
                     (data (i32.const 5100) \"old\")";
        let mut command = place.preview1(&format!("{names} {body}"));
        command.mounts = vec![fixed.clone(), free.clone()];
        let before = fs::metadata(place.path("fixed/file")).unwrap().modified().unwrap();
        let outcome = run(&command);
        assert!(matches!(outcome.exit_code, Some(PERM | NOTCAPABLE)), "{what}: {outcome:?}");
        let meta = fs::metadata(place.path("fixed/file")).unwrap();
        assert_eq!(meta.modified().unwrap(), before, "{what}");
        assert_eq!(fs::read_to_string(place.path("fixed/file")).unwrap(), "before", "{what}");
        assert_eq!(fs::read_dir(place.path("fixed")).unwrap().count(), 1, "{what}");
        assert_eq!(fs::read_dir(place.path("free")).unwrap().count(), 1, "{what}");
    }
    // What may be written, can be.
    let mut command = place.preview1(&opening("made", CREATE, READ | WRITE));
    command.mounts = vec![free];
    assert_eq!(run(&command).exit_code, Some(0));
    assert!(place.path("free/made").exists());
}

#[test]
fn mounts_are_what_was_named() {
    let place = Place::new();
    let mut command = place.preview1(&start(""));
    let real = place.mount("real", "/", Access::ReadOnly);
    symlink(place.path("real"), place.path("link")).unwrap();
    fs::write(place.path("file"), "").unwrap();
    for (name, code) in [
        ("link", ErrorCode::UnsafePath),
        ("missing", ErrorCode::MountFailed),
        ("file", ErrorCode::MountFailed),
        ("file/x", ErrorCode::MountFailed),
    ] {
        let source = HostPath::new(place.path(name).to_str().unwrap()).unwrap();
        command.mounts = vec![Mount { source, ..real.clone() }];
        assert_eq!(refused(&command).failure.code, code, "{name}");
    }
}
