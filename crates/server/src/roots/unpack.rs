//! Layers of a root, written into a fresh folder. Whoever made them is a stranger.
//!
//! ```text
//!  members ─▶ bounds ─▶ parent: openat2, beneath the folder, through no link ─▶ a new name
//! ```
//!
//! Every name is made in a directory that was opened below the folder, without following
//! anything, and never opened if it is there: it is made anew or not at all. Owners, devices and
//! set-id bits do not cross. Refuses to know: where the bytes come from.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use bytes::Bytes;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, fchmod, futimens,
    linkat, mkdirat, openat, openat2, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::error::RootError;
use crate::tar::{Kind, Member, Reader, Step};

/// The most that is unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Of all layers together, as they are when nothing is compressed: files that a later layer
    /// replaces count, too.
    pub bytes: u64,
    /// Files, directories and links, those that are left out included.
    pub names: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: 16 << 30, names: 1_000_000 }
    }
}

/// What a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// All files of a root. A name is a name.
    Whole,
    /// What differs from the layers before: `.wh.NAME` takes a name of theirs away.
    Difference,
}

/// How deep directories lie in each other: each costs a descriptor when they are removed.
const DEEPEST: usize = 128;
const PIECE: usize = 256 << 10;
/// Directories at the top that are the jail's own wherever a sandbox runs: archives of systems
/// have devices and pipes there, and nobody would ever see them.
const LEFT_OUT: [&str; 6] = ["dev", "proc", "run", "sys", "tmp", "workspace"];
const MARK: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
const DIRECTORY: Mode = Mode::from_raw_mode(0o755);

/// A name, so that a million of them cost little.
type Name = [u8; 16];

fn hash(path: &str) -> Name {
    let hash = blake3::hash(path.as_bytes());
    let mut name = Name::default();
    name.copy_from_slice(&hash.as_bytes()[..16]);
    name
}

/// A folder that is being filled.
pub(crate) struct Unpacker {
    root: OwnedFd,
    bounds: Bounds,
    bytes: u64,
    names: u64,
    /// The directory that was used last: members come in the order of their directories.
    parent: Option<(String, OwnedFd)>,
    /// Names of this layer; whether each is a directory.
    seen: HashMap<Name, bool>,
}

/// A file that is being written.
pub(crate) struct Writing {
    file: File,
    member: String,
    mode: u32,
    modified: u64,
}

impl Unpacker {
    /// Begins to fill an empty folder.
    pub(crate) fn new(root: &Path, bounds: Bounds) -> Result<Self, RootError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = openat(CWD, root, flags, Mode::empty());
        let root = root.map_err(|error| RootError::Cache(error.into()))?;
        Ok(Self { root, bounds, bytes: 0, names: 0, parent: None, seen: HashMap::new() })
    }

    /// Bytes and names so far.
    pub(crate) fn count(&self) -> (u64, u64) {
        (self.bytes, self.names)
    }

    /// Unpacks a layer over those before it, to the end of `input`. `told` hears of the bytes.
    pub(crate) fn layer(
        &mut self,
        input: &mut dyn Read,
        layer: Layer,
        told: &mut dyn FnMut(u64),
    ) -> Result<(), RootError> {
        self.seen.clear();
        self.parent = None;
        let mut reader = Reader::new();
        let mut writing = None;
        let mut buffer = vec![0; PIECE];
        loop {
            let read = match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(RootError::Read(error)),
            };
            self.charge(read, reader.at())?;
            told(self.bytes);
            let mut bytes = Bytes::copy_from_slice(&buffer[..read]);
            loop {
                let step = reader.next(&mut bytes);
                let step = step.map_err(|source| broken(&reader, source))?;
                match step {
                    Step::More => break,
                    Step::Member(member) => writing = self.member(member, layer)?,
                    Step::Other(path, what) => self.other(&path, what)?,
                    Step::Data(data) => {
                        if let Some(writing) = &mut writing {
                            self.write(writing, &data)?;
                        }
                    }
                    Step::Whole => {
                        if let Some(writing) = writing.take() {
                            self.finish(writing)?;
                        }
                    }
                }
            }
        }
        reader.finish().map_err(|source| broken(&reader, source))
    }

    /// Bytes that came, whatever they are: heads count, and what is left out.
    pub(crate) fn charge(&mut self, bytes: usize, member: &str) -> Result<(), RootError> {
        self.bytes += bytes as u64;
        match self.bytes > self.bounds.bytes {
            true => Err(RootError::TooLarge { member: member.into(), most: self.bounds.bytes }),
            false => Ok(()),
        }
    }

    fn other(&mut self, path: &str, what: &'static str) -> Result<(), RootError> {
        self.name(path)?;
        match is_left_out(path) {
            true => Ok(()),
            false => {
                let why = if what == "a pipe" { "is a pipe" } else { "is a device" };
                Err(RootError::Member { member: path.to_owned(), why })
            }
        }
    }

    fn member(&mut self, member: Member, layer: Layer) -> Result<Option<Writing>, RootError> {
        let Member { path, kind, mode, modified } = member;
        self.name(&path)?;
        if path.is_empty() || is_left_out(&path) {
            return Ok(None);
        }
        if layer == Layer::Difference && path.split('/').any(|part| part.starts_with(MARK)) {
            let is_file = matches!(kind, Kind::File(_));
            return self.white_out(&path, is_file).map(|()| None);
        }
        match kind {
            Kind::File(_) => return self.file(&path, mode, modified).map(Some),
            Kind::Directory => self.directory(&path)?,
            Kind::Link(target) => self.link(&path, &target)?,
            Kind::Same(other) => self.same(&path, &other)?,
        }
        Ok(None)
    }

    /// One more name, which is not too deep.
    pub(crate) fn name(&mut self, path: &str) -> Result<(), RootError> {
        self.names += 1;
        if self.names > self.bounds.names {
            return Err(RootError::TooMany { member: path.into(), most: self.bounds.names });
        }
        if path.split('/').count() > DEEPEST {
            let member = path.chars().take(100).collect();
            return Err(RootError::Member { member, why: "lies too deep" });
        }
        Ok(())
    }

    /// Notes a name of this layer, of which there can be one, but for directories.
    fn note(&mut self, path: &str, is_directory: bool) -> Result<(), RootError> {
        match self.seen.insert(hash(path), is_directory) {
            Some(was_directory) if !(was_directory && is_directory) => {
                Err(RootError::Member { member: path.to_owned(), why: "is there twice" })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn directory(&mut self, path: &str) -> Result<(), RootError> {
        self.note(path, true)?;
        let name = self.enter(path)?;
        let parent = self.parent();
        let is_directory = kind_of(parent, name).map_err(|error| written(path, error))?;
        match is_directory {
            Some(FileType::Directory) => return Ok(()),
            Some(_) => unlinkat(parent, name, AtFlags::empty())
                .map_err(|error| written(path, error.into()))?,
            None => {}
        }
        mkdirat(parent, name, DIRECTORY).map_err(|error| written(path, error.into()))
    }

    /// Begins a file in place of what an earlier layer has there.
    pub(crate) fn file(
        &mut self,
        path: &str,
        mode: u32,
        modified: u64,
    ) -> Result<Writing, RootError> {
        self.note(path, false)?;
        self.clear(path)?;
        let name = self.enter(path)?;
        let flags = OFlags::WRONLY
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let file = openat(self.parent(), name, flags, Mode::from_raw_mode(0o600));
        let file = file.map_err(|error| written(path, error.into()))?;
        Ok(Writing { file: file.into(), member: path.to_owned(), mode, modified })
    }

    pub(crate) fn write(&self, writing: &mut Writing, bytes: &[u8]) -> Result<(), RootError> {
        writing.file.write_all(bytes).map_err(|error| written(&writing.member, error))
    }

    /// Everybody may read it, so that a sandbox's user may wherever files cannot be id-mapped;
    /// nobody but the owner may write it. When it was written tells Python whether what it
    /// compiled of it is still good.
    pub(crate) fn finish(&self, writing: Writing) -> Result<(), RootError> {
        let failed = |error: Errno| written(&writing.member, error.into());
        let mode = if writing.mode & 0o111 == 0 { 0o644 } else { 0o755 };
        fchmod(&writing.file, Mode::from_raw_mode(mode)).map_err(failed)?;
        let time = Timespec { tv_sec: writing.modified.cast_signed(), tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        // A time that the file system does not know is no reason to refuse a file.
        let _ = futimens(&writing.file, &times);
        Ok(())
    }

    /// A symbolic link, which is never followed here.
    pub(crate) fn link(&mut self, path: &str, target: &str) -> Result<(), RootError> {
        self.note(path, false)?;
        self.clear(path)?;
        let name = self.enter(path)?;
        symlinkat(target, self.parent(), name).map_err(|error| written(path, error.into()))
    }

    /// Another name of a file that is there.
    fn same(&mut self, path: &str, other: &str) -> Result<(), RootError> {
        self.note(path, false)?;
        if is_left_out(other) {
            let why = "is the same file as one of a directory that is left out";
            return Err(RootError::Member { member: path.to_owned(), why });
        }
        let refused = |why| Err(RootError::Member { member: path.to_owned(), why });
        let (above, name) = split(other);
        let from = match self.open(above) {
            Ok(from) => from,
            Err(Errno::NOENT | Errno::NOTDIR) => return refused("is the same as no file"),
            Err(Errno::LOOP) => return refused("is the same file as one behind a link"),
            Err(error) => return Err(written(path, error.into())),
        };
        match kind_of(from.as_fd(), name).map_err(|error| written(path, error))? {
            Some(FileType::RegularFile | FileType::Symlink) => {}
            _ => return refused("is the same as no file"),
        }
        if path == other {
            return refused("is the same as itself");
        }
        self.clear(path)?;
        let to = self.enter(path)?;
        let made = linkat(&from, name, self.parent(), to, AtFlags::empty());
        made.map_err(|error| written(path, error.into()))
    }

    /// `.wh.NAME`: NAME of the layers before is gone. `.wh..wh..opq`: all of theirs in the
    /// directory. What this layer has there stays, in whatever order it comes.
    fn white_out(&mut self, path: &str, is_file: bool) -> Result<(), RootError> {
        let refused = |why| Err(RootError::Member { member: path.to_owned(), why });
        let (above, mark) = split(path);
        if !is_file || above.split('/').any(|part| part.starts_with(MARK)) {
            return refused("is a mark of a layer where none can be");
        }
        let hidden = mark.strip_prefix(MARK).unwrap_or_default();
        let is_opaque = mark == OPAQUE;
        if !is_opaque && (matches!(hidden, "" | "." | "..") || hidden.starts_with(MARK)) {
            return refused("is a mark of a layer that takes nothing away");
        }
        let directory = match self.open(above) {
            Ok(directory) => directory,
            // Nothing is there to take away.
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(Errno::LOOP) => return refused("goes through a link"),
            Err(error) => return Err(written(path, error.into())),
        };
        self.parent = None;
        let gone = match is_opaque {
            true => self.hide_all(directory.as_fd(), above),
            false => self.hide(directory.as_fd(), above, hidden),
        };
        gone.map_err(|error| written(path, error))
    }

    fn hide_all(&self, directory: BorrowedFd<'_>, path: &str) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
            // All names here were made from text.
            names.extend(entry?.file_name().into_string());
        }
        names.iter().try_for_each(|name| self.hide(directory, path, name))
    }

    fn hide(&self, directory: BorrowedFd<'_>, above: &str, name: &str) -> io::Result<()> {
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
        match self.seen.get(&hash(&path)) {
            None => remove(directory, name),
            Some(false) => Ok(()),
            Some(true) => {
                let below = openat2(directory, name, directory_flags(), Mode::empty(), resolve())?;
                self.hide_all(below.as_fd(), &path)
            }
        }
    }

    /// Makes room for a name that is no directory.
    fn clear(&mut self, path: &str) -> Result<(), RootError> {
        let name = self.enter(path)?;
        let parent = self.parent();
        match kind_of(parent, name).map_err(|error| written(path, error))? {
            None => Ok(()),
            Some(kind) => {
                let removed = remove(parent, name);
                if kind == FileType::Directory {
                    self.parent = None;
                }
                removed.map_err(|error| written(path, error))
            }
        }
    }

    /// Opens the directory of a path, as [`Unpacker::parent`]; answers the path's last part.
    fn enter<'a>(&mut self, path: &'a str) -> Result<&'a str, RootError> {
        let (above, name) = split(path);
        if self.parent.as_ref().is_none_or(|(open, _)| open != above) {
            let directory = match self.open(above) {
                Err(Errno::NOENT) => self.make_above(path, above)?,
                opened => opened.map_err(|error| through(path, error))?,
            };
            // A layer has the directories of its members, also without a member for each.
            for (end, _) in above.match_indices('/').chain([(above.len(), "")]) {
                if end > 0 {
                    self.seen.entry(hash(&above[..end])).or_insert(true);
                }
            }
            self.parent = Some((above.to_owned(), directory));
        }
        Ok(name)
    }

    fn parent(&self) -> BorrowedFd<'_> {
        self.parent.as_ref().map_or(self.root.as_fd(), |(_, directory)| directory.as_fd())
    }

    fn open(&self, directory: &str) -> Result<OwnedFd, Errno> {
        let path = if directory.is_empty() { "." } else { directory };
        openat2(&self.root, path, directory_flags(), Mode::empty(), resolve())
    }

    /// Directories that no member of its own stands for.
    fn make_above(&mut self, member: &str, above: &str) -> Result<OwnedFd, RootError> {
        let mut directory = self.open("").map_err(|error| written(member, error.into()))?;
        let mut end = 0;
        for part in above.split('/') {
            end += part.len() + usize::from(end > 0);
            match mkdirat(&directory, part, DIRECTORY) {
                // It is a name like any other.
                Ok(()) => self.name(&above[..end])?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(written(member, error.into())),
            }
            let below = openat2(&directory, part, directory_flags(), Mode::empty(), resolve());
            directory = below.map_err(|error| through(member, error))?;
        }
        Ok(directory)
    }
}

fn is_left_out(path: &str) -> bool {
    let top = path.split('/').next().unwrap_or_default();
    LEFT_OUT.contains(&top)
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn directory_flags() -> OFlags {
    OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn resolve() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
}

fn kind_of(directory: BorrowedFd<'_>, name: &str) -> io::Result<Option<FileType>> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes a name and all below it. The directory is open, its name below it is looked at without
/// following, and so is all that lies deeper.
fn remove(directory: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match kind_of(directory, name)? {
        None => Ok(()),
        Some(FileType::Directory) => {
            fs::remove_dir_all(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
        }
        Some(_) => Ok(unlinkat(directory, name, AtFlags::empty())?),
    }
}

fn broken(reader: &Reader, source: crate::tar::TarError) -> RootError {
    RootError::Archive { member: reader.at().to_owned(), source }
}

fn written(member: &str, source: io::Error) -> RootError {
    RootError::Write { member: member.to_owned(), source }
}

/// Why the directory of a member cannot be opened.
fn through(member: &str, error: Errno) -> RootError {
    let why = match error {
        Errno::LOOP => "goes through a link",
        Errno::NOTDIR => "lies below what is no directory",
        // Of a path that leads out; names are checked before, so it is not reached.
        Errno::XDEV => "leads out of the directory",
        _ => return written(member, error.into()),
    };
    RootError::Member { member: member.to_owned(), why }
}
