//! `capsule sandbox ls`.

use std::process::ExitCode;

use capsule_spec::Failure;
use clap::Args;
use serde_json::{Value, json};

use super::connect::{Connect, give};
use super::create::assignments;
use super::table::Table;
use super::text;
use crate::client::Client;

/// Which sandboxes to list.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only those that carry this label (can be given more than once)
    #[arg(short, long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Ids only, one a line
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Ls {
    pub(super) fn run(self) -> ExitCode {
        self.connect.end(self.list())
    }

    fn list(&self) -> Result<(), Failure> {
        let mut client = self.connect.client()?;
        let all = all(&mut client, &assignments("--label", &self.label)?)?;
        if self.quiet {
            return give(&all.iter().map(|one| text::of(&one["id"]) + "\n").collect::<String>());
        }
        self.connect.show(&json!({ "sandboxes": all }), |_| {
            let head = ["ID", "TEMPLATE", "STATE", "AGE", "EXPIRES", "PROCESSES", "LABELS"];
            let mut table = Table::new(&head);
            for one in &all {
                table.row(vec![
                    text::of(&one["id"]),
                    text::of(&one["template"]),
                    text::of(&one["state"]),
                    text::age(&one["created_at"]),
                    text::left(&one["expires_at"]),
                    text::of(&one["processes"]),
                    text::cut(&text::pairs(&one["labels"]), 60),
                ]);
            }
            table.text()
        })
    }
}

/// All sandboxes with these labels, page by page.
pub(super) fn all(client: &mut Client, labels: &Value) -> Result<Vec<Value>, Failure> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let mut params = json!({ "labels": labels, "limit": 1_000 });
        if let Some(last) = all.last() {
            params["after"] = last["id"].clone();
        }
        let mut page = client.call("sandbox.v1.list", params)?;
        let found = page["sandboxes"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let is_over = found.is_empty() || page["more"] != json!(true);
        all.extend(found);
        if is_over {
            return Ok(all);
        }
    }
}
