//! The private folder of prepared guests, and of programs that the binary carries.
//!
//! Both are machine code that this user will run, so the folder must be
//! the user's alone: no link on the way in, mode 0700, files that nobody else can
//! write. Each entry has a seal: the hash of every file, and what `stat` said when
//! the hash was last taken. A file whose `stat` differs is hashed again, and one
//! whose hash differs is not used.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

/// A folder of entries.
pub struct Cache {
    path: PathBuf,
}

/// A finished entry.
pub struct Entry {
    folder: OwnedFd,
    pub(crate) path: PathBuf,
    seal: Seal,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Seal {
    files: Vec<Sealed>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sealed {
    name: String,
    hash: String,
    stat: Stat,
}

/// Changes whenever the file is written: the change time cannot be set by a user.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Stat {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

const SEAL: &str = "seal.json";
/// What another version of the binary made, and nobody may need any more.
const OLD: Duration = Duration::from_secs(7 * 24 * 3600);

impl Cache {
    /// Opens the folder, makes it if it is not there.
    ///
    /// # Errors
    /// When it cannot be made, or others can reach into it.
    pub fn open(path: &Path) -> io::Result<Self> {
        match fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        open_private(path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// An entry that is whole and unchanged.
    ///
    /// # Errors
    /// When there is none.
    pub fn entry(&self, key: &str) -> io::Result<Entry> {
        let path = self.path.join(key);
        let folder = open_private(&path)?;
        let mut text = String::new();
        open_file(folder.as_fd(), SEAL)?.take(64 << 10).read_to_string(&mut text)?;
        let seal: Seal = serde_json::from_str(&text)?;
        let mut entry = Entry { folder, path, seal };
        entry.check()?;
        Ok(entry)
    }

    /// Makes an entry: whole or not at all. Another process may be first; both made the same.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(&self, key: &str, files: &[(&str, &[u8])]) -> io::Result<Entry> {
        self.create_as(key, files, 0o400)
    }

    /// Makes an entry that is a program.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create_program(&self, key: &str, name: &str, bytes: &[u8]) -> io::Result<Entry> {
        self.create_as(key, &[(name, bytes)], 0o500)
    }

    /// Removes entries of other versions, whose keys begin with `name`, if they are older than
    /// a week. One that is running goes on.
    pub fn remove_others(&self, name: &str, key: &str) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let is_other = entry.file_name().to_str().is_some_and(|other| {
                other != key && other.trim_start_matches('.').starts_with(&format!("{name}-"))
            });
            let age = entry.metadata().and_then(|meta| meta.modified()).ok();
            let age = age.and_then(|changed| changed.elapsed().ok()).unwrap_or_default();
            if is_other && age > OLD {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn create_as(&self, key: &str, files: &[(&str, &[u8])], mode: u32) -> io::Result<Entry> {
        let temporary = self.path.join(temporary(key));
        fs::DirBuilder::new().mode(0o700).create(&temporary)?;
        let made = self.fill(&temporary, files, mode).and_then(|()| {
            let target = self.path.join(key);
            match fs::rename(&temporary, &target) {
                Ok(()) => Ok(()),
                Err(_) if self.entry(key).is_ok() => Ok(()),
                // What is there is broken.
                Err(_) => {
                    fs::remove_dir_all(&target)?;
                    fs::rename(&temporary, &target)
                }
            }
        });
        let _ = fs::remove_dir_all(&temporary);
        made?;
        self.entry(key)
    }

    fn fill(&self, folder: &Path, files: &[(&str, &[u8])], mode: u32) -> io::Result<()> {
        let mut seal = Seal::default();
        for (name, bytes) in files {
            let path = folder.join(name);
            let mut file = File::create_new(&path)?;
            file.write_all(bytes)?;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()?;
            let hash = blake3::hash(bytes).to_hex().to_string();
            seal.files.push(Sealed { name: (*name).to_owned(), hash, stat: stat(&file)? });
        }
        fs::write(folder.join(SEAL), serde_json::to_vec(&seal)?)
    }
}

use std::os::unix::fs::PermissionsExt;

impl Entry {
    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same entry once more.
    pub(super) fn again(entry: &Self) -> io::Result<Self> {
        let (folder, path, seal) =
            (entry.folder.try_clone()?, entry.path.clone(), entry.seal.clone());
        Ok(Self { folder, path, seal })
    }

    /// One of its files, to be read or mapped.
    ///
    /// # Errors
    /// When others could write it.
    pub fn file(&self, name: &str) -> io::Result<File> {
        open_file(self.folder.as_fd(), name)
    }

    fn check(&mut self) -> io::Result<()> {
        let mut is_stale = false;
        for sealed in &mut self.seal.files {
            let file = open_file(self.folder.as_fd(), &sealed.name)?;
            let now = stat(&file)?;
            if now != sealed.stat {
                let mut hasher = blake3::Hasher::new();
                hasher.update_reader(&file)?;
                if hasher.finalize().to_hex().as_str() != sealed.hash {
                    return Err(broken("a file of the cache was changed"));
                }
                sealed.stat = now;
                is_stale = true;
            }
        }
        if is_stale {
            // Only a saving: the next process would hash again.
            let temporary = self.path.join(temporary(SEAL));
            let text = serde_json::to_vec(&self.seal)?;
            let _ = fs::write(&temporary, text)
                .and_then(|()| fs::rename(&temporary, self.path.join(SEAL)));
        }
        Ok(())
    }
}

/// A name that no other thread has, nor a process with the same number in another container.
fn temporary(name: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!(".{name}.{}.{number}.{now}", std::process::id())
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn stat(file: &File) -> io::Result<Stat> {
    let meta = file.metadata()?;
    let changed = (meta.ctime(), meta.ctime_nsec());
    Ok(Stat { inode: meta.ino(), length: meta.len(), changed })
}

/// Opens a folder that only this user can reach.
fn open_private(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&folder)?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(broken("the folder belongs to another user"));
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(broken("others can reach into the folder (chmod 700 it)"));
    }
    Ok(folder)
}

fn open_file(folder: std::os::fd::BorrowedFd<'_>, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(folder, name, flags, Mode::empty())?);
    let meta = file.metadata()?;
    if !meta.is_file()
        || meta.uid() != rustix::process::geteuid().as_raw()
        || meta.mode() & 0o022 != 0
    {
        return Err(broken("a file of the cache can be written by others"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("a/b")).unwrap();
        (folder, cache)
    }

    #[test]
    fn an_entry_comes_back() {
        let (_folder, cache) = cache();
        assert!(cache.entry("k").is_err());
        cache.create("k", &[("x", b"one"), ("y", b"two")]).unwrap();
        let mut text = String::new();
        cache.entry("k").unwrap().file("y").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "two");
    }

    #[test]
    fn threads_that_make_the_same_program_all_have_it() {
        let (_folder, cache) = cache();
        let bytes = vec![7; 1 << 20];
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let entry = cache.create_program("k", "x", &bytes).unwrap();
                    let file = entry.file("x").unwrap();
                    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o500);
                    assert_eq!(file.metadata().unwrap().len(), 1 << 20);
                });
            }
        });
        // Nothing is left of what each of them began with.
        assert_eq!(fs::read_dir(&cache.path).unwrap().count(), 1);
    }

    #[test]
    fn a_changed_file_is_refused_and_replaced() {
        let (_folder, cache) = cache();
        let entry = cache.create("k", &[("x", b"one")]).unwrap();
        let path = entry.path.join("x");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, b"bad").unwrap();
        assert!(cache.entry("k").is_err());
        cache.create("k", &[("x", b"one")]).unwrap();
        assert!(cache.entry("k").is_ok());
    }

    #[test]
    fn a_touched_file_is_hashed_again() {
        let (_folder, cache) = cache();
        let entry = cache.create("k", &[("x", b"one")]).unwrap();
        let path = entry.path.join("x");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let seal = fs::read_to_string(entry.path.join(SEAL)).unwrap();
        assert!(cache.entry("k").is_ok());
        assert_ne!(fs::read_to_string(entry.path.join(SEAL)).unwrap(), seal);
    }

    #[test]
    fn what_others_can_write_is_refused() {
        let (folder, cache) = cache();
        let entry = cache.create("k", &[("x", b"one")]).unwrap();
        let path = entry.path.join("x");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(cache.entry("k").is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        fs::set_permissions(&entry.path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(cache.entry("k").is_err());
        fs::set_permissions(folder.path().join("a/b"), fs::Permissions::from_mode(0o770)).unwrap();
        assert!(Cache::open(&folder.path().join("a/b")).is_err());
    }

    #[test]
    fn links_are_not_followed() {
        let (_folder, cache) = cache();
        let entry = cache.create("k", &[("x", b"one")]).unwrap();
        fs::rename(entry.path.join("x"), entry.path.join("z")).unwrap();
        std::os::unix::fs::symlink("z", entry.path.join("x")).unwrap();
        assert!(cache.entry("k").is_err());
    }
}
