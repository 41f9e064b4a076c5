//! Mounts within mounts: what lies below one must not be uncovered.

use super::*;

/// `inside` is writable, `inside/keep` and a directory deeper down are not.
fn scene() -> Scene {
    let mut scene = Scene::bare();
    for folder in ["inside/keep", "inside/a/b", "inside/a/c"] {
        fs::create_dir_all(scene.host.join(folder)).unwrap();
    }
    fs::write(scene.host.join("inside/keep/f"), "kept").unwrap();
    fs::write(scene.host.join("inside/a/b/f"), "kept").unwrap();
    let all = vec![
        scene.granted("inside", "/data", Access::ReadWrite),
        scene.granted("inside/keep", "/data/keep", Access::ReadOnly),
        scene.granted("inside/a/b", "/data/a/b", Access::ReadOnly),
        scene.granted("outside", "/data/new/place", Access::ReadOnly),
    ];
    scene.grant(all).unwrap();
    scene
}

#[test]
fn each_part_has_its_own_rights() {
    let mut scene = scene();
    scene.write("data/f", b"x").unwrap();
    scene.write("data/a/f", b"x").unwrap();
    scene.write("data/a/c/f", b"x").unwrap();
    denied(scene.write("data/keep/f", b"x"), ErrorCode::ReadOnly);
    denied(scene.write("data/a/b/f", b"x"), ErrorCode::ReadOnly);
    denied(scene.write("data/new/f", b"x"), ErrorCode::ReadOnly);
    assert_eq!(scene.read("data/new/place/secret").unwrap(), b"secret");
    assert_eq!(scene.list("data").unwrap(), ["a", "f", "keep", "new"]);
    assert_eq!(scene.list("data/a").unwrap(), ["b", "c", "f"]);
    assert_eq!(scene.list("data/new").unwrap(), ["place"]);
}

#[test]
fn links_do_not_go_below_a_mount() {
    let mut scene = scene();
    scene.files.symlink_at("keep", 0, "data/l").unwrap();
    link("../a/b", scene.host.join("inside/a/up"));
    link("../../keep/f", scene.host.join("inside/a/c/file"));
    for path in ["data/l/f", "data/a/up/f", "data/a/c/file", "data/a/c/../b/f"] {
        assert_eq!(scene.read(path).unwrap(), b"kept");
        denied(scene.write(path, b"x"), ErrorCode::ReadOnly);
    }
}

#[test]
fn a_mount_point_does_not_move() {
    let mut scene = scene();
    for path in ["data/keep", "data/a", "data/a/b", "data/new", "data", "tmp"] {
        denied(scene.files.rename_at((0, path), (0, "data/c2")), ErrorCode::Busy);
        denied(scene.files.rename_at((0, "data/a/c"), (0, path)), ErrorCode::Busy);
        denied(scene.files.remove_directory_at(0, path), ErrorCode::Busy);
        denied(scene.files.unlink_at(0, path), ErrorCode::IsDirectory);
    }
    let hard = scene.files.link_at((0, "data/keep/f", Last::Keep), (0, "data/f"));
    denied(hard, ErrorCode::CrossDevice);
    denied(scene.files.rename_at((0, "data/keep/f"), (0, "data/f")), ErrorCode::CrossDevice);
    // Through a descriptor of the directory above, just the same.
    let above = scene.open("data/a", OpenFlags::DIRECTORY, READ).unwrap();
    denied(scene.files.rename_at((above, "b"), (0, "data/c2")), ErrorCode::Busy);
    let open = scene.files.open_at(above, "b/f", Last::Follow, OpenFlags::empty(), WRITE);
    denied(open, ErrorCode::ReadOnly);
}

#[test]
fn a_root_of_the_host_can_be_the_guests_root() {
    let mut scene = Scene::bare();
    fs::write(scene.inside().join("f"), "here").unwrap();
    fs::create_dir(scene.inside().join("tmp")).unwrap();
    fs::write(scene.inside().join("tmp/hidden"), "").unwrap();
    link("../outside/secret", scene.inside().join("out"));
    let all = vec![scene.granted("inside", "/", Access::ReadWrite)];
    scene.grant(all).unwrap();
    assert_eq!(scene.read("f").unwrap(), b"here");
    assert_eq!(scene.read("../../f").unwrap(), b"here");
    scene.write("tmp/own", b"x").unwrap();
    assert_eq!(scene.list("tmp").unwrap(), ["own"]);
    assert_eq!(scene.list(".").unwrap(), ["f", "out", "tmp"]);
    // The guest's root is its root: there is no outside in it.
    denied(scene.read("out"), ErrorCode::NoEntry);
    scene.files.symlink_at("/f", 0, "tmp/absolute").unwrap();
    assert_eq!(scene.read("tmp/absolute").unwrap(), b"here");
}

#[test]
fn what_cannot_be_granted_is_refused() {
    let mut scene = Scene::bare();
    fs::write(scene.host.join("inside/f"), "").unwrap();
    link(scene.host.join("outside"), scene.host.join("inside/l"));
    let mut code = |source: &str, destination: &str| {
        let all = vec![scene.granted(source, destination, Access::ReadOnly)];
        scene.grant(all).unwrap_err().code.code()
    };
    assert_eq!(code("none", "/x"), "E2003");
    assert_eq!(code("inside/l", "/x"), "E5003");
    assert_eq!(code("inside/l/secret", "/x"), "E5003");
    assert_eq!(code("inside/f", "/"), "E1005");
    for place in ["x", "", "/x/", "/x//y", "/x/../y", "/./x", "/tmp", "/tmp/x", "/a\0b"] {
        assert_eq!(code("inside", place), "E1005", "{place:?}");
    }
    let long = format!("/{}", "n".repeat(256));
    assert_eq!(code("inside", &long), "E1005");
    let twice = vec![
        scene.granted("inside", "/x", Access::ReadOnly),
        scene.granted("outside", "/x", Access::ReadOnly),
    ];
    assert_eq!(scene.grant(twice).unwrap_err().code.code(), "E1006");
    // After a failure nothing is granted.
    assert_eq!(scene.list(".").unwrap(), ["tmp"]);
}
