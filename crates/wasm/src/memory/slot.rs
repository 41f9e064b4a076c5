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
}

impl Slot {
    /// A new one that holds the image.
    pub(super) fn new(image: &Image, capacity: usize, guard: usize) -> io::Result<Self> {
        let length = capacity.checked_add(guard).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut mapping = Mapping::reserve(length)?;
        mapping.overlay(&image.file, image.length)?;
        Ok(Self { mapping, open: image.length, capacity })
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
        match pagemap {
            None => self.mapping.overlay(&image.file, image.length),
            Some(pagemap) => {
                let base = self.mapping.base();
                for page in pagemap.private_pages(base, image.length, entries)? {
                    let start = page * PAGE;
                    let bytes = self.mapping.bytes_mut(start, PAGE)?;
                    bytes.copy_from_slice(&original[start..start + PAGE]);
                }
                Ok(())
            }
        }
    }
}
