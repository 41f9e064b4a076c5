//! `capsule sandbox rm`.

use std::process::ExitCode;

use capsule_spec::Failure;
use clap::Args;
use serde_json::json;

use super::connect::{Connect, give};
use super::text::harmless;

/// The sandboxes to end.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// The sandboxes
    #[arg(required = true)]
    id: Vec<String>,
    #[command(flatten)]
    connect: Connect,
}

impl Rm {
    pub(super) fn run(self) -> ExitCode {
        self.connect.end(self.remove())
    }

    /// All of them, whatever becomes of one; the last failure is the answer.
    fn remove(&self) -> Result<(), Failure> {
        let mut client = self.connect.client()?;
        let mut last = None;
        for id in &self.id {
            match client.call("sandbox.v1.delete", json!({ "id": id })) {
                Ok(_) if self.connect.json => give(&format!("{}\n", json!({ "id": id })))?,
                Ok(_) => give(&format!("{}\n", harmless(id)))?,
                Err(failure) => {
                    if let Some(earlier) = last.replace(failure) {
                        self.connect.complain(&earlier);
                    }
                }
            }
        }
        last.map_or(Ok(()), Err)
    }
}
