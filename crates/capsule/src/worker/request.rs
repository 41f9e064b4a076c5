//! What a frame may ask, and what is answered.
//!
//! | frame | answer |
//! |---|---|
//! | `{id, op: "run", file or source, name, language, args, kwargs, task, mounts, cwd}` | `{id, envelope}` |
//! | `{id, op: "evaluate", code, name, language, session, options, mounts, cwd}` | `{id, envelope}` |
//! | `{id, op: "reset" or "close", session}` | `{id, done}` |
//! | `{id, op: "import" or "export", session, from, to, cwd}` | `{id, done}` |
//! | `{id, op: "delete", session, path}` | `{id, done}` |
//! | `{id, op: "cancel"}`: ends what was asked under this number | that one's |
//! | `{op: "environment", variables}`: what later requests may grant | none |
//!
//! Before the answer come any number of `{id, output: {channel, text or base64}}`. What is
//! refused is answered `{id, error: {code, message, hint}}`, with `id: null` if the frame
//! does not tell its number. The first frame of all is `{hello: {version, protocol}}`.
//! A number may come again as soon as it is answered, but not that of a request that was
//! cancelled: what is left of that may still be on its way.
//!
//! `language` is `python`, `typescript` or `javascript`: that of the source or the code. Without
//! it the ending of the `name` tells, and without an ending it is Python. A program that is
//! text imports packages that are installed for `cwd`, and nothing else of it.
//!
//! An `evaluate` without a session runs in a sandbox of its own. The first one that names
//! a session makes it, with the language, options and mounts that it brings, and so does
//! one that asks for something to be done to it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use capsule_backend::guest::Channel;
use capsule_engine::Answer;
use capsule_spec::{Envelope, ErrorCode, Failure};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::frame::{self, Outgoing};

/// Changes when an old client could misunderstand.
pub(super) const PROTOCOL: u32 = 1;

/// A frame that came in. Which fields an `op` reads is told above; an unknown field is an
/// error, one that the `op` does not read is not.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Request<'a> {
    pub(super) id: Option<u64>,
    #[serde(borrow)]
    pub(super) op: Cow<'a, str>,
    pub(super) file: Option<String>,
    pub(super) source: Option<String>,
    pub(super) name: Option<String>,
    pub(super) language: Option<String>,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) kwargs: Option<&'a RawValue>,
    pub(super) task: Option<String>,
    pub(super) mounts: Vec<String>,
    pub(super) cwd: Option<String>,
    pub(super) session: Option<String>,
    pub(super) code: Option<String>,
    pub(super) options: serde_json::Map<String, serde_json::Value>,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) path: Option<String>,
    pub(super) variables: BTreeMap<String, String>,
}

impl Request<'_> {
    /// `{"args": […], "kwargs": {…}}`, untouched: numbers keep every digit.
    pub(super) fn arguments(&self) -> Result<String, Failure> {
        let args = self.args.map_or("[]", RawValue::get);
        let kwargs = self.kwargs.map_or("{}", RawValue::get);
        if !args.starts_with('[') || !kwargs.starts_with('{') {
            let message = "args must be a list and kwargs an object";
            return Err(Failure::new(ErrorCode::InvalidRequest, message));
        }
        Ok(format!("{{\"args\":{args},\"kwargs\":{kwargs}}}"))
    }
}

/// A field that an `op` cannot do without.
pub(super) fn needed<T>(field: &Option<T>, name: &str) -> Result<T, Failure>
where
    T: Clone,
{
    let missing = || Failure::new(ErrorCode::InvalidRequest, format!("the request has no {name}"));
    field.clone().ok_or_else(missing)
}

/// A frame that goes out. `id` comes first, so that a reader finds it without reading all.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Reply<'a> {
    Hello { hello: Hello },
    Envelope { id: u64, envelope: Envelope<Box<RawValue>> },
    Output { id: u64, output: Piece<'a> },
    Done { id: u64, done: bool },
    Error { id: Option<u64>, error: Failure },
}

impl Reply<'_> {
    /// Sends it; in place of an answer that is too large, that it is.
    pub(super) fn send_to(&self, outgoing: &Outgoing) {
        let write = |frame: &mut Vec<u8>| {
            serde_json::to_writer(frame, self).expect("a reply is JSON, and memory takes all");
        };
        if !outgoing.send(write)
            && let Reply::Envelope { id, .. } = self
        {
            let message = format!("the answer is larger than {} bytes", frame::MOST);
            let failure =
                Failure::new(ErrorCode::OutputLimit, message).hint("write large results to a file");
            Reply::answer(*id, Answer::refused("main", failure)).send_to(outgoing);
        }
    }

    pub(super) fn answer(id: u64, answer: Answer) -> Self {
        Self::Envelope { id, envelope: answer.into_envelope() }
    }
}

#[derive(Serialize)]
pub(super) struct Hello {
    pub(super) version: &'static str,
    pub(super) protocol: u32,
}

#[derive(Serialize)]
pub(super) struct Piece<'a> {
    channel: &'static str,
    #[serde(flatten)]
    bytes: Bytes<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Bytes<'a> {
    Text(&'a str),
    Base64(String),
}

impl<'a> Piece<'a> {
    pub(super) fn new(channel: Channel, bytes: &'a [u8]) -> Self {
        let channel = match channel {
            Channel::Stdout => "stdout",
            Channel::Stderr => "stderr",
        };
        let bytes = match std::str::from_utf8(bytes) {
            Ok(text) => Bytes::Text(text),
            Err(_) => Bytes::Base64(base64(bytes)),
        };
        Self { channel, bytes }
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            match digit <= group.len() {
                true => text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63])),
                false => text.push('='),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_one_of_the_rfc() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe]), "//4=");
    }

    #[test]
    fn arguments_keep_every_digit() {
        let json = r#"{"id": 1, "op": "run", "args": [1e400, 123456789012345678901234567890], "kwargs": {"a": 1.10}}"#;
        let request: Request<'_> = serde_json::from_str(json).unwrap();
        let expected = r#"{"args":[1e400, 123456789012345678901234567890],"kwargs":{"a": 1.10}}"#;
        assert_eq!(request.arguments().unwrap(), expected);
    }

    #[test]
    fn odd_requests_are_refused() {
        for json in ["{\"id\": -1}", "{\"ids\": 1}", "{\"id\": 1, \"id\": 2}", "\"run\"", ""] {
            assert!(serde_json::from_str::<Request<'_>>(json).is_err(), "{json}");
        }
        for json in [r#"{"args": {}}"#, r#"{"kwargs": []}"#, r#"{"args": "[]"}"#] {
            let request: Request<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(request.arguments().unwrap_err().code, ErrorCode::InvalidRequest, "{json}");
        }
    }
}
