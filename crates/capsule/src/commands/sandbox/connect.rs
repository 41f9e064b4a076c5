//! Which server, as whom, and how answers and failures are given.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use capsule_spec::{ErrorCode, Failure};
use clap::Args;
use serde_json::{Value, json};

use crate::answer;
use crate::client::{Client, Place};

/// What `exec` and `shell` exit with when it is not the command that failed.
pub(super) const NOT_RUN: u8 = 125;

// Where the server is, and how to answer.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server and output")]
pub(crate) struct Connect {
    /// The server [default: $CAPSULE_SERVER, or http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The server's Unix socket
    #[arg(long, value_name = "PATH", conflicts_with = "server")]
    unix: Option<PathBuf>,
    /// A file that holds the API key [default: $CAPSULE_API_KEY is the key]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Answer with JSON, failures too
    #[arg(long)]
    pub(crate) json: bool,
}

impl Connect {
    /// A client. Nothing is connected yet.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let place = match (&self.unix, &self.server) {
            (Some(path), _) => Place::Unix(path.clone()),
            (None, Some(url)) => Place::parse(url)?,
            (None, None) => {
                let url = variable("CAPSULE_SERVER");
                Place::parse(url.as_deref().unwrap_or(Place::DEFAULT))?
            }
        };
        let key = match &self.key_file {
            None => variable("CAPSULE_API_KEY"),
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                let message = format!("the key file {} cannot be read: {error}", path.display());
                Failure::new(ErrorCode::InvalidValue, message)
            })?),
        };
        let key = key.map(|key| key.trim().to_owned());
        // It goes into a header as it is.
        if key.as_ref().is_some_and(|key| !key.bytes().all(|byte| byte.is_ascii_graphic())) {
            let message = "the API key holds characters that none can have";
            return Err(Failure::new(ErrorCode::InvalidValue, message));
        }
        Ok(Client::new(place, key))
    }

    /// Calls one method, and shows its answer.
    pub(crate) fn call_and_show(
        &self,
        method: &str,
        params: Value,
        show: impl FnOnce(&Value) -> String,
    ) -> ExitCode {
        self.end(self.client().and_then(|mut client| {
            let answer = client.call(method, params)?;
            self.show(&answer, show)
        }))
    }

    /// Shows an answer: as it came, or as text.
    pub(crate) fn show(
        &self,
        answer: &Value,
        show: impl FnOnce(&Value) -> String,
    ) -> Result<(), Failure> {
        give(&match self.json {
            true => format!("{answer}\n"),
            false => show(answer),
        })
    }

    /// How a verb ends.
    pub(crate) fn end(&self, done: Result<(), Failure>) -> ExitCode {
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                self.complain(&failure);
                ExitCode::FAILURE
            }
        }
    }

    /// Tells of a failure, on standard error.
    pub(crate) fn complain(&self, failure: &Failure) {
        let mut stderr = std::io::stderr();
        let _ = match self.json {
            true => writeln!(stderr, "{}", json!({ "error": failure })),
            false => writeln!(stderr, "{}", harmless(failure)),
        };
    }
}

/// A failure for a terminal: names of a sandbox's files, and what a server says, are in it.
fn harmless(failure: &Failure) -> Failure {
    let message = super::text::harmless(&failure.message);
    let hint = failure.hint.as_deref().map(super::text::harmless);
    Failure { message, hint, ..failure.clone() }
}

/// Writes an answer to standard output.
pub(crate) fn give(text: &str) -> Result<(), Failure> {
    answer::give(text).map_err(|error| {
        Failure::new(ErrorCode::OutputClosed, format!("the answer cannot be written: {error}"))
    })
}
