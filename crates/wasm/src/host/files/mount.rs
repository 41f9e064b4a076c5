//! What a guest's tree is made of: its own `/tmp`, and what it was granted.
//!
//! A source is opened once, when it is granted, without following any link: whoever can
//! write to a directory above it could otherwise choose what the guest sees.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use capsule_backend::guest::Granted;
use capsule_spec::{Access, ErrorCode as Code, Failure};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use super::budget::Budget;
use super::error::{ErrorCode, Result};
use super::folder;
use super::handle::{Handle, Slots};
use super::path;

/// Where the guest's own files are.
pub(super) const PRIVATE: &str = "/tmp";

/// A file or folder of the host that the guest was granted.
#[derive(Debug)]
pub(super) struct Mount {
    granted: Granted,
    /// The folder; for a file, the folder that it is in.
    root: Arc<Handle>,
    /// For a file, its name there.
    pub(super) file: Option<String>,
    /// Which source it was when it was opened.
    identity: (u64, u64),
    is_revoked: AtomicBool,
    pub(super) budget: Arc<Budget>,
    pub(super) slots: Slots,
}

impl Mount {
    /// Opens a source.
    pub(super) fn open(
        granted: &Granted,
        budget: &Arc<Budget>,
        slots: &Slots,
    ) -> std::result::Result<Self, Failure> {
        let shown = granted.source.display();
        let refused = |code, text: String| Err(Failure::new(code, text));
        let stat = match source(&granted.source).and_then(|fd| Ok((fstat(&fd)?, fd))) {
            Ok((stat, fd)) if folder::is_strange(&fd) => {
                drop((stat, fd));
                return refused(
                    Code::InvalidPath,
                    format!("{shown} belongs to the kernel and cannot be granted"),
                );
            }
            Ok((stat, _)) => stat,
            Err(error) => return Err(unopened(&granted.source, error)),
        };
        let (folder, file) = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => (granted.source.as_path(), None),
            FileType::RegularFile => {
                let name = granted.source.file_name().and_then(OsStr::to_str);
                match (granted.source.parent(), name) {
                    (Some(parent), Some(name)) => (parent, Some(name.to_owned())),
                    _ => return refused(Code::InvalidPath, format!("{shown} names no file")),
                }
            }
            _ => {
                let text = format!("{shown} is neither a file nor a folder");
                return refused(Code::InvalidPath, text);
            }
        };
        let mut failed = Errno::MFILE;
        let root = Handle::open(slots, || source(folder).inspect_err(|error| failed = *error));
        let root = Arc::new(root.map_err(|_| unopened(&granted.source, failed))?);
        Ok(Self {
            granted: granted.clone(),
            root,
            file,
            identity: (stat.st_dev, stat.st_ino),
            is_revoked: AtomicBool::new(false),
            budget: budget.clone(),
            slots: slots.clone(),
        })
    }

    /// Whether `other` is the same grant of the same thing.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.granted == other.granted && self.identity == other.identity
    }

    /// From now on, nothing that was opened through it can be used.
    pub(super) fn revoke(&self) {
        self.is_revoked.store(true, Ordering::Relaxed);
    }

    /// Its folder, while it is granted.
    pub(super) fn root(&self) -> &Arc<Handle> {
        &self.root
    }

    pub(super) fn readable(&self) -> Result<()> {
        match self.is_revoked.load(Ordering::Relaxed) {
            true => Err(ErrorCode::Access),
            false => Ok(()),
        }
    }

    pub(super) fn writable(&self) -> Result<()> {
        self.readable()?;
        match self.granted.access {
            Access::ReadOnly => Err(ErrorCode::ReadOnly),
            Access::ReadWrite => Ok(()),
        }
    }
}

fn source(path: &Path) -> rustix::io::Result<OwnedFd> {
    if !path.is_absolute() {
        return Err(Errno::INVAL);
    }
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(CWD, path, flags, Mode::empty(), resolve)
}

fn unopened(source: &Path, error: Errno) -> Failure {
    let shown = source.display();
    match error {
        Errno::LOOP => {
            let failure = Failure::new(
                Code::UnsafePath,
                format!("the mount source {shown} goes through a symbolic link"),
            );
            match source.canonicalize() {
                Ok(real) => failure.hint(format!("name the real path: {}", real.display())),
                Err(_) => failure,
            }
        }
        Errno::NOENT | Errno::NOTDIR => {
            Failure::new(Code::MountFailed, format!("there is no {shown} to mount"))
        }
        Errno::ACCESS | Errno::PERM => {
            Failure::new(Code::MountFailed, format!("{shown} may not be opened by this user"))
        }
        Errno::INVAL => Failure::new(Code::InvalidPath, format!("{shown} is not absolute")),
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => {
            Failure::new(Code::OutOfResources, format!("{shown} could not be opened"))
        }
        _ => Failure::new(Code::MountFailed, format!("{shown} could not be mounted")),
    }
}

/// Everything that is mounted, by its path. The root's path is empty.
#[derive(Debug, Default)]
pub(super) struct Mounts(Vec<(String, Arc<Mount>)>);

/// What lies at a path.
pub(super) enum Point<'a> {
    /// The guest's own files.
    Private,
    /// Something granted.
    Mount(&'a Arc<Mount>),
    /// Nothing, but there is something below.
    Above,
}

impl Mounts {
    /// Opens what was granted. If that is what was granted before, all stays as it is, and
    /// what is open stays open. If anything differs, all that was granted before is revoked:
    /// a directory that is open knows nothing of a mount that is new below it.
    pub(super) fn change(
        &mut self,
        granted: &[Granted],
        budget: &Arc<Budget>,
        slots: &Slots,
    ) -> std::result::Result<(), Failure> {
        let next = open_all(granted, budget, slots);
        if let Ok(next) = &next
            && next.len() == self.0.len()
            && next.iter().zip(&self.0).all(|((_, next), (_, old))| next.is_same(old))
        {
            return Ok(());
        }
        self.0.iter().for_each(|(_, mount)| mount.revoke());
        self.0.clear();
        self.0 = next?;
        Ok(())
    }

    /// What is at `path`, if it means anything to the tree itself.
    pub(super) fn at(&self, path: &str) -> Option<Point<'_>> {
        if path == PRIVATE {
            return Some(Point::Private);
        }
        if let Some((_, mount)) = self.0.iter().find(|(place, _)| place == path) {
            return Some(Point::Mount(mount));
        }
        self.is_above(path).then_some(Point::Above)
    }

    /// Whether anything is mounted below `path`.
    pub(super) fn is_above(&self, path: &str) -> bool {
        path.is_empty() || self.0.iter().any(|(place, _)| below(place, path).is_some())
    }

    /// The names in directory `path` that mounts account for, in order.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let places = self.0.iter().map(|(place, _)| place.as_str()).chain([PRIVATE]);
        let mut names: Vec<String> = places
            .filter_map(|place| below(place, path))
            .filter_map(|rest| rest.split('/').next())
            .map(str::to_owned)
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

fn open_all(
    granted: &[Granted],
    budget: &Arc<Budget>,
    slots: &Slots,
) -> std::result::Result<Vec<(String, Arc<Mount>)>, Failure> {
    let mut mounts: Vec<(String, Arc<Mount>)> = Vec::new();
    for granted in granted {
        let place = place(granted)?;
        if mounts.iter().any(|(path, _)| *path == place) {
            let text = format!("two grants have the destination {}", granted.destination);
            return Err(Failure::new(Code::ConflictingOptions, text));
        }
        let mount = Mount::open(granted, budget, slots)?;
        if place.is_empty() && mount.file.is_some() {
            let text = format!("{} is a file and cannot be /", granted.source.display());
            return Err(Failure::new(Code::InvalidPath, text));
        }
        mounts.push((place, Arc::new(mount)));
    }
    Ok(mounts)
}

/// What follows `path` in `place`.
fn below<'a>(place: &'a str, path: &str) -> Option<&'a str> {
    place.strip_prefix(path)?.strip_prefix('/')
}

/// A destination as a path of the tree.
fn place(granted: &Granted) -> std::result::Result<String, Failure> {
    let text = &granted.destination;
    let refused = |why: &str| {
        let text = format!("the destination {text:?} {why}");
        Err(Failure::new(Code::InvalidPath, text))
    };
    if text == "/" {
        return Ok(String::new());
    }
    let Some(names) = text.strip_prefix('/') else { return refused("is not absolute") };
    if path::check(text).is_err() || names.split('/').any(|name| !path::is_name(name)) {
        return refused("is not a normal path");
    }
    // A program may look at its own files before it is granted any.
    if text == PRIVATE || below(text, PRIVATE).is_some() {
        return refused("is among the guest's own files");
    }
    if granted.source.as_os_str().as_bytes().contains(&0) {
        return refused("has a source that is no path");
    }
    Ok(text.clone())
}
