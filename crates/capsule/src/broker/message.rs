//! What runner and broker say to each other. Unknown fields end the conversation.

use capsule_backend::guest::{Channel, GuestError, Request, Usage};
use capsule_spec::{ErrorCode, Failure};
use serde::{Deserialize, Serialize};

use super::grant::Wanted;

/// Bytes of a text that goes into a head.
const MOST_TEXT: usize = 64 << 10;
/// Requests to hosts that are told of a call.
const MOST_REQUESTS: usize = 1000;

/// From the runner.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Ask {
    /// Run a function; the body holds its arguments. Numbers only grow.
    Call { call: u64, function: String, grant: Wanted },
    /// Nobody waits for this call any more.
    Stop { call: u64 },
    /// This call has no fuel left.
    Exhausted { call: u64 },
    /// The answer to [`Tell::Source`]; the body holds the text.
    Source { request: u64, found: Option<Found> },
    /// The answer to [`Tell::Call`]; the body holds the value.
    Called { request: u64, error: Option<Ended> },
}

/// From the broker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Tell {
    /// A call has ended; the body holds the value.
    Returned { call: u64, usage: Used, error: Option<Ended> },
    /// A call has used so much so far.
    Spent { call: u64, fuel: u64 },
    /// The guest wants a module.
    Source { call: u64, request: u64, module: String },
    /// The guest's output, in the body.
    Output { call: u64, is_error: bool },
    /// The guest calls a task; the body holds the arguments.
    Call { call: u64, request: u64, function: String },
    /// The guest waits for this no more.
    Cancel { call: u64, request: u64 },
}

impl Tell {
    /// The call that it is about.
    pub(super) fn call(&self) -> u64 {
        match self {
            Self::Returned { call, .. }
            | Self::Spent { call, .. }
            | Self::Source { call, .. }
            | Self::Output { call, .. }
            | Self::Call { call, .. }
            | Self::Cancel { call, .. } => *call,
        }
    }
}

/// A module, its text apart.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Found {
    pub(super) path: String,
    pub(super) is_package: bool,
}

/// [`GuestError`], for the wire.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Ended {
    Raised { kind: String, message: String, traceback: String },
    Task { kind: String, message: String, traceback: String, code: ErrorCode },
    OutOfFuel {},
    OutOfMemory {},
    TimedOut {},
    Crashed(String),
    Failed(Failure),
}

impl From<GuestError> for Ended {
    fn from(error: GuestError) -> Self {
        match error {
            GuestError::Raised { kind, message, traceback } => {
                Self::Raised { kind: cut(kind), message: cut(message), traceback: cut(traceback) }
            }
            GuestError::Task { kind, message, traceback, code } => Self::Task {
                kind: cut(kind),
                message: cut(message),
                traceback: cut(traceback),
                code,
            },
            GuestError::OutOfFuel => Self::OutOfFuel {},
            GuestError::OutOfMemory => Self::OutOfMemory {},
            GuestError::TimedOut => Self::TimedOut {},
            GuestError::Crashed(text) => Self::Crashed(cut(text)),
            GuestError::Failed(failure) => {
                Self::Failed(Failure { message: cut(failure.message), ..failure })
            }
        }
    }
}

impl From<Ended> for GuestError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Raised { kind, message, traceback } => Self::Raised { kind, message, traceback },
            Ended::Task { kind, message, traceback, code } => {
                Self::Task { kind, message, traceback, code }
            }
            Ended::OutOfFuel {} => Self::OutOfFuel,
            Ended::OutOfMemory {} => Self::OutOfMemory,
            Ended::TimedOut {} => Self::TimedOut,
            Ended::Crashed(text) => Self::Crashed(text),
            Ended::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// So that a head stays below its limit, whatever a guest says.
fn cut(mut text: String) -> String {
    if text.len() > MOST_TEXT {
        let end = (0..=MOST_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// [`Usage`], for the wire.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Used {
    fuel: u64,
    ram: u64,
    requests: Vec<Requested>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Requested {
    method: String,
    url: String,
    status: Option<u16>,
    allowed: bool,
}

impl From<Usage> for Used {
    fn from(usage: Usage) -> Self {
        let mut room = MOST_TEXT * 4;
        let short = |request: &Request| {
            let size = request.method.len() + request.url.len() + 64;
            room = room.saturating_sub(size);
            room > 0
        };
        let requests = usage.requests.into_iter().take(MOST_REQUESTS).take_while(short);
        let requests = requests.map(|Request { method, url, status, allowed }| Requested {
            method,
            url,
            status,
            allowed,
        });
        Self { fuel: usage.fuel, ram: usage.ram, requests: requests.collect() }
    }
}

impl From<Used> for Usage {
    fn from(used: Used) -> Self {
        let requests = used.requests.into_iter().map(|request| Request {
            method: request.method,
            url: request.url,
            status: request.status,
            allowed: request.allowed,
        });
        Self { fuel: used.fuel, ram: used.ram, requests: requests.collect() }
    }
}

pub(super) fn is_error(channel: Channel) -> bool {
    channel == Channel::Stderr
}

pub(super) fn channel(is_error: bool) -> Channel {
    if is_error { Channel::Stderr } else { Channel::Stdout }
}
