//! What is in a file: pages, and holes where nothing was written.

use std::collections::BTreeMap;

/// The unit in which content takes memory, and in which it is counted.
pub(crate) const PAGE: u64 = 4096;

/// Files end before this, as positions are signed numbers for the guest.
pub(crate) const MOST: u64 = i64::MAX as u64;

#[derive(Debug, Default)]
pub(super) struct Content {
    pages: BTreeMap<u64, Box<[u8]>>,
    size: u64,
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Pages that hold something.
    pub(super) fn pages(&self) -> u64 {
        self.pages.len() as u64
    }

    /// Whether there is a page where this byte is.
    pub(super) fn has_page(&self, offset: u64) -> bool {
        self.pages.contains_key(&(offset / PAGE))
    }

    /// At most `most` bytes from `offset` on; fewer only at the end.
    pub(super) fn read(&self, offset: u64, most: usize) -> Vec<u8> {
        let length = self.size.saturating_sub(offset).min(most as u64);
        let mut bytes = Vec::with_capacity(length as usize);
        let end = offset.saturating_add(length);
        let mut at = offset;
        while at < end {
            let within = (at % PAGE) as usize;
            let part = ((PAGE - at % PAGE).min(end - at)) as usize;
            match self.pages.get(&(at / PAGE)) {
                Some(page) => bytes.extend_from_slice(&page[within..within + part]),
                None => bytes.resize(bytes.len() + part, 0),
            }
            at += part as u64;
        }
        bytes
    }

    /// Writes as much of `bytes` as fits into `spare` more pages: how much that was.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], spare: u64) -> usize {
        let before = self.pages();
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let within = (at % PAGE) as usize;
            let part = (PAGE as usize - within).min(bytes.len() - done);
            let piece = &bytes[done..done + part];
            let is_full = self.pages() - before >= spare;
            match self.pages.entry(at / PAGE) {
                std::collections::btree_map::Entry::Occupied(mut page) => {
                    page.get_mut()[within..within + part].copy_from_slice(piece);
                }
                std::collections::btree_map::Entry::Vacant(_) if is_full => break,
                std::collections::btree_map::Entry::Vacant(place) if part == PAGE as usize => {
                    place.insert(piece.into());
                }
                std::collections::btree_map::Entry::Vacant(place) => {
                    let mut page = vec![0; PAGE as usize].into_boxed_slice();
                    page[within..within + part].copy_from_slice(piece);
                    place.insert(page);
                }
            }
            done += part;
        }
        if done > 0 {
            self.size = self.size.max(offset + done as u64);
        }
        done
    }

    /// Cuts it off, or lets a hole follow.
    pub(super) fn resize(&mut self, size: u64) {
        if size < self.size {
            drop(self.pages.split_off(&size.div_ceil(PAGE)));
            // What follows the end in the last page must read as zeros later.
            if let Some(page) = self.pages.get_mut(&(size / PAGE)) {
                page[(size % PAGE) as usize..].fill(0);
            }
        }
        self.size = size;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hole_takes_no_page_and_reads_as_zeros() {
        let mut content = Content::default();
        assert_eq!(content.write(1 << 60, b"x", 1), 1);
        assert_eq!((content.size(), content.pages()), ((1 << 60) + 1, 1));
        assert_eq!(content.read(5, 3), [0, 0, 0]);
        assert_eq!(content.read((1 << 60) - 1, 10), [0, b'x']);
        assert!(content.read(u64::MAX, 10).is_empty());
    }

    #[test]
    fn writing_stops_where_the_pages_end() {
        let mut content = Content::default();
        assert_eq!(content.write(4000, &[1; 9000], 2), 4192);
        assert_eq!((content.size(), content.pages()), (8192, 2));
        // Pages that are there can still be written.
        assert_eq!(content.write(0, &[2; 9000], 0), 8192);
    }

    proptest! {
        /// Any sequence of writes and cuts leaves what a plain vector would hold.
        #[test]
        fn it_is_a_vector(steps in prop::collection::vec((0..30_000_u64, 0..9000_usize, any::<u8>(), any::<bool>()), 1..20)) {
            let (mut content, mut plain) = (Content::default(), Vec::new());
            for (offset, length, byte, is_cut) in steps {
                if is_cut {
                    content.resize(offset);
                    plain.resize(offset as usize, 0);
                } else if length > 0 {
                    prop_assert_eq!(content.write(offset, &vec![byte; length], u64::MAX), length);
                    let end = offset as usize + length;
                    if plain.len() < end {
                        plain.resize(end, 0);
                    }
                    plain[offset as usize..end].fill(byte);
                }
                prop_assert_eq!(content.size(), plain.len() as u64);
                prop_assert_eq!(content.read(0, usize::MAX), plain.clone());
                let most = plain.len().div_ceil(PAGE as usize) as u64;
                prop_assert!(content.pages() <= most);
            }
        }
    }
}
