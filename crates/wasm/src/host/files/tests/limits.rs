//! Hoarding, filling, and what a grant that ended leaves behind.

use super::super::handle::MOST_OPEN;
use super::super::listing::Listing;
use super::*;

const CREATE: OpenFlags = OpenFlags::CREATE;

#[test]
fn descriptors_end_and_come_back() {
    let mut scene = Scene::new(Access::ReadWrite);
    let open: Vec<u32> = (0..MOST_OPEN + 10)
        .map_while(|n| scene.open(&format!("tmp/{n}"), CREATE, WRITE).ok())
        .collect();
    assert_eq!(open.len(), 1023, "the root takes one");
    denied(scene.open("tmp/1", OpenFlags::empty(), READ), ErrorCode::InsufficientMemory);
    // Nothing is made on the way to a refusal.
    denied(scene.open("data/new", CREATE, WRITE), ErrorCode::InsufficientMemory);
    assert!(!scene.inside().join("new").exists());
    scene.files.open.remove(open[5]);
    let again = scene.open("tmp/1", OpenFlags::empty(), READ).unwrap();
    assert!(scene.is_file_open(again));
}

#[test]
fn descriptors_of_the_host_end_earlier() {
    let _alone = HOARD.lock();
    let mut scene = Scene::new(Access::ReadWrite);
    fs::write(scene.inside().join("f"), "").unwrap();
    let open: Vec<u32> =
        (0..2000).map_while(|_| scene.open("data/f", OpenFlags::empty(), READ).ok()).collect();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap();
    assert!(open.len() as u64 <= (limit / 4).min(1023), "{}", open.len());
    denied(scene.read("data/f"), ErrorCode::InsufficientMemory);
    // Its own files need none of the host's.
    if open.len() < 1000 {
        scene.write("tmp/f", b"x").unwrap();
    }
    open.into_iter().for_each(|number| scene.files.open.remove(number));
    scene.read("data/f").unwrap();
}

#[test]
fn a_host_folder_takes_so_much_and_no_more() {
    let mut scene = Scene::new(Access::ReadWrite);
    let number = scene.open("data/f", CREATE, WRITE).unwrap();
    let file = scene.files.file(number).unwrap().clone();
    // Holes count: they can be filled without making the file longer.
    denied(file.write(Some(1 << 60), b"x"), ErrorCode::Quota);
    denied(file.resize((1 << 30) + 1), ErrorCode::Quota);
    denied(file.resize(u64::MAX), ErrorCode::FileTooLarge);
    denied(file.write(Some(u64::MAX), b"x"), ErrorCode::FileTooLarge);
    denied(file.read(u64::MAX, 10), ErrorCode::Invalid);
    file.resize(1 << 29).unwrap();
    file.resize(0).unwrap();
    file.write(Some((1 << 29) - 1), b"x").unwrap();
    // All of it is used, and cutting the file off gave nothing back.
    file.resize(0).unwrap();
    denied(file.write(Some(0), b"x"), ErrorCode::Quota);
    denied(file.write(None, b"x"), ErrorCode::Quota);
    assert_eq!(fs::metadata(scene.inside().join("f")).unwrap().len(), 0);
    // The next call may write again, through what is still open.
    let same = vec![scene.granted("inside", "/data", Access::ReadWrite)];
    scene.grant(same).unwrap();
    assert_eq!(file.write(None, b"x").unwrap().0, 1);
    assert_eq!(file.write(None, b"y").unwrap().0, 1);
    assert_eq!(fs::read(scene.inside().join("f")).unwrap(), b"xy");
}

#[test]
fn listings_end_and_hold_no_copy() {
    let mut scene = Scene::new(Access::ReadOnly);
    for n in 0..600 {
        scene.write(&format!("tmp/{n:03}"), b"").unwrap();
    }
    let number = scene.open("tmp", OpenFlags::DIRECTORY, READ).unwrap();
    let directory = scene.files.directory(number).unwrap();
    let mut listing = Listing::new(&directory, &scene.files.mounts).unwrap();
    let mut seen = Vec::new();
    // Names come and go while they are told.
    while let Some(entry) = listing.next().unwrap() {
        scene.files.unlink_at(0, &format!("tmp/{}", entry.name)).unwrap();
        if seen.len() % 3 == 0 {
            let _ = scene.write(&format!("tmp/!{}", seen.len()), b"");
        }
        seen.push(entry.name);
    }
    assert_eq!(seen.len(), 600);
    let more = (0..1000).map_while(|_| {
        let listing = Listing::new(&directory, &scene.files.mounts).ok()?;
        scene.files.listings.insert(listing).ok()
    });
    assert_eq!(more.count(), 256);
}

#[test]
fn a_name_that_is_no_text_is_left_out() {
    use std::os::unix::ffi::OsStrExt;
    let mut scene = Scene::new(Access::ReadOnly);
    fs::write(scene.inside().join("good"), "").unwrap();
    fs::write(scene.inside().join(std::ffi::OsStr::from_bytes(b"b\xffd")), "").unwrap();
    assert_eq!(scene.list("data").unwrap(), ["good"]);
}

#[test]
fn a_grant_that_ended_is_gone_for_all_that_is_open() {
    let mut scene = Scene::new(Access::ReadWrite);
    fs::write(scene.inside().join("f"), "here").unwrap();
    let folder = scene.open("data", OpenFlags::DIRECTORY, READ).unwrap();
    let number = scene.open("data/f", OpenFlags::empty(), WRITE).unwrap();
    let file = scene.files.file(number).unwrap().clone();
    let directory = scene.files.directory(folder).unwrap();
    let mut listing = Listing::new(&directory, &scene.files.mounts).unwrap();
    let kept = scene.open("tmp/kept", CREATE, WRITE).unwrap();

    // The same again: all stays open.
    let same = vec![scene.granted("inside", "/data", Access::ReadWrite)];
    scene.grant(same).unwrap();
    assert_eq!(file.read(0, 10).unwrap(), b"here");

    // The same folder, but to be read only.
    let less = vec![scene.granted("inside", "/data", Access::ReadOnly)];
    scene.grant(less).unwrap();
    denied(file.read(0, 10), ErrorCode::Access);
    denied(file.write(Some(0), b"x"), ErrorCode::Access);
    denied(file.resize(0), ErrorCode::Access);
    denied(file.about().map(drop), ErrorCode::Access);
    denied(file.sync(super::super::file::Sync::All), ErrorCode::Access);
    denied(listing.next(), ErrorCode::Access);
    denied(Listing::new(&directory, &scene.files.mounts).map(drop), ErrorCode::Access);
    let open = scene.files.open_at(folder, "f", Last::Follow, OpenFlags::empty(), READ);
    denied(open, ErrorCode::Access);
    denied(scene.files.unlink_at(folder, "f"), ErrorCode::Access);
    denied(scene.files.stat_at(folder, "f", Last::Keep).map(drop), ErrorCode::Access);
    assert_eq!(scene.read("data/f").unwrap(), b"here");

    scene.grant(Vec::new()).unwrap();
    denied(scene.read("data/f"), ErrorCode::NoEntry);
    scene.files.file(kept).unwrap().write(Some(0), b"own").unwrap();

    // Another folder in the same place is another grant.
    let now = vec![scene.granted("inside", "/data", Access::ReadWrite)];
    scene.grant(now.clone()).unwrap();
    let number = scene.open("data/f", OpenFlags::empty(), READ).unwrap();
    let file = scene.files.file(number).unwrap().clone();
    fs::rename(scene.inside(), scene.host.join("moved")).unwrap();
    fs::create_dir(scene.inside()).unwrap();
    scene.grant(now).unwrap();
    denied(file.read(0, 10), ErrorCode::Access);
    assert!(scene.list("data").unwrap().is_empty());
}

#[test]
fn looking_where_a_grant_could_be_is_noticed() {
    let look = |path: &str| {
        let mut scene = Scene::new(Access::ReadOnly);
        fs::write(scene.inside().join("f"), "here").unwrap();
        scene.write("tmp/f", b"").unwrap();
        assert!(!scene.files.looked());
        let _ = scene.files.stat_at(0, path, Last::Follow);
        scene.files.looked()
    };
    for path in ["tmp/f", "tmp/none", "tmp", ".", "data/f", "data/none", "tmp/../data/f"] {
        assert!(!look(path), "{path}");
    }
    for path in ["none", "none/f", "packages/x.py", "tmp/../none", "data/../none", "../none"] {
        assert!(look(path), "{path}");
    }
    // A link of the guest's own is no way round.
    let mut scene = Scene::new(Access::ReadOnly);
    scene.files.symlink_at("/none", 0, "tmp/l").unwrap();
    let _ = scene.files.stat_at(0, "tmp/l", Last::Follow);
    assert!(scene.files.looked());
}
