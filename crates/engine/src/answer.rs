//! What came of a call.

use capsule_backend::guest::GuestError;
use capsule_spec::{
    Blame, Envelope, EnvelopeError, ErrorCode, Execution, Failure, Function, HostRequest,
};
use serde_json::value::RawValue;

/// What came of a call.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The JSON text that the task returned, or why it did not.
    pub value: Result<Box<RawValue>, EnvelopeError>,
    /// How it went.
    pub execution: Execution,
}

impl Answer {
    /// The answer to a call that never began.
    pub fn refused(task: &str, failure: Failure) -> Self {
        let execution = Execution { task_name: task.to_owned(), ..Execution::default() };
        Self { value: Err(failure.into()), execution }
    }

    /// As it goes to the caller.
    pub fn into_envelope(self) -> Envelope<Box<RawValue>> {
        let (result, error) = match self.value {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(error)),
        };
        Envelope { success: error.is_none(), result, error, execution: self.execution }
    }
}

/// How an outsider sees that `function` failed.
pub(crate) fn explain(function: &Function, error: GuestError) -> EnvelopeError {
    let name = &function.name;
    let (error_type, message, code, hint, traceback) = match error {
        GuestError::Raised { kind, message, traceback } => {
            let code = match kind.as_str() {
                "MemoryError" => ErrorCode::MemoryLimit,
                "DeniedError" => ErrorCode::DeniedHost,
                _ => ErrorCode::Raised,
            };
            let hint = (code == ErrorCode::MemoryLimit).then(|| ram_hint(function));
            (
                clipped(kind, 200),
                clipped(message, MOST_TEXT),
                code,
                hint,
                clipped(traceback, MOST_TEXT),
            )
        }
        GuestError::Task { kind, message, traceback, code } => {
            (kind, message, code, None, traceback)
        }
        GuestError::OutOfMemory => (
            "MemoryError".to_owned(),
            format!("task {name:?} had no memory left, not even to raise an exception"),
            ErrorCode::MemoryLimit,
            Some(ram_hint(function)),
            String::new(),
        ),
        GuestError::OutOfFuel => (
            "FuelExhausted".to_owned(),
            format!(
                "task {name:?} used up its compute budget of {} units",
                function.compute.units()
            ),
            ErrorCode::FuelExhausted,
            Some(
                "set compute=\"HIGH\" or a number of units, for it and for the task that calls it"
                    .to_owned(),
            ),
            String::new(),
        ),
        GuestError::TimedOut => (
            "Timeout".to_owned(),
            format!("task {name:?} ran longer than its timeout of {:?}", function.timeout),
            ErrorCode::TimedOut,
            Some("the option timeout sets how long it may run".to_owned()),
            String::new(),
        ),
        GuestError::Crashed(text) => {
            let message = format!("the sandbox of task {name:?} ended: {text}");
            ("Crashed".to_owned(), message, ErrorCode::Crashed, None, String::new())
        }
        GuestError::Failed(failure) => {
            let kind = match failure.code.blame() {
                Blame::Policy => "Denied",
                Blame::Limit => "LimitExceeded",
                _ => "CapsuleError",
            };
            (kind.to_owned(), failure.message, failure.code, failure.hint, String::new())
        }
    };
    EnvelopeError { error_type, message, code, hint, traceback }
}

fn ram_hint(function: &Function) -> String {
    format!("it may use {}; the option ram sets that", function.ram)
}

/// The guest's own texts are shorter; one that was tampered with sends what it likes.
const MOST_TEXT: usize = 128 * 1024;

fn clipped(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

/// The error of a call, for the task that made it.
pub(crate) fn to_caller(error: EnvelopeError) -> GuestError {
    let message = match (error.code, error.hint) {
        // Whoever wrote the wrong name reads this, and hears of no hint otherwise.
        (ErrorCode::UnknownFunction, Some(hint)) => format!("{}; {hint}", error.message),
        _ => error.message,
    };
    GuestError::Task {
        kind: error.error_type,
        message,
        traceback: error.traceback,
        code: error.code,
    }
}

/// Requests, as the envelope has them.
pub(crate) fn requests(requests: Vec<capsule_backend::guest::Request>) -> Vec<HostRequest> {
    let to_view = |request: capsule_backend::guest::Request| HostRequest {
        method: request.method,
        url: request.url,
        status: request.status,
        allowed: request.allowed,
    };
    requests.into_iter().map(to_view).collect()
}
