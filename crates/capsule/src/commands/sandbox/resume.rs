//! `capsule sandbox resume`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::connect::Connect;
use super::get::shown;

/// The sandbox to let go on.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// The sandbox
    id: String,
    #[command(flatten)]
    connect: Connect,
}

impl Resume {
    pub(super) fn run(self) -> ExitCode {
        self.connect.call_and_show("sandbox.v1.resume", json!({ "id": self.id }), shown)
    }
}
