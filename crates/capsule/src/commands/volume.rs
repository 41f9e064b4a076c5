//! `capsule volume`: files of a server that outlive sandboxes.

use std::process::ExitCode;

use capsule_spec::Failure;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::sandbox::connect::Connect;
use super::sandbox::size;
use super::sandbox::table::Table;
use super::sandbox::text;

// What to do with the volumes of a server.
#[derive(Debug, Args)]
pub(crate) struct Volume {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a volume
    Create {
        /// What to call it
        name: String,
        /// How much it can hold, such as 1G
        #[arg(long, value_name = "SIZE")]
        size: String,
        #[command(flatten)]
        connect: Connect,
    },
    /// List the volumes
    Ls {
        #[command(flatten)]
        connect: Connect,
    },
    /// Delete volumes, and all that they hold
    Rm {
        /// The volumes
        #[arg(required = true)]
        name: Vec<String>,
        #[command(flatten)]
        connect: Connect,
    },
}

impl Volume {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        Ok(match self.what {
            What::Create { name, size: text, connect } => match size("--size", Some(&text)) {
                Ok(size) => {
                    let params = json!({ "name": name, "size_bytes": size });
                    connect.call_and_show("volume.v1.create", params, |answer| {
                        format!("{}\n", text::of(&answer["volume"]["name"]))
                    })
                }
                Err(failure) => connect.end(Err(failure)),
            },
            What::Ls { connect } => connect.call_and_show("volume.v1.list", json!({}), shown),
            What::Rm { name, connect } => connect.end(remove(&connect, &name)),
        })
    }
}

fn remove(connect: &Connect, names: &[String]) -> Result<(), Failure> {
    let mut client = connect.client()?;
    for name in names {
        let answer = client.call("volume.v1.delete", json!({ "name": name }))?;
        connect.show(&answer, |_| format!("{}\n", text::harmless(name)))?;
    }
    Ok(())
}

fn shown(answer: &Value) -> String {
    let mut table = Table::new(&["NAME", "SIZE", "USED", "AGE"]);
    for one in answer["volumes"].as_array().into_iter().flatten() {
        table.row(vec![
            text::of(&one["name"]),
            text::size_of(&one["size_bytes"]),
            text::size_of(&one["used_bytes"]),
            text::age(&one["created_at"]),
        ]);
    }
    table.text()
}
