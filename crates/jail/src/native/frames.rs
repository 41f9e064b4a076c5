//! Frames between host and guest: four bytes of length, the highest first, and JSON.

use capsule_backend::guest::Source;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Bytes of one frame, the length not counted. `channel.py` and `node/channel.js` in
/// `guests/native` have it too.
pub(super) const MOST: usize = 64 << 20;
/// No value that a guest makes is nested deeper; readers of JSON count on it.
const DEEPEST: usize = 120;

/// What a guest says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Said<'a> {
    /// The interpreter runs.
    Hello {},
    /// It wants a module of the program.
    Source { id: u64, name: String },
    /// It calls a task.
    Call { id: u64, task: String, arguments: String },
    /// It does not want an answer any more.
    Cancel { id: u64 },
    /// The task returned this.
    #[serde(borrow)]
    Done(&'a RawValue),
    /// The task raised this.
    Failed { kind: String, message: String, traceback: String },
}

/// What the host says after the start.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told<'a> {
    Answer(Answer<'a>),
}

#[derive(Serialize)]
pub(super) struct Answer<'a> {
    pub(super) id: u64,
    #[serde(flatten)]
    pub(super) what: What<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What<'a> {
    Module(Option<Module>),
    /// JSON text.
    Value(&'a str),
    Failure(Reason),
}

/// Why a call brought no value.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Reason {
    pub(super) kind: String,
    pub(super) message: String,
    /// A traceback, or a stable code.
    pub(super) detail: String,
}

#[derive(Serialize)]
pub(super) struct Module {
    path: String,
    is_package: bool,
    /// Each byte as the letter of that number: sources need not be UTF-8.
    source: String,
}

impl From<&Source> for Module {
    fn from(source: &Source) -> Self {
        Self {
            path: source.path.clone(),
            is_package: source.is_package,
            source: source.bytes.iter().map(|byte| char::from(*byte)).collect(),
        }
    }
}

/// Makes a frame; `None` when it would be too large.
pub(super) fn frame(message: &impl Serialize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message).ok()?;
    let length = bytes.len() - 4;
    if length > MOST {
        return None;
    }
    bytes[..4].copy_from_slice(&u32::try_from(length).ok()?.to_be_bytes());
    Some(bytes)
}

/// What has come of a guest's frames.
#[derive(Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
}

/// A frame that is longer than a frame may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Inbox {
    /// Where fresh bytes go. Memory grows with what came, not with what was announced.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Takes the first frame out, if it is complete.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        let Some(header) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*header) as usize;
        if length > MOST {
            return Err(TooLong);
        }
        if self.bytes.len() < 4 + length {
            return Ok(None);
        }
        let rest = self.bytes.split_off(4 + length);
        let mut frame = std::mem::replace(&mut self.bytes, rest);
        frame.drain(..4);
        Ok(Some(frame))
    }
}

/// Whether JSON text is nested deeper than anything that was made with care.
pub(super) fn is_too_deep(text: &str) -> bool {
    let (mut depth, mut is_text, mut is_escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'[' | b'{' if !is_text => depth += 1,
            b']' | b'}' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inbox(bytes: &[u8]) -> Inbox {
        Inbox { bytes: bytes.to_vec() }
    }

    #[test]
    fn frames_come_out_whole_and_in_order() {
        let mut inbox = inbox(b"\0\0\0\x02{}\0\0\0\0\0\0\0\x03[1");
        assert_eq!(inbox.next(), Ok(Some(b"{}".to_vec())));
        assert_eq!(inbox.next(), Ok(Some(Vec::new())));
        assert_eq!(inbox.next(), Ok(None));
        inbox.bytes().push(b']');
        assert_eq!(inbox.next(), Ok(Some(b"[1]".to_vec())));
        assert_eq!(inbox.next(), Ok(None));
    }

    #[test]
    fn a_length_is_refused_before_it_is_believed() {
        assert_eq!(inbox(&0x0400_0001u32.to_be_bytes()).next(), Err(TooLong));
        assert_eq!(inbox(&[0xff; 4]).next(), Err(TooLong));
        let mut largest = inbox(&0x0400_0000u32.to_be_bytes());
        assert_eq!(largest.next(), Ok(None));
        assert!(largest.bytes().capacity() < 1 << 16);
    }

    #[test]
    fn only_known_words_are_understood() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#""done""#,
            r#"{"done":1,"done":2}"#,
            r#"{"done":NaN}"#,
            r#"{"done":1}x"#,
            r#"{"hello":{"x":1}}"#,
            r#"{"call":{"id":-1,"task":"a","arguments":"{}"}}"#,
            r#"{"call":{"id":1,"task":"a"}}"#,
            r#"{"cancel":{"id":1e3}}"#,
            r#"{"failed":{"kind":"\ud800","message":"","traceback":""}}"#,
            r#"{"grant":{}}"#,
        ] {
            assert!(serde_json::from_str::<Said<'_>>(text).is_err(), "{text}");
        }
        let said = serde_json::from_slice(br#"{"done": {"a":[1.50]} }"#).unwrap();
        assert!(matches!(said, Said::Done(value) if value.get() == r#"{"a":[1.50]}"#));
    }

    #[test]
    fn depth_is_counted_outside_of_text() {
        assert!(is_too_deep(&"[".repeat(DEEPEST + 1)));
        assert!(!is_too_deep(&format!("\"{}\\\"[\"", "[".repeat(200))));
        assert!(!is_too_deep(&"[],".repeat(200)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut inbox = inbox(&bytes);
            while let Ok(Some(frame)) = inbox.next() {
                let _ = serde_json::from_slice::<Said<'_>>(&frame).is_ok();
            }
        }
    }
}
