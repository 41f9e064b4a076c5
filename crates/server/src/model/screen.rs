//! What a terminal shows, so that somebody who comes back sees it at once.
//!
//! The bytes are a stranger's. Text for the terminal itself (titles, clipboards, images) is
//! left out before it is looked at: nothing of it is on the screen, it has no bound, and
//! what is told to a client is written anew from cells and colours.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Larger terminals have no picture.
const MOST_CELLS: usize = 32 << 10;
/// What a cell costs: it is there twice, for programs that take the whole screen.
const CELL_BYTES: usize = 80;

/// The picture of a terminal.
pub(crate) struct Screen {
    /// None once it could not follow.
    parser: Option<vt100::Parser>,
    sieve: Sieve,
}

impl Screen {
    /// An empty one; none if it is too large.
    pub(crate) fn new(columns: u16, rows: u16) -> Option<Self> {
        let cells = usize::from(columns) * usize::from(rows);
        let has_room = (1..=MOST_CELLS).contains(&cells);
        has_room.then(|| Self {
            parser: Some(vt100::Parser::new(rows, columns, 0)),
            sieve: Sieve::Plain,
        })
    }

    /// What it costs to keep.
    pub(crate) fn cost(columns: u16, rows: u16) -> usize {
        usize::from(columns) * usize::from(rows) * CELL_BYTES
    }

    /// Takes in output.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let Some(parser) = &mut self.parser else { return };
        let sieved = self.sieve.pass(bytes);
        // A stranger who finds a fault in the parser loses the picture, and no more.
        if catch_unwind(AssertUnwindSafe(|| parser.process(&sieved))).is_err() {
            self.parser = None;
        }
    }

    /// The terminal has another size.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        let Some(parser) = &mut self.parser else { return };
        let resized = AssertUnwindSafe(|| parser.screen_mut().set_size(rows, columns));
        if catch_unwind(resized).is_err() {
            self.parser = None;
        }
    }

    /// What a client's terminal has to be sent to show the same.
    pub(crate) fn picture(&self) -> Option<Vec<u8>> {
        let screen = self.parser.as_ref()?.screen();
        let draw = || {
            let alternate: &[u8] = if screen.alternate_screen() { b"\x1b[?1049h" } else { b"" };
            [alternate, &screen.state_formatted()].concat()
        };
        catch_unwind(AssertUnwindSafe(draw)).ok()
    }
}

/// Leaves out strings for the terminal: from ESC and one of `]PX^_` to BEL, ESC `\`, CAN or SUB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sieve {
    Plain,
    Escape,
    Text,
    TextEscape,
}

impl Sieve {
    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        const ESC: u8 = 0x1b;
        let mut passed = Vec::with_capacity(bytes.len() + 1);
        for byte in bytes {
            *self = match (*self, *byte) {
                (Self::Plain, ESC) => Self::Escape,
                (Self::Plain, byte) => {
                    passed.push(byte);
                    Self::Plain
                }
                (Self::Escape, b']' | b'P' | b'X' | b'^' | b'_') => Self::Text,
                (Self::Escape, ESC) => Self::Escape,
                (Self::Escape, byte) => {
                    passed.extend_from_slice(&[ESC, byte]);
                    Self::Plain
                }
                (Self::Text | Self::TextEscape, 0x07 | 0x18 | 0x1a) | (Self::TextEscape, b'\\') => {
                    Self::Plain
                }
                (Self::Text | Self::TextEscape, ESC) => Self::TextEscape,
                (Self::TextEscape, byte) => {
                    // Another sequence ends the text as well.
                    passed.extend_from_slice(&[ESC, byte]);
                    Self::Plain
                }
                (Self::Text, _) => Self::Text,
            };
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(bytes: &[u8]) -> (String, (u16, u16), bool) {
        let mut parser = vt100::Parser::new(24, 80, 0);
        parser.process(bytes);
        let screen = parser.screen();
        (screen.contents(), screen.cursor_position(), screen.alternate_screen())
    }

    #[test]
    fn a_picture_shows_what_was_there() {
        let mut screen = Screen::new(80, 24).unwrap();
        screen.write(b"old text\r\n\x1b[31mred\x1b[0m ");
        let (text, cursor, alternate) = shown(&screen.picture().unwrap());
        assert_eq!((text.as_str(), cursor, alternate), ("old text\nred ", (1, 4), false));
        // A program that takes the whole screen, cut anywhere.
        for piece in b"\x1b[?1049h\x1b[2J\x1b[5;10Hmenu\x1b[?25l".chunks(1) {
            screen.write(piece);
        }
        let picture = screen.picture().unwrap();
        let (text, _, alternate) = shown(&picture);
        assert!(text.trim() == "menu" && alternate, "{text:?}");
        assert!(picture.windows(6).any(|part| part == b"\x1b[?25l"));
        screen.resize(40, 10);
        screen.write(b"\x1b[10;40H");
        screen.write(b"\x1b[?1049l");
        assert!(!shown(&screen.picture().unwrap()).2);
    }

    /// Titles, clipboards, answers that a terminal would give, and texts without an end.
    #[test]
    fn nothing_of_a_strangers_text_is_told() {
        let mut screen = Screen::new(80, 24).unwrap();
        screen.write(b"a\x1b]52;c;cHduZWQ=\x07b\x1b]0;title\x1b\\c\x1bPdcs\x1b\\d\x1b_apc\x1b\\e\x1b[6n\x1b[c");
        assert_eq!(shown(&screen.picture().unwrap()).0, "abcde");
        let picture = screen.picture().unwrap();
        for hidden in [&b"52;"[..], b"title", b"dcs", b"apc", b"[6n", b"]"] {
            assert!(!picture.windows(hidden.len()).any(|part| part == hidden), "{picture:?}");
        }
        screen.write(b"\x1b]0;");
        for _ in 0..100 {
            screen.write(&[b'x'; 10_000]);
        }
        screen.write(b"\x07f");
        assert_eq!(shown(&screen.picture().unwrap()).0, "abcdef");
        assert!(Screen::new(0, 24).is_none() && Screen::new(1_000, 1_000).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Whatever comes, in whatever size, is survived, and a picture is bounded.
        #[test]
        fn anything_is_survived(
            parts in prop::collection::vec(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                "\\x1b\\[[0-9;?]{0,8}[@-~]".prop_map(String::into_bytes),
                "[\u{300}\u{4e00}\u{1f600}a-z\\r\\n\\t]{0,40}".prop_map(String::into_bytes),
            ], 0..30),
            columns in 1_u16..12, rows in 1_u16..6,
        ) {
            let mut screen = Screen::new(columns, rows).unwrap();
            for (turn, part) in parts.iter().enumerate() {
                screen.write(part);
                if turn % 7 == 6 {
                    screen.resize(rows, columns);
                }
            }
            prop_assert!(screen.picture().is_none_or(|picture| picture.len() < 16 << 10));
        }
    }
}
