//! `capsule sandbox snapshots`.

use std::process::ExitCode;

use capsule_spec::Failure;
use clap::Args;
use serde_json::{Value, json};

use super::connect::Connect;
use super::create::assignments;
use super::table::Table;
use super::text;
use crate::client::Client;

/// Which snapshots to list, or which one to delete.
#[derive(Debug, Args)]
pub(crate) struct Snapshots {
    /// Only those that carry this label (can be given more than once)
    #[arg(short, long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Delete this one instead
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "label")]
    rm: Option<String>,
    #[command(flatten)]
    connect: Connect,
}

impl Snapshots {
    pub(super) fn run(self) -> ExitCode {
        if let Some(snapshot) = &self.rm {
            let params = json!({ "snapshot": snapshot });
            let shown = format!("{}\n", text::harmless(snapshot));
            return self.connect.call_and_show("sandbox.v1.deleteSnapshot", params, |_| shown);
        }
        self.connect.end(self.list())
    }

    fn list(&self) -> Result<(), Failure> {
        let mut client = self.connect.client()?;
        let all = all(&mut client, &assignments("--label", &self.label)?)?;
        self.connect.show(&json!({ "snapshots": all }), |_| {
            let head = ["ID", "NAME", "SANDBOX", "TEMPLATE", "AGE", "FILES", "SIZE", "LABELS"];
            let mut table = Table::new(&head);
            for one in &all {
                table.row(vec![
                    text::of(&one["id"]),
                    text::cut(&text::of(&one["name"]), 40),
                    text::of(&one["sandbox"]),
                    text::of(&one["template"]),
                    text::age(&one["created_at"]),
                    text::of(&one["files"]),
                    text::size_of(&one["bytes"]),
                    text::cut(&text::pairs(&one["labels"]), 60),
                ]);
            }
            table.text()
        })
    }
}

fn all(client: &mut Client, labels: &Value) -> Result<Vec<Value>, Failure> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let mut params = json!({ "labels": labels, "limit": 100 });
        if let Some(last) = all.last() {
            params["after"] = last["id"].clone();
        }
        let mut page = client.call("sandbox.v1.snapshots", params)?;
        let found = page["snapshots"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let is_over = found.is_empty() || page["more"] != json!(true);
        all.extend(found);
        if is_over {
            return Ok(all);
        }
    }
}
