//! The output of a process, of which the last part is kept.
//!
//! Every byte has a place, counted over both streams from the start of the process, so a
//! reader that comes back says where it was and is told what it missed.

use std::collections::VecDeque;

use capsule_backend::guest::Channel;

/// Output in order, bounded.
#[derive(Debug)]
pub(crate) struct Ring {
    pieces: VecDeque<Piece>,
    /// Bytes that are held.
    held: usize,
    /// Bytes that are held at most.
    capacity: usize,
    /// The place after the last byte.
    end: u64,
}

/// Output of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) channel: Channel,
    pub(crate) bytes: Vec<u8>,
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// Bytes between its place and the first piece, which are not kept any more.
    pub(crate) gap: u64,
    /// What is there.
    pub(crate) pieces: Vec<Piece>,
    /// Its next place.
    pub(crate) next: u64,
}

impl Ring {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { pieces: VecDeque::new(), held: 0, capacity, end: 0 }
    }

    /// The place after the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The place of the first byte that is kept.
    pub(crate) fn start(&self) -> u64 {
        self.end - self.held as u64
    }

    /// Bytes that are kept now.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Holds no more than so much when something is added.
    pub(crate) fn expect(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Adds output, and lets go of the oldest above the capacity.
    pub(crate) fn push(&mut self, channel: Channel, mut bytes: Vec<u8>) {
        self.end += bytes.len() as u64;
        if bytes.len() > self.capacity {
            bytes.drain(..bytes.len() - self.capacity);
            self.pieces.clear();
            self.held = 0;
        }
        self.held += bytes.len();
        match self.pieces.back_mut() {
            // Small writes are put together, or a byte would cost a whole entry.
            Some(last) if last.channel == channel && last.bytes.len() + bytes.len() <= 4096 => {
                last.bytes.extend_from_slice(&bytes);
            }
            _ if bytes.is_empty() => {}
            _ => self.pieces.push_back(Piece { channel, bytes }),
        }
        self.shrink(self.capacity);
    }

    /// Holds no more than so much from now on.
    pub(crate) fn limit(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.shrink(capacity);
        self.pieces.shrink_to_fit();
    }

    fn shrink(&mut self, capacity: usize) {
        while self.held > capacity {
            let over = self.held - capacity;
            let Some(first) = self.pieces.front_mut() else { return };
            if first.bytes.len() <= over {
                self.held -= first.bytes.len();
                self.pieces.pop_front();
            } else {
                first.bytes.drain(..over);
                self.held -= over;
            }
        }
    }

    /// What is kept from a place on, at most about `most` bytes of it.
    pub(crate) fn read(&self, from: u64, most: usize) -> Read {
        let from = from.min(self.end);
        let gap = self.start().saturating_sub(from);
        let mut skip = (from + gap - self.start()) as usize;
        let mut next = from + gap;
        let mut pieces = Vec::new();
        let mut taken = 0;
        for piece in &self.pieces {
            if skip >= piece.bytes.len() {
                skip -= piece.bytes.len();
                continue;
            }
            if taken >= most {
                break;
            }
            let bytes = &piece.bytes[skip..];
            let bytes = &bytes[..bytes.len().min(most - taken)];
            skip = 0;
            taken += bytes.len();
            next += bytes.len() as u64;
            pieces.push(Piece { channel: piece.channel, bytes: bytes.to_vec() });
            if taken >= most {
                break;
            }
        }
        Read { gap, pieces, next }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_oldest_is_let_go_and_told() {
        let mut ring = Ring::new(8);
        ring.push(Channel::Stdout, b"abcd".to_vec());
        ring.push(Channel::Stderr, b"EFGH".to_vec());
        assert_eq!(ring.read(0, 100).gap, 0);
        ring.push(Channel::Stdout, b"ij".to_vec());
        let read = ring.read(1, 100);
        assert_eq!((read.gap, read.next), (1, 10));
        let text: Vec<_> = read.pieces.iter().map(|piece| piece.bytes.as_slice()).collect();
        assert_eq!(text, [b"cd".as_slice(), b"EFGH", b"ij"]);
        ring.push(Channel::Stdout, vec![b'x'; 100]);
        assert_eq!(
            ring.read(0, 100),
            Read {
                gap: 102,
                pieces: vec![Piece { channel: Channel::Stdout, bytes: vec![b'x'; 8] }],
                next: 110,
            }
        );
        assert_eq!(ring.read(u64::MAX, 9), Read { gap: 0, pieces: vec![], next: 110 });
    }

    proptest! {
        /// Whoever reads in pieces gets every byte once, in order, or is told how many it missed.
        #[test]
        fn nothing_is_lost_without_a_word(
            writes in prop::collection::vec((any::<bool>(), 0_usize..40), 0..60),
            capacity in 1_usize..64,
            most in 1_usize..16,
            every in 1_usize..5,
        ) {
            let mut ring = Ring::new(capacity);
            let (mut written, mut seen, mut place, mut missed) = (Vec::new(), Vec::new(), 0, 0);
            for (turn, (is_error, length)) in writes.into_iter().enumerate() {
                let bytes: Vec<u8> = (0..length).map(|at| (written.len() + at) as u8).collect();
                written.extend_from_slice(&bytes);
                ring.push(if is_error { Channel::Stderr } else { Channel::Stdout }, bytes);
                prop_assert!(ring.held <= capacity);
                if turn % every == 0 {
                    let read = ring.read(place, most);
                    missed += read.gap;
                    for piece in &read.pieces {
                        seen.extend_from_slice(&piece.bytes);
                    }
                    let bytes: u64 = read.pieces.iter().map(|piece| piece.bytes.len() as u64).sum();
                    prop_assert!(bytes <= most as u64);
                    let first = (place + read.gap) as usize;
                    let got: Vec<u8> = read.pieces.iter().flat_map(|piece| piece.bytes.clone()).collect();
                    prop_assert_eq!(&written[first..first + got.len()], &got[..]);
                    prop_assert_eq!(read.next, place + read.gap + bytes);
                    place = read.next;
                }
            }
            prop_assert_eq!(seen.len() as u64 + missed, place);
        }
    }
}
