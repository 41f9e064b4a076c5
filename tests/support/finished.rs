//! A run that is over.

use std::time::Duration;

use serde_json::Value;

/// A run that is over and has left nothing behind.
#[derive(Debug)]
pub struct Finished {
    /// The exit code, unless a signal ended the binary itself.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// From the start to the end of the binary.
    pub took: Duration,
}

impl Finished {
    /// Standard output as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("the output is UTF-8")
    }

    /// Standard error as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    #[track_caller]
    pub fn errors(&self) -> &str {
        std::str::from_utf8(&self.stderr).expect("the error output is UTF-8")
    }

    /// Demands an exit code.
    ///
    /// # Panics
    /// When it was another one.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// The one JSON object that standard output holds.
    ///
    /// # Panics
    /// When it holds less, more or something else.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.stdout) {
            Ok(value @ Value::Object(_)) => value,
            other => panic!("not exactly one JSON object: {other:?}\n{self}"),
        }
    }

    /// `status` and `error.code` of the JSON answer.
    ///
    /// # Panics
    /// When there is no such answer.
    #[track_caller]
    pub fn verdict(&self) -> (String, String) {
        let answer = self.json();
        let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        (text(&answer["status"]), text(&answer["error"]["code"]))
    }

    /// The code of `error[CODE]: …` on standard error, if there is one.
    pub fn error_code(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.stderr);
        let line = text.lines().find(|line| line.starts_with("error["))?;
        Some(line.strip_prefix("error[")?.split_once("]: ")?.0.to_owned())
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "exit code {:?} after {:?}", self.code, self.took)?;
        writeln!(f, "--- stdout\n{}", String::from_utf8_lossy(&self.stdout))?;
        writeln!(f, "--- stderr\n{}", String::from_utf8_lossy(&self.stderr))
    }
}
