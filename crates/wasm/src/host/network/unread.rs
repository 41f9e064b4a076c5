//! Bytes that were received for who then did not want them any more: whoever receives
//! next gets them, in order. They take of the guest's limit until then.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::super::operations::Hold;

/// Of one connection.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    pieces: Mutex<Pieces>,
}

#[derive(Debug, Default)]
struct Pieces {
    /// By their place in all that was received.
    by_place: BTreeMap<u64, (Vec<u8>, Option<Hold>)>,
    waker: Option<Waker>,
}

impl Unread {
    fn pieces(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces().by_place.is_empty()
    }

    /// Who is to be told when something comes back.
    pub(super) fn tell(&self, waker: &Waker) {
        let kept = &mut self.pieces().waker;
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    /// The first bytes, at most so many, and their place.
    pub(super) fn take(&self, most: usize) -> Option<(u64, Vec<u8>)> {
        let mut pieces = self.pieces();
        let (place, (mut bytes, hold)) = pieces.by_place.pop_first()?;
        if bytes.len() > most {
            let rest = bytes.split_off(most);
            pieces.by_place.insert(place + most as u64, (rest, hold));
        }
        Some((place, bytes))
    }

    /// Takes bytes back that nobody has heard.
    pub(crate) fn put(&self, place: u64, bytes: Vec<u8>, hold: Option<Hold>) {
        let mut pieces = self.pieces();
        pieces.by_place.insert(place, (bytes, hold));
        if let Some(waker) = pieces.waker.take() {
            drop(pieces);
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_taken_in_the_order_of_the_stream() {
        let unread = Unread::default();
        unread.put(5, b" world".to_vec(), None);
        unread.put(0, b"hello".to_vec(), None);
        assert_eq!(unread.take(3), Some((0, b"hel".to_vec())));
        assert_eq!(unread.take(9), Some((3, b"lo".to_vec())));
        unread.put(0, b"hel".to_vec(), None);
        assert_eq!(unread.take(9), Some((0, b"hel".to_vec())));
        assert_eq!(unread.take(9), Some((5, b" world".to_vec())));
        assert!(unread.is_empty() && unread.take(1).is_none());
    }
}
