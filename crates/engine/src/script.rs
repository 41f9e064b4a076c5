//! A program that was made into one script, and the way back to what the user wrote.
//!
//! A JavaScript guest knows places in the script alone, and says them in one form
//! (`guests/javascript/README.md`). What a guest says is hostile: a place that cannot be
//! read stays the text that it is.

use std::sync::Arc;

/// The script of a program.
#[derive(Clone)]
pub struct Script {
    /// A CommonJS module body, UTF-8.
    pub text: Arc<Vec<u8>>,
    /// The way back; None if the script is the program itself.
    pub positions: Option<Arc<dyn Positions>>,
}

/// Where the parts of a script come from.
pub trait Positions: Send + Sync {
    /// Where the user wrote what stands at a place of the script; lines and columns from 1.
    fn original(&self, line: u32, column: u32) -> Option<Place>;
}

/// A place in a file of the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As the user names it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
}

/// The traceback of a program that is called `path`, with the user's places. Frames of the
/// script that come from nowhere are the bundler's, and left out.
pub(crate) fn trace(text: &str, path: &str, positions: &dyn Positions) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match frame(line, path) {
            None => out.push_str(line),
            Some((name, at_line, column)) => {
                let Some(Place { file, line, column }) = positions.original(at_line, column) else {
                    continue;
                };
                out.push_str(&match name {
                    Some(name) => format!("{FRAME}{name} ({file}:{line}:{column})\n"),
                    None => format!("{FRAME}{file}:{line}:{column}\n"),
                });
            }
        }
    }
    out
}

const FRAME: &str = "    at ";

/// Name, line and column of `    at NAME (PATH:LINE:COLUMN)` or `    at PATH:LINE:COLUMN`.
fn frame<'a>(line: &'a str, path: &str) -> Option<(Option<&'a str>, u32, u32)> {
    let text = line.strip_prefix(FRAME)?.trim_end_matches('\n');
    let (name, place) = match text.strip_suffix(')') {
        Some(text) => text.rsplit_once(" (").map(|(name, place)| (Some(name), place))?,
        None => (None, text),
    };
    let (line, column) = place.strip_prefix(path)?.strip_prefix(':')?.split_once(':')?;
    Some((name, line.parse().ok()?, column.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every tenth line comes from one of the user's.
    struct Tens;

    impl Positions for Tens {
        fn original(&self, line: u32, column: u32) -> Option<Place> {
            let file = "src/a b.ts".to_owned();
            line.is_multiple_of(10).then_some(Place { file, line: line / 10, column })
        }
    }

    #[test]
    fn places_of_the_script_become_the_users() {
        let text = "Error: at main.ts:10:1\n    at f (main.ts:20:7)\n    at main.ts:30:1\n    \
                    at glue (main.ts:31:1)\n    at other.js:10:1\ncaused by E: (x)\n    at g (main.ts:40:2)";
        assert_eq!(
            trace(text, "main.ts", &Tens),
            "Error: at main.ts:10:1\n    at f (src/a b.ts:2:7)\n    at src/a b.ts:3:1\n    \
             at other.js:10:1\ncaused by E: (x)\n    at g (src/a b.ts:4:2)\n"
        );
    }

    #[test]
    fn what_cannot_be_read_stays() {
        for text in [
            "    at f (main.ts:99999999999:1)\n",
            "    at main.ts:1\n",
            "    at main.ts::\n",
            "    at )\n",
            "    at f (main.tsx:10:1)\n",
            "    at -1:-1\n",
            "",
        ] {
            assert_eq!(trace(text, "main.ts", &Tens), text);
        }
    }
}
