//! An error as an outsider sees it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ErrorCode;

/// What failed, for people and programs. Host paths that the caller did not
/// name and errno values stay out of `message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stable code.
    pub code: ErrorCode,
    /// One sentence, lower case, no final period.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Facts for programs: `signal`, `limit`, `used`, `field`, …
    #[serde(default)]
    pub details: BTreeMap<String, String>,
}

impl Failure {
    /// A failure with a message and nothing else.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, details: BTreeMap::new() }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a fact for programs.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl ToString) -> Self {
        self.details.insert(name.to_owned(), value.to_string());
        self
    }
}

/// Text that may hold names which a stranger chose: control characters, which a
/// terminal would obey, are shown as escapes.
struct Printable<'a>(&'a str);

impl std::fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| match c.is_control() {
            true => write!(f, "{}", c.escape_unicode()),
            false => write!(f, "{c}"),
        })
    }
}

impl std::fmt::Display for Failure {
    /// `error[E2003]: message`, and the hint on a line of its own.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error[{}]: ", self.code)?;
        // Lines of the user's source are shown as such; indented, they cannot pass for ours.
        let lines = if self.code == ErrorCode::InvalidSource { usize::MAX } else { 1 };
        for (number, line) in self.message.splitn(lines, '\n').enumerate() {
            let indent = if number == 0 { "" } else { "\n  " };
            write!(f, "{indent}{}", Printable(line))?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {}", Printable(hint)),
            None => Ok(()),
        }
    }
}
