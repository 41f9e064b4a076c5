//! A directory that is being listed. It keeps its place by name or in the kernel, not as
//! a copy: a directory may be large, and may change meanwhile.

use std::collections::VecDeque;

use rustix::fs::{Dir, FileType};
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorType, DirectoryEntry};

use super::error::{self, Result};
use super::folder::{self, Folder};
use super::handle::Slot;
use super::memory::{Held, Kind};
use super::mount::{Mounts, Point};
use super::walk::Directory;

/// Directories that may be listed at one time.
pub(super) const MOST: usize = 256;

pub(super) struct Listing {
    /// What mounts account for, still to be told.
    points: VecDeque<DirectoryEntry>,
    /// The names of all that, to be left out of the rest.
    hidden: Vec<String>,
    rest: Rest,
}

enum Rest {
    Nothing,
    Memory { directory: Held, after: String },
    Host { folder: Folder, entries: Box<Dir>, _slot: Slot },
}

impl Listing {
    pub(super) fn new(directory: &Directory, mounts: &Mounts) -> Result<Self> {
        let rest = match directory {
            Directory::Virtual(_) => Rest::Nothing,
            Directory::Memory(held) => {
                Rest::Memory { directory: held.clone(), after: String::new() }
            }
            Directory::Host(folder) => {
                let (entries, slot) = folder::list(folder.reopen()?)?;
                Rest::Host { folder: folder.clone(), entries: Box::new(entries), _slot: slot }
            }
        };
        let path = match directory {
            Directory::Virtual(path) => Some(path),
            Directory::Host(folder) => folder.path.as_ref(),
            Directory::Memory(_) => None,
        };
        let (mut points, mut hidden) = (VecDeque::new(), Vec::new());
        if let Some(path) = path {
            for name in mounts.names(path) {
                let type_ = match mounts.at(&format!("{path}/{name}")) {
                    Some(Point::Mount(mount)) if mount.file.is_some() => {
                        DescriptorType::RegularFile
                    }
                    _ => DescriptorType::Directory,
                };
                hidden.push(name.clone());
                points.push_back(DirectoryEntry { type_, name });
            }
        }
        Ok(Self { points, hidden, rest })
    }

    pub(super) fn next(&mut self) -> Result<Option<DirectoryEntry>> {
        if let Some(point) = self.points.pop_front() {
            return Ok(Some(point));
        }
        match &mut self.rest {
            Rest::Nothing => Ok(None),
            Rest::Memory { directory, after } => {
                let tree = directory.tree();
                let Some((name, kind)) = tree.next_entry(directory.number(), after) else {
                    return Ok(None);
                };
                *after = name.to_owned();
                Ok(Some(DirectoryEntry { type_: of_kind(kind), name: after.clone() }))
            }
            Rest::Host { folder, entries, .. } => {
                folder.mount.readable()?;
                while let Some(entry) = entries.read() {
                    let entry = entry.map_err(error::of)?;
                    // A name that is no text cannot be told to a guest, nor used by it.
                    let Ok(name) = entry.file_name().to_str() else { continue };
                    if matches!(name, "." | "..") || self.hidden.iter().any(|own| own == name) {
                        continue;
                    }
                    let mut kind = entry.file_type();
                    if kind == FileType::Unknown {
                        match folder.stat(name)? {
                            Some(stat) => kind = FileType::from_raw_mode(stat.st_mode),
                            None => continue,
                        }
                    }
                    let name = name.to_owned();
                    return Ok(Some(DirectoryEntry { type_: of_type(kind), name }));
                }
                Ok(None)
            }
        }
    }
}

pub(super) fn of_kind(kind: Kind) -> DescriptorType {
    match kind {
        Kind::File => DescriptorType::RegularFile,
        Kind::Directory => DescriptorType::Directory,
        Kind::Link => DescriptorType::SymbolicLink,
    }
}

pub(super) fn of_type(kind: FileType) -> DescriptorType {
    match kind {
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::Socket => DescriptorType::Socket,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::Unknown => DescriptorType::Unknown,
    }
}
