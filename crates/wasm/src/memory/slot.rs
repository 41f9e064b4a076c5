//! One mapping, and how it is made new.

use std::io;

use super::image::Image;
use super::sys::{Mapping, PAGE, Pagemap};

/// An address range that a guest's memory lives in.
pub(super) struct Slot {
    mapping: Mapping,
    /// Bytes that can be touched; the guest's memory, exactly.
    open: usize,
    /// The most that one memory may hold.
    pub(super) capacity: usize,
    /// Pages that are this mapping's own; empty until they were looked for.
    private: Vec<usize>,
    /// The process's page faults when `private` was last known to be all.
    faults: Option<u64>,
}

impl Slot {
    /// A new one that holds the image.
    pub(super) fn new(image: &Image, capacity: usize, guard: usize) -> io::Result<Self> {
        let length = capacity.checked_add(guard).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut mapping = Mapping::reserve(length)?;
        mapping.overlay(&image.file, image.length)?;
        Ok(Self { mapping, open: image.length, capacity, private: Vec::new(), faults: None })
    }

    pub(super) fn base(&self) -> *mut u8 {
        self.mapping.base()
    }

    pub(super) fn length(&self) -> usize {
        self.open
    }

    /// What it holds.
    pub(super) fn copy(&self) -> io::Result<Vec<u8>> {
        self.mapping.copy(self.open)
    }

    /// Makes it larger; what is new is zero.
    pub(super) fn grow(&mut self, length: usize) -> io::Result<()> {
        if length > self.capacity {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if length > self.open {
            self.mapping.open(self.open, length - self.open)?;
            self.open = length;
        }
        Ok(())
    }

    /// Makes it hold the image and nothing else.
    pub(super) fn renew(
        &mut self,
        image: &Image,
        original: &[u8],
        pagemap: Option<&Pagemap>,
        entries: &mut Vec<u8>,
    ) -> io::Result<()> {
        if self.open > image.length {
            self.mapping.shut(image.length, self.open - image.length)?;
            self.open = image.length;
        }
        let Some(pagemap) = pagemap else {
            return self.mapping.overlay(&image.file, image.length);
        };
        // A page becomes private by a page fault of this process. None since the last look
        // means that a look, which costs a tenth of a small task, would show the same.
        if self.faults.is_none() || self.faults != pagemap.faults() {
            let base = self.mapping.base();
            self.private.clear();
            self.private.extend(pagemap.private_pages(base, image.length, entries)?);
        }
        for page in &self.private {
            let start = page * PAGE;
            let bytes = self.mapping.bytes_mut(start, PAGE)?;
            bytes.copy_from_slice(&original[start..start + PAGE]);
        }
        self.faults = pagemap.faults();
        Ok(())
    }
}
