//! A file that holds what a memory holds at the start.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::sync::Arc;

use rustix::io::{ReadWriteFlags, preadv2};

use super::sys::Mapping;

/// A memory image: immutable once it is made.
#[derive(Clone)]
pub(crate) struct Image {
    pub(super) file: Arc<File>,
    pub(super) length: usize,
    /// Pages that every guest writes.
    pub(super) written: Arc<[Pages]>,
}

/// Has the kernel hold all of a file in large pieces, before it is mapped for good. No more than
/// a saving of time. As with [`Image::new`], nobody may change it.
pub(crate) fn read_large(file: &File) {
    let Ok(length) = file.metadata().map(|file| file.len()) else { return };
    // That a piece is there is told for less than what a look at it in a mapping costs.
    let mut byte = [0];
    let mut is_held = |at| {
        let into = &mut [IoSliceMut::new(&mut byte)];
        matches!(preadv2(file, into, at, ReadWriteFlags::NOWAIT), Ok(1))
    };
    if (0..length).step_by(PIECE).all(&mut is_held) {
        return;
    }
    let mapping = usize::try_from(length).ok().map(|length| Mapping::of_file(file, length));
    if let Some(Ok(mapping)) = mapping {
        mapping.read_large(PIECE);
    }
}

/// A large page (x86_64 and most aarch64 kernels).
const PIECE: usize = 2 << 20;

/// Some pages in a row: the first, and how many.
pub(crate) type Pages = (usize, usize);

impl Image {
    /// Takes `file`, whose length must be a multiple of 64 KiB, a WebAssembly page.
    ///
    /// Nobody may change or cut the file while it is mapped: it must lie in a folder
    /// that only its owner can reach, or be sealed.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        if length == 0 || length % (64 * 1024) != 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a memory image"));
        }
        Ok(Self { file: Arc::new(file), length, written: Arc::default() })
    }

    /// The same, for guests that all write these pages: each gets them in a few calls to the
    /// kernel, in place of a page fault for each. Only time depends on it.
    pub(crate) fn with_written(self, pages: Vec<Pages>) -> Self {
        Self { written: pages.into(), ..self }
    }

    /// Bytes in it.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The image to read from, shared by all.
    pub(super) fn map_read_only(&self) -> io::Result<Mapping> {
        Mapping::of_file(&self.file, self.length)
    }
}
