//! Values on their way out of a sandbox, and the room that they take.
//!
//! A guest's own encoder is in its memory, and so in its hands: what it sends as JSON
//! may be any text.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::value::RawValue;

/// Why a text is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValueError {
    /// Not JSON at all.
    #[error("it is not JSON")]
    NotJson,
    /// Half of a surrogate pair: JSON's grammar allows it, and no text can hold it.
    #[error("it holds half a surrogate pair")]
    Surrogate,
    /// Readers recurse.
    #[error("it is nested more than {DEEPEST} deep")]
    Depth,
}

/// Twice what the guest's own encoder produces.
const DEEPEST: usize = 200;

/// The value that a guest's text is: one line, exactly as written otherwise.
///
/// A line break between two tokens is valid JSON, and would let a value pretend to be
/// further lines where answers are told from each other by lines.
pub(crate) fn of(text: &str) -> Result<Box<RawValue>, ValueError> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|_| ValueError::NotJson)?;
    let mut line = String::with_capacity(raw.get().len());
    let mut rest = raw.get();
    let mut depth = 0;
    while let Some(quote) = rest.find('"') {
        depth = outside(&rest[..quote], depth, &mut line)?;
        let length = string(&rest[quote..])?;
        line.push_str(&rest[quote..quote + length]);
        rest = &rest[quote + length..];
    }
    outside(rest, depth, &mut line)?;
    RawValue::from_string(line).map_err(|_| ValueError::NotJson)
}

/// What stands between two strings, without white space; how deep it ends.
fn outside(text: &str, mut depth: usize, line: &mut String) -> Result<usize, ValueError> {
    for c in text.chars() {
        match c {
            ' ' | '\t' | '\n' | '\r' => continue,
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(ValueError::Depth);
        }
        line.push(c);
    }
    Ok(depth)
}

/// How long the string is that `text` begins with, quotes included.
fn string(text: &str) -> Result<usize, ValueError> {
    let bytes = text.as_bytes();
    // The four digits after `\u` at a place, if they are there.
    let unit = |at: usize| -> Option<u32> {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Ok(at + 1),
            b'\\' => match unit(at) {
                Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => at += 12,
                Some(0xd800..=0xdfff) => return Err(ValueError::Surrogate),
                _ => at += 2,
            },
            _ => at += 1,
        }
    }
    Err(ValueError::NotJson)
}

/// Bytes that are held for others, up to a limit.
#[derive(Debug)]
pub(crate) struct Bytes {
    held: AtomicUsize,
    most: usize,
}

impl Bytes {
    pub(crate) fn new(most: usize) -> Self {
        Self { held: AtomicUsize::new(0), most }
    }

    /// Holds so many until the answer is dropped; None if there is no room.
    pub(crate) fn hold(this: &Arc<Self>, count: usize) -> Option<Hold> {
        let more = |held: usize| held.checked_add(count).filter(|held| *held <= this.most);
        this.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Hold { bytes: this.clone(), count })
    }
}

/// Room that is taken.
#[derive(Debug)]
pub(crate) struct Hold {
    bytes: Arc<Bytes>,
    count: usize,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.bytes.held.fetch_sub(self.count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<String, ValueError> {
        of(text).map(|value| value.get().to_owned())
    }

    #[test]
    fn values_stay_as_they_are() {
        for text in [
            "null",
            "-0.5e-7",
            "123456789012345678901234567890",
            r#""a \" b \\ \u0041 \ud83d\ude00 \\ud800""#,
            r#"{"a":[1,{"b c":"d  e"}],"ä":"ö"}"#,
        ] {
            assert_eq!(line(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_value_is_one_line() {
        let forged = "[\n{\"id\":7,\r\"x\" : \" \"}\t,\n1 ]\n";
        assert_eq!(line(forged).as_deref(), Ok(r#"[{"id":7,"x":" "},1]"#));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for text in ["", "NaN", "1 2", "[1", "{}\n{}", "\"a\nb\"", r#""\x""#, "[1,]"] {
            assert_eq!(line(text), Err(ValueError::NotJson), "{text:?}");
        }
        for text in [r#""\ud800""#, r#""\udc00\ud800""#, r#""\ud83d\u0041""#, r#""\uDFFF""#] {
            assert_eq!(line(text), Err(ValueError::Surrogate), "{text:?}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(line(&deep), Err(ValueError::Depth));
    }

    #[test]
    fn room_is_given_back() {
        let bytes = Arc::new(Bytes::new(10));
        let first = Bytes::hold(&bytes, 6).unwrap();
        assert!(Bytes::hold(&bytes, 5).is_none() && Bytes::hold(&bytes, usize::MAX).is_none());
        drop(first);
        assert!(Bytes::hold(&bytes, 10).is_some());
    }
}
