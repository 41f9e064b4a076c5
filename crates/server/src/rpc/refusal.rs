//! Error objects: what a caller is told when something is not done.

use capsule_spec::{ErrorCode, Failure};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::request::RequestError;

macro_rules! kinds {
    ($($variant:ident = $code:literal, $name:literal, $summary:literal;)*) => {
        /// Kinds of errors on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $(
                #[doc = $summary]
                $variant,
            )*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// `error.code`.
            pub const fn code(self) -> i32 {
                match self { $(Self::$variant => $code),* }
            }

            /// `error.data.type`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// One sentence for tables.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary),* }
            }
        }
    };
}

kinds! {
    Parse = -32700, "PARSE_ERROR", "The body is not JSON.";
    InvalidRequest = -32600, "INVALID_REQUEST", "The JSON is not a request.";
    MethodNotFound = -32601, "METHOD_NOT_FOUND", "There is no such method.";
    Internal = -32603, "INTERNAL", "The server failed.";
    InvalidParams = -32001, "INVALID_PARAMS", "A parameter is missing, unknown or out of range.";
    NotFound = -32002, "NOT_FOUND", "There is no such sandbox, snapshot, volume, process or context.";
    CreateFailed = -32003, "CONTAINER_CREATE_FAILED", "The sandbox could not be made.";
    ExecTimeout = -32004, "EXEC_TIMEOUT", "The process did not start, or did not read its input, in time.";
    ExecFailed = -32005, "EXEC_FAILED", "The process could not be started or reached.";
    DeleteFailed = -32007, "DELETE_FAILED", "Something of the sandbox could not be removed.";
    WriteFileFailed = -32008, "WRITE_FILE_FAILED", "The file could not be written.";
    ReadFileFailed = -32009, "READ_FILE_FAILED", "The file could not be read.";
    ListDirFailed = -32010, "LIST_DIR_FAILED", "The directory could not be listed.";
    FileFailed = -32011, "FILE_FAILED", "The file or directory could not be changed or told about.";
    WrongState = -32012, "WRONG_STATE", "The sandbox or volume is in a state in which this cannot be done.";
    LimitReached = -32013, "LIMIT_REACHED", "A limit of the server was reached.";
    NotAuthorized = -32014, "NOT_AUTHORIZED", "The request carries no API key that the server knows.";
    ForeignOrigin = -32015, "FOREIGN_ORIGIN", "The request came by way of a web page.";
    ShuttingDown = -32016, "SHUTTING_DOWN", "The server is about to stop.";
}

/// Something that is not done, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which kind of error.
    pub kind: Kind,
    /// What happened.
    pub failure: Failure,
}

impl Refusal {
    /// A refusal whose kind is the caller's, unless the code says more.
    pub fn of(kind: Kind, failure: Failure) -> Self {
        let kind = match failure.code {
            ErrorCode::SandboxNotFound
            | ErrorCode::ProcessNotFound
            | ErrorCode::SnapshotNotFound
            | ErrorCode::VolumeNotFound => Kind::NotFound,
            ErrorCode::WrongState | ErrorCode::VolumeInUse => Kind::WrongState,
            ErrorCode::ServerLimit => Kind::LimitReached,
            ErrorCode::UnknownTemplate
            | ErrorCode::ConflictingOptions
            | ErrorCode::InvalidPath
            | ErrorCode::NotPermitted => Kind::InvalidParams,
            ErrorCode::UnknownOption if kind != Kind::MethodNotFound => Kind::InvalidParams,
            _ => kind,
        };
        Self { kind, failure }
    }

    pub(crate) fn new(kind: Kind, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { kind, failure: Failure::new(code, message) }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.failure = self.failure.hint(hint);
        self
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::UnknownMethod(failure) => Self { kind: Kind::MethodNotFound, failure },
            RequestError::Parameters(failure) => Self::of(Kind::InvalidParams, failure),
        }
    }
}

impl Serialize for Refusal {
    /// `{code, message, data: {type, retryable, details}}`
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("code", &self.kind.code())?;
        map.serialize_entry("message", &self.failure.message)?;
        map.serialize_entry("data", &Data(self))?;
        map.end()
    }
}

struct Data<'a>(&'a Refusal);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let failure = &self.0.failure;
        let mut details = failure.details.clone();
        details.insert("error_code".to_owned(), failure.code.to_string());
        if let Some(hint) = &failure.hint {
            details.insert("hint".to_owned(), hint.clone());
        }
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("type", self.0.kind.name())?;
        map.serialize_entry("retryable", &failure.code.retryable())?;
        map.serialize_entry("details", &details)?;
        map.end()
    }
}
