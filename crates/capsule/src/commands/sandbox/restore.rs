//! `capsule sandbox restore`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::connect::Connect;
use super::get::shown;

/// The sandbox, and what its files become.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The sandbox
    id: String,
    /// The snapshot; capsule sandbox snapshots shows them
    snapshot: String,
    #[command(flatten)]
    connect: Connect,
}

impl Restore {
    pub(super) fn run(self) -> ExitCode {
        let params = json!({ "id": self.id, "snapshot": self.snapshot });
        self.connect.call_and_show("sandbox.v1.restore", params, shown)
    }
}
