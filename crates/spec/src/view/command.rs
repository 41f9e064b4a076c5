//! The response of `capsule-run --json`.
//!
//! The documented fields are always there. The others appear only when they
//! have something to say.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use crate::{Captured, ErrorCode, ExecutionId, Failure, Metrics, Outcome, Status, WallStatus};

/// One JSON object for one execution.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommandResponse {
    /// A UUID.
    execution_id: String,
    status: Status,
    /// The command's exit code; null when it did not exit by itself.
    exit_code: Option<i32>,
    /// Standard output as UTF-8; bytes that are not UTF-8 become U+FFFD.
    stdout: String,
    /// Standard error, likewise.
    stderr: String,
    metrics: MetricsView,
    timestamps: TimestampsView,
    /// Null on success.
    error: Option<FailureView>,
    /// Present and true when output beyond the limit was dropped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stdout_truncated: bool,
    /// Likewise for standard error.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stderr_truncated: bool,
    /// Present when standard output is not UTF-8: its exact bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_base64: Option<String>,
    /// Likewise for standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_base64: Option<String>,
    /// Present when a wall stood less than fully.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    weaker: Vec<WallView>,
    /// Present when there is something to know beside errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct MetricsView {
    wall_time_ms: u64,
    cpu_time_ms: u64,
    user_time_ms: u64,
    kernel_time_ms: u64,
    max_memory_bytes: u64,
    io_bytes_read: u64,
    io_bytes_written: u64,
    /// Present for a program in WebAssembly: units of fuel, about one an instruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel_consumed: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct TimestampsView {
    /// RFC 3339, UTC, milliseconds.
    started: String,
    completed: String,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct FailureView {
    /// `E` and four digits; `docs/errors/` has a page for each.
    code: &'static str,
    message: String,
    details: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct WallView {
    wall: &'static str,
    /// `weaker` or `absent`.
    state: &'static str,
    why: String,
}

impl CommandResponse {
    /// The view of an outcome.
    pub fn of(outcome: &Outcome, format_time: impl Fn(SystemTime) -> String) -> Self {
        Self {
            execution_id: outcome.id.to_string(),
            status: outcome.status,
            exit_code: outcome.exit_code,
            stdout: text(&outcome.stdout),
            stderr: text(&outcome.stderr),
            metrics: MetricsView::of(&outcome.metrics),
            timestamps: TimestampsView {
                started: format_time(outcome.started),
                completed: format_time(outcome.completed),
            },
            error: outcome.error.as_ref().map(FailureView::of),
            stdout_truncated: outcome.stdout.truncated,
            stderr_truncated: outcome.stderr.truncated,
            stdout_base64: exact(&outcome.stdout),
            stderr_base64: exact(&outcome.stderr),
            weaker: outcome.weaker.iter().filter_map(WallView::of).collect(),
            notes: outcome.notes.clone(),
        }
    }

    /// The view of a request that never became a run.
    pub fn refused(
        id: ExecutionId,
        failure: Failure,
        at: SystemTime,
        format_time: impl Fn(SystemTime) -> String,
    ) -> Self {
        let outcome = Outcome {
            id,
            status: Status::Error,
            exit_code: None,
            signal: None,
            stdout: Captured::default(),
            stderr: Captured::default(),
            metrics: Metrics::default(),
            started: at,
            completed: at,
            error: Some(failure),
            weaker: Vec::new(),
            notes: Vec::new(),
        };
        Self::of(&outcome, format_time)
    }
}

impl MetricsView {
    fn of(metrics: &Metrics) -> Self {
        let milliseconds =
            |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            wall_time_ms: milliseconds(metrics.wall),
            cpu_time_ms: milliseconds(metrics.user + metrics.kernel),
            user_time_ms: milliseconds(metrics.user),
            kernel_time_ms: milliseconds(metrics.kernel),
            max_memory_bytes: metrics.max_memory,
            io_bytes_read: metrics.io_read,
            io_bytes_written: metrics.io_written,
            fuel_consumed: metrics.fuel,
        }
    }
}

impl FailureView {
    fn of(failure: &Failure) -> Self {
        let code: ErrorCode = failure.code;
        Self {
            code: code.code(),
            message: failure.message.clone(),
            details: failure.details.clone(),
            hint: failure.hint.clone(),
        }
    }
}

impl WallView {
    fn of(status: &WallStatus) -> Option<Self> {
        let (state, why) = match &status.state {
            crate::WallState::Full => return None,
            crate::WallState::Weaker(why) => ("weaker", why.clone()),
            crate::WallState::Absent(why) => ("absent", why.clone()),
        };
        Some(Self { wall: status.wall.name(), state, why })
    }
}

fn text(captured: &Captured) -> String {
    String::from_utf8_lossy(&captured.bytes).into_owned()
}

/// Base64 (RFC 4648) of bytes that text cannot carry.
fn exact(captured: &Captured) -> Option<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if std::str::from_utf8(&captured.bytes).is_ok() {
        return None;
    }
    let mut encoded = String::with_capacity(captured.bytes.len().div_ceil(3) * 4);
    for chunk in captured.bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                encoded.push(char::from(ALPHABET[(group >> (18 - 6 * place) & 63) as usize]));
            } else {
                encoded.push('=');
            }
        }
    }
    Some(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_rfc_4648() {
        let encode = |bytes: &[u8]| exact(&Captured { bytes: bytes.to_vec(), truncated: false });
        assert_eq!(encode(b"plain"), None);
        assert_eq!(encode(&[0xff]).as_deref(), Some("/w=="));
        assert_eq!(encode(&[0xff, 0xfe]).as_deref(), Some("//4="));
        assert_eq!(encode(&[0xff, 0xfe, 0x00, 0x80]).as_deref(), Some("//4AgA=="));
    }
}
