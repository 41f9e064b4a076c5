//! What was made for templates, in the data folder: each thing whole under its key, or not there.
//!
//! ```text
//!  templates/
//!    lock, used        who makes something, who uses what there is
//!    new/RANDOM/  ──syncfs, rename──▶  roots/KEY/{root/, about.json}
//!                                      packages/KEY/{root/, about.json}
//!    stamps.json       keys of files that have not changed since
//!    needs.json        what each template needs, for who removes the rest
//! ```
//!
//! A key is made of what something is made from, so what is there is never made again, and
//! never changed. Nobody but this user may enter the data folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use capsule_spec::{ErrorCode, Failure};
use rustix::fs::FlockOperation;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::RootError;
use crate::store::make_folder;

/// Raised when the same source is to become something else.
const FORMAT: &str = "1";
/// The most that is read of a file of the cache.
const MOST_TEXT: u64 = 16 << 20;
/// What lies in the cache under keys.
const SHELVES: [&str; 2] = [ROOTS, PACKAGES];
pub(super) const ROOTS: &str = "roots";
pub(super) const PACKAGES: &str = "packages";

/// The folder of what was made.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// What was made, told to who uses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// Variables that the image wants its processes to have.
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) bytes: u64,
    pub(crate) names: u64,
}

/// Held by who makes or removes something: one at a time.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: File,
}

/// Held as long as what there is may be used; meanwhile nothing is removed.
#[derive(Debug)]
pub struct InUse {
    _lock: File,
}

/// A folder that becomes something, or goes.
pub(crate) struct Draft {
    path: PathBuf,
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Draft {
    /// The empty folder for the files.
    pub(crate) fn root(&self) -> PathBuf {
        self.path.join("root")
    }
}

impl Cache {
    /// The cache of a data folder, which is made if it is not there.
    ///
    /// # Errors
    /// A folder that cannot be used, or that is not this user's alone.
    pub fn open(data: &Path) -> Result<Self, Failure> {
        make_folder(data).map_err(Failure::from)?;
        // Roots are mounted by a path that goes through no link.
        let data = data.canonicalize().map_err(unusable)?;
        let folder = data.join("templates");
        for path in [&folder, &folder.join("new"), &folder.join(ROOTS), &folder.join(PACKAGES)] {
            make_folder(path).map_err(Failure::from)?;
        }
        Ok(Self { folder })
    }

    /// Whether a data folder has one.
    pub fn is_there(data: &Path) -> bool {
        data.join("templates").is_dir()
    }

    /// A key: of the format, of what something is made from, and how.
    pub(crate) fn key(kind: &str, from: &[&str]) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in [FORMAT, kind].iter().chain(from) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// Where the files of a key are.
    pub(crate) fn place(&self, shelf: &str, key: &str) -> PathBuf {
        self.folder.join(shelf).join(key).join("root")
    }

    /// Where sandboxes have their state in which packages are installed.
    pub(crate) fn workplace(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// What is known of a key, if it was made.
    pub(crate) fn about(&self, shelf: &str, key: &str) -> Option<About> {
        read(&self.folder.join(shelf).join(key).join("about.json"))
    }

    /// Waits until nobody else makes anything; `waiting` is told once if that is so. What
    /// somebody was interrupted in is removed.
    pub(crate) fn turn(&self, waiting: &dyn Fn()) -> Result<Turn, Failure> {
        let lock = self.lock_file("lock")?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(_) => {
                waiting();
                rustix::fs::flock(&lock, FlockOperation::LockExclusive)
                    .map_err(|error| unusable(error.into()))?;
            }
        }
        let drafts = self.folder.join("new");
        for entry in fs::read_dir(&drafts).map_err(unusable)? {
            fs::remove_dir_all(entry.map_err(unusable)?.path()).map_err(unusable)?;
        }
        Ok(Turn { _lock: lock })
    }

    /// Keeps what there is from being removed.
    ///
    /// # Errors
    /// When somebody is removing it, or the folder cannot be used.
    pub fn hold(&self) -> Result<InUse, Failure> {
        let lock = self.lock_file("used")?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(InUse { _lock: lock }),
            Err(_) => {
                let what = "what is left of templates is being removed by somebody else";
                Err(Failure::new(ErrorCode::StoreFailed, what).hint("try again in a moment"))
            }
        }
    }

    fn lock_file(&self, name: &str) -> Result<File, Failure> {
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(0o600);
        options.open(self.folder.join(name)).map_err(unusable)
    }

    /// A new folder, for who has the turn.
    pub(crate) fn draft(&self, _turn: &Turn) -> Result<Draft, RootError> {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let path = self.folder.join("new").join(name);
        DirBuilder::new().mode(0o700).create(&path).map_err(RootError::Cache)?;
        let draft = Draft { path };
        // What is in it is for the sandbox's user; who may come here at all is settled above.
        DirBuilder::new().mode(0o755).create(draft.root()).map_err(RootError::Cache)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(draft.root(), mode).map_err(RootError::Cache)?;
        Ok(draft)
    }

    /// Gives a draft its key. From then on it is used.
    pub(crate) fn keep(
        &self,
        draft: Draft,
        shelf: &str,
        key: &str,
        about: &About,
    ) -> Result<(), RootError> {
        write(&draft.path.join("about.json"), about).map_err(RootError::Cache)?;
        // A name that outlives a power failure must not stand for files that do not.
        let folder = File::open(&draft.path).map_err(RootError::Cache)?;
        rustix::fs::syncfs(&folder).map_err(|error| RootError::Cache(error.into()))?;
        let place = self.folder.join(shelf).join(key);
        if place.exists() {
            // Without its last part it was never used.
            fs::remove_dir_all(&place).map_err(RootError::Cache)?;
        }
        fs::rename(&draft.path, &place).map_err(RootError::Cache)
    }

    /// Removes what nobody was told of yet.
    pub(crate) fn forget(&self, shelf: &str, key: &str) {
        let _ = fs::remove_dir_all(self.folder.join(shelf).join(key));
    }

    /// A file without a name, for what passes through.
    pub(crate) fn spool(&self) -> Result<File, RootError> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let folder = self.folder.join("new");
        if let Ok(file) = rustix::fs::open(&folder, flags, Mode::from_raw_mode(0o600)) {
            return Ok(file.into());
        }
        // Not every file system has files without names.
        let path = folder.join(uuid::Uuid::new_v4().simple().to_string());
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(RootError::Cache)?;
        fs::remove_file(&path).map_err(RootError::Cache)?;
        Ok(file)
    }

    /// The key of a file that was seen before and has not changed since.
    pub(crate) fn remembered(&self, path: &Path, stamp: &str) -> Option<String> {
        let mut all: BTreeMap<String, (String, String)> = read(&self.folder.join("stamps.json"))?;
        let (seen, key) = all.remove(path.to_str()?)?;
        (seen == stamp).then_some(key)
    }

    /// Remembers it. Only ever a saving: a failure is none.
    pub(crate) fn remember(&self, path: &Path, stamp: String, key: &str) {
        let file = self.folder.join("stamps.json");
        let mut all: BTreeMap<String, (String, String)> = read(&file).unwrap_or_default();
        let Some(path) = path.to_str() else { return };
        all.insert(path.to_owned(), (stamp, key.to_owned()));
        let _ = self.replace(&file, &all);
    }

    /// Notes what a template needs: `roots/KEY` and the like.
    pub(crate) fn note(&self, template: &str, needs: &[String]) -> Result<(), Failure> {
        let file = self.folder.join("needs.json");
        let mut all: BTreeMap<String, Vec<String>> = read(&file).unwrap_or_default();
        if all.get(template).is_some_and(|known| known == needs) {
            return Ok(());
        }
        all.insert(template.to_owned(), needs.to_owned());
        self.replace(&file, &all).map_err(unusable)
    }

    /// Removes what none of these templates needs. Says how many things there were.
    ///
    /// # Errors
    /// When a server uses the folder, or it cannot be changed.
    pub fn prune(&self, templates: &BTreeSet<String>) -> Result<usize, Failure> {
        let _turn = self.turn(&|| {})?;
        let used = self.lock_file("used")?;
        if rustix::fs::flock(&used, FlockOperation::NonBlockingLockExclusive).is_err() {
            let what = "a server uses what was made for templates";
            return Err(Failure::new(ErrorCode::WrongState, what).hint("stop it first"));
        }
        let file = self.folder.join("needs.json");
        let mut all: BTreeMap<String, Vec<String>> = read(&file).unwrap_or_default();
        all.retain(|name, _| templates.contains(name));
        let needed: BTreeSet<&str> = all.values().flatten().map(String::as_str).collect();
        let mut removed = 0;
        for shelf in SHELVES {
            for entry in fs::read_dir(self.folder.join(shelf)).map_err(unusable)? {
                let entry = entry.map_err(unusable)?;
                let name = format!("{shelf}/{}", entry.file_name().to_string_lossy());
                if !needed.contains(name.as_str()) {
                    fs::remove_dir_all(entry.path()).map_err(unusable)?;
                    removed += 1;
                }
            }
        }
        self.replace(&file, &all).map_err(unusable)?;
        Ok(removed)
    }

    fn replace(&self, file: &Path, value: &impl Serialize) -> io::Result<()> {
        let draft = self.folder.join(format!(".{}", uuid::Uuid::new_v4().simple()));
        let done = write(&draft, value).and_then(|()| fs::rename(&draft, file));
        if done.is_err() {
            let _ = fs::remove_file(&draft);
        }
        done
    }
}

fn read<T: DeserializeOwned>(file: &Path) -> Option<T> {
    let text = File::open(file).ok()?;
    let length = text.metadata().ok()?.len();
    if length > MOST_TEXT {
        return None;
    }
    serde_json::from_reader(io::BufReader::new(text)).ok()
}

fn write(file: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(file)?;
    serde_json::to_writer(&file, value)?;
    file.sync_all()
}

fn unusable(error: io::Error) -> Failure {
    RootError::Cache(error).failure("templates")
}

/// What tells whether a file was written to: its place, its size, and when.
pub(crate) fn stamp(file: &File) -> io::Result<String> {
    let metadata = file.metadata()?;
    Ok(format!(
        "{}:{}:{}:{}.{}:{}.{}",
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec()
    ))
}
