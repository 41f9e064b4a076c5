//! `capsule sandbox clone`.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::connect::Connect;
use super::create::{With, id};

/// The sandbox whose files the new one begins with.
#[derive(Debug, Args)]
pub(crate) struct Clone {
    /// The sandbox
    id: String,
    #[command(flatten)]
    with: With,
    #[command(flatten)]
    connect: Connect,
}

impl Clone {
    pub(super) fn run(self) -> ExitCode {
        match self.with.fields() {
            Ok(mut fields) => {
                fields.insert("id".to_owned(), self.id.into());
                self.connect.call_and_show("sandbox.v1.clone", Value::Object(fields), id)
            }
            Err(failure) => self.connect.end(Err(failure)),
        }
    }
}
