//! Programs in TypeScript and JavaScript that are loaded already, from one run to the next.
//!
//! Such a program is one script, so what its memory holds once it is loaded goes by that
//! script alone, and by the guest. A run that finds it kept need not load it. A program that
//! asks for the time or a random number while it is loaded (lodash does) is kept as it was
//! before: read, which is half of the work, and not run.
//!
//! ```text
//!   first run    a draft is opened ──▶ locked down ──▶ read, loaded ──▶ written into the draft
//!   second run   the draft is whole? its hash is right? ──▶ an entry of the sealed cache
//!   later runs   the entry
//! ```
//!
//! Who attacks: a guest that broke out of WebAssembly. While the program is loaded it writes
//! what it likes into the draft, and so into the memory that later runs of the same script
//! begin with, and into what that says of its rights: as the script could have done itself,
//! which is all that ran by then. Before a task is called, with what others give it, the draft
//! is closed, and this process is locked down. A run of several programs keeps none: one
//! could write what is kept of another.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use capsule_backend::guest::{Guests, Source};
use capsule_engine::{Language, Project, Shelf, Shelved};
use rustix::fs::{FlockOperation, OFlags, flock};

use crate::wire::Sealed;

/// Programs that are kept.
const MOST: usize = 50;
/// Drafts of programs that ran once, and marks of those that cannot be kept.
const MOST_DRAFTS: usize = 10;
const MOST_MARKS: usize = 100;
/// Another one for each change of what is kept.
const FORMAT: &str = "2";
/// What a draft says of a program that cannot be kept.
const NEVER: &[u8] = b"!";
/// Empty if it is not loaded.
const DECLARED: &str = "declared.json";
const MEMORY: &str = "memory";
const HASH: usize = 32;
const LENGTH: usize = 8;
/// What is declared, and the memory, at most 8 MiB with the numbers of its pages.
const MOST_BYTES: u64 = 12 << 20;

/// The shelf of a program, if it can have one: to be called before anything of it ran.
pub(crate) fn of(project: &Project, guests: &dyn Guests, folder: &Path) -> Option<Arc<dyn Shelf>> {
    if project.language() != Language::JavaScript {
        return None;
    }
    let key = key(&guests.name()?, &project.source("")?);
    Some(Arc::new(Place::open(folder, &key).ok()?))
}

fn key(guests: &str, own: &Source) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [FORMAT.as_bytes(), guests.as_bytes(), own.path.as_bytes(), &own.bytes] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Where one program is kept.
struct Place {
    kept: Mutex<Option<Shelved>>,
    /// Where it goes, if it is not there; ours alone, and open until the program is loaded.
    /// None of its tasks has run by then.
    draft: Mutex<Option<File>>,
}

impl Place {
    fn open(folder: &Path, key: &str) -> io::Result<Self> {
        let sealed = Sealed::open(folder)?;
        let kept = |kept| Self { kept: Mutex::new(Some(kept)), draft: Mutex::default() };
        if let Ok(entry) = shelved(&sealed, key) {
            return Ok(kept(entry));
        }
        let path = folder.join(format!(".{key}.draft"));
        let draft = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)?;
        flock(&draft, FlockOperation::NonBlockingLockExclusive)?;
        let mut bytes = Vec::new();
        (&draft).take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes == NEVER {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if let Some((declared, memory)) = parts(&bytes) {
            sealed.create(key, &[(DECLARED, declared), (MEMORY, memory)])?;
            let _ = fs::remove_file(&path);
            return shelved(&sealed, key).map(kept);
        }
        tidy(folder);
        draft.set_len(0)?;
        Ok(Self { kept: Mutex::default(), draft: Mutex::new(Some(draft)) })
    }

    /// Writes the draft, if there is one, and closes it.
    fn write(&self, bytes: &[u8]) {
        if let Some(draft) = lock(&self.draft).take() {
            let _ = draft.write_all_at(bytes, 0);
        }
    }
}

impl Shelf for Place {
    fn take(&self) -> Option<Shelved> {
        lock(&self.kept).take()
    }

    fn wants(&self) -> bool {
        lock(&self.draft).is_some()
    }

    fn put(&self, declared: Option<&[u8]>, memory: &[u8]) {
        let bytes = whole(declared.unwrap_or_default(), memory);
        self.write(if bytes.len() as u64 > MOST_BYTES { NEVER } else { &bytes });
    }

    fn give_up(&self) {
        self.write(NEVER);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shelved(sealed: &Sealed, key: &str) -> io::Result<Shelved> {
    let entry = sealed.entry(key)?;
    let mut declared = Vec::new();
    entry.file(DECLARED)?.take(MOST_BYTES).read_to_end(&mut declared)?;
    let declared = (!declared.is_empty()).then_some(declared);
    Ok(Shelved { declared, memory: entry.file(MEMORY)? })
}

/// A draft: how long the first part is, both, and the hash of all that.
fn whole(declared: &[u8], memory: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LENGTH + declared.len() + memory.len() + HASH);
    bytes.extend_from_slice(&(declared.len() as u64).to_le_bytes());
    bytes.extend_from_slice(declared);
    bytes.extend_from_slice(memory);
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes
}

/// The two parts of a draft that is whole.
fn parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (bytes, hash) = bytes.split_last_chunk::<HASH>()?;
    let (length, parts) = bytes.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    (blake3::hash(bytes) == *hash).then(|| parts.split_at_checked(length))?
}

/// Leaves the newest of each kind. A draft that is taken away under a run that writes it is
/// only not kept.
fn tidy(folder: &Path) {
    let (mut kept, mut drafts, mut marks) = (Vec::new(), Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let kind = match (is_hidden, meta.len()) {
            (false, _) => &mut kept,
            (true, 0 | 1) => &mut marks,
            (true, _) => &mut drafts,
        };
        kind.push((meta.modified().ok(), entry.path()));
    }
    for (mut kind, most) in [(kept, MOST), (drafts, MOST_DRAFTS), (marks, MOST_MARKS)] {
        kind.sort();
        for (_, path) in kind.iter().rev().skip(most) {
            // An entry, or what one is being made of, is a folder.
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn open(folder: &Path, key: &str) -> io::Result<Place> {
        Place::open(&folder.join("kept"), key)
    }

    fn taken(place: &Place) -> Option<(Option<Vec<u8>>, Vec<u8>)> {
        let Shelved { declared, mut memory } = place.take()?;
        let mut bytes = Vec::new();
        memory.read_to_end(&mut bytes).expect("it can be read");
        Some((declared, bytes))
    }

    #[test]
    fn what_one_run_puts_there_the_next_one_takes() {
        let folder = folder();
        let first = open(folder.path(), "a").expect("a place");
        assert!(first.take().is_none());
        // Who comes meanwhile neither waits nor writes.
        assert!(open(folder.path(), "a").is_err());
        first.put(Some(b"[]"), b"memory");
        drop(first);
        for _ in 0..2 {
            let next = open(folder.path(), "a").expect("a place");
            assert_eq!(taken(&next), Some((Some(b"[]".to_vec()), b"memory".to_vec())));
            next.put(Some(b"other"), b"other");
        }
        open(folder.path(), "read").expect("a place").put(None, b"memory");
        let read = open(folder.path(), "read").expect("a place");
        assert_eq!(taken(&read), Some((None, b"memory".to_vec())));
        assert!(open(folder.path(), "b").expect("a place").take().is_none());
    }

    #[test]
    fn a_draft_that_is_not_whole_is_begun_anew() {
        let folder = folder();
        let whole = whole(b"[]", b"memory");
        drop(open(folder.path(), "a"));
        let path = folder.path().join("kept/.a.draft");
        let mut broken: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            broken.push(bytes);
        }
        // The first part is said to be longer than all.
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        bytes.extend_from_slice(blake3::hash(&bytes).as_bytes());
        broken.push(bytes);
        for bytes in broken {
            fs::write(&path, &bytes).expect("a draft");
            let place = open(folder.path(), "a").expect("a place");
            assert!(place.take().is_none() && place.wants(), "{bytes:?}");
            assert_eq!(fs::metadata(&path).expect("a draft").len(), 0);
        }
        fs::write(&path, &whole).expect("a draft");
        assert!(open(folder.path(), "a").expect("a place").take().is_some());
    }

    #[test]
    fn a_program_that_cannot_be_kept_is_not_tried_each_time() {
        let folder = folder();
        open(folder.path(), "a").expect("a place").give_up();
        assert!(open(folder.path(), "a").is_err());
        let large = vec![0; usize::try_from(MOST_BYTES).expect("it fits") + 1];
        open(folder.path(), "b").expect("a place").put(Some(b"[]"), &large);
        assert!(open(folder.path(), "b").is_err());
    }

    #[test]
    fn links_are_not_followed_and_others_are_kept_out() {
        let folder = folder();
        drop(open(folder.path(), "a"));
        let target = folder.path().join("victim");
        fs::write(&target, "x").expect("a file");
        std::os::unix::fs::symlink(&target, folder.path().join("kept/.b.draft")).expect("a link");
        assert!(open(folder.path(), "b").is_err());
        assert_eq!(fs::read(&target).expect("a file"), b"x");
        let kept = folder.path().join("kept");
        fs::set_permissions(&kept, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .expect("a mode");
        assert!(open(folder.path(), "c").is_err());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let folder = folder();
        for number in 0..MOST + 3 {
            let key = format!("{number:03}");
            open(folder.path(), &key).expect("a place").put(Some(b"[]"), b"");
            drop(open(folder.path(), &key));
            open(folder.path(), &format!("once{key}")).expect("a place").put(Some(b"[]"), b"");
            open(folder.path(), &format!("never{key}")).expect("a place").give_up();
        }
        // What is opened now is one more.
        let entries = fs::read_dir(folder.path().join("kept")).expect("a folder").flatten();
        let (drafts, kept): (Vec<_>, Vec<_>) = entries
            .map(|entry| entry.file_name().into_string().expect("a name"))
            .filter(|name| !name.contains("never"))
            .partition(|name| name.starts_with('.'));
        assert!(kept.len() <= MOST + 1 && kept.contains(&format!("{:03}", MOST + 2)), "{kept:?}");
        assert!(drafts.len() <= MOST_DRAFTS + 2, "{drafts:?}");
    }

    #[test]
    fn nobody_writes_once_the_program_is_loaded() {
        let folder = folder();
        for end in [|place: &Place| place.put(Some(b"[]"), b"x"), |place: &Place| place.give_up()] {
            let place = open(folder.path(), "a").expect("a place");
            assert!(place.wants());
            end(&place);
            assert!(!place.wants());
            let own = fs::read_dir("/proc/self/fd").expect("a folder").flatten();
            let open: Vec<_> = own.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
            assert!(!open.iter().any(|path| path.starts_with(folder.path())), "{open:?}");
            fs::remove_dir_all(folder.path().join("kept")).expect("it goes");
        }
    }
}
