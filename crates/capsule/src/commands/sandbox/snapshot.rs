//! `capsule sandbox snapshot`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::connect::Connect;
use super::create::assignments;
use super::text;

/// The sandbox whose files are kept.
#[derive(Debug, Args)]
pub(crate) struct Snapshot {
    /// The sandbox
    id: String,
    /// What to call it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What it is found by (can be given more than once)
    #[arg(short, long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    #[command(flatten)]
    connect: Connect,
}

impl Snapshot {
    pub(super) fn run(self) -> ExitCode {
        let mut params = json!({ "id": self.id });
        if let Some(name) = &self.name {
            params["name"] = name.as_str().into();
        }
        if !self.label.is_empty() {
            match assignments("--label", &self.label) {
                Ok(labels) => params["labels"] = labels,
                Err(failure) => return self.connect.end(Err(failure)),
            }
        }
        self.connect.call_and_show("sandbox.v1.snapshot", params, |answer| {
            format!("{}\n", text::of(&answer["snapshot"]["id"]))
        })
    }
}
