//! Files of a folder.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use capsule_backend::guest::Pending;
use capsule_backend::sandbox::{Change, Entry, EntryKind, OpenMode, SandboxFile};
use capsule_spec::{ErrorCode, Failure};

use super::{failed, name};

struct Opened {
    path: String,
    file: File,
    entry: Entry,
}

pub(super) fn open(
    path: &str,
    outside: &Path,
    mode: OpenMode,
) -> Result<Box<dyn SandboxFile>, Failure> {
    let mut options = File::options();
    options.custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
    match mode {
        OpenMode::Read => options.read(true),
        OpenMode::Write { mode } => options.write(true).create(true).truncate(true).mode(mode),
    };
    if outside.is_dir() || fs::metadata(outside).is_ok_and(|found| found.file_type().is_fifo()) {
        return Err(Failure::new(ErrorCode::WrongFileKind, format!("{path} is no file")));
    }
    let file = options.open(outside).map_err(|error| failed(&error, path))?;
    let entry = entry(outside).map_err(|error| failed(&error, path))?;
    Ok(Box::new(Opened { path: path.to_owned(), file, entry }))
}

impl SandboxFile for Opened {
    fn entry(&self) -> Entry {
        self.entry.clone()
    }

    fn read(&mut self, most: usize) -> Pending<'_, Result<Vec<u8>, Failure>> {
        let mut bytes = vec![0; most];
        let read = self.file.read(&mut bytes).map_err(|error| failed(&error, &self.path));
        Box::pin(async move {
            bytes.truncate(read?);
            Ok(bytes)
        })
    }

    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> Pending<'a, Result<(), Failure>> {
        let written = self.file.write_all(bytes).map_err(|error| failed(&error, &self.path));
        Box::pin(async move { written })
    }

    fn finish(self: Box<Self>) -> Pending<'static, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
}

pub(super) fn list(path: &str, outside: &Path, limit: usize) -> Result<Vec<Entry>, Failure> {
    let entries = fs::read_dir(outside).map_err(|error| failed(&error, path))?;
    let entries: Vec<Entry> = entries.flatten().filter_map(|one| entry(&one.path()).ok()).collect();
    if entries.len() > limit {
        let message = format!("{path} has more than {limit} entries");
        return Err(Failure::new(ErrorCode::ServerLimit, message));
    }
    Ok(entries)
}

pub(super) fn stat(path: &str, outside: &Path) -> Result<Entry, Failure> {
    entry(outside).map_err(|error| failed(&error, path))
}

pub(super) fn change(change: &Change, outside: &dyn Fn(&str) -> PathBuf) -> Result<(), Failure> {
    let (changed, path) = match change {
        Change::MakeDirectory(path) => (fs::create_dir_all(outside(path)), path),
        Change::Link { path, target } => (std::os::unix::fs::symlink(target, outside(path)), path),
        Change::Move { from, to } => (fs::rename(outside(from), outside(to)), from),
        Change::Remove { path, recursive } => {
            let found = outside(path);
            let is_folder = fs::symlink_metadata(&found).is_ok_and(|found| found.is_dir());
            let removed = match (is_folder, recursive) {
                (true, true) => fs::remove_dir_all(found),
                (true, false) => fs::remove_dir(found),
                (false, _) => fs::remove_file(found),
            };
            (removed, path)
        }
    };
    changed.map_err(|error| failed(&error, path))
}

fn entry(path: &Path) -> std::io::Result<Entry> {
    let found = fs::symlink_metadata(path)?;
    let kind = match found.file_type() {
        kind if kind.is_file() => EntryKind::File,
        kind if kind.is_dir() => EntryKind::Directory,
        kind if kind.is_symlink() => EntryKind::Link,
        _ => EntryKind::Other,
    };
    Ok(Entry {
        name: name(path),
        kind,
        size: found.len(),
        mode: found.mode() & 0o7777,
        modified: found.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        target: fs::read_link(path).ok().map(|target| target.to_string_lossy().into_owned()),
    })
}
