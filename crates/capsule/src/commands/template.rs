//! `capsule template`: what sandboxes of a server are made from.

mod local;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::sandbox::connect::Connect;
use super::sandbox::table::Table;
use super::sandbox::text;

// What to do with the templates of a server.
#[derive(Debug, Args)]
pub(crate) struct Template {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the templates of a server; with --config, those of a file and how far they are
    Ls {
        #[command(flatten)]
        connect: Connect,
        #[command(flatten)]
        local: local::List,
    },
    /// Make templates of a file ready: unpack, build, install
    Build(local::Build),
    /// Remove what was made for templates that the file does not have any more
    Prune(local::Prune),
}

impl Template {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        Ok(match self.what {
            What::Ls { connect, local } if local.is_meant() => connect.end(local.list()),
            What::Ls { connect, .. } => {
                connect.call_and_show("sandbox.v1.templates", json!({}), shown)
            }
            What::Build(build) => local::ended(build.build()),
            What::Prune(prune) => local::ended(prune.prune()),
        })
    }
}

/// A server tells of a template what it knows; what it does not is a dash.
fn shown(answer: &Value) -> String {
    let head = [
        "NAME",
        "LANGUAGE",
        "SOURCE",
        "BACKEND",
        "MEMORY",
        "DISK",
        "NETWORK",
        "READY",
        "DESCRIPTION",
    ];
    let mut table = Table::new(&head);
    for one in answer["templates"].as_array().into_iter().flatten() {
        let told = |field: &Value| match text::of(field) {
            empty if empty.is_empty() => "-".to_owned(),
            told => told,
        };
        let pool = &one["pool"];
        let ready =
            pool["size"].as_u64().map(|size| format!("{} of {size}", text::of(&pool["ready"])));
        table.row(vec![
            text::of(&one["name"]),
            told(&one["language"]),
            told(&one["root"]),
            told(&one["backend"]),
            text::size_of(&one["limits"]["memory_bytes"]),
            text::size_of(&one["limits"]["disk_bytes"]),
            told(&one["network"]),
            ready.unwrap_or_else(|| "-".to_owned()),
            text::cut(&text::of(&one["description"]), 60),
        ]);
    }
    table.text()
}
