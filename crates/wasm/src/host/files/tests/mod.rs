//! A guest that is all malice, without the guest: what its calls get.

mod escape;
mod limits;
mod nested;
mod private;

use std::fs;
use std::path::{Path, PathBuf};

use capsule_backend::guest::{Grant, Granted, Meter};
use capsule_spec::{Access, ByteSize, Failure};
use tempfile::TempDir;
use wasmtime_wasi::p2::bindings::filesystem::types::OpenFlags;

use super::error::{ErrorCode, Result};
use super::folder::Use;
use super::walk::Last;
use super::{Descriptor, Files};

pub(super) const READ: Use = Use { read: true, write: false };
pub(super) const WRITE: Use = Use { read: true, write: true };

/// Held by tests that take all descriptors that one guest may have: two of them at one
/// time would leave none to the others.
pub(super) static HOARD: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// A host with a folder for the guest and one that is none of its business, and a guest.
pub(super) struct Scene {
    pub(super) files: Files,
    pub(super) host: PathBuf,
    _folder: TempDir,
}

impl Scene {
    /// `inside` is granted at `/data`; `outside/secret` must never be seen.
    pub(super) fn new(access: Access) -> Self {
        let mut scene = Self::bare();
        let granted = scene.granted("inside", "/data", access);
        scene.grant(vec![granted]).unwrap();
        scene
    }

    /// Nothing is granted yet.
    pub(super) fn bare() -> Self {
        let folder = TempDir::new().unwrap();
        let host = folder.path().canonicalize().unwrap();
        fs::create_dir(host.join("inside")).unwrap();
        fs::create_dir(host.join("outside")).unwrap();
        fs::write(host.join("outside/secret"), "secret").unwrap();
        Self { files: Files::new(Default::default()), host, _folder: folder }
    }

    pub(super) fn granted(&self, source: &str, destination: &str, access: Access) -> Granted {
        Granted { source: self.host.join(source), destination: destination.to_owned(), access }
    }

    pub(super) fn grant(&mut self, files: Vec<Granted>) -> std::result::Result<(), Failure> {
        self.files.grant(&Grant {
            meter: Meter::new(0),
            ram: ByteSize::from_mib(1),
            disk: ByteSize::from_mib(1),
            files,
            hosts: Vec::new(),
            download: ByteSize::from_mib(1),
            environment: Vec::new(),
        })
    }

    pub(super) fn inside(&self) -> PathBuf {
        self.host.join("inside")
    }

    pub(super) fn open(&mut self, path: &str, flags: OpenFlags, how: Use) -> Result<u32> {
        self.files.open_at(0, path, Last::Follow, flags, how)
    }

    /// All of a file.
    pub(super) fn read(&mut self, path: &str) -> Result<Vec<u8>> {
        let number = self.open(path, OpenFlags::empty(), READ)?;
        let bytes = self.files.file(number).and_then(|file| file.read(0, usize::MAX));
        self.files.open.remove(number);
        bytes
    }

    /// Makes a file, or writes over it.
    pub(super) fn write(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let number = self.open(path, OpenFlags::CREATE | OpenFlags::TRUNCATE, WRITE)?;
        let result = self.files.file(number).and_then(|file| file.write(Some(0), bytes));
        self.files.open.remove(number);
        result.map(drop)
    }

    /// The names in a directory, in order.
    pub(super) fn list(&mut self, path: &str) -> Result<Vec<String>> {
        let number = self.open(path, OpenFlags::DIRECTORY, READ)?;
        let directory = self.files.directory(number)?;
        self.files.open.remove(number);
        let mut listing = super::listing::Listing::new(&directory, &self.files.mounts)?;
        let mut names = Vec::new();
        while let Some(entry) = listing.next()? {
            names.push(entry.name);
        }
        names.sort();
        Ok(names)
    }

    pub(super) fn is_file_open(&self, number: u32) -> bool {
        matches!(self.files.open.get(number), Ok(Descriptor::File(_)))
    }
}

pub(super) fn link(target: impl AsRef<Path>, place: PathBuf) {
    std::os::unix::fs::symlink(target, place).unwrap();
}

/// Asserts a denial, and which.
#[track_caller]
pub(super) fn denied<T>(result: Result<T>, expected: ErrorCode) {
    match result {
        Ok(_) => panic!("it was allowed; {expected:?} was expected"),
        Err(error) => assert_eq!(format!("{error:?}"), format!("{expected:?}")),
    }
}
