//! Files of a sandbox: PID 1 opens, the server reads and writes what it was handed.
//!
//! No path of a guest is ever resolved out here: descriptors come from inside, and of a
//! directory only single names are looked at, without following them.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use capsule_backend::guest::Pending;
use capsule_backend::sandbox::{Change, Entry, EntryKind, OpenMode, SandboxFile};
use capsule_init::resident::wire::{Kind, PATH_BYTES};
use capsule_spec::{ErrorCode, Failure};
use rustix::fs::{AtFlags, FileType, Stat, fstat, readlinkat, statat};

use super::connection::{Answer, Connection};
use super::{errors, still};

/// The most that is read at once, whatever is asked for.
const PIECE: usize = 1 << 20;

/// Paths as they go to PID 1, each with its NUL.
pub(super) fn bytes_of(paths: &[&str]) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    for path in paths {
        if !path.starts_with('/') || path.contains('\0') || path.len() >= PATH_BYTES {
            let why = match path {
                path if path.len() >= PATH_BYTES => "a path is longer than 4095 bytes",
                path if path.contains('\0') => "a path holds a NUL byte",
                _ => "a path does not begin with /",
            };
            return Err(Failure::new(ErrorCode::InvalidPath, why));
        }
        bytes.extend_from_slice(path.as_bytes());
        bytes.push(0);
    }
    Ok(bytes)
}

async fn ask(
    connection: &Connection,
    kind: Kind,
    word: u64,
    paths: &[&str],
    fd: Option<BorrowedFd<'_>>,
) -> Result<Answer, Failure> {
    let answer = connection.ask_worker(kind, &[word], &bytes_of(paths)?, fd).await?;
    match answer.errno() {
        0 => Ok(answer),
        errno => Err(errors::file(paths.first().copied().unwrap_or_default(), errno)),
    }
}

fn descriptor(mut answer: Answer) -> Result<OwnedFd, Failure> {
    answer.fds.pop().ok_or_else(errors::no_answer)
}

/// Any file or directory, without opening it.
pub(super) async fn look(connection: &Connection, path: &str) -> Result<OwnedFd, Failure> {
    descriptor(ask(connection, Kind::Look, 0, &[path], None).await?)
}

pub(super) async fn open(
    connection: &Arc<Connection>,
    path: &str,
    mode: OpenMode,
) -> Result<Box<dyn SandboxFile>, Failure> {
    let (kind, word) = match mode {
        OpenMode::Read => (Kind::Read, 0),
        OpenMode::Write { mode } => (Kind::Write, u64::from(mode)),
    };
    let answer = ask(connection, kind, word, &[path], None).await?;
    let must_be_placed = answer.head.words[1] == 1;
    let fd = descriptor(answer)?;
    let stat = fstat(&fd).map_err(|error| errors::file(path, error.raw_os_error()))?;
    Ok(Box::new(Opened {
        entry: entry(name_of(path), &stat, None),
        path: path.to_owned(),
        file: Some(File::from(fd)),
        connection: connection.clone(),
        must_be_placed,
    }))
}

/// A file of a sandbox that stands still.
pub(super) fn open_still(
    connection: &Arc<Connection>,
    root: BorrowedFd<'_>,
    path: &str,
) -> Result<Box<dyn SandboxFile>, Failure> {
    let fd = still::file(root, path)?;
    let stat = fstat(&fd).map_err(|error| errors::file(path, error.raw_os_error()))?;
    Ok(Box::new(Opened {
        entry: entry(name_of(path), &stat, None),
        path: path.to_owned(),
        file: Some(File::from(fd)),
        connection: connection.clone(),
        must_be_placed: false,
    }))
}

pub(super) fn stat_still(root: BorrowedFd<'_>, path: &str) -> Result<Entry, Failure> {
    told(&still::look(root, path)?, path)
}

pub(super) async fn list_still(
    root: BorrowedFd<'_>,
    path: &str,
    limit: usize,
) -> Result<Vec<Entry>, Failure> {
    let fd = still::directory(root, path)?;
    let path = path.to_owned();
    blocking(move || entries(&fd, &path, limit)).await
}

pub(super) async fn stat(connection: &Connection, path: &str) -> Result<Entry, Failure> {
    told(&look(connection, path).await?, path)
}

/// What a file is that was looked at.
fn told(fd: &OwnedFd, path: &str) -> Result<Entry, Failure> {
    let failed = |error: rustix::io::Errno| errors::file(path, error.raw_os_error());
    let stat = fstat(fd).map_err(failed)?;
    let target = is_link(&stat).then(|| readlinkat(fd, c"", Vec::new()).map_err(failed));
    Ok(entry(name_of(path), &stat, target.transpose()?.as_deref()))
}

pub(super) async fn list(
    connection: &Connection,
    path: &str,
    limit: usize,
) -> Result<Vec<Entry>, Failure> {
    let fd = directory(connection, path).await?;
    let path = path.to_owned();
    blocking(move || entries(&fd, &path, limit)).await
}

/// A directory as a process inside finds it.
pub(super) async fn directory(connection: &Connection, path: &str) -> Result<OwnedFd, Failure> {
    descriptor(ask(connection, Kind::Look, 1, &[path], None).await?)
}

pub(super) fn entries(
    directory: &OwnedFd,
    path: &str,
    limit: usize,
) -> Result<Vec<Entry>, Failure> {
    let failed = |error: rustix::io::Errno| errors::file(path, error.raw_os_error());
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut entries = Vec::new();
    let mut names = rustix::fs::RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(name) = names.next() {
        let name = name.map_err(failed)?;
        let name = name.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        // A name that is gone again is none.
        let Ok(stat) = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let target = is_link(&stat).then(|| readlinkat(directory, name, Vec::new()).ok()).flatten();
        if entries.len() == limit {
            return Err(Failure::new(
                ErrorCode::ServerLimit,
                format!("the directory holds more than {limit} entries"),
            )
            .hint("list it with a command inside")
            .detail("limit", limit));
        }
        entries.push(entry(name.to_string_lossy().into_owned(), &stat, target.as_deref()));
    }
    Ok(entries)
}

pub(super) async fn change(connection: &Connection, change: &Change) -> Result<(), Failure> {
    let done = match change {
        Change::MakeDirectory(path) => ask(connection, Kind::MakeDirectory, 0, &[path], None).await,
        Change::Link { path, target } => link(connection, path, target).await,
        Change::Move { from, to } => ask(connection, Kind::Move, 0, &[from, to], None).await,
        Change::Remove { path, recursive } => {
            ask(connection, Kind::Remove, u64::from(*recursive), &[path], None).await
        }
    };
    done.map(drop)
}

/// Whether this can be what a link points to.
pub(super) fn check_target(target: &str) -> Result<(), Failure> {
    if target.is_empty() || target.contains('\0') || target.len() >= PATH_BYTES {
        let what = "a link points to nothing, holds a NUL byte, or is longer than 4095 bytes";
        return Err(Failure::new(ErrorCode::InvalidPath, what));
    }
    Ok(())
}

/// What it points to is text of the caller's, and need be no path.
async fn link(connection: &Connection, path: &str, target: &str) -> Result<Answer, Failure> {
    check_target(target)?;
    let mut bytes = bytes_of(&[path])?;
    bytes.extend_from_slice(target.as_bytes());
    bytes.push(0);
    let answer = connection.ask_worker(Kind::Link, &[], &bytes, None).await?;
    match answer.errno() {
        0 => Ok(answer),
        errno => Err(errors::file(path, errno)),
    }
}

fn is_link(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
}

fn name_of(path: &str) -> String {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
}

fn entry(name: String, stat: &Stat, target: Option<&CStr>) -> Entry {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Link,
        _ => EntryKind::Other,
    };
    // A guest sets this; before 1970 is 1970.
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0).min(999_999_999);
    let since = Duration::new(seconds, nanoseconds);
    Entry {
        name,
        kind,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode & 0o7777,
        modified: SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH),
        target: target.map(|target| target.to_string_lossy().into_owned()),
    }
}

/// Work on files may wait for a disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(errors::no_answer()))
}

struct Opened {
    entry: Entry,
    path: String,
    /// Away while a thread works on it; for good if its future was dropped.
    file: Option<File>,
    connection: Arc<Connection>,
    must_be_placed: bool,
}

impl Opened {
    /// Does something with the file on a thread that may wait.
    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut File) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let mut file = self.file.take().ok_or_else(errors::no_answer)?;
        let (file, result) = blocking(move || {
            let result = work(&mut file);
            Ok((file, result))
        })
        .await?;
        self.file = Some(file);
        result.map_err(|error| errors::file(&self.path, error.raw_os_error().unwrap_or(libc::EIO)))
    }
}

impl SandboxFile for Opened {
    fn entry(&self) -> Entry {
        self.entry.clone()
    }

    fn read(&mut self, most: usize) -> Pending<'_, Result<Vec<u8>, Failure>> {
        let most = most.min(PIECE);
        Box::pin(self.with(move |file| {
            let mut bytes = Vec::with_capacity(most);
            file.take(most as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        }))
    }

    fn skip(&mut self, bytes: u64) -> Pending<'_, Result<(), Failure>> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        Box::pin(self.with(move |file| file.seek(SeekFrom::Current(bytes)).map(drop)))
    }

    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> Pending<'a, Result<(), Failure>> {
        Box::pin(async move {
            for piece in bytes.chunks(PIECE) {
                let piece = piece.to_vec();
                self.with(move |file| file.write_all(&piece)).await?;
            }
            Ok(())
        })
    }

    fn finish(self: Box<Self>) -> Pending<'static, Result<(), Failure>> {
        Box::pin(async move {
            let Some(file) = &self.file else { return Err(errors::no_answer()) };
            if !self.must_be_placed {
                return Ok(());
            }
            let fd = Some(file.as_fd());
            ask(&self.connection, Kind::Place, 0, &[&self.path], fd).await.map(drop)
        })
    }
}
