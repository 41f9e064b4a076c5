//! The files that a bundle is made of: those below one root, and no others.
//!
//! Who attacks: whoever wrote the project, with specifiers, links, settings and package
//! files that name what is not theirs. Each path is resolved by the kernel below the root
//! (openat2 with RESOLVE_BENEATH), so that neither `..` nor a link nor a rename at the
//! right moment leads out of it. What is no regular file is not read.
//!
//! To everybody else the root is called [`ROOT`], a place at which no file can be: if a
//! part of the bundler went to the file system itself, it would find nothing.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use oxc_resolver::{FileMetadata, FileSystem, ResolveError};
use rustix::fs::{FileType, OFlags};

use capsule_bundle::files::{beneath, hash, kind_in, now, stamp};
use capsule_bundle::limits::{MOST_BYTES, MOST_OF_A_FILE, MOST_QUESTIONS};
use capsule_bundle::trace::{Asked, Kind, Read, Trace, split};

/// What the root is called inside of the bundler.
pub(super) const ROOT: &str = "/dev/null";

/// Links that are followed one after the other, as the kernel has it.
const MOST_LINKS: usize = 40;
/// Descriptors of folders that are kept open.
const MOST_OPEN: usize = 400;

/// A limit that the project went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exceeded {
    pub(super) what: &'static str,
    pub(super) most: u64,
}

/// The files below a root.
pub(super) struct Folder {
    root: OwnedFd,
    /// The program, if it is text, and the path at which it is found.
    text: Option<(String, Vec<u8>)>,
    trace: Mutex<Trace>,
    open: Mutex<HashMap<String, Arc<OwnedFd>>>,
    bytes: AtomicU64,
    questions: AtomicU64,
    exceeded: OnceLock<Exceeded>,
    now: i64,
}

impl Folder {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self {
            root,
            text: None,
            trace: Mutex::default(),
            open: Mutex::default(),
            bytes: AtomicU64::new(0),
            questions: AtomicU64::new(0),
            exceeded: OnceLock::new(),
            now: now(),
        }
    }

    /// The same with a file more, which hides what is there.
    pub(super) fn with_text(self, path: &str, text: Vec<u8>) -> Self {
        Self { text: Some((path.to_owned(), text)), ..self }
    }

    /// Whether its program is text.
    pub(super) fn is_of_text(&self) -> bool {
        self.text.is_some()
    }

    fn own(&self, path: &str) -> Option<&[u8]> {
        self.text.as_ref().filter(|(own, _)| own == path).map(|(_, text)| text.as_slice())
    }

    /// What stands at a path below the root.
    pub(super) fn kind(&self, path: &str) -> io::Result<Kind> {
        self.ask()?;
        if self.own(path).is_some() {
            return Ok(Kind::File);
        }
        let (folder, name) = split(path);
        if let Some(kind) = self.known(folder, name) {
            return Ok(kind);
        }
        let kind = match self.enter(folder) {
            Ok(parent) => kind_in(parent.as_fd(), name),
            Err(_) => Kind::Missing,
        };
        let mut trace = self.trace();
        let asked = trace.0.entry(folder.to_owned()).or_default();
        asked.kinds.insert(name.to_owned(), kind.clone());
        Ok(kind)
    }

    /// What a file below the root says. A link at the end of the path is followed.
    pub(super) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        if let Some(text) = self.own(path) {
            return Ok(text.to_vec());
        }
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            match self.kind(&path)? {
                Kind::Link(target) => {
                    let (folder, _) = split(&path);
                    path = follow(folder, &target).ok_or(io::ErrorKind::NotFound)?;
                }
                Kind::File => return self.read_file(&path),
                Kind::Missing => return Err(io::ErrorKind::NotFound.into()),
                _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")),
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn read_file(&self, path: &str) -> io::Result<Vec<u8>> {
        let (folder, name) = split(path);
        let parent = self.enter(folder)?;
        let (bytes, read) = self.take(parent.as_fd(), name)?;
        let mut trace = self.trace();
        trace.0.entry(folder.to_owned()).or_default().read.insert(name.to_owned(), read);
        Ok(bytes)
    }

    /// What was asked so far.
    pub(super) fn traced(&self) -> Trace {
        self.trace().clone()
    }

    /// The limit that the project went over, if it did.
    pub(super) fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded.get().copied()
    }

    /// Notes that a limit is passed; everything that is asked later fails.
    pub(super) fn exceed(&self, what: &'static str, most: u64) -> io::Error {
        let exceeded = self.exceeded.get_or_init(|| Exceeded { what, most });
        io::Error::other(format!("{} is over the limit of {}", exceeded.what, exceeded.most))
    }

    fn ask(&self) -> io::Result<()> {
        if let Some(Exceeded { what, most }) = self.exceeded() {
            return Err(self.exceed(what, most));
        }
        if self.questions.fetch_add(1, Ordering::Relaxed) >= MOST_QUESTIONS {
            return Err(self.exceed("the number of files that are looked for", MOST_QUESTIONS));
        }
        Ok(())
    }

    fn known(&self, folder: &str, name: &str) -> Option<Kind> {
        self.trace().0.get(folder)?.kinds.get(name).cloned()
    }

    /// Opens a folder, links on the way included as long as they stay below the root. Its
    /// stamp is taken before anything is asked of it.
    fn enter(&self, folder: &str) -> io::Result<Arc<OwnedFd>> {
        if let Some(open) = self.opened().get(folder) {
            return Ok(open.clone());
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = Arc::new(beneath(self.root.as_fd(), folder, flags)?);
        let stamp = stamp(&rustix::fs::fstat(&open)?).settled(self.now);
        // The first one: what was asked before has to be covered, too.
        let first = || Asked { stamp, ..Asked::default() };
        self.trace().0.entry(folder.to_owned()).or_insert_with(first);
        let mut opened = self.opened();
        if opened.len() >= MOST_OPEN {
            opened.clear();
        }
        opened.insert(folder.to_owned(), open.clone());
        Ok(open)
    }

    fn take(&self, parent: std::os::fd::BorrowedFd<'_>, name: &str) -> io::Result<(Vec<u8>, Read)> {
        // A pipe must hold nobody up before it is known to be one.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut file = File::from(beneath(parent, name, flags | OFlags::NOFOLLOW)?);
        let before = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
        }
        let length = u64::try_from(before.st_size).unwrap_or(u64::MAX);
        if length > MOST_OF_A_FILE {
            return Err(self.exceed("the size of a file in bytes", MOST_OF_A_FILE));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
        file.by_ref().take(MOST_OF_A_FILE + 1).read_to_end(&mut bytes)?;
        let read = bytes.len() as u64;
        if read > MOST_OF_A_FILE {
            return Err(self.exceed("the size of a file in bytes", MOST_OF_A_FILE));
        }
        if self.bytes.fetch_add(read, Ordering::Relaxed) + read > MOST_BYTES {
            return Err(self.exceed("the size of all files in bytes", MOST_BYTES));
        }
        let after = stamp(&rustix::fs::fstat(&file)?);
        let stamp = (stamp(&before) == after).then(|| after.settled(self.now)).flatten();
        let read = Read { hash: hash(&bytes), stamp };
        Ok((bytes, read))
    }

    fn trace(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<String, Arc<OwnedFd>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a link in a folder points, below the root; None if it leaves it.
fn follow(folder: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The path below the root, if there it is.
pub(super) fn below(path: &Path) -> Option<&str> {
    let path = path.to_str()?;
    let rest = path.strip_prefix(ROOT)?;
    let rest = if rest.is_empty() { rest } else { rest.strip_prefix('/')? };
    let is_plain = rest.split('/').all(|part| part != "..");
    (is_plain && !rest.contains('\0')).then_some(rest.trim_end_matches('/'))
}

/// What the resolver sees of a [`Folder`].
#[derive(Clone)]
pub(super) struct Files(Option<Arc<Folder>>);

impl Files {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        Self(Some(folder))
    }

    fn at<'a>(&'a self, path: &'a Path) -> io::Result<(&'a Folder, &'a str)> {
        let folder = self.0.as_deref().ok_or(io::ErrorKind::NotFound)?;
        Ok((folder, below(path).ok_or(io::ErrorKind::NotFound)?))
    }

    fn kind(&self, path: &Path) -> io::Result<Kind> {
        let (folder, path) = self.at(path)?;
        folder.kind(path)
    }
}

fn metadata(kind: &Kind) -> io::Result<FileMetadata> {
    match kind {
        Kind::Missing => Err(io::ErrorKind::NotFound.into()),
        kind => Ok(FileMetadata::new(
            *kind == Kind::File,
            *kind == Kind::Folder,
            matches!(kind, Kind::Link(_)),
        )),
    }
}

/// Links are followed by the resolver, part by part, so that every one of them is seen.
impl FileSystem for Files {
    fn new(_: bool) -> Self {
        Self(None)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let (folder, path) = self.at(path)?;
        folder.read(path)
    }

    fn read_to_string(&self, path: &Path) -> io::Result<String> {
        String::from_utf8(self.read(path)?)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
    }

    fn metadata(&self, path: &Path) -> io::Result<FileMetadata> {
        metadata(&self.kind(path)?)
    }

    fn symlink_metadata(&self, path: &Path) -> io::Result<FileMetadata> {
        metadata(&self.kind(path)?)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, ResolveError> {
        match self.kind(path)? {
            Kind::Link(target) => Ok(PathBuf::from(target)),
            _ => Err(io::Error::from(io::ErrorKind::InvalidInput).into()),
        }
    }

    fn canonicalize(&self, _: &Path) -> io::Result<PathBuf> {
        Err(io::ErrorKind::NotFound.into())
    }
}
