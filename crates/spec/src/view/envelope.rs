//! The envelope of `capsule run --json`, and of a worker's answers.
//!
//! The documented fields are always there. The others appear only when they have
//! something to say.

use serde::Serialize;

use crate::{ErrorCode, Failure};

/// One JSON object for one call. `V` is the value, as JSON.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Envelope<V> {
    /// Whether the task returned.
    pub success: bool,
    /// What it returned; null if it failed.
    pub result: Option<V>,
    /// Why it failed; null if it returned.
    pub error: Option<EnvelopeError>,
    /// How it went.
    pub execution: Execution,
}

/// Why a task failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EnvelopeError {
    /// The exception's type, or Capsule's word: `Timeout`, `FuelExhausted`, `Crashed`, …
    pub error_type: String,
    /// One sentence or more.
    pub message: String,
    /// A stable code: see `docs/errors/`.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub code: ErrorCode,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The traceback of the task's own code.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub traceback: String,
}

impl From<Failure> for EnvelopeError {
    fn from(failure: Failure) -> Self {
        Self {
            error_type: "CapsuleError".to_owned(),
            message: failure.message,
            code: failure.code,
            hint: failure.hint,
            traceback: String::new(),
        }
    }
}

/// How a call went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Execution {
    /// The task's name.
    pub task_name: String,
    /// Wall time, all attempts together.
    pub duration_ms: u64,
    /// Attempts after the first.
    pub retries: u32,
    /// Fuel that it and everything it called used.
    pub fuel_consumed: u64,
    /// The most memory that its sandbox had, in bytes.
    pub ram_used: u64,
    /// The requests that it made, and those that were refused.
    pub host_requests: Vec<HostRequest>,
    /// Whether output was dropped because there was too much.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub output_truncated: bool,
}

/// One request of a task to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostRequest {
    /// `GET` and so on.
    pub method: String,
    /// Where to.
    pub url: String,
    /// The status that came back; null if none did.
    pub status: Option<u16>,
    /// Whether the policy let it pass.
    pub allowed: bool,
}
