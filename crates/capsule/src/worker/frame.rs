//! Frames: a length of four bytes, big-endian, and as many bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};

/// The largest frame, either way.
pub(super) const MOST: usize = 64 << 20;
/// The largest one that has been added to on its way: a request with its script.
pub(super) const MOST_INSIDE: usize = 4 * MOST;
const HEADER: usize = 4;

/// What came in so far.
pub(super) struct Incoming {
    bytes: Vec<u8>,
    /// Bytes that were taken already.
    taken: usize,
    most: usize,
}

/// What stands at the front of [`Incoming`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front<'a> {
    /// A whole frame.
    Frame(&'a [u8]),
    /// More has to come first.
    Partial,
    /// A frame that is too large; nothing after it can be understood.
    TooLarge(usize),
}

impl Incoming {
    /// Frames of at most so many bytes.
    pub(super) fn of(most: usize) -> Self {
        Self { bytes: Vec::new(), taken: 0, most }
    }

    /// Reads once: how much came. Nothing is the end.
    pub(super) fn fill(&mut self, from: &mut impl Read) -> io::Result<usize> {
        /// A pipe holds no more, unless it was made larger.
        const PIECE: usize = 64 << 10;
        self.bytes.drain(..self.taken);
        self.taken = 0;
        let before = self.bytes.len();
        self.bytes.resize(before + PIECE, 0);
        let read = loop {
            match from.read(&mut self.bytes[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.bytes.truncate(before + *read.as_ref().unwrap_or(&0));
        // One large request must not make the worker large for ever.
        if self.bytes.is_empty() && self.bytes.capacity() > 16 * PIECE {
            self.bytes = Vec::new();
        }
        read
    }

    /// Takes the next frame.
    pub(super) fn take(&mut self) -> Front<'_> {
        let left = &self.bytes[self.taken..];
        let Some(header) = left.first_chunk::<HEADER>() else { return Front::Partial };
        let length = u32::from_be_bytes(*header) as usize;
        if length > self.most {
            return Front::TooLarge(length);
        }
        if left.len() - HEADER < length {
            return Front::Partial;
        }
        let start = self.taken + HEADER;
        self.taken = start + length;
        Front::Frame(&self.bytes[start..start + length])
    }

    /// Whether it ended in the middle of a frame.
    pub(super) fn is_broken(&self) -> bool {
        self.taken < self.bytes.len()
    }
}

/// Where frames go. From any thread, one after the other.
pub(super) struct Outgoing {
    file: Mutex<File>,
}

impl Outgoing {
    pub(super) fn new(file: File) -> Self {
        Self { file: Mutex::new(file) }
    }

    /// Sends a frame that `write` fills. Too large a frame is not sent: false.
    pub(super) fn send(&self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut frame = vec![0; HEADER];
        frame.reserve(512);
        write(&mut frame);
        let length = frame.len() - HEADER;
        if length > MOST {
            return false;
        }
        self.write(&mut frame);
        true
    }

    /// Sends what is JSON already.
    pub(super) fn pass_on(&self, bytes: &[u8]) {
        self.write(&mut framed(bytes));
    }

    fn write(&self, frame: &mut [u8]) {
        let header = u32::try_from(frame.len() - HEADER).expect("MOST fits").to_be_bytes();
        frame[..HEADER].copy_from_slice(&header);
        // A reader that is gone is seen by the poll of the main loop, which ends all.
        let _ = self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(frame);
    }
}

/// A frame that holds these bytes; at most [`MOST_INSIDE`].
pub(super) fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER + bytes.len());
    frame.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(bytes);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incoming(bytes: &[u8]) -> Incoming {
        Incoming { bytes: bytes.to_vec(), taken: 0, most: MOST }
    }

    #[test]
    fn frames_are_taken_one_by_one() {
        let mut incoming = incoming(b"\0\0\0\x02ab\0\0\0\0\0\0\0\x03c");
        assert_eq!(incoming.take(), Front::Frame(b"ab"));
        assert_eq!(incoming.take(), Front::Frame(b""));
        assert_eq!(incoming.take(), Front::Partial);
        assert!(incoming.is_broken());
        assert_eq!(incoming.fill(&mut &b"de"[..]).unwrap(), 2);
        assert_eq!(incoming.take(), Front::Frame(b"cde"));
        assert!(!incoming.is_broken());
    }

    #[test]
    fn a_frame_that_is_too_large_is_no_allocation() {
        assert_eq!(incoming(b"\xff\xff\xff\xff").take(), Front::TooLarge(u32::MAX as usize));
        assert_eq!(incoming(b"\x04\0\0\x01").take(), Front::TooLarge(MOST + 1));
        assert_eq!(incoming(b"\x04\0\0\0").take(), Front::Partial);
        assert_eq!(incoming(b"\0\0\0").take(), Front::Partial);
    }
}
