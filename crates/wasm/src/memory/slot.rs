//! One mapping, and how it is made new.

use std::io;

use super::image::Image;
use super::overlay::{Overlay, ZEROS};
use super::sys::{Mapping, PAGE, Pagemap};

/// An address range that a guest's memory lives in.
pub(super) struct Slot {
    mapping: Mapping,
    /// Bytes that can be touched; the guest's memory, exactly.
    open: usize,
    /// The most that one memory may hold.
    pub(super) capacity: usize,
    /// Pages that are this mapping's own, in order; empty until they were looked for.
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
        for (first, count) in &*image.written {
            mapping.take(first.saturating_mul(PAGE), count.saturating_mul(PAGE));
        }
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

    /// Gives back what is beyond `length`.
    pub(super) fn shrink(&mut self, length: usize) -> io::Result<()> {
        if self.open > length {
            self.mapping.shut(length, self.open - length)?;
            self.open = length;
            self.private.retain(|page| page * PAGE < length);
        }
        Ok(())
    }

    /// Makes it hold the image, with `overlay` over it, and nothing else.
    pub(super) fn renew(
        &mut self,
        image: &Image,
        original: &[u8],
        overlay: Option<&Overlay>,
        pagemap: Option<&Pagemap>,
        entries: &mut Vec<u8>,
    ) -> io::Result<()> {
        self.shrink(overlay.map_or(image.length, Overlay::length))?;
        match pagemap {
            Some(pagemap) => {
                self.look(pagemap, entries)?;
                for page in &self.private {
                    let start = page * PAGE;
                    let bytes = overlay.and_then(|overlay| overlay.page(*page));
                    let bytes = bytes.or_else(|| original.get(start..start + PAGE));
                    let bytes = bytes.unwrap_or(&ZEROS);
                    self.mapping.bytes_mut(start, PAGE)?.copy_from_slice(bytes);
                }
            }
            None => {
                self.mapping.overlay(&image.file, image.length)?;
                if self.open > image.length {
                    self.mapping.forget(image.length, self.open - image.length)?;
                }
                self.private.clear();
            }
        }
        if let Some(overlay) = overlay {
            self.lay(overlay)?;
        }
        self.faults = pagemap.and_then(Pagemap::faults);
        Ok(())
    }

    /// Lays the pages over it that are not its own yet.
    pub(super) fn lay(&mut self, overlay: &Overlay) -> io::Result<()> {
        self.grow(overlay.length())?;
        let known = self.private.len();
        for (page, bytes) in overlay.pages() {
            if self.private[..known].binary_search(&page).is_err() {
                self.mapping.bytes_mut(page * PAGE, PAGE)?.copy_from_slice(bytes);
                self.private.push(page);
            }
        }
        self.private.sort_unstable();
        Ok(())
    }

    /// What it holds beyond the image.
    pub(super) fn overlay(
        &mut self,
        original: &[u8],
        pagemap: &Pagemap,
        entries: &mut Vec<u8>,
    ) -> io::Result<Option<Overlay>> {
        self.look(pagemap, entries)?;
        let memory = self.mapping.bytes_mut(0, self.open)?;
        Ok(Overlay::of(memory, original, &self.private))
    }

    /// The pages that are its own.
    pub(super) fn private(
        &mut self,
        pagemap: &Pagemap,
        entries: &mut Vec<u8>,
    ) -> io::Result<&[usize]> {
        self.look(pagemap, entries)?;
        Ok(&self.private)
    }

    /// Finds the pages that are its own.
    fn look(&mut self, pagemap: &Pagemap, entries: &mut Vec<u8>) -> io::Result<()> {
        // A page becomes private by a page fault of this process. None since the last look
        // means that a look, which costs a tenth of a small task, would show the same.
        let faults = pagemap.faults();
        if self.faults.is_none() || self.faults != faults {
            let base = self.mapping.base();
            self.private.clear();
            self.private.extend(pagemap.private_pages(base, self.open, entries)?);
            self.faults = faults;
        }
        Ok(())
    }
}
