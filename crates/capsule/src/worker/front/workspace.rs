//! The files of a session: a private folder of the host, which the guest may write to.
//!
//! So all names in it are hostile. What is done here on behalf of the caller goes down
//! from the folder name by name and follows no link that it finds there.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use capsule_spec::{ErrorCode, Failure};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, openat};
use rustix::io::Errno;

/// The folder of one worker. It is locked for as long as the worker lives, so that the
/// next one can tell what a killed worker left.
pub(super) struct Folder {
    path: PathBuf,
    _lock: OwnedFd,
    next: AtomicU64,
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Folder {
    pub(super) fn make() -> io::Result<Self> {
        let base = std::fs::canonicalize(std::env::temp_dir())?;
        let prefix = format!("capsule-worker-{}-", rustix::process::geteuid().as_raw());
        sweep(&base, &prefix);
        let process = std::process::id();
        for number in 0..100 {
            let path = base.join(format!("{prefix}{process}-{number}"));
            match rustix::fs::mkdir(&path, Mode::RWXU) {
                Err(Errno::EXIST) => continue,
                other => other?,
            }
            let lock = rustix::fs::open(&path, DIRECTORY, Mode::empty())?;
            rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
            // Another worker that swept it before it was locked is the one rival.
            if same(&lock, &path) {
                return Ok(Self { path, _lock: lock, next: AtomicU64::new(1) });
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// A part of it for the sessions of one process.
    pub(super) fn rooms(self: &Arc<Self>) -> Result<Rooms, Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(number.to_string());
        rustix::fs::mkdir(&path, Mode::RWXU)
            .map_err(|error| failed("the workspaces", error.into()))?;
        Ok(Rooms { path, folder: self.clone(), next: AtomicU64::new(1) })
    }

    /// Removes it, whoever still uses it.
    pub(super) fn remove(&self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove();
    }
}

fn same(open: &OwnedFd, path: &Path) -> bool {
    let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let (open, path) = (rustix::fs::fstat(open), rustix::fs::lstat(path));
    matches!((open, path), (Ok(open), Ok(path)) if identity(open) == identity(path))
}

/// Removes what killed workers of this user left.
fn sweep(base: &Path, prefix: &str) {
    let Ok(entries) = std::fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix)) {
            continue;
        }
        let Ok(folder) = rustix::fs::open(entry.path(), DIRECTORY, Mode::empty()) else { continue };
        let is_ours = rustix::fs::fstat(&folder)
            .is_ok_and(|stat| stat.st_uid == rustix::process::geteuid().as_raw());
        let is_left =
            || rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok();
        if is_ours && is_left() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The files of the sessions of one process.
pub(super) struct Rooms {
    path: PathBuf,
    folder: Arc<Folder>,
    next: AtomicU64,
}

impl Rooms {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A new workspace in it.
    pub(super) fn workspace(&self) -> Result<Workspace, Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(number.to_string());
        let made = rustix::fs::mkdir(&path, Mode::RWXU)
            .and_then(|()| rustix::fs::open(&path, DIRECTORY, Mode::empty()));
        let root = made.map_err(|error| failed("the workspace", error.into()))?;
        Ok(Workspace { path, root, _folder: self.folder.clone() })
    }
}

/// The files of one session.
pub(super) struct Workspace {
    path: PathBuf,
    root: OwnedFd,
    _folder: Arc<Folder>,
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

impl Workspace {
    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Copies a file or folder of the host into it; what is there already is replaced.
    pub(super) fn import(&self, from: &Path, to: &str) -> Result<(), Failure> {
        let (folders, name) = split(to)?;
        let shown = from.display().to_string();
        let kind = std::fs::metadata(from).map_err(|error| failed(&shown, error))?;
        let folder =
            self.folder(&folders, Missing::Made).map_err(|error| failed(to, error.into()))?;
        let copied = if kind.is_dir() {
            copy_folder(from, &folder, name)
        } else {
            copy_file(from, &folder, name)
        };
        copied.map_err(|error| failed(&shown, error))
    }

    /// Copies a file out of it.
    pub(super) fn export(&self, from: &str, to: &Path) -> Result<(), Failure> {
        let (folders, name) = split(from)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = self
            .folder(&folders, Missing::Error)
            .and_then(|folder| openat(&folder, name, flags, Mode::empty()));
        let mut file = File::from(opened.map_err(|error| match error {
            Errno::LOOP => unsafe_path(from, "is a link, which is not followed"),
            error => failed(from, error.into()),
        })?);
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(unsafe_path(from, "is not a file"));
        }
        let mut copy = || -> io::Result<()> {
            if let Some(parent) = to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                std::fs::create_dir_all(parent)?;
            }
            io::copy(&mut file, &mut File::create(to)?).map(drop)
        };
        copy().map_err(|error| failed(&to.display().to_string(), error))
    }

    /// Removes a file or folder in it.
    pub(super) fn delete(&self, path: &str) -> Result<(), Failure> {
        let (folders, name) = split(path)?;
        let folder =
            self.folder(&folders, Missing::Error).map_err(|error| failed(path, error.into()))?;
        remove(&folder, name).map_err(|error| failed(path, error))
    }

    /// Goes down, following no link.
    fn folder(&self, names: &[&str], missing: Missing) -> Result<OwnedFd, Errno> {
        let mut folder = self.root.try_clone().map_err(|_| Errno::MFILE)?;
        for name in names {
            if matches!(missing, Missing::Made) {
                match rustix::fs::mkdirat(&folder, *name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error),
                }
            }
            folder = openat(&folder, *name, DIRECTORY, Mode::empty())?;
        }
        Ok(folder)
    }
}

#[derive(Clone, Copy)]
enum Missing {
    Made,
    Error,
}

/// The folders and the name of a path in the workspace.
fn split(path: &str) -> Result<(Vec<&str>, &str), Failure> {
    let outside = || unsafe_path(path, "is no path inside the workspace");
    let inside = path.strip_prefix("/workspace/").unwrap_or(path);
    if inside.starts_with('/') || inside.contains('\0') {
        return Err(outside());
    }
    let mut names: Vec<&str> =
        inside.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    if names.contains(&"..") {
        return Err(outside());
    }
    let name = names.pop().ok_or_else(outside)?;
    Ok((names, name))
}

fn copy_file(from: &Path, folder: &OwnedFd, name: &str) -> io::Result<()> {
    let mut source = File::open(from)?;
    if !source.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut copy = File::from(openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?);
    io::copy(&mut source, &mut copy).map(drop)
}

fn copy_folder(from: &Path, folder: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::mkdirat(folder, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let inside = openat(folder, name, DIRECTORY, Mode::empty())?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| io::ErrorKind::InvalidFilename)?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&entry.path(), &inside, &name)?;
        } else if kind.is_symlink() {
            // As a link: in the sandbox it leads where the sandbox ends, not where the
            // host's would.
            let target = std::fs::read_link(entry.path())?;
            match rustix::fs::unlinkat(&inside, &*name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            rustix::fs::symlinkat(&target, &inside, &*name)?;
        } else {
            copy_file(&entry.path(), &inside, &name)?;
        }
    }
    Ok(())
}

fn remove(folder: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {
            // Follows no link either, neither this name nor those below.
            let path = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
            std::fs::remove_dir_all(path)
        }
        other => other.map_err(Into::into),
    }
}

fn failed(path: &str, error: io::Error) -> Failure {
    let code = match Errno::from_io_error(&error) {
        Some(Errno::NOENT) => ErrorCode::ProgramNotFound,
        Some(Errno::LOOP | Errno::NOTDIR) => ErrorCode::UnsafePath,
        _ => ErrorCode::InvalidPath,
    };
    Failure::new(code, format!("{path}: {error}"))
}

fn unsafe_path(path: &str, what: &str) -> Failure {
    Failure::new(ErrorCode::UnsafePath, format!("{path:?} {what}"))
}
