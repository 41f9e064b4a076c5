//! What was made is made once, whole or not at all, and for nobody else.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Mutex;

use capsule_backend::sandbox::{Recipe, Root};
use capsule_spec::{ErrorCode, Failure, Limits, Policy};

use super::*;
use crate::Template;
use crate::request::{Language, OnExpiry};
use crate::roots::{Cache, Files, Origin, Progress, State, Workshop};
use crate::service::PackageIndexes;

#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl Progress for Said {
    fn say(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }

    fn at(&self, _: u64) {}
}

fn template(files: Option<Files>) -> Template {
    Template {
        name: "own".to_owned(),
        recipe: Recipe {
            root: Root::Host,
            limits: Limits::default(),
            policy: Policy::default(),
            require: Vec::new(),
            volumes: Vec::new(),
        },
        language: Language::Shell,
        description: None,
        on_expiry: OnExpiry::Delete,
        pool: 0,
        origin: Origin { files, ..Origin::default() },
    }
}

struct Place {
    folder: tempfile::TempDir,
    said: Said,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), said: Said::default() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn cache(&self) -> Cache {
        Cache::open(&self.data()).unwrap()
    }

    fn with<T>(&self, what: impl AsyncFnOnce(&Workshop<'_>) -> T) -> T {
        let none = || Failure::new(ErrorCode::EngineUnavailable, "there is none");
        let indexes = PackageIndexes::default();
        let workshop = Workshop {
            cache: self.cache(),
            progress: &self.said,
            engine: &|| Err(none()),
            sandboxes: &|_| Err(none()),
            takes_images: false,
            indexes: &indexes,
        };
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(what(&workshop))
    }

    fn prepare(&self, files: Files) -> Result<PathBuf, Failure> {
        let mut template = template(Some(files));
        assert!(!template.origin.is_ready(), "a server does not start with it");
        self.with(async |workshop| workshop.prepare(&mut template).await)?;
        assert!(template.origin.is_ready());
        match template.recipe.root {
            Root::Directory(path) => Ok(path),
            root => panic!("{root:?}"),
        }
    }

    fn archive(&self, bytes: &[u8]) -> Files {
        let path = self.folder.path().join("root.tar");
        fs::write(&path, bytes).unwrap();
        Files::Archive(path)
    }

    fn kept(&self) -> usize {
        fs::read_dir(self.data().join("templates/roots")).unwrap().count()
    }

    fn drafts(&self) -> usize {
        fs::read_dir(self.data().join("templates/new")).unwrap().count()
    }
}

#[test]
fn an_archive_is_unpacked_once_until_it_changes() {
    let place = Place::new();
    let files = place.archive(&archive(&[file("a", "1")]));
    let state = |files: &Files| {
        let template = template(Some(files.clone()));
        place.with(async |workshop| workshop.state(&template).await.unwrap())
    };
    assert_eq!(state(&files), State::Missing);
    let root = place.prepare(files.clone()).unwrap();
    assert_eq!((listing(&root), state(&files)), (vec!["a=1".to_owned()], State::Ready));
    // Nobody else may come there; whoever gets it mounted may read it.
    let mode = |path: &std::path::Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!((mode(&place.data().join("templates")), mode(&root)), (0o700, 0o755));
    let inode = root.join("a").metadata().unwrap().ino();
    assert_eq!(place.prepare(files.clone()).unwrap(), root);
    // The same bytes, written again and compressed or not: the same, or another key.
    fs::write(place.folder.path().join("root.tar"), archive(&[file("a", "1")])).unwrap();
    assert_eq!(place.prepare(files.clone()).unwrap(), root);
    assert_eq!(root.join("a").metadata().unwrap().ino(), inode);
    assert_eq!(place.said.0.lock().unwrap().len(), 1);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &archive(&[file("a", "2")])).unwrap();
    let changed = place.prepare(place.archive(&gzip.finish().unwrap())).unwrap();
    assert_eq!(listing(&changed), ["a=2"]);
    assert_eq!((listing(&root), place.kept()), (vec!["a=1".to_owned()], 2));
}

#[test]
fn what_is_refused_or_interrupted_leaves_nothing_that_is_used() {
    let place = Place::new();
    let refused = place.prepare(place.archive(&archive(&[file("a", "1"), file("../x", "")])));
    let failure = refused.unwrap_err();
    assert_eq!(failure.code, ErrorCode::InvalidArchive);
    assert!(failure.message.starts_with("template \"own\": "), "{failure}");
    assert_eq!((place.kept(), place.drafts()), (0, 0));
    // As if somebody had been killed on the way, and another one before the last step.
    let files = place.archive(&archive(&[file("a", "1")]));
    let root = place.prepare(files.clone()).unwrap();
    fs::create_dir_all(place.data().join("templates/new/half/root")).unwrap();
    fs::remove_file(root.join("../about.json")).unwrap();
    fs::write(root.join("theirs"), "x").unwrap();
    assert_eq!(listing(&place.prepare(files).unwrap()), ["a=1"]);
    assert_eq!((place.kept(), place.drafts()), (1, 0));
}

#[test]
fn an_engine_that_is_not_there_and_files_that_are_not_are_told() {
    let place = Place::new();
    let dockerfile = place.folder.path().join("Dockerfile");
    fs::write(&dockerfile, "FROM scratch\n").unwrap();
    let failure = place.prepare(Files::Dockerfile(dockerfile)).unwrap_err();
    assert_eq!(failure.code, ErrorCode::EngineUnavailable);
    let gone = place.folder.path().join("gone.tar");
    let failure = place.prepare(Files::Archive(gone)).unwrap_err();
    assert_eq!(failure.code, ErrorCode::InvalidArchive, "{failure}");
    for bytes in [b"".as_slice(), b"x", &[0x1f, 0x8b, 8, 0], b"\x28\xb5\x2f\xfdxxxx"] {
        let failure = place.prepare(place.archive(bytes)).unwrap_err();
        assert_eq!(failure.code, ErrorCode::InvalidArchive, "{failure}");
    }
}

#[test]
fn what_no_template_needs_is_removed_when_nobody_uses_it() {
    let place = Place::new();
    let root = place.prepare(place.archive(&archive(&[file("a", "1")]))).unwrap();
    let next = place.prepare(place.archive(&archive(&[file("a", "2")]))).unwrap();
    let own = BTreeSet::from(["own".to_owned()]);
    let cache = place.cache();
    let held = cache.hold().unwrap();
    assert_eq!(cache.prune(&own).unwrap_err().code, ErrorCode::WrongState);
    drop(held);
    assert_eq!(cache.prune(&own).unwrap(), 1);
    assert_eq!((root.exists(), next.exists()), (false, true));
    assert_eq!(cache.prune(&BTreeSet::new()).unwrap(), 1);
    assert_eq!(place.kept(), 0);
}

#[test]
fn a_folder_that_others_may_enter_is_no_cache() {
    let place = Place::new();
    drop(place.cache());
    let templates = place.data().join("templates");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o770);
    fs::set_permissions(&templates, open).unwrap();
    assert_eq!(Cache::open(&place.data()).unwrap_err().code, ErrorCode::StoreFailed);
}
