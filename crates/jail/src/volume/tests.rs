//! What needs no mount. The rest is asked of sandboxes (`tests/resident/volumes.rs`).

use super::*;

#[test]
fn what_nobody_remembers_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let images = Images::new(folder.path().join("volumes"));
    assert_eq!(images.sweep(&[]).unwrap(), 0, "no folder is no volume");
    fs::create_dir(folder.path().join("volumes")).unwrap();
    for name in ["kept.img", "gone.img", "half.new", "kept.new"] {
        fs::write(folder.path().join("volumes").join(name), "x").unwrap();
    }
    assert_eq!(images.sweep(&["kept".to_owned()]).unwrap(), 3);
    let left: Vec<_> = fs::read_dir(folder.path().join("volumes")).unwrap().flatten().collect();
    assert_eq!(left.iter().map(|one| one.file_name()).collect::<Vec<_>>(), ["kept.img"]);
    images.remove("kept").unwrap();
    images.remove("kept").unwrap();
    assert_eq!(images.mount("kept").unwrap_err().code, ErrorCode::VolumeNotFound);
}
