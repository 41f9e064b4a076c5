//! Processes with numbers, which outlive the request that started them.

use std::collections::BTreeMap;

use capsule_spec::Failure;
use serde::{Deserialize, Serialize};

use super::check::{self, Checked, LONGEST_EXEC, MOST_TIME, TIMEOUT};

/// A process to start.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The sandbox.
    pub id: String,
    /// The program and its arguments. No shell reads them.
    pub cmd: Vec<String>,
    /// Where it starts.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Variables, over those of the sandbox and the context.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The shell context whose directory and variables it gets.
    #[serde(default)]
    pub context: Option<String>,
    /// A terminal of this size in place of three pipes.
    #[serde(default)]
    pub terminal: Option<Size>,
    /// Milliseconds after which it is killed; none as long as the sandbox lives.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Whom to tell when it has ended.
    #[serde(default)]
    pub webhook: Option<Webhook>,
}

/// Where the end of a process is told, with `POST`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// `https://` or `http://`, without a user name.
    pub url: String,
    /// What the signature is made with. Without it there is none.
    #[serde(default)]
    pub secret: Option<String>,
}

impl Webhook {
    fn check(&self) -> Result<(), Failure> {
        if crate::webhook::Url::parse(&self.url).is_none() {
            let message = "webhook.url is no address of http or https";
            return Err(check::invalid("webhook", message)
                .hint("https://HOST/PATH, without a user name, at most 2048 characters"));
        }
        let length = self.secret.as_ref().map_or(1, String::len) as u64;
        check::range("the length of webhook.secret", length, 1, 256)
    }
}

impl Checked for Start {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        check::command(&self.cmd)?;
        self.cwd.as_deref().map_or(Ok(()), |cwd| check::path("cwd", cwd))?;
        check::environment(&self.env)?;
        if let Some(size) = self.terminal {
            size.check()?;
        }
        self.webhook.as_ref().map_or(Ok(()), Webhook::check)?;
        self.timeout_ms.map_or(Ok(()), |time| check::range("timeout_ms", time, 1, MOST_TIME))
    }
}

/// A command whose output is told as it comes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExecStream {
    /// The sandbox.
    pub id: String,
    /// The program and its arguments. No shell reads them.
    pub cmd: Vec<String>,
    /// Where it starts.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Variables, over those of the sandbox and the context.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Milliseconds after which it and all that it started is killed; up to 30 days, since it
    /// ends with its stream.
    #[serde(default = "timeout")]
    pub timeout_ms: u64,
    /// The shell context whose directory and variables it gets.
    #[serde(default)]
    pub context: Option<String>,
    /// A terminal of this size in place of three pipes.
    #[serde(default)]
    pub terminal: Option<Size>,
    /// Whether its input stays open, for `sandbox.v1.input` or the WebSocket.
    #[serde(default)]
    pub input: bool,
}

fn timeout() -> u64 {
    TIMEOUT
}

impl Checked for ExecStream {
    fn check(&self) -> Result<(), Failure> {
        self.clone().into_start().check()
    }
}

impl ExecStream {
    pub(crate) fn into_start(self) -> Start {
        Start {
            id: self.id,
            cmd: self.cmd,
            cwd: self.cwd,
            env: self.env,
            context: self.context,
            terminal: self.terminal,
            timeout_ms: Some(self.timeout_ms),
            webhook: None,
        }
    }
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Size {
    pub columns: u16,
    pub rows: u16,
}

impl Size {
    pub(crate) fn check(self) -> Result<(), Failure> {
        check::range("columns", u64::from(self.columns), 1, 1_000)?;
        check::range("rows", u64::from(self.rows), 1, 1_000)
    }
}

/// A process that was started.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Started {
    /// Its number in the sandbox.
    pub process: u64,
}

/// The sandbox whose processes are listed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ListProcesses {
    /// The sandbox.
    pub id: String,
}

impl Checked for ListProcesses {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)
    }
}

/// Processes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProcessesAnswer {
    /// Ordered by number.
    pub processes: Vec<ProcessAnswer>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProcessAnswer {
    /// Its number.
    pub process: u64,
    /// What it runs; empty if an earlier server did not tell.
    pub cmd: Vec<String>,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// How it ended, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Exit {
    /// Its exit code; 128 and the signal if one ended it; 124 after the timeout.
    pub exit_code: i32,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Whether the timeout ended it.
    pub timed_out: bool,
    /// Whether the memory limit ended it.
    pub out_of_memory: bool,
    /// From its start to its end.
    pub duration_ms: u64,
}

/// A process to listen to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// The sandbox.
    pub id: String,
    /// Its number.
    pub process: u64,
    /// From where on: the `next` of the last event that came. What is kept no more is
    /// told as a gap.
    #[serde(default)]
    pub offset: u64,
}

/// An event of a process. In server-sent events its `event` is the name of the field that
/// is there, and `id` is `next`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OutputEvent {
    /// The process runs.
    Started {
        /// Its number.
        process: u64,
    },
    /// Standard output, or the terminal's.
    Stdout {
        /// Base64.
        data: String,
        /// Where the next piece begins.
        next: u64,
    },
    /// Standard error.
    Stderr {
        /// Base64.
        data: String,
        /// Where the next piece begins.
        next: u64,
    },
    /// Output that is not kept any more.
    Gap {
        /// How much of it.
        bytes: u64,
        /// Where the next piece begins.
        next: u64,
    },
    /// It has ended, and this is the last event.
    Exit(Exit),
}

/// A process to wait for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// The sandbox.
    pub id: String,
    /// Its number.
    pub process: u64,
    /// Milliseconds to wait at most; up to 120000.
    #[serde(default = "timeout")]
    pub timeout_ms: u64,
}

/// Whether and how a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Exited {
    /// None: it still runs.
    pub exit: Option<Exit>,
}

/// Bytes for a process.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The sandbox.
    pub id: String,
    /// Its number.
    pub process: u64,
    /// Base64.
    pub data: String,
    /// Milliseconds after which an input that the process does not read is an error.
    #[serde(default = "timeout")]
    pub timeout_ms: u64,
}

/// A process whose input ends.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CloseInput {
    /// The sandbox.
    pub id: String,
    /// Its number.
    pub process: u64,
}

/// A signal to send.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// The sandbox.
    pub id: String,
    /// Its number.
    pub process: u64,
    /// The signal's number; 9 is SIGKILL.
    #[serde(default = "sigkill")]
    pub signal: i32,
    /// Whether it reaches all that the process started.
    #[serde(default = "yes")]
    pub tree: bool,
}

fn sigkill() -> i32 {
    libc::SIGKILL
}

fn yes() -> bool {
    true
}

/// A new size for a terminal.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Resize {
    /// The sandbox.
    pub id: String,
    /// The number of the process.
    pub process: u64,
    pub columns: u16,
    pub rows: u16,
}

impl Checked for Resize {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        Size { columns: self.columns, rows: self.rows }.check()
    }
}

impl Checked for Kill {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        match (1..=64).contains(&self.signal) {
            true => Ok(()),
            false => {
                let message = format!("signal is {}; it can be 1 to 64", self.signal);
                Err(check::invalid("signal", message))
            }
        }
    }
}

impl Checked for Wait {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        check::range("timeout_ms", self.timeout_ms, 0, LONGEST_EXEC)
    }
}

impl Checked for Input {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        check::range("timeout_ms", self.timeout_ms, 1, LONGEST_EXEC)
    }
}

impl Checked for CloseInput {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)
    }
}

impl Checked for Attach {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)
    }
}
