//! How long a body is, and where it ends. Bodies pass unchanged; what is watched
//! is that they end where both sides think they end.
//!
//! ```text
//! Size -> Extension -> SizeLf -> Data -> DataCr -> DataLf -> Size ...
//!                         `-(0)-> Trailer -> TrailerLf -> Trailer ... -> EndLf -> over
//! ```

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    /// Answers only: the body is what comes before the connection ends.
    UntilClose,
}

/// The body is not what its framing said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodyError;

/// All trailer lines or one chunk extension may be this long, in bytes.
const TRAILER_BYTES: u32 = 8 * 1024;

#[derive(Debug)]
pub(super) struct Body {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Plain(u64),
    UntilClose,
    Size { value: u64, digits: u8 },
    Extension { value: u64, bytes: u32 },
    SizeLf { value: u64 },
    Data(u64),
    DataCr,
    DataLf,
    Trailer { in_line: bool, bytes: u32 },
    TrailerLf { bytes: u32 },
    EndLf,
    Over,
}

impl Body {
    pub(super) fn new(framing: Option<Framing>) -> Self {
        let state = match framing {
            None | Some(Framing::Length(0)) => State::Over,
            Some(Framing::Length(bytes)) => State::Plain(bytes),
            Some(Framing::Chunked) => State::Size { value: 0, digits: 0 },
            Some(Framing::UntilClose) => State::UntilClose,
        };
        Self { state }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// How many of these bytes belong to the body.
    pub(super) fn take(&mut self, input: &[u8]) -> Result<usize, BodyError> {
        let mut at = 0;
        while at < input.len() && !self.is_over() {
            let rest = (input.len() - at) as u64;
            match &mut self.state {
                State::UntilClose => at = input.len(),
                State::Plain(left) | State::Data(left) => {
                    let step = rest.min(*left);
                    *left -= step;
                    at += step as usize;
                    match self.state {
                        State::Plain(0) => self.state = State::Over,
                        State::Data(0) => self.state = State::DataCr,
                        _ => {}
                    }
                }
                _ => {
                    self.state = self.state.after(input[at])?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    /// The source has ended: fine only if that is how this body ends.
    pub(super) fn source_ended(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::UntilClose | State::Over => {
                self.state = State::Over;
                Ok(())
            }
            _ => Err(BodyError),
        }
    }
}

impl State {
    /// One byte of what stands between the chunks.
    fn after(self, byte: u8) -> Result<Self, BodyError> {
        let is_text = byte == b'\t' || !byte.is_ascii_control();
        Ok(match (self, byte) {
            (Self::Size { value, digits }, _) if byte.is_ascii_hexdigit() && digits < 15 => {
                let digit = (byte as char).to_digit(16).ok_or(BodyError)?;
                Self::Size { value: value * 16 + u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { value, digits: 1.. }, b'\r') => Self::SizeLf { value },
            (Self::Size { value, digits: 1.. }, b';' | b' ' | b'\t') => {
                Self::Extension { value, bytes: 0 }
            }
            (Self::Extension { value, .. }, b'\r') => Self::SizeLf { value },
            (Self::Extension { value, bytes }, _) if is_text && bytes < TRAILER_BYTES => {
                Self::Extension { value, bytes: bytes + 1 }
            }
            (Self::SizeLf { value: 0 }, b'\n') => Self::Trailer { in_line: false, bytes: 0 },
            (Self::SizeLf { value }, b'\n') => Self::Data(value),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size { value: 0, digits: 0 },
            (Self::Trailer { in_line: false, .. }, b'\r') => Self::EndLf,
            (Self::Trailer { in_line: true, bytes }, b'\r') => Self::TrailerLf { bytes },
            // A line that starts with a blank would be a folded one.
            (Self::Trailer { in_line: false, .. }, b' ' | b'\t') => return Err(BodyError),
            (Self::Trailer { bytes, .. }, _) if is_text && bytes < TRAILER_BYTES => {
                Self::Trailer { in_line: true, bytes: bytes + 1 }
            }
            (Self::TrailerLf { bytes }, b'\n') => Self::Trailer { in_line: false, bytes },
            (Self::EndLf, b'\n') => Self::Over,
            _ => return Err(BodyError),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(framing: Framing, bytes: &[u8]) -> Result<(usize, bool), BodyError> {
        let mut body = Body::new(Some(framing));
        let taken = body.take(bytes)?;
        Ok((taken, body.is_over()))
    }

    #[test]
    fn bodies_end_where_they_say() {
        assert_eq!(run(Framing::Length(3), b"abcGET"), Ok((3, true)));
        assert_eq!(run(Framing::Length(9), b"abc"), Ok((3, false)));
        assert_eq!(run(Framing::Chunked, b"3\r\nabc\r\n0\r\n\r\nGET"), Ok((13, true)));
        assert_eq!(
            run(Framing::Chunked, b"A;x=1\r\n0123456789\r\n0\r\nX: y\r\n\r\n"),
            Ok((30, true))
        );
        assert_eq!(run(Framing::UntilClose, b"abc"), Ok((3, false)));
    }

    #[test]
    fn chunks_that_two_parsers_could_read_in_two_ways_are_refused() {
        for bytes in [
            &b"3\nabc\r\n"[..],
            b"3\r\nabcd\r\n",
            b"3\r\nabc\n",
            b"-3\r\nabc",
            b"+3\r\nabc",
            b"0x3\r\nabc",
            b"\r\n",
            b";x\r\n",
            b" 3\r\n",
            b"3;\nabc",
            b"3;a\rb\r\n",
            b"3\r\rabc",
            b"0000000000000003\r\nabc",
            b"ffffffffffffffff\r\n",
            b"0\r\nX: y\n\r\n",
            b"0\r\n folded\r\n\r\n",
            b"0\r\nX: \0\r\n\r\n",
        ] {
            assert_eq!(run(Framing::Chunked, bytes), Err(BodyError), "{bytes:?}");
        }
    }

    #[test]
    fn endless_extensions_and_trailers_are_refused() {
        let long = [b"1;".to_vec(), vec![b'x'; 9000]].concat();
        assert_eq!(run(Framing::Chunked, &long), Err(BodyError));
        let long = [b"0\r\n".to_vec(), b"X: y\r\n".repeat(3000)].concat();
        assert_eq!(run(Framing::Chunked, &long), Err(BodyError));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_end_the_same(bytes in proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'2'), any::<u8>()], 0..80), cut in 0usize..80,
        ) {
            let whole = run(Framing::Chunked, &bytes);
            let cut = cut.min(bytes.len());
            let mut body = Body::new(Some(Framing::Chunked));
            let pieces = body.take(&bytes[..cut]).and_then(|first| {
                let second = body.take(&bytes[first..])?;
                Ok((first + second, body.is_over()))
            });
            prop_assert_eq!(whole, pieces);
        }
    }
}
