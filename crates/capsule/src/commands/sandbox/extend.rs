//! `capsule sandbox extend`.

use std::process::ExitCode;

use capsule_spec::Failure;
use clap::Args;
use serde_json::{Value, json};

use super::connect::Connect;
use super::create::time;
use super::get::shown;

/// The sandbox, and its time.
#[derive(Debug, Args)]
pub(crate) struct Extend {
    /// The sandbox
    id: String,
    /// From now on, such as 10m or 2h
    #[arg(long, value_name = "TIME")]
    ttl: String,
    /// End it when nobody has used it for so long; without it, what it had holds
    #[arg(long, value_name = "TIME")]
    idle: Option<String>,
    #[command(flatten)]
    connect: Connect,
}

impl Extend {
    pub(super) fn run(self) -> ExitCode {
        match self.params() {
            Ok(params) => self.connect.call_and_show("sandbox.v1.extend", params, shown),
            Err(failure) => self.connect.end(Err(failure)),
        }
    }

    fn params(&self) -> Result<Value, Failure> {
        let mut params = json!({ "id": self.id, "ttl_ms": time("--ttl", Some(&self.ttl))? });
        if let Some(idle) = time("--idle", self.idle.as_deref())? {
            params["idle_ms"] = idle.into();
        }
        Ok(params)
    }
}
