//! `capsule sandbox pause`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::connect::Connect;
use super::get::shown;

/// The sandbox to stop.
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// The sandbox
    id: String,
    #[command(flatten)]
    connect: Connect,
}

impl Pause {
    pub(super) fn run(self) -> ExitCode {
        self.connect.call_and_show("sandbox.v1.pause", json!({ "id": self.id }), shown)
    }
}
