//! Messages on a stream of bytes that may begin, break off and go on anywhere.
//!
//! A server that is killed leaves half a message behind, and one that comes hears the second
//! half of what was said to another. So messages are written without a byte of zero (consistent
//! overhead byte stuffing: Cheshire and Baker, SIGCOMM 1997), and one stands between them:
//! whoever is lost is found again at the next zero. What does not fit its own length, or belongs
//! to another conversation, is dropped.
//!
//! ```text
//!  0 │ stuffed: conversation, serial, length of words, length of bytes │ words │ bytes │ 0
//! ```

/// The most bytes of the words of a message.
pub(super) const WORDS: usize = 1 << 20;
const HEAD: usize = 24;
const MOST: usize = HEAD + WORDS + super::words::BYTES;
/// A run of bytes without a zero, with the count before it.
const RUN: usize = 254;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Who speaks to whom: drawn by each server anew.
    pub(super) conversation: u64,
    /// An answer carries that of its question.
    pub(super) serial: u64,
    pub(super) words: Vec<u8>,
    pub(super) bytes: Vec<u8>,
}

impl Frame {
    /// As it goes over the stream.
    pub(super) fn encode(&self) -> Vec<u8> {
        let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&self.conversation.to_le_bytes());
        head[8..16].copy_from_slice(&self.serial.to_le_bytes());
        head[16..20].copy_from_slice(&length(&self.words));
        head[20..].copy_from_slice(&length(&self.bytes));
        let plain = HEAD + self.words.len() + self.bytes.len();
        let mut stuffed = Stuffed::new(plain);
        for part in [&head[..], &self.words, &self.bytes] {
            stuffed.add(part);
        }
        stuffed.finish()
    }

    fn decode(plain: &[u8]) -> Option<Self> {
        let (head, rest) = plain.split_at_checked(HEAD)?;
        let number = |at: usize| head[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let length = |at: usize| head[at..at + 4].try_into().map(u32::from_le_bytes).ok();
        let (words, bytes) = (length(16)? as usize, length(20)? as usize);
        (words <= WORDS && bytes <= super::words::BYTES && words + bytes == rest.len()).then(
            || {
                let (words, bytes) = rest.split_at(words);
                Some(Self {
                    conversation: number(0)?,
                    serial: number(8)?,
                    words: words.to_vec(),
                    bytes: bytes.to_vec(),
                })
            },
        )?
    }
}

/// Bytes as they are stuffed.
struct Stuffed {
    out: Vec<u8>,
    /// Where the count of the run that is open stands.
    count_at: usize,
}

impl Stuffed {
    fn new(plain: usize) -> Self {
        let mut out = Vec::with_capacity(plain + plain / RUN + 4);
        out.extend([0, 0]);
        Self { out, count_at: 1 }
    }

    fn close_run(&mut self) {
        // A run is 254 bytes at most, so its count fits.
        self.out[self.count_at] = (self.out.len() - self.count_at) as u8;
        self.count_at = self.out.len();
        self.out.push(0);
    }

    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = RUN - (self.out.len() - self.count_at - 1);
            let piece = &bytes[..bytes.len().min(room)];
            match piece.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    self.out.extend_from_slice(&piece[..end]);
                    self.close_run();
                    bytes = &bytes[end + 1..];
                }
                None => {
                    self.out.extend_from_slice(piece);
                    bytes = &bytes[piece.len()..];
                    if piece.len() == room {
                        self.close_run();
                    }
                }
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.close_run();
        // What was opened in place of the next run is the zero at the end.
        self.out
    }
}

/// Finds messages in a stream.
#[derive(Default)]
pub(super) struct Decoder {
    plain: Vec<u8>,
    /// Bytes of the open run that have yet to come.
    left: usize,
    /// A zero belongs before the next run.
    owes_zero: bool,
    /// What came makes no sense, up to the next zero.
    is_lost: bool,
}

impl Decoder {
    /// Takes what came, and answers each message that is complete.
    pub(super) fn take(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(Frame)) {
        while let Some(first) = bytes.first().copied() {
            if first == 0 {
                if !self.is_lost
                    && self.left == 0
                    && let Some(frame) = Frame::decode(&self.plain)
                {
                    each(frame);
                }
                // A large message is rare: its room is not kept.
                self.plain = Vec::new();
                (self.left, self.owes_zero, self.is_lost) = (0, false, false);
                bytes = &bytes[1..];
            } else if self.is_lost {
                let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
                bytes = &bytes[end..];
            } else if self.left == 0 {
                if self.owes_zero {
                    self.plain.push(0);
                }
                self.left = usize::from(first) - 1;
                self.owes_zero = usize::from(first) <= RUN;
                bytes = &bytes[1..];
            } else {
                let piece = &bytes[..bytes.len().min(self.left)];
                let end = piece.iter().position(|byte| *byte == 0).unwrap_or(piece.len());
                self.plain.extend_from_slice(&piece[..end]);
                self.left -= end;
                bytes = &bytes[end..];
            }
            if self.plain.len() > MOST {
                self.is_lost = true;
                self.plain = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(bytes: &[u8]) -> Frame {
        let words = b"{\"a\":0}".to_vec();
        Frame { conversation: 7, serial: u64::MAX, words, bytes: bytes.to_vec() }
    }

    fn decoded(stream: &[u8], piece: usize) -> Vec<Frame> {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        for piece in stream.chunks(piece) {
            decoder.take(piece, &mut |frame| frames.push(frame));
        }
        frames
    }

    #[test]
    fn runs_of_every_length_survive() {
        for length in (0..600).chain([65_535, super::super::words::BYTES]) {
            for byte in [0, 1, 255] {
                let frame = frame(&vec![byte; length]);
                let stream = frame.encode();
                assert!(stream[1..stream.len() - 1].iter().all(|byte| *byte != 0));
                assert!(decoded(&stream, 8192) == std::slice::from_ref(&frame)[..], "{length}");
            }
        }
    }

    #[test]
    fn what_is_too_long_is_dropped_and_the_next_one_found() {
        let mut stream = vec![255; 3 * MOST];
        stream.extend(frame(b"after").encode());
        assert_eq!(decoded(&stream, 60_000), [frame(b"after")]);
        let mut decoder = Decoder::default();
        decoder.take(&vec![255; 3 * MOST], &mut |_| panic!("nothing was said"));
        assert!(decoder.plain.capacity() <= MOST, "{}", decoder.plain.capacity());
    }

    #[test]
    fn lengths_that_lie_are_dropped() {
        let mut lie = Stuffed::new(0);
        let mut head = [0; HEAD];
        head[16] = 200;
        lie.add(&head);
        lie.add(b"short");
        let mut stream = lie.finish();
        stream.extend(frame(b"true").encode());
        assert_eq!(decoded(&stream, 7), [frame(b"true")]);
    }

    proptest! {
        #[test]
        fn messages_survive_in_pieces(
            messages in prop::collection::vec(prop::collection::vec(0u8..3, 0..700), 0..5),
            piece in 1usize..100,
        ) {
            let frames: Vec<Frame> = messages.iter().map(|bytes| frame(bytes)).collect();
            let stream: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
            prop_assert_eq!(decoded(&stream, piece), frames);
        }

        #[test]
        fn after_anything_a_whole_message_is_found(
            noise in prop::collection::vec(any::<u8>(), 0..2000),
            cut in 0usize..500,
        ) {
            let half = frame(&[9; 500]).encode();
            let mut stream = noise;
            stream.extend(&half[..cut]);
            stream.extend(frame(b"whole").encode());
            let last = decoded(&stream, 64).pop();
            prop_assert_eq!(last, Some(frame(b"whole")));
        }
    }
}
