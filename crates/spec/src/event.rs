//! What happened, in order, while a task ran.

use std::time::Duration;

use serde::Serialize;

use crate::{ErrorCode, ExecutionId};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The command is about to be executed.
    Started {
        /// Which execution.
        id: ExecutionId,
    },
    /// A signal of the caller was passed on.
    SignalForwarded {
        /// Its number.
        signal: i32,
    },
    /// A limit was reached.
    LimitReached {
        /// Which one, as its error code.
        code: ErrorCode,
    },
    /// The door refused or allowed a connection.
    Connection {
        /// `host:port` as the command asked for it.
        host: String,
        /// Whether it was connected.
        allowed: bool,
    },
    /// The command and everything it started are gone.
    Ended {
        /// After how long.
        #[serde(skip)]
        after: Duration,
    },
}
