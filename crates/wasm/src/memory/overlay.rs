//! What a memory holds beyond its image: some pages.

use super::sys::PAGE;

/// The pages in which a memory differs from the image that it began with.
pub(crate) struct Overlay {
    /// Bytes of the memory, all in all.
    length: usize,
    /// Their numbers, in order.
    pages: Vec<usize>,
    bytes: Vec<u8>,
}

/// More pages than this are no saving: a program that makes so much loads itself anew.
const MOST_PAGES: usize = 1024;

impl Overlay {
    /// The pages of `memory` among `written` that are not as in `original`; None if they
    /// are too many. Beyond the original a memory is zero.
    pub(super) fn of(memory: &[u8], original: &[u8], written: &[usize]) -> Option<Self> {
        let mut overlay = Self { length: memory.len(), pages: Vec::new(), bytes: Vec::new() };
        for page in written {
            let range = page * PAGE..(page + 1) * PAGE;
            let bytes = memory.get(range.clone())?;
            if bytes != original.get(range).unwrap_or(&ZEROS) {
                overlay.pages.push(*page);
                overlay.bytes.extend_from_slice(bytes);
            }
        }
        (overlay.pages.len() <= MOST_PAGES).then_some(overlay)
    }

    /// Bytes of the memory, all in all.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Each page with what it holds, in order.
    pub(super) fn pages(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.pages.iter().copied().zip(self.bytes.chunks_exact(PAGE))
    }

    /// What a page holds, if not what the original does.
    pub(super) fn page(&self, page: usize) -> Option<&[u8]> {
        let at = self.pages.binary_search(&page).ok()?;
        self.bytes.get(at * PAGE..(at + 1) * PAGE)
    }
}

/// A page that nobody has written.
pub(super) static ZEROS: [u8; PAGE] = [0; PAGE];
