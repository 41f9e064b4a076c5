//! What an archive can try against whoever unpacks it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};

use super::*;

fn whole(members: &[Vec<u8>], bounds: Bounds) -> (tempfile::TempDir, Result<(), RootError>) {
    let folder = tempfile::tempdir().unwrap();
    let done = unpack(folder.path(), &[archive(members)], Layer::Whole, bounds);
    (folder, done)
}

fn message(members: &[Vec<u8>]) -> String {
    let (_, done) = whole(members, Bounds::default());
    done.unwrap_err().failure("x.tar").to_string()
}

#[test]
fn files_directories_and_links_cross_and_what_runs_as_another_does_not() {
    let su = member("bin/su", Kind::File(2), 0o6755, b"su");
    let secret = member("etc/secret", Kind::File(1), 0o600, b"s");
    let open = member("etc/open", Kind::File(1), 0o666, b"o");
    let members = [
        directory("./"),
        su,
        secret,
        open,
        link("lib", "usr/lib"),
        link("out", "/etc/passwd"),
        same("bin/sudo", "bin/su"),
        forged("dev/null", |block| block[156] = b'3'),
        forged("run/initctl", |block| block[156] = b'6'),
        file("tmp/left", "x"),
    ];
    let (folder, done) = whole(&members, Bounds::default());
    done.unwrap();
    let expected =
        ["bin/", "bin/su=su", "bin/sudo=su", "etc/", "etc/open=o", "etc/secret=s", "lib>usr/lib"];
    let mut found = listing(folder.path());
    found.retain(|one| !one.starts_with("out>"));
    assert_eq!(found, expected);
    let of = |path: &str| fs::symlink_metadata(folder.path().join(path)).unwrap();
    for (path, mode) in
        [("bin/su", 0o755), ("etc/secret", 0o644), ("etc/open", 0o644), ("bin", 0o755)]
    {
        assert_eq!(of(path).mode() & 0o7777, mode, "{path}");
    }
    assert_eq!(of("bin/su").ino(), of("bin/sudo").ino());
    // Python trusts what it compiled by this.
    assert_eq!(of("bin/su").mtime(), 1_000_000_007);
}

/// Each leads out, or to somebody, and is refused by name; what is outside stays as it is.
#[test]
fn nothing_is_written_outside() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("mine"), "mine").unwrap();
    let there = outside.path().to_str().unwrap();
    let cases = [
        (vec![file("../x", "")], "\"../x\""),
        (vec![file("a/../../x", "")], "\"a/../../x\""),
        (vec![file(&format!("{there}/x"), "")], "leads out of the directory"),
        (vec![link("a", there), file("a/x", "")], "\"a/x\" goes through a link"),
        (vec![link("a", there), directory("a/x")], "\"a/x\" goes through a link"),
        (vec![link("a", there), link("a/x", "y")], "\"a/x\" goes through a link"),
        (vec![link("a", "."), file("a/a/x", "")], "\"a/a/x\" goes through a link"),
        (vec![link("a", there), file("a/x/y", "")], "\"a/x/y\" goes through a link"),
        (
            vec![link("a", there), same("b", "a/mine")],
            "\"b\" is the same file as one behind a link",
        ),
        (vec![same("b", "../mine")], "\"../mine\""),
        (vec![same("b", &format!("{there}/mine"))], "leads out of the directory"),
        (vec![same("b", "nowhere")], "\"b\" is the same as no file"),
        (vec![directory("d"), same("b", "d")], "\"b\" is the same as no file"),
        (vec![same("b", "dev/null")], "\"b\" is the same file as one of a directory that is left"),
        (vec![file("a", ""), file("a/x", "")], "\"a/x\" lies below what is no directory"),
        // Written through the link that is there already.
        (vec![link("a", &format!("{there}/mine")), file("a", "theirs")], "\"a\" is there twice"),
    ];
    for (members, expected) in cases {
        let said = message(&members);
        assert!(said.starts_with("error[E1020]: x.tar: ") && said.contains(expected), "{said}");
        assert_eq!(listing(outside.path()), ["mine=mine"], "{expected}");
    }
}

#[test]
fn what_is_no_file_lies_or_is_there_twice_is_refused_by_name() {
    let kind = |flag: u8| forged("srv/thing", move |block| block[156] = flag);
    let deep = vec!["d"; 200].join("/");
    for (members, expected) in [
        (vec![kind(b'3')], "\"srv/thing\" is a device"),
        (vec![kind(b'4')], "\"srv/thing\" is a device"),
        (vec![kind(b'6')], "\"srv/thing\" is a pipe"),
        (vec![kind(b'S')], "\"srv/thing\": the archive holds a sparse file"),
        (vec![kind(b'V')], "\"srv/thing\": the archive holds a member of an unknown kind"),
        (vec![forged("x", |block| block[0] = 0xff)], "no UTF-8"),
        (vec![file("a", "1"), file("a", "2")], "\"a\" is there twice"),
        (vec![file("a", "1"), file("./a", "2")], "\"a\" is there twice"),
        (vec![file("a/b", "1"), file("a", "2")], "\"a\" is there twice"),
        (vec![file("a", "1"), directory("a")], "\"a\" is there twice"),
        (vec![file(&deep, "")], "lies too deep"),
        (vec![file(&"n".repeat(300), "")], "cannot be written"),
        (
            vec![forged("size", |block| block[124..136].copy_from_slice(b"77777777777\0"))],
            "\"size\": the archive ends in the middle",
        ),
    ] {
        let said = message(&members);
        assert!(said.starts_with("error[E1020]: ") && said.contains(expected), "{said}");
    }
    // A directory may be told twice: some archives do.
    whole(&[directory("a"), directory("a")], Bounds::default()).1.unwrap();
}

#[test]
fn bombs_end_at_their_bounds() {
    let few = Bounds { names: 10, ..Bounds::default() };
    let names: Vec<_> = (0..11).map(|n| file(&format!("f{n}"), "")).collect();
    let (folder, done) = whole(&names, few);
    assert!(matches!(done, Err(RootError::TooMany { ref member, most: 10 }) if member == "f10"));
    assert_eq!(listing(folder.path()).len(), 10);
    // Directories that no member stands for are names, too.
    let (_, done) = whole(&[file("a/b/c/d/e/f/g/h/i/j/k", "")], few);
    assert!(matches!(done, Err(RootError::TooMany { .. })), "{done:?}");
    let small = Bounds { bytes: 1 << 20, ..Bounds::default() };
    let head = member("bomb", Kind::File(8 << 30), 0o644, b"");
    let zeroes = || {
        use std::io::Read;
        head.as_slice().chain(std::io::repeat(0).take(64 << 20))
    };
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::copy(&mut zeroes(), &mut gzip).unwrap();
    let zstd = zstd::encode_all(zeroes(), 3).unwrap();
    for bomb in [gzip.finish().unwrap(), zstd] {
        assert!(bomb.len() < 128 << 10, "{}", bomb.len());
        let folder = tempfile::tempdir().unwrap();
        let mut unpacker = Unpacker::new(folder.path(), small).unwrap();
        let mut plain = super::super::stream::decompressed(bomb.as_slice()).unwrap();
        let done = unpacker.layer(&mut plain, Layer::Whole, &mut |_| {});
        let Err(RootError::TooLarge { member, .. }) = &done else { panic!("{done:?}") };
        assert_eq!(member, "bomb");
        assert!(folder.path().join("bomb").metadata().unwrap().len() <= 1 << 20);
    }
    // What a compressed stream asks for in memory is bounded, too.
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(31).unwrap();
    encoder.write_all(&archive(&[file("a", "b")])).unwrap();
    let wide = encoder.finish().unwrap();
    let mut text = Vec::new();
    let mut plain = super::super::stream::decompressed(wide.as_slice()).unwrap();
    assert!(std::io::Read::read_to_end(&mut plain, &mut text).is_err());
}

/// The folder that is filled is opened once: a link in its place is not followed.
#[test]
fn the_folder_itself_is_no_link() {
    let outside = tempfile::tempdir().unwrap();
    let parent = tempfile::tempdir().unwrap();
    symlink(outside.path(), parent.path().join("root")).unwrap();
    assert!(Unpacker::new(&parent.path().join("root"), Bounds::default()).is_err());
}
