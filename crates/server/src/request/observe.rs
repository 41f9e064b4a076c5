//! What happened and what is used.

use capsule_spec::Failure;
use serde::{Deserialize, Serialize};

use super::check::{self, Checked};

/// Which executions to find.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// Of this sandbox, which may have ended.
    #[serde(default)]
    pub id: Option<String>,
    /// Whose command, output or error holds this text.
    #[serde(default)]
    pub contains: Option<String>,
    /// Only those that failed, timed out or were lost.
    #[serde(default)]
    pub failed: bool,
    /// Only those of this kind.
    #[serde(default)]
    pub kind: Option<ExecutionKind>,
    /// At most so many.
    #[serde(default = "hundred")]
    pub limit: u64,
    /// Those before this number: the smallest of the page before.
    #[serde(default)]
    pub before: Option<u64>,
}

fn hundred() -> u64 {
    100
}

impl Checked for Logs {
    fn check(&self) -> Result<(), Failure> {
        self.id.as_deref().map_or(Ok(()), check::id)?;
        check::range("limit", self.limit, 1, 1_000)?;
        let length = self.contains.as_ref().map_or(0, String::len) as u64;
        check::range("the length of contains", length, 0, 1_000)
    }
}

/// How an execution was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ExecutionKind {
    /// `sandbox.v1.exec`
    Exec,
    /// `sandbox.v1.runCode`
    Code,
    /// `sandbox.v1.batch`
    Batch,
    /// `sandbox.v1.install`
    Install,
    /// `sandbox.v1.execStream`, and the WebSocket of the same
    Stream,
    /// `sandbox.v1.start`
    Start,
    /// A login shell at `/terminal/{id}`
    Terminal,
}

impl ExecutionKind {
    const ALL: [Self; 7] = [
        Self::Exec,
        Self::Code,
        Self::Batch,
        Self::Install,
        Self::Stream,
        Self::Start,
        Self::Terminal,
    ];

    /// As on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Code => "code",
            Self::Batch => "batch",
            Self::Install => "install",
            Self::Stream => "stream",
            Self::Start => "start",
            Self::Terminal => "terminal",
        }
    }

    /// The kind of this name; a command, if a newer server knows more of them.
    pub(crate) fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.name() == name).unwrap_or(Self::Exec)
    }
}

/// Executions, newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogsAnswer {
    /// This page of them.
    pub executions: Vec<LogEntry>,
}

/// An execution of the past.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogEntry {
    /// Counts up, in the order in which they began.
    pub number: u64,
    /// The sandbox.
    pub id: String,
    /// The request that asked for it.
    pub request: String,
    /// How it was asked for.
    pub kind: ExecutionKind,
    /// Its number in the sandbox.
    pub process: u64,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// What ran.
    pub cmd: Vec<String>,
    /// Where it started.
    pub cwd: String,
    /// Its exit code; null if it was lost.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Whether the timeout ended it.
    pub timed_out: bool,
    /// Whether the memory limit ended it.
    pub out_of_memory: bool,
    /// Whether the server was killed while it ran, so that nobody heard of its end.
    pub lost: bool,
    /// How long it took; 0 if it was lost.
    pub duration_ms: u64,
    /// The beginning of standard output, or of the terminal's.
    pub stdout: String,
    /// The beginning of standard error.
    pub stderr: String,
    /// Whether it wrote more than is kept here.
    pub stdout_truncated: bool,
    /// Whether it wrote more than is kept here.
    pub stderr_truncated: bool,
}

/// The sandbox whose use is told.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Stats {
    /// The sandbox.
    pub id: String,
}

impl Checked for Stats {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)
    }
}

/// What a sandbox uses. A field is missing where the host does not count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StatsAnswer {
    /// Processor time since it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_time_ms: Option<u64>,
    /// Memory now, private files included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Most of it at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_memory_bytes: Option<u64>,
    /// Processes now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// Private files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// Read by system calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_bytes_read: Option<u64>,
    /// Written by system calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_bytes_written: Option<u64>,
}

/// The sandbox to watch.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// The sandbox.
    pub id: String,
}

impl Checked for Watch {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)
    }
}

/// Something that happened to a sandbox. In server-sent events its `event` is `state`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WatchEvent {
    /// `creating`, `ready`, `paused`, `expiring`, `ending` or `gone`.
    pub state: String,
}

/// The directory to watch.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WatchDir {
    /// The sandbox.
    pub id: String,
    /// Which one.
    #[serde(default = "workspace")]
    pub path: String,
    /// Whether all below it is watched, too: 4096 directories at most.
    #[serde(default)]
    pub recursive: bool,
}

fn workspace() -> String {
    check::DEFAULT_DIRECTORY.to_owned()
}

impl Checked for WatchDir {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        check::path("path", &self.path)
    }
}

/// A change of a file. In server-sent events its `event` is `file`; the first one is
/// `started`, and `gap` says that more happened than could be told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileEvent {
    /// `created`, `modified`, `removed` or `moved`.
    pub kind: String,
    /// Its path.
    pub path: String,
    /// Its new path, if it was moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// The OpenRPC document is wanted.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Discover {}

impl Checked for Discover {
    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }
}
