//! Layers over each other.

use super::*;

fn layers(layers: &[&[Vec<u8>]]) -> (tempfile::TempDir, Result<(), RootError>) {
    let folder = tempfile::tempdir().unwrap();
    let layers: Vec<_> = layers.iter().map(|members| archive(members)).collect();
    let done = unpack(folder.path(), &layers, Layer::Difference, Bounds::default());
    (folder, done)
}

#[test]
fn a_layer_adds_replaces_and_takes_away() {
    let (folder, done) = layers(&[
        &[
            file("gone", "1"),
            file("kept", "1"),
            file("dir/a", "1"),
            file("dir/deep/b", "1"),
            file("tree/a", "1"),
            file("opaque/old", "1"),
            file("opaque/sub/old", "1"),
            link("link", "kept"),
            file("becomes/a", "1"),
            file("file", "1"),
        ],
        &[
            file(".wh.gone", ""),
            file("dir/.wh.deep", ""),
            file("dir/c", "2"),
            file(".wh.tree", ""),
            file(".wh.never", ""),
            file("nowhere/.wh.x", ""),
            // In whatever order: what this layer has stays.
            file("opaque/new", "2"),
            file("opaque/sub/new", "2"),
            file("opaque/.wh..wh..opq", ""),
            file("link", "2"),
            file("becomes", "2"),
            directory("file"),
            file("file/a", "2"),
        ],
        &[file("tree/b", "3")],
    ]);
    done.unwrap();
    assert_eq!(
        listing(folder.path()),
        [
            "becomes=2",
            "dir/",
            "dir/a=1",
            "dir/c=2",
            "file/",
            "file/a=2",
            "kept=1",
            "link=2",
            "opaque/",
            "opaque/new=2",
            "opaque/sub/",
            "opaque/sub/new=2",
            "tree/",
            "tree/b=3",
        ]
    );
}

#[test]
fn what_a_layer_has_is_not_taken_away_by_itself() {
    let (folder, done) = layers(&[
        &[file("a/old", "1")],
        &[file("a/new", "2"), file(".wh.a", ""), file("b", "2"), file(".wh.b", "")],
        &[file(".wh..wh..opq", ""), file("c", "3")],
    ]);
    done.unwrap();
    assert_eq!(listing(folder.path()), ["c=3"]);
    let (folder, done) = layers(&[&[file("a/old", "1")], &[file("a/new", "2"), file(".wh.a", "")]]);
    done.unwrap();
    assert_eq!(listing(folder.path()), ["a/", "a/new=2"]);
}

#[test]
fn marks_that_lead_out_are_refused_and_remove_nothing() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("mine"), "mine").unwrap();
    let there = outside.path().to_str().unwrap();
    for (members, expected) in [
        (vec![file(".wh...", "")], "takes nothing away"),
        (vec![file("a/.wh..", "")], "takes nothing away"),
        (vec![file("a/.wh.", "")], "takes nothing away"),
        (vec![file("a/.wh..wh.plnk", "")], "takes nothing away"),
        (vec![file(".wh.a/b", "")], "where none can be"),
        (vec![directory(".wh.a")], "where none can be"),
        (vec![link(".wh.a", there)], "where none can be"),
        (vec![file("../.wh.mine", "")], "leads out"),
        (vec![link("a", there), file("a/.wh.mine", "")], "goes through a link"),
        (vec![link("a", there), file("a/.wh..wh..opq", "")], "goes through a link"),
    ] {
        let (_folder, done) = layers(&[&members]);
        let said = done.unwrap_err().failure("image").to_string();
        assert!(said.starts_with("error[E1020]: ") && said.contains(expected), "{said}");
        assert_eq!(listing(outside.path()), ["mine=mine"]);
    }
    // A directory that holds a link is removed with the link, and not with what it leads to.
    let (folder, done) = layers(&[
        &[link("d/out", there), file("d/x", "")],
        &[file(".wh.d", "")],
        &[link("e/out", there)],
        &[file("e/.wh..wh..opq", ""), file("f", "")],
    ]);
    done.unwrap();
    assert_eq!(listing(folder.path()), ["e/", "f="]);
    assert_eq!(listing(outside.path()), ["mine=mine"]);
}

#[test]
fn a_link_of_a_lower_layer_is_replaced_and_never_followed() {
    let outside = tempfile::tempdir().unwrap();
    let there = outside.path().to_str().unwrap();
    let (_, done) = layers(&[&[link("bin", there)], &[file("bin/sh", "x")]]);
    assert!(done.unwrap_err().to_string().contains("goes through a link"));
    let (folder, done) = layers(&[&[link("bin", there)], &[directory("bin"), file("bin/sh", "x")]]);
    done.unwrap();
    assert_eq!(listing(folder.path()), ["bin/", "bin/sh=x"]);
    assert!(listing(outside.path()).is_empty());
}

/// Without layers, a mark is a name like any other.
#[test]
fn an_archive_of_files_has_no_marks() {
    let folder = tempfile::tempdir().unwrap();
    let members = archive(&[file("a", "1"), file(".wh.a", "2")]);
    unpack(folder.path(), &[members], Layer::Whole, Bounds::default()).unwrap();
    assert_eq!(listing(folder.path()), [".wh.a=2", "a=1"]);
}
