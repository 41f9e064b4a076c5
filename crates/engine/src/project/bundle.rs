//! A program as one file: a WebAssembly module whose only content is a custom section.
//!
//! Any tool that reads WebAssembly accepts the file (core specification, "Custom
//! Section"); `capsule exec FILE.wasm` finds the program in it. The interpreter is not
//! in it: the binary carries that.
//!
//! ```text
//! "\0asm" 1 │ 0 │ size │ name: "capsule:program" │ length of index │ index │ files, one after the other
//!                                                    u32 LE          JSON
//! ```

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};

const HEADER: &[u8] = b"\0asm\x01\0\0\0";
const SECTION: &str = "capsule:program";
const VERSION: u32 = 1;
/// Files of a program are smaller than this together.
const MOST: usize = 64 << 20;
const MOST_FILES: usize = 20_000;
const DEEPEST: usize = 32;

/// The files of a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bundle {
    pub(crate) entry: String,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct Index {
    version: u32,
    entry: String,
    files: Vec<(String, usize)>,
}

/// Why a file is no program.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is WebAssembly, or something else, but was not made by `capsule build --export`.
    #[error("it holds no program that capsule build --export made")]
    NoProgram,
    /// It was cut or changed.
    #[error("its program is damaged")]
    Damaged,
    /// A newer Capsule made it.
    #[error("its program has format {version}, this Capsule knows {VERSION}")]
    Version {
        /// The format.
        version: u32,
    },
    /// The program is too large to be one file.
    #[error("the program has more than {MOST} bytes or {MOST_FILES} files of source")]
    TooLarge,
    /// The folder cannot be read.
    #[error("the program's folder cannot be read")]
    Folder(#[source] io::Error),
}

impl Bundle {
    /// Everything of a folder that a program may import, and its settings.
    pub(crate) fn of_folder(folder: &OwnedFd, entry: &str) -> Result<Self, BundleError> {
        let mut bundle = Self { entry: entry.to_owned(), files: BTreeMap::new() };
        bundle.collect(folder, "", 0)?;
        Ok(bundle)
    }

    fn collect(&mut self, folder: &OwnedFd, prefix: &str, depth: usize) -> Result<(), BundleError> {
        let mut subfolders = Vec::new();
        for entry in
            Dir::read_from(folder.as_fd()).map_err(|error| BundleError::Folder(error.into()))?
        {
            let entry = entry.map_err(|error| BundleError::Folder(error.into()))?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let path = format!("{prefix}{name}");
            match entry.file_type() {
                // Caches, environments and version control are hidden or have these names.
                FileType::Directory
                    if name.starts_with('.')
                        || ["__pycache__", "node_modules", "venv"].contains(&name) => {}
                FileType::Directory => subfolders.push(name.to_owned()),
                FileType::RegularFile
                    if name.ends_with(".py")
                        || ["capsule.toml", "requirements.txt"].contains(&path.as_str()) =>
                {
                    let bytes = super::read(folder, name).map_err(BundleError::Folder)?;
                    self.files.insert(path, bytes.ok_or(BundleError::TooLarge)?);
                }
                // A link is what it leads to when the program runs, not now.
                _ => {}
            }
        }
        let total: usize = self.files.values().map(Vec::len).sum();
        if total > MOST || self.files.len() > MOST_FILES || depth > DEEPEST {
            return Err(BundleError::TooLarge);
        }
        for name in subfolders {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(folder, &*name, flags, Mode::empty());
            let opened = opened.map_err(|error| BundleError::Folder(error.into()))?;
            self.collect(&opened, &format!("{prefix}{name}/"), depth + 1)?;
        }
        Ok(())
    }

    /// As a file.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let files = self.files.iter().map(|(path, bytes)| (path.clone(), bytes.len())).collect();
        let index = Index { version: VERSION, entry: self.entry.clone(), files };
        let index = serde_json::to_vec(&index).expect("an index is plain JSON");
        let mut section = Vec::new();
        section.push(SECTION.len() as u8);
        section.extend_from_slice(SECTION.as_bytes());
        section.extend_from_slice(&(index.len() as u32).to_le_bytes());
        section.extend_from_slice(&index);
        for bytes in self.files.values() {
            section.extend_from_slice(bytes);
        }
        let mut out = HEADER.to_vec();
        out.push(0);
        let mut length = section.len();
        while length >= 0x80 {
            out.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(&section);
        out
    }

    /// From a file, which may be anything.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, BundleError> {
        let rest = bytes.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix(&[0]));
        let rest = rest.ok_or(BundleError::NoProgram)?;
        let (length, rest) = number(rest).ok_or(BundleError::NoProgram)?;
        let section = rest.get(..length).ok_or(BundleError::NoProgram)?;
        let named = section.strip_prefix(&[SECTION.len() as u8]);
        let body = named.and_then(|named| named.strip_prefix(SECTION.as_bytes()));
        let body = body.ok_or(BundleError::NoProgram)?;
        let (size, body) = body.split_first_chunk::<4>().ok_or(BundleError::Damaged)?;
        let size = u32::from_le_bytes(*size) as usize;
        let index = body.get(..size).ok_or(BundleError::Damaged)?;
        let index: Index = serde_json::from_slice(index).map_err(|_| BundleError::Damaged)?;
        if index.version != VERSION {
            return Err(BundleError::Version { version: index.version });
        }
        let mut rest = &body[size..];
        let mut files = BTreeMap::new();
        for (path, length) in index.files {
            let (file, after) = rest.split_at_checked(length).ok_or(BundleError::Damaged)?;
            files.insert(path, file.to_vec());
            rest = after;
        }
        let is_whole = rest.is_empty() && files.contains_key(&index.entry);
        is_whole.then_some(Self { entry: index.entry, files }).ok_or(BundleError::Damaged)
    }

    /// Whether a file begins as one does; the rest may still be damaged.
    pub(crate) fn is_likely(path: &Path) -> bool {
        let mut start = [0; 64];
        let read =
            std::fs::File::open(path).and_then(|mut file| io::Read::read(&mut file, &mut start));
        let start = &start[..read.unwrap_or(0)];
        start.starts_with(HEADER)
            && start.windows(SECTION.len()).any(|part| part == SECTION.as_bytes())
    }
}

/// Unsigned LEB128 of at most 32 bits.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        let files =
            [("main.py", "print(1)"), ("pack/__init__.py", ""), ("capsule.toml", "[workflow]")];
        let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
        Bundle { entry: "main.py".to_owned(), files: files.into() }
    }

    #[test]
    fn a_program_comes_back() {
        assert_eq!(Bundle::from_bytes(&bundle().to_bytes()).unwrap(), bundle());
    }

    #[test]
    fn no_cut_or_change_makes_it_panic() {
        let bytes = bundle().to_bytes();
        for end in 0..bytes.len() {
            assert!(Bundle::from_bytes(&bytes[..end]).is_err());
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            let _ = Bundle::from_bytes(&changed);
        }
    }

    #[test]
    fn other_modules_are_no_programs() {
        assert!(matches!(Bundle::from_bytes(HEADER), Err(BundleError::NoProgram)));
        assert!(matches!(Bundle::from_bytes(b"#!/bin/sh"), Err(BundleError::NoProgram)));
    }

    #[test]
    fn a_folder_is_collected_without_caches_and_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (path, text) in [
            ("main.py", "1"),
            ("a/b.py", "2"),
            (".venv/x.py", "3"),
            ("__pycache__/y.py", "4"),
            ("data.csv", "5"),
            ("capsule.toml", ""),
            ("a/capsule.toml", ""),
        ] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink("/etc", root.join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("leak.py")).unwrap();
        let opened =
            rustix::fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let bundle = Bundle::of_folder(&opened, "main.py").unwrap();
        let names: Vec<_> = bundle.files.keys().map(String::as_str).collect();
        assert_eq!(names, ["a/b.py", "capsule.toml", "main.py"]);
    }
}
