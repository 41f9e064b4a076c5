//! `capsule keys`: who may use a server.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use capsule_server::{KeyInfo, StoreError, create_key, list_keys, revoke_key};
use capsule_spec::Failure;
use clap::{Args, Subcommand};
use serde_json::json;

use super::serve::data;
use crate::answer;

// What to do with the keys of a server.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key, and print it: it cannot be seen again
    Create {
        /// What it is for
        #[arg(long, default_value = "")]
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// List the keys
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Revoke a key; a running server refuses it within a second
    Revoke {
        /// The key's id, as the list shows it
        id: String,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// The server's data folder
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Answer with JSON
    #[arg(long)]
    json: bool,
}

impl Keys {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let done = match self.what {
            What::Create { name, common } => create(&name, common),
            What::List { common } => list(common),
            What::Revoke { id, common } => revoke(&id, common),
        };
        match done {
            Ok(text) => {
                answer::give(&text)?;
                Ok(ExitCode::SUCCESS)
            }
            Err(failure) => {
                let _ = writeln!(std::io::stderr(), "{failure}");
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

fn create(name: &str, common: Common) -> Result<String, Failure> {
    let made = create_key(&data(common.data)?, name).map_err(failed)?;
    Ok(match common.json {
        true => format!("{}\n", json!({ "id": made.id, "key": made.key })),
        false => format!("{}\n", made.key),
    })
}

fn list(common: Common) -> Result<String, Failure> {
    let keys = list_keys(&data(common.data)?).map_err(failed)?;
    if common.json {
        let keys: Vec<_> = keys.iter().map(to_json).collect();
        return Ok(format!("{}\n", json!(keys)));
    }
    let mut text = format!("{:18}{:22}{:9}{}\n", "ID", "CREATED", "STATE", "NAME");
    for key in keys {
        let state = if key.revoked.is_some() { "revoked" } else { "active" };
        // A name is whatever was typed; a terminal is not to obey it.
        let name: String = key.name.escape_debug().collect();
        text += &format!("{:18}{:22}{state:9}{name}\n", key.id, time(key.created));
    }
    Ok(text)
}

fn to_json(key: &KeyInfo) -> serde_json::Value {
    json!({
        "id": key.id,
        "name": key.name,
        "created_at": time(key.created),
        "revoked_at": key.revoked.map(time),
    })
}

fn revoke(id: &str, common: Common) -> Result<String, Failure> {
    if revoke_key(&data(common.data)?, id).map_err(failed)? {
        return Ok(match common.json {
            true => format!("{}\n", json!({ "ok": true })),
            false => String::new(),
        });
    }
    let message = format!("there is no key {id:?} that is not revoked");
    Err(Failure::new(capsule_spec::ErrorCode::InvalidValue, message)
        .hint("capsule keys list shows the ids"))
}

fn failed(error: StoreError) -> Failure {
    error.into()
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
