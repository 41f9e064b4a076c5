//! Commands whose caller waits for their end, and what is carried from one to the next.

use std::collections::BTreeMap;

use capsule_spec::Failure;
use serde::{Deserialize, Serialize};

use super::check::{self, Checked, LONGEST_EXEC, MOST_OUTPUT, OUTPUT, TIMEOUT};

/// A command to run to its end.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// The sandbox.
    pub id: String,
    /// The program and its arguments. No shell reads them.
    pub cmd: Vec<String>,
    /// Where it starts. Default: the context's directory, or `/workspace`.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Variables, over those of the sandbox and the context.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Milliseconds after which it and all that it started is killed; 1 to 120000.
    #[serde(default = "timeout")]
    pub timeout_ms: u64,
    /// Bytes of standard output that are kept, up to 10 MiB.
    #[serde(default = "output")]
    pub max_stdout_bytes: u64,
    /// Bytes of standard error that are kept, up to 10 MiB.
    #[serde(default = "output")]
    pub max_stderr_bytes: u64,
    /// What it reads on standard input, as text. Without it, it reads nothing.
    #[serde(default)]
    pub stdin: Option<String>,
    /// The same as bytes.
    #[serde(default)]
    pub stdin_base64: Option<String>,
    /// Whether the answer also carries the output as base64.
    #[serde(default)]
    pub base64: bool,
    /// The shell context that it runs in.
    #[serde(default)]
    pub context: Option<String>,
}

fn timeout() -> u64 {
    TIMEOUT
}

fn output() -> u64 {
    OUTPUT
}

impl Checked for Exec {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        check::command(&self.cmd)?;
        self.cwd.as_deref().map_or(Ok(()), |cwd| check::path("cwd", cwd))?;
        check::environment(&self.env)?;
        check::range("timeout_ms", self.timeout_ms, 1, LONGEST_EXEC)?;
        check::range("max_stdout_bytes", self.max_stdout_bytes, 0, MOST_OUTPUT)?;
        check::range("max_stderr_bytes", self.max_stderr_bytes, 0, MOST_OUTPUT)?;
        let (text, bytes) = (self.stdin.is_some(), self.stdin_base64.is_some());
        check::both(("stdin", text), ("stdin_base64", bytes))?;
        self.context.as_deref().map_or(Ok(()), context)
    }
}

impl Exec {
    /// What it reads on standard input.
    pub(crate) fn input(&self) -> Result<Option<Vec<u8>>, Failure> {
        match (&self.stdin, &self.stdin_base64) {
            (Some(text), _) => Ok(Some(text.clone().into_bytes())),
            (None, Some(text)) => check::decoded("stdin_base64", text).map(Some),
            (None, None) => Ok(None),
        }
    }
}

fn context(name: &str) -> Result<(), Failure> {
    check::range("the length of context", name.len() as u64, 1, 64)
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExecAnswer {
    /// Standard output as text. What is not UTF-8 is shown as U+FFFD.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
    /// Its exit code; 128 and the signal if one ended it; 124 after the timeout.
    pub exit_code: i32,
    /// Whether the timeout ended it.
    pub timed_out: bool,
    /// Whether it wrote more than was kept.
    pub stdout_truncated: bool,
    /// Whether it wrote more than was kept.
    pub stderr_truncated: bool,
    /// From its start to its end.
    pub duration_ms: u64,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Whether the memory limit ended it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub out_of_memory: bool,
    /// Standard output as it was, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout_base64: Option<String>,
    /// Standard error as it was, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr_base64: Option<String>,
}

/// Source text to run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RunCode {
    /// The sandbox.
    pub id: String,
    /// The source text, less than 128 KiB.
    pub code: String,
    /// Its language. Default: the template's.
    #[serde(default)]
    pub language: Option<Language>,
    /// Where it starts.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// As for a command.
    #[serde(default = "timeout")]
    pub timeout_ms: u64,
    /// As for a command.
    #[serde(default = "output")]
    pub max_stdout_bytes: u64,
    /// As for a command.
    #[serde(default = "output")]
    pub max_stderr_bytes: u64,
    /// As for a command.
    #[serde(default)]
    pub base64: bool,
    /// The shell context that it runs in. Shell code leaves its working directory and
    /// its exported variables there for the next.
    #[serde(default)]
    pub context: Option<String>,
}

impl Checked for RunCode {
    fn check(&self) -> Result<(), Failure> {
        if self.code.len() >= 128 << 10 || self.code.contains('\0') {
            let message = "code is 128 KiB or longer, or holds a NUL character";
            return Err(check::invalid("code", message).hint("write a file and run it"));
        }
        let exec = self.clone().into_exec(vec!["code".to_owned()]);
        exec.check()
    }
}

impl RunCode {
    /// The command that runs it.
    pub(crate) fn into_exec(self, cmd: Vec<String>) -> Exec {
        Exec {
            id: self.id,
            cmd,
            cwd: self.cwd,
            env: self.env,
            timeout_ms: self.timeout_ms,
            max_stdout_bytes: self.max_stdout_bytes,
            max_stderr_bytes: self.max_stderr_bytes,
            stdin: None,
            stdin_base64: None,
            base64: self.base64,
            context: self.context,
        }
    }
}

/// Languages of source text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// `python3 -c`
    #[serde(alias = "python3")]
    Python,
    /// `node -e`
    #[serde(alias = "node", alias = "js")]
    JavaScript,
    /// `go run` of one file
    #[serde(alias = "golang")]
    Go,
    /// `/bin/sh -c`
    #[serde(alias = "sh", alias = "bash")]
    Shell,
}

/// Commands to run, one after the other.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// The sandbox.
    pub id: String,
    /// At most 100 of them.
    pub commands: Vec<BatchCommand>,
    /// Whether the first that fails or times out is the last that runs.
    #[serde(default = "yes")]
    pub stop_on_failure: bool,
}

fn yes() -> bool {
    true
}

/// One of several commands. Its fields are those of `sandbox.v1.exec`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as in Exec")]
pub struct BatchCommand {
    pub cmd: Vec<String>,
    #[serde(default)]
    pub cwd: Option<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default = "timeout")]
    pub timeout_ms: u64,
    #[serde(default = "output")]
    pub max_stdout_bytes: u64,
    #[serde(default = "output")]
    pub max_stderr_bytes: u64,
    #[serde(default)]
    pub stdin: Option<String>,
    #[serde(default)]
    pub stdin_base64: Option<String>,
    #[serde(default)]
    pub base64: bool,
    #[serde(default)]
    pub context: Option<String>,
}

impl BatchCommand {
    pub(crate) fn in_sandbox(self, id: String) -> Exec {
        Exec {
            id,
            cmd: self.cmd,
            cwd: self.cwd,
            env: self.env,
            timeout_ms: self.timeout_ms,
            max_stdout_bytes: self.max_stdout_bytes,
            max_stderr_bytes: self.max_stderr_bytes,
            stdin: self.stdin,
            stdin_base64: self.stdin_base64,
            base64: self.base64,
            context: self.context,
        }
    }
}

impl Checked for Batch {
    fn check(&self) -> Result<(), Failure> {
        check::range("the number of commands", self.commands.len() as u64, 1, 100)?;
        let kept: u64 =
            self.commands.iter().map(|one| one.max_stdout_bytes + one.max_stderr_bytes).sum();
        for (number, command) in self.commands.iter().enumerate() {
            let checked = command.clone().in_sandbox(self.id.clone()).check();
            checked.map_err(|failure| failure.detail("command", number))?;
        }
        check::range("the sum of max_stdout_bytes and max_stderr_bytes", kept, 0, 256 << 20)
    }
}

/// How commands ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BatchAnswer {
    /// Of those that ran, in order.
    pub results: Vec<ExecAnswer>,
    /// Whether all ran.
    pub complete: bool,
    /// Why the last one could not even start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<serde_json::Value>"))]
    pub error: Option<Failure>,
}

/// Variables for what is started later.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetEnv {
    /// The sandbox.
    pub id: String,
    /// Names and values.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Names to forget.
    #[serde(default)]
    pub unset: Vec<String>,
}

impl Checked for SetEnv {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        check::environment(&self.env)
    }
}

/// A shell context to open, or to set anew.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenContext {
    /// The sandbox.
    pub id: String,
    /// Its name; 1 to 64 bytes.
    pub context: String,
    /// Where its commands start.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Its variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

impl Checked for OpenContext {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        context(&self.context)?;
        self.cwd.as_deref().map_or(Ok(()), |cwd| check::path("cwd", cwd))?;
        check::environment(&self.env)
    }
}
