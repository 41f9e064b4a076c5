//! Bundles that were made before, in a folder of the user's.
//!
//! A bundle is found by the program's place and used if the files that it was made of
//! still say the same (see [`crate::trace`]). A file of the cache that was cut, changed or
//! written by another version is no bundle; nothing is ever repaired.
//!
//! ```text
//!   "capsule bundle 1\n" │ hash of all that follows │ length of index │ index │ script │ map
//!                              BLAKE3, 32 bytes           u32 LE       Postcard
//! ```

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::limits::MOST_OUTPUT;
use crate::place::Place;
use crate::problem::Problem;
use crate::trace::Trace;

const MAGIC: &[u8] = b"capsule bundle 1\n";
const HASH: usize = 32;
/// What changes the script though no source changes. Raise the number when options do.
const MADE_BY: &str =
    concat!("capsule ", env!("CARGO_PKG_VERSION"), ", rolldown 1.2.5, options 2, index 2");
/// Bundles that are kept; the oldest go first.
const MOST_KEPT: usize = 200;
const MOST_OF_AN_ENTRY: u64 = 4 * MOST_OUTPUT as u64;

/// A folder of bundles.
pub(crate) struct Cache {
    folder: OwnedFd,
    path: PathBuf,
}

/// What is kept.
#[derive(Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) script: String,
    pub(crate) map: String,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) trace: Trace,
}

#[derive(Serialize, Deserialize)]
struct Index<'a> {
    made_by: &'a str,
    root: String,
    entry: String,
    /// The hash of a program that is text.
    text: Option<[u8; HASH]>,
    script: usize,
    map: usize,
    warnings: Vec<Problem>,
    trace: Trace,
}

impl Cache {
    /// Opens the folder, makes it if it is not there. Nobody else may reach into it: a
    /// bundle runs with the rights of its program.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        match fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&folder)?;
        if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o077 != 0 {
            return Err(io::Error::other("others can reach into the folder (chmod 700 it)"));
        }
        Ok(Self { folder, path: path.to_owned() })
    }

    /// The bundle of a program, if there is a whole one. Whether it is still the right one
    /// is for its trace to say.
    pub(crate) fn find(&self, place: &Place) -> Option<Stored> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let name = name(place);
        let file = rustix::fs::openat(self.folder.as_fd(), name, flags, Mode::empty()).ok()?;
        let file = File::from(file);
        let meta = file.metadata().ok()?;
        if !meta.is_file() || meta.uid() != rustix::process::geteuid().as_raw() {
            return None;
        }
        let mut bytes =
            Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0).min(64 << 20) + 1);
        file.take(MOST_OF_AN_ENTRY).read_to_end(&mut bytes).ok()?;
        decode(&bytes, place)
    }

    /// Keeps a bundle: whole or not at all. That it cannot be kept stops nobody.
    pub(crate) fn keep(&self, place: &Place, stored: &Stored) {
        let Some(bytes) = encode(stored, place) else { return };
        let name = name(place);
        let temporary = self.path.join(format!(".{name}.{}", std::process::id()));
        let write = || {
            let options = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).clone();
            options.open(&temporary)?.write_all(&bytes)?;
            fs::rename(&temporary, self.path.join(name))
        };
        if write().is_err() {
            let _ = fs::remove_file(&temporary);
        }
        self.prune();
    }

    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        let aged = |entry: fs::DirEntry| {
            let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((meta.modified().ok()?, entry.path()))
        };
        let mut kept: Vec<(SystemTime, PathBuf)> = entries.flatten().filter_map(aged).collect();
        if kept.len() > MOST_KEPT {
            kept.sort();
            for (_, path) in &kept[..kept.len() - MOST_KEPT] {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn name(place: &Place) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [MADE_BY, place.root.to_str().unwrap_or_default(), &place.entry] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.update(&text(place).unwrap_or_default());
    hasher.finalize().to_hex().to_string()
}

fn text(place: &Place) -> Option<[u8; HASH]> {
    place.text.as_ref().map(|text| *blake3::hash(text.as_bytes()).as_bytes())
}

fn encode(stored: &Stored, place: &Place) -> Option<Vec<u8>> {
    let index = Index {
        made_by: MADE_BY,
        root: place.root.to_str()?.to_owned(),
        entry: place.entry.clone(),
        text: text(place),
        script: stored.script.len(),
        map: stored.map.len(),
        warnings: stored.warnings.clone(),
        trace: stored.trace.clone(),
    };
    let index = postcard::to_allocvec(&index).ok()?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&[0; HASH]);
    bytes.extend_from_slice(&u32::try_from(index.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(&index);
    bytes.extend_from_slice(stored.script.as_bytes());
    bytes.extend_from_slice(stored.map.as_bytes());
    let start = MAGIC.len() + HASH;
    let hash = blake3::hash(&bytes[start..]);
    bytes[MAGIC.len()..start].copy_from_slice(hash.as_bytes());
    Some(bytes)
}

fn decode(bytes: &[u8], place: &Place) -> Option<Stored> {
    let bytes = bytes.strip_prefix(MAGIC)?;
    let (hash, rest) = bytes.split_first_chunk::<HASH>()?;
    if blake3::hash(rest) != *hash {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (index, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let index: Index<'_> = postcard::from_bytes(index).ok()?;
    let is_its_own = index.made_by == MADE_BY
        && place.root.to_str() == Some(index.root.as_str())
        && index.entry == place.entry
        && index.text == text(place);
    let (script, map) = rest.split_at_checked(index.script)?;
    if !is_its_own || map.len() != index.map {
        return None;
    }
    Some(Stored {
        script: String::from_utf8(script.to_vec()).ok()?,
        map: String::from_utf8(map.to_vec()).ok()?,
        warnings: index.warnings,
        trace: index.trace,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { root: "/project".into(), entry: "src/main.ts".to_owned(), text: None }
    }

    fn stored(script: &str) -> Stored {
        let trace = Trace::default();
        Stored { script: script.to_owned(), map: "{}".to_owned(), warnings: Vec::new(), trace }
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("bundles")).unwrap();
        (folder, cache)
    }

    #[test]
    fn what_is_kept_is_found() {
        let (_folder, cache) = cache();
        assert_eq!(cache.find(&place()), None);
        cache.keep(&place(), &stored("one"));
        cache.keep(&place(), &stored("two"));
        assert_eq!(cache.find(&place()), Some(stored("two")));
        let other = Place { entry: "main.ts".to_owned(), ..place() };
        assert_eq!(cache.find(&other), None);
        let text = |text: &str| Place { text: Some(text.to_owned()), ..place() };
        assert_eq!(cache.find(&text("1")), None);
        assert_ne!(name(&text("1")), name(&text("2")));
        assert_eq!(fs::read_dir(&cache.path).unwrap().count(), 1);
    }

    #[test]
    fn a_flipped_or_missing_byte_makes_it_no_bundle() {
        let bytes = encode(&stored("script"), &place()).unwrap();
        assert!(decode(&bytes, &place()).is_some());
        for index in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[index] ^= 1;
            assert_eq!(decode(&bent, &place()), None, "byte {index}");
            assert_eq!(decode(&bytes[..index], &place()), None, "length {index}");
        }
        // Of another program, moved here.
        let other = Place { entry: "main.ts".to_owned(), ..place() };
        assert_eq!(decode(&bytes, &other), None);
        let other = Place { text: Some(String::new()), ..place() };
        assert_eq!(decode(&bytes, &other), None);
    }

    #[test]
    fn a_folder_that_others_reach_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundles");
        drop(Cache::open(&path).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(Cache::open(&path).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
        assert!(Cache::open(&folder.path().join("link")).is_err());
    }

    #[test]
    fn a_link_or_a_pipe_in_the_place_of_a_bundle_is_none() {
        let (_folder, cache) = cache();
        cache.keep(&place(), &stored("one"));
        let path = cache.path.join(name(&place()));
        fs::rename(&path, cache.path.join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert_eq!(cache.find(&place()), None);
        fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::from(0o600)).unwrap();
        assert_eq!(cache.find(&place()), None);
    }

    #[test]
    fn the_oldest_go_first() {
        let (_folder, cache) = cache();
        for number in 0..MOST_KEPT + 5 {
            let place = Place { entry: format!("{number}.ts"), ..place() };
            cache.keep(&place, &stored("x"));
        }
        assert_eq!(fs::read_dir(&cache.path).unwrap().count(), MOST_KEPT);
        let last = Place { entry: format!("{}.ts", MOST_KEPT + 4), ..place() };
        assert!(cache.find(&last).is_some());
    }
}
