//! What came of a task.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::{ExecutionId, Failure, WallStatus};

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Exit code 0, within every limit.
    Success,
    /// A non-zero exit code, a reached limit that did not kill, or no start at all.
    Error,
    /// The timeout ended it.
    Timeout,
    /// A signal ended it: a crash, the memory limit, a forbidden system call.
    Killed,
}

impl Status {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Killed => "killed",
        }
    }
}

/// What was kept of one output stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// The first bytes; empty when the stream passed through live.
    pub bytes: Vec<u8>,
    /// Whether more came than the limit lets through.
    pub truncated: bool,
}

/// Measured by the kernel. A command and everything it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// From the start of the command to the end of the last process.
    pub wall: Duration,
    /// Processor time in user mode.
    pub user: Duration,
    /// Processor time in the kernel.
    pub kernel: Duration,
    /// Peak memory: of all processes together where a memory control group
    /// counted, else of the largest process.
    pub max_memory: u64,
    /// Bytes passed to `read` and its kin, pipes and private files included.
    pub io_read: u64,
    /// Bytes passed to `write` and its kin.
    pub io_written: u64,
    /// Work in units of fuel, where it was counted: in WebAssembly.
    pub fuel: Option<u64>,
}

/// What came of a task that a backend took on.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Which execution.
    pub id: ExecutionId,
    /// How it ended.
    pub status: Status,
    /// The exit code, when the command exited by itself.
    pub exit_code: Option<i32>,
    /// The signal, when one ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: Captured,
    /// Standard error.
    pub stderr: Captured,
    /// What it used.
    pub metrics: Metrics,
    /// When it started.
    pub started: SystemTime,
    /// When it ended.
    pub completed: SystemTime,
    /// Why the status is not success.
    pub error: Option<Failure>,
    /// Walls that stood less than fully in this run.
    pub weaker: Vec<WallStatus>,
    /// What a person may want to know, beside errors: sentences.
    pub notes: Vec<String>,
}
