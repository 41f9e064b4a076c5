//! What the processes of a worker say to each other, in the caller's frames.
//!
//! | from | frame |
//! |---|---|
//! | front | `{request, made}`: a request, with what the front found and made for it |
//! | runner | `{ready: true}` or `{failed}`, once |
//! | runner | an answer as the caller gets it |
//!
//! A runner trusts the front. The front trusts no runner: guests run there. What is no
//! answer to a question of that runner is the end of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use capsule_engine::{Language, MountOption, Project};
use capsule_spec::Failure;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::request::Request;
use crate::program;
use crate::script::Bundled;

/// What a runner is started for: its first argument, in JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    /// The caller's folder.
    pub(super) caller: PathBuf,
    pub(super) program: Program,
    pub(super) mounts: Vec<String>,
    /// Whether tasks may run in jails.
    pub(super) has_native: bool,
    /// The same of the other programs that it may call, by their names.
    pub(super) others: BTreeMap<String, bool>,
    /// Where the files of its sessions are.
    pub(super) sessions: Option<PathBuf>,
}

/// What a runner runs first; others with the same place may follow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Program {
    /// None: the entry point of the caller's folder.
    File(Option<String>),
    /// Text in Python.
    Python,
    /// Text in TypeScript or JavaScript.
    JavaScript,
}

impl Order {
    /// What its processes are made ready for.
    pub(super) fn open(&self) -> Result<Project, Failure> {
        let text = |name, language| Project::of_text(&self.caller, name, language, Vec::new());
        let mounts = mounts(&self.mounts)?;
        match &self.program {
            Program::File(file) => program::open(&self.caller, file.as_deref(), &mounts),
            Program::Python => program::mounted(text("nothing.py", Language::Python), &mounts),
            Program::JavaScript => {
                program::mounted(text("nothing.js", Language::JavaScript), &mounts)
            }
        }
    }
}

pub(super) fn mounts(texts: &[String]) -> Result<Vec<MountOption>, Failure> {
    let read = |text: &String| {
        text.parse().map_err(|error| {
            Failure::new(capsule_spec::ErrorCode::InvalidValue, format!("mounts: {error}"))
        })
    };
    texts.iter().map(read).collect()
}

/// A request on its way to a runner.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask<'a> {
    #[serde(borrow)]
    pub(super) request: Request<'a>,
    #[serde(default)]
    pub(super) made: Made,
}

/// What the front found and made for a request.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Made {
    /// The program's file, where the request leaves it to the caller's `capsule.toml`, which
    /// a runner may not be able to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    /// Scripts, by the names of programs; that of the program itself has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) bundles: BTreeMap<String, Bundled>,
    /// Where the files of the session are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) workspace: Option<PathBuf>,
}

impl Ask<'_> {
    /// The frame. `request` is JSON already, whose numbers keep every digit.
    pub(super) fn frame(request: &[u8], made: &Made) -> serde_json::Result<Vec<u8>> {
        let mut frame = Vec::with_capacity(request.len() + 64);
        frame.extend_from_slice(b"{\"request\":");
        frame.extend_from_slice(request);
        frame.extend_from_slice(b",\"made\":");
        serde_json::to_writer(&mut frame, made)?;
        frame.push(b'}');
        Ok(frame)
    }
}

/// The first word of a runner.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Start {
    /// It is locked down, and takes requests.
    Ready(bool),
    /// There is nothing to run guests with.
    Failed(Failure),
}

/// An answer of a runner, as far as the front looks at it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answered<'a> {
    pub(super) id: u64,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    envelope: Option<&'a RawValue>,
    done: Option<bool>,
    error: Option<Failure>,
}

impl Answered<'_> {
    pub(super) fn is_envelope(&self) -> bool {
        self.envelope.is_some()
    }

    pub(super) fn is_done(&self) -> bool {
        self.done == Some(true)
    }

    pub(super) fn is_error(&self) -> bool {
        self.error.is_some()
    }

    /// Whether more comes for this number; none if it is no answer.
    pub(super) fn is_output(&self) -> Option<bool> {
        let last = [self.envelope.is_some(), self.done.is_some(), self.error.is_some()];
        match (self.output.is_some(), last.into_iter().filter(|is| *is).count()) {
            (true, 0) => Some(true),
            (false, 1) => Some(false),
            _ => None,
        }
    }
}

/// The request that tells a runner what later requests may grant.
pub(super) fn environment(variables: &BTreeMap<String, String>) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Environment<'a> {
        op: Cow<'a, str>,
        variables: &'a BTreeMap<String, String>,
    }
    let request = serde_json::to_vec(&Environment { op: "environment".into(), variables })?;
    Ask::frame(&request, &Made::default())
}

/// The request that ends another.
pub(super) fn cancel(id: u64) -> Vec<u8> {
    format!("{{\"request\":{{\"id\":{id},\"op\":\"cancel\"}}}}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_arrives_as_it_was() {
        let request = br#"{"id": 7, "op": "run", "args": [1e400], "source": "\"}"}"#;
        let made = Made { workspace: Some("/tmp/a \"b\"".into()), ..Made::default() };
        let frame = Ask::frame(request, &made).unwrap();
        let ask: Ask<'_> = serde_json::from_slice(&frame).unwrap();
        assert_eq!(ask.request.id, Some(7));
        assert_eq!(ask.request.args.unwrap().get(), "[1e400]");
        assert_eq!(ask.made.workspace, made.workspace);
        assert!(ask.made.bundles.is_empty() && ask.made.file.is_none());
    }

    #[test]
    fn answers_that_are_none_are_known() {
        let of = |json: &str| serde_json::from_str::<Answered<'_>>(json).ok()?.is_output();
        assert_eq!(of(r#"{"id": 1, "output": {"channel": "stdout"}}"#), Some(true));
        assert_eq!(of(r#"{"id": 1, "envelope": {}}"#), Some(false));
        assert_eq!(of(r#"{"id": 1, "done": true}"#), Some(false));
        for json in [
            r#"{"id": 1}"#,
            r#"{"id": null, "done": true}"#,
            r#"{"id": 1, "output": {}, "done": true}"#,
            r#"{"id": 1, "envelope": {}, "done": true}"#,
            r#"{"id": 1, "id": 2, "done": true}"#,
            r#"{"id": 1, "done": true, "more": 1}"#,
            r#"{"hello": {}}"#,
            "[]",
            "",
        ] {
            assert_eq!(of(json), None, "{json}");
        }
    }

    #[test]
    fn words_to_a_runner_are_requests() {
        let variables = [("A".to_owned(), "1".to_owned())].into();
        let frame = environment(&variables).unwrap();
        let ask: Ask<'_> = serde_json::from_slice(&frame).unwrap();
        assert_eq!((&*ask.request.op, ask.request.variables), ("environment", variables));
        let frame = cancel(9);
        let ask: Ask<'_> = serde_json::from_slice(&frame).unwrap();
        assert_eq!((&*ask.request.op, ask.request.id), ("cancel", Some(9)));
    }
}
