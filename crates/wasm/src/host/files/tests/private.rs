//! `/tmp`: what POSIX says, and a count that is never wrong.

use proptest::prelude::*;

use super::*;

const CREATE: OpenFlags = OpenFlags::CREATE;
const PAGE: u64 = 4096;

impl Scene {
    fn used(&self) -> (u64, u64) {
        let tree = self.files.private.tree();
        (tree.used(), tree.nodes())
    }
}

fn scene() -> Scene {
    let mut scene = Scene::bare();
    scene.grant(Vec::new()).unwrap();
    scene
}

#[test]
fn bytes_end_exactly_and_come_back() {
    let mut scene = scene();
    let file = scene.open("tmp/full", CREATE, WRITE).unwrap();
    let file = scene.files.file(file).unwrap().clone();
    let mut written = 0;
    let error = loop {
        match file.write(Some(written), &[7; 10_000]) {
            Ok((count, end)) => {
                written += count as u64;
                assert_eq!(written, end);
            }
            Err(error) => break error,
        }
    };
    assert_eq!(written, 1 << 20);
    denied::<()>(Err(error), ErrorCode::InsufficientSpace);
    // What is there can be written over; no other file gets a byte.
    assert_eq!(file.write(Some(5), b"again").unwrap(), (5, 10));
    denied(scene.write("tmp/more", b"x"), ErrorCode::InsufficientSpace);
    file.resize(PAGE + 1).unwrap();
    assert_eq!(scene.used().0, 2 * PAGE);
    scene.write("tmp/more", b"x").unwrap();
}

#[test]
fn a_deleted_file_counts_while_it_is_open() {
    let mut scene = scene();
    scene.write("tmp/a", &[1; 9000]).unwrap();
    let before = scene.used();
    let number = scene.open("tmp/a", OpenFlags::empty(), WRITE).unwrap();
    let stream = scene.files.file(number).unwrap().clone();
    scene.files.unlink_at(0, "tmp/a").unwrap();
    denied(scene.read("tmp/a"), ErrorCode::NoEntry);
    assert_eq!(stream.read(8999, 10).unwrap(), [1]);
    assert_eq!(scene.used(), before);
    // The descriptor goes; a stream still holds it.
    scene.files.open.remove(number);
    assert_eq!(scene.used(), before);
    drop(stream);
    assert_eq!(scene.used(), (0, 1));
}

#[test]
fn holes_are_free_and_what_fills_them_is_not() {
    let mut scene = scene();
    let number = scene.open("tmp/sparse", CREATE, WRITE).unwrap();
    let file = scene.files.file(number).unwrap().clone();
    file.resize(1 << 62).unwrap();
    assert_eq!(scene.used().0, 0);
    file.write(Some(1 << 60), b"x").unwrap();
    assert_eq!(scene.used().0, PAGE);
    denied(file.write(Some(i64::MAX as u64), b"x"), ErrorCode::FileTooLarge);
    denied(file.write(Some(u64::MAX), b"x"), ErrorCode::FileTooLarge);
    denied(file.resize(1 << 63), ErrorCode::FileTooLarge);
    assert!(file.read(u64::MAX, 10).unwrap().is_empty());
    // One byte in each page costs all pages.
    let error = (0..).find_map(|page| file.write(Some(page * 65_536), b"x").err()).unwrap();
    denied::<()>(Err(error), ErrorCode::InsufficientSpace);
    assert_eq!(scene.used().0, 1 << 20);
}

#[test]
fn names_end_too() {
    let mut scene = scene();
    let error = (0..).find_map(|n| scene.write(&format!("tmp/{n}"), b"").err()).unwrap();
    denied::<()>(Err(error), ErrorCode::InsufficientSpace);
    let (_, nodes) = scene.used();
    assert_eq!(nodes, 1024);
    // Links are names as well.
    denied(
        scene.files.link_at((0, "tmp/1", Last::Keep), (0, "tmp/l")),
        ErrorCode::InsufficientSpace,
    );
    denied(scene.files.symlink_at("1", 0, "tmp/l"), ErrorCode::InsufficientSpace);
    denied(scene.files.create_directory_at(0, "tmp/l"), ErrorCode::InsufficientSpace);
    scene.files.unlink_at(0, "tmp/2").unwrap();
    scene.files.link_at((0, "tmp/1", Last::Keep), (0, "tmp/l")).unwrap();
    scene.files.unlink_at(0, "tmp/l").unwrap();
    scene.files.create_directory_at(0, "tmp/l").unwrap();
}

#[test]
fn a_deep_tree_takes_no_stack() {
    let mut scene = scene();
    let mut number = scene.open("tmp", OpenFlags::empty(), READ).unwrap();
    for _ in 0..1000 {
        scene.files.create_directory_at(number, "d").unwrap();
        let flags = OpenFlags::DIRECTORY;
        let next = scene.files.open_at(number, "d", Last::Follow, flags, READ).unwrap();
        scene.files.open.remove(number);
        number = next;
    }
    // Into itself, from the far end.
    let root = scene.open("tmp", OpenFlags::empty(), READ).unwrap();
    denied(scene.files.rename_at((root, "d"), (number, "loop")), ErrorCode::Invalid);
    std::thread::Builder::new()
        .stack_size(64 * 1024)
        .spawn(move || drop(scene))
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn rename_is_as_posix_has_it() {
    let mut scene = scene();
    let files = |scene: &mut Scene| {
        scene.write("tmp/file", b"1").unwrap();
        scene.write("tmp/other", b"22").unwrap();
        for name in ["tmp/empty", "tmp/full", "tmp/full/sub"] {
            let _ = scene.files.create_directory_at(0, name);
        }
    };
    files(&mut scene);
    let rename = |scene: &mut Scene, a: &str, b: &str| scene.files.rename_at((0, a), (0, b));
    denied(rename(&mut scene, "tmp/none", "tmp/x"), ErrorCode::NoEntry);
    denied(rename(&mut scene, "tmp/file", "tmp/empty"), ErrorCode::IsDirectory);
    denied(rename(&mut scene, "tmp/empty", "tmp/file"), ErrorCode::NotDirectory);
    denied(rename(&mut scene, "tmp/empty", "tmp/full"), ErrorCode::NotEmpty);
    denied(rename(&mut scene, "tmp/full", "tmp/full/sub/x"), ErrorCode::Invalid);
    rename(&mut scene, "tmp/file", "tmp/other").unwrap();
    assert_eq!(scene.read("tmp/other").unwrap(), b"1");
    rename(&mut scene, "tmp/full", "tmp/empty").unwrap();
    assert_eq!(scene.list("tmp/empty").unwrap(), ["sub"]);
    // One inode, two names: nothing happens.
    scene.files.link_at((0, "tmp/other", Last::Keep), (0, "tmp/same")).unwrap();
    rename(&mut scene, "tmp/other", "tmp/same").unwrap();
    assert_eq!(scene.list("tmp").unwrap(), ["empty", "other", "same"]);
    denied(rename(&mut scene, "tmp", "tmp2"), ErrorCode::Busy);
    denied(scene.files.remove_directory_at(0, "tmp"), ErrorCode::Busy);
}

#[test]
fn nothing_is_made_in_a_directory_that_is_gone() {
    let mut scene = scene();
    scene.files.create_directory_at(0, "tmp/d").unwrap();
    scene.write("tmp/f", b"").unwrap();
    let gone = scene.open("tmp/d", OpenFlags::DIRECTORY, READ).unwrap();
    scene.files.remove_directory_at(0, "tmp/d").unwrap();
    let open = scene.files.open_at(gone, "x", Last::Follow, CREATE, WRITE);
    denied(open, ErrorCode::NoEntry);
    denied(scene.files.create_directory_at(gone, "x"), ErrorCode::NoEntry);
    denied(scene.files.rename_at((0, "tmp/f"), (gone, "x")), ErrorCode::NoEntry);
    let link = scene.files.link_at((0, "tmp/f", Last::Keep), (gone, "x"));
    denied(link, ErrorCode::NoEntry);
    scene.files.open.remove(gone);
    assert_eq!(scene.used(), (0, 2));
}

#[test]
fn links_lead_through_the_guests_own_tree() {
    let mut scene = scene();
    scene.files.create_directory_at(0, "tmp/a").unwrap();
    scene.write("tmp/a/f", b"here").unwrap();
    for (target, name) in
        [("/tmp/a", "abs"), ("a/../a/f", "up"), ("loop", "loop"), ("../../../tmp/a", "far")]
    {
        scene.files.symlink_at(target, 0, &format!("tmp/{name}")).unwrap();
    }
    for path in ["tmp/abs/f", "tmp/up", "tmp/far/f", "tmp/abs/../a/f", "../../tmp/a/f"] {
        assert_eq!(scene.read(path).unwrap(), b"here", "{path}");
    }
    denied(scene.read("tmp/loop"), ErrorCode::Loop);
    scene.files.symlink_at("/etc/passwd", 0, "tmp/passwd").unwrap();
    denied(scene.read("tmp/passwd"), ErrorCode::NoEntry);
    // A bomb: each link goes through the one before, twice.
    scene.files.symlink_at(".", 0, "tmp/0").unwrap();
    for n in 1..30 {
        let target = format!("{}/{}", n - 1, n - 1);
        scene.files.symlink_at(&target, 0, &format!("tmp/{n}")).unwrap();
    }
    denied(scene.read("tmp/29/a/f"), ErrorCode::Loop);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is done, what is counted is what is there, and nothing is left at the end.
    #[test]
    fn the_count_is_right(
        steps in prop::collection::vec((0..9_u8, 0..6_usize, 0..6_usize, 0..20_000_u64), 1..120)
    ) {
        const NAMES: [&str; 6] = ["tmp/a", "tmp/b", "tmp/d", "tmp/d/a", "tmp/d/e", "tmp/d/e/f"];
        let mut scene = scene();
        let mut held = Vec::new();
        for (what, one, two, number) in steps {
            step(&mut scene, &mut held, what, (NAMES[one], NAMES[two]), number);
            let tree = scene.files.private.tree();
            prop_assert_eq!((tree.used(), tree.nodes()), tree.recount());
        }
        held.into_iter().for_each(|fd| scene.files.open.remove(fd));
        empty(&mut scene, "tmp");
        prop_assert_eq!(scene.used(), (0, 1));
    }
}

fn step(scene: &mut Scene, held: &mut Vec<u32>, what: u8, names: (&str, &str), number: u64) {
    let (one, two) = names;
    let files = &mut scene.files;
    let _ = match what {
        0 | 1 => scene.open(one, CREATE, WRITE).map(|fd| {
            let _ = scene.files.file(fd).unwrap().write(Some(number), &[1; 3000]);
            match what {
                0 => held.push(fd),
                _ => scene.files.open.remove(fd),
            }
        }),
        2 => files.create_directory_at(0, one),
        3 => files.unlink_at(0, one),
        4 => files.remove_directory_at(0, one),
        5 => files.rename_at((0, one), (0, two)),
        6 => files.link_at((0, one, Last::Keep), (0, two)),
        7 => files.symlink_at(&"t/".repeat(number as usize % 2000 + 1), 0, one),
        _ => held.pop().map_or(Ok(()), |fd| {
            let result = files.file(fd).unwrap().resize(number);
            files.open.remove(fd);
            result
        }),
    };
}

fn empty(scene: &mut Scene, directory: &str) {
    for name in scene.list(directory).unwrap() {
        let path = format!("{directory}/{name}");
        if scene.files.unlink_at(0, &path).is_err() {
            empty(scene, &path);
            scene.files.remove_directory_at(0, &path).unwrap();
        }
    }
}
