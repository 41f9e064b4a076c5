//! What a memory holds beyond its image: some pages.

use std::fs::File;

use super::sys::{Mapping, PAGE};

/// The pages in which a memory differs from the image that it began with.
pub(crate) struct Overlay {
    /// Bytes of the memory, all in all.
    length: usize,
    /// Their numbers, in order.
    pages: Vec<usize>,
    bytes: Bytes,
}

/// What the pages hold, one after the other.
enum Bytes {
    Own(Vec<u8>),
    /// The end of a file.
    Stored(Mapping, usize),
}

impl Bytes {
    fn all(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Stored(file, start) => file.bytes().get(*start..).unwrap_or_default(),
        }
    }
}

/// More pages than this are no saving: a program that makes so much loads itself anew.
const MOST_PAGES: usize = 2048;

impl Overlay {
    /// The pages of `memory` among `written` that are not as in `original`; None if they
    /// are too many. Beyond the original a memory is zero.
    pub(super) fn of(memory: &[u8], original: &[u8], written: &[usize]) -> Option<Self> {
        let (mut pages, mut all) = (Vec::new(), Vec::new());
        for page in written {
            let range = page * PAGE..(page + 1) * PAGE;
            let bytes = memory.get(range.clone())?;
            if bytes != original.get(range).unwrap_or(&ZEROS) {
                pages.push(*page);
                all.extend_from_slice(bytes);
            }
        }
        let overlay = Self { length: memory.len(), pages, bytes: Bytes::Own(all) };
        (overlay.pages.len() <= MOST_PAGES).then_some(overlay)
    }

    /// As bytes: `head`, then what [`Overlay::read`] takes.
    ///
    /// ```text
    ///   head | length: u64 | pages: u64 | number of each: u64 ... | 0 ... | page | page | ...
    ///        little-endian                                        up to a page's start
    /// ```
    pub(crate) fn write(&self, head: &[u8]) -> Vec<u8> {
        let mut bytes = head.to_vec();
        let numbers = [self.length, self.pages.len()].into_iter().chain(self.pages.iter().copied());
        numbers.for_each(|number| bytes.extend_from_slice(&(number as u64).to_le_bytes()));
        bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
        bytes.extend_from_slice(self.bytes.all());
        bytes
    }

    /// What was written, from a file that nobody changes. `most` bytes a memory may have.
    /// None if it is damaged.
    pub(crate) fn read(file: &File, head: usize, most: usize) -> Option<Self> {
        let size = usize::try_from(file.metadata().ok()?.len()).ok()?;
        let file = Mapping::of_file(file, size).ok()?;
        let mut numbers = file.bytes().get(head..)?.chunks_exact(8).map(|bytes| {
            let number = u64::from_le_bytes(bytes.try_into().ok()?);
            usize::try_from(number).ok()
        });
        let (length, count) = (numbers.next()??, numbers.next()??);
        if count > MOST_PAGES || length > most || length % (64 << 10) != 0 {
            return None;
        }
        let pages = numbers.take(count).collect::<Option<Vec<usize>>>()?;
        let start = (head + (2 + count) * 8).next_multiple_of(PAGE);
        let is_in_order = pages.is_sorted_by(|one, next| one < next);
        let is_inside = pages.last().is_none_or(|last| *last < length / PAGE);
        let is_whole = pages.len() == count && size == start + count * PAGE;
        (is_in_order && is_inside && is_whole).then_some(Self {
            length,
            pages,
            bytes: Bytes::Stored(file, start),
        })
    }

    /// Bytes of the memory, all in all.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Each page with what it holds, in order.
    pub(super) fn pages(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.pages.iter().copied().zip(self.bytes.all().chunks_exact(PAGE))
    }

    /// What a page holds, if not what the original does.
    pub(super) fn page(&self, page: usize) -> Option<&[u8]> {
        let at = self.pages.binary_search(&page).ok()?;
        self.bytes.all().get(at * PAGE..(at + 1) * PAGE)
    }
}

/// A page that nobody has written.
pub(super) static ZEROS: [u8; PAGE] = [0; PAGE];
