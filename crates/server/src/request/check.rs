//! The checks that types cannot make.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use capsule_spec::{ErrorCode, Failure};

/// A request whose values have to be looked at.
pub(super) trait Checked {
    fn check(&self) -> Result<(), Failure>;
}

/// Milliseconds that a command may take, if nothing else is said.
pub const TIMEOUT: u64 = 5_000;
/// Most milliseconds that a command may take whose caller waits for it.
pub const LONGEST_EXEC: u64 = 120_000;
/// Bytes of each stream that are kept, if nothing else is said.
pub const OUTPUT: u64 = 1 << 20;
/// Most bytes of each stream that are kept.
pub const MOST_OUTPUT: u64 = 10 << 20;
/// Milliseconds that a sandbox lives, if nothing else is said.
pub const TTL: u64 = 600_000;
/// Most milliseconds that a sandbox can be given at one time: 30 days.
pub const MOST_TIME: u64 = 30 * 24 * 3_600_000;
/// Most entries of a directory that are listed.
pub const MOST_ENTRIES: u64 = 100_000;
/// Where commands start, and where relative paths begin.
pub const DEFAULT_DIRECTORY: &str = "/workspace";

/// Most bytes of all arguments and variables together.
const MOST_ARGUMENTS: usize = 1 << 20;
/// Most arguments or variables.
const MOST_WORDS: usize = 4_096;
/// Longest path.
const LONGEST_PATH: usize = 4_095;

pub(super) fn range(name: &str, value: u64, least: u64, most: u64) -> Result<(), Failure> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let message = format!("{name} is {value}; it can be {least} to {most}");
    Err(invalid(name, message).detail("limit", if value < least { least } else { most }))
}

pub(super) fn invalid(field: &str, message: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::InvalidValue, message).detail("field", field)
}

/// An id that no sandbox can have is answered like one that none has.
pub(super) fn id(id: &str) -> Result<(), Failure> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if (1..=64).contains(&id.len()) && id.bytes().all(is_name) {
        return Ok(());
    }
    Err(no_sandbox(id))
}

pub(crate) fn no_sandbox(id: &str) -> Failure {
    let shown: String = id.chars().take(64).collect();
    Failure::new(ErrorCode::SandboxNotFound, format!("there is no sandbox {shown:?}"))
}

pub(super) fn command(cmd: &[String]) -> Result<(), Failure> {
    if cmd.first().is_none_or(String::is_empty) {
        let failure = Failure::new(ErrorCode::MissingCommand, "cmd is empty");
        return Err(failure.detail("field", "cmd"));
    }
    if cmd.len() > MOST_WORDS || cmd.iter().map(String::len).sum::<usize>() > MOST_ARGUMENTS {
        let message = format!("cmd has more than {MOST_WORDS} words or {MOST_ARGUMENTS} bytes");
        return Err(invalid("cmd", message).hint("write a file and name it in cmd"));
    }
    // One argument of execve is bounded by the kernel: MAX_ARG_STRLEN.
    if cmd.iter().any(|word| word.len() >= 128 << 10) {
        return Err(invalid("cmd", "cmd has a word of 128 KiB or more, which no process can get")
            .hint("write a file and name it in cmd"));
    }
    no_nul("cmd", cmd.iter())
}

pub(crate) fn environment(env: &BTreeMap<String, String>) -> Result<(), Failure> {
    let bytes: usize = env.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    if env.len() > MOST_WORDS || bytes > MOST_ARGUMENTS {
        let message = format!("env has more than {MOST_WORDS} variables or {MOST_ARGUMENTS} bytes");
        return Err(invalid("env", message));
    }
    if let Some(name) = env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        let message = format!("env has the name {name:?}, which no variable can have");
        return Err(invalid("env", message));
    }
    no_nul("env", env.values())
}

fn no_nul<'a>(field: &str, mut words: impl Iterator<Item = &'a String>) -> Result<(), Failure> {
    match words.any(|word| word.contains('\0')) {
        true => Err(invalid(field, format!("{field} holds a NUL character"))),
        false => Ok(()),
    }
}

pub(super) fn path(field: &str, path: &str) -> Result<(), Failure> {
    let fault = if path.is_empty() {
        "is empty"
    } else if path.len() > LONGEST_PATH {
        "is longer than 4095 bytes"
    } else if path.contains('\0') {
        "holds a NUL character"
    } else {
        return Ok(());
    };
    let failure = Failure::new(ErrorCode::InvalidPath, format!("{field} {fault}"));
    Err(failure.detail("field", field))
}

/// A path as the sandbox gets it: a relative one begins in the workspace.
pub(crate) fn absolute(path: &str) -> String {
    match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("{DEFAULT_DIRECTORY}/{path}"),
    }
}

pub(super) fn both(first: (&str, bool), second: (&str, bool)) -> Result<(), Failure> {
    if !(first.1 && second.1) {
        return Ok(());
    }
    let message = format!("{} and {} are both given", first.0, second.0);
    Err(Failure::new(ErrorCode::ConflictingOptions, message))
}

/// Bytes that came as base64.
pub(crate) fn decoded(field: &str, text: &str) -> Result<Vec<u8>, Failure> {
    // Megabytes go through here; the slow one says what is wrong, and where.
    base64_simd::STANDARD.decode_to_vec(text).or_else(|_| {
        STANDARD.decode(text).map_err(|error| {
            invalid(field, format!("{field} is not base64: {error}"))
                .hint("standard alphabet, padded with \"=\", without line breaks")
        })
    })
}

/// Labels and metadata: a few short strings.
pub(super) fn labels(field: &str, labels: &BTreeMap<String, String>) -> Result<(), Failure> {
    let bytes: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
    match labels.len() > 64 || bytes > 16 << 10 {
        true => Err(invalid(field, format!("{field} has more than 64 entries or 16 KiB"))),
        false => Ok(()),
    }
}
