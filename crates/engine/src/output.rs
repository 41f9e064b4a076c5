//! What tasks print: bounded, and held back while a program only declares.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use capsule_backend::guest::Channel;

/// Where output goes in the end. Must not block for long: the task waits for it.
pub trait Sink: Send + Sync {
    /// Takes bytes as they come.
    fn write(&self, channel: Channel, bytes: &[u8]);
}

/// The output of one run.
pub struct Output {
    sink: Box<dyn Sink>,
    left: AtomicU64,
    truncated: AtomicBool,
}

impl Output {
    /// Output of at most `most` bytes.
    pub fn new(sink: Box<dyn Sink>, most: u64) -> Self {
        Self { sink, left: AtomicU64::new(most), truncated: AtomicBool::new(false) }
    }

    /// Passes on as much as there is room for. No bytes at all are a guest's word that it
    /// dropped some itself.
    pub(crate) fn write(&self, channel: Channel, bytes: &[u8]) {
        let take = |left: u64| Some(left.saturating_sub(bytes.len() as u64));
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        let left = usize::try_from(left.unwrap_or_else(|left| left)).unwrap_or(usize::MAX);
        if left < bytes.len() || bytes.is_empty() {
            self.truncated.store(true, Ordering::Relaxed);
        }
        let kept = &bytes[..bytes.len().min(left)];
        if !kept.is_empty() {
            self.sink.write(channel, kept);
        }
    }

    /// Whether something was dropped.
    pub fn is_truncated(&self) -> bool {
        self.truncated.load(Ordering::Relaxed)
    }
}

/// Output of a program that is being loaded, until it is known whether it counts.
#[derive(Default)]
pub(crate) struct Held {
    /// None once nothing is held back any more.
    pieces: Mutex<Option<Pieces>>,
}

#[derive(Default)]
struct Pieces {
    list: Vec<Piece>,
    bytes: usize,
}

pub(crate) type Piece = (Channel, Vec<u8>);

/// What a program may print while it is loaded.
const MOST_HELD: usize = 1 << 20;

impl Held {
    /// Begins to hold back.
    pub(crate) fn hold() -> Self {
        Self { pieces: Mutex::new(Some(Pieces::default())) }
    }

    /// Holds back what was printed before, to be released with the rest.
    pub(crate) fn again(list: &[Piece]) -> Self {
        let bytes = list.iter().map(|(_, piece)| piece.len()).sum();
        Self { pieces: Mutex::new(Some(Pieces { list: list.to_vec(), bytes })) }
    }

    /// What is held so far.
    pub(crate) fn copy(&self) -> Vec<Piece> {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.as_ref().map(|pieces| pieces.list.clone()).unwrap_or_default()
    }

    /// Keeps it, if it holds back.
    pub(crate) fn keep(&self, channel: Channel, bytes: &[u8]) -> bool {
        match &mut *self.pieces.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Pieces { list, bytes: held }) => {
                let kept = &bytes[..bytes.len().min(MOST_HELD - *held)];
                *held += kept.len();
                // A program may print nothing, or one byte, a million times.
                match list.last_mut() {
                    Some((last, piece)) if *last == channel => piece.extend_from_slice(kept),
                    _ if kept.is_empty() => {}
                    _ => list.push((channel, kept.to_vec())),
                }
                true
            }
            None => false,
        }
    }

    /// Holds back no more; what was held so far.
    pub(crate) fn release(&self) -> Vec<Piece> {
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.take().unwrap_or_default().list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_back_is_bounded_in_bytes_and_in_pieces() {
        let held = Held::hold();
        for _ in 0..100_000 {
            assert!(held.keep(Channel::Stdout, b""));
            assert!(held.keep(Channel::Stdout, b"x"));
        }
        assert!(held.keep(Channel::Stderr, &vec![b'y'; 2 * MOST_HELD]));
        assert!(held.keep(Channel::Stdout, b"z"));
        let pieces = held.release();
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces.iter().map(|(_, piece)| piece.len()).sum::<usize>(), MOST_HELD);
        assert!(!held.keep(Channel::Stdout, b"now"));
    }
}
