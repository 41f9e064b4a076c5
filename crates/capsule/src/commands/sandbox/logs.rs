//! `capsule sandbox logs`.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::connect::Connect;
use super::table::Table;
use super::text;

/// Which executions to show.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Of this sandbox; without it, of all
    id: Option<String>,
    /// Whose command, output or error holds this text
    #[arg(long, value_name = "TEXT")]
    contains: Option<String>,
    /// Only those that failed, timed out or were lost
    #[arg(long)]
    failed: bool,
    /// Only those that were asked for in this way: exec, code, batch, install, stream, start or
    /// terminal
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// At most so many
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
    limit: u64,
    /// Show the beginning of what each wrote
    #[arg(long)]
    output: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Logs {
    pub(super) fn run(self) -> ExitCode {
        let mut params = json!({ "failed": self.failed, "limit": self.limit });
        if let Some(id) = &self.id {
            params["id"] = id.as_str().into();
        }
        if let Some(contains) = &self.contains {
            params["contains"] = contains.as_str().into();
        }
        if let Some(kind) = &self.kind {
            params["kind"] = kind.as_str().into();
        }
        let with_output = self.output;
        self.connect.call_and_show("sandbox.v1.logs", params, |answer| match with_output {
            true => at_length(answer),
            false => in_a_table(answer),
        })
    }
}

fn executions(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["executions"].as_array().into_iter().flatten()
}

fn exit(one: &Value) -> String {
    let is = |field: &str| one[field] == true;
    match (is("timed_out"), is("lost")) {
        (true, _) => "timeout".to_owned(),
        (_, true) => "lost".to_owned(),
        _ => text::of(&one["exit_code"]),
    }
}

fn in_a_table(answer: &Value) -> String {
    let mut table = Table::new(&["NUMBER", "SANDBOX", "AGE", "KIND", "TOOK", "EXIT", "COMMAND"]);
    for one in executions(answer) {
        table.row(vec![
            text::of(&one["number"]),
            text::of(&one["id"]),
            text::age(&one["started_at"]),
            text::of(&one["kind"]),
            text::milliseconds(&one["duration_ms"]),
            exit(one),
            text::cut(&text::command(&one["cmd"]), 80),
        ]);
    }
    table.text()
}

/// Each with its output, indented, so that no output can pass for a line of ours.
fn at_length(answer: &Value) -> String {
    let mut shown = String::new();
    for one in executions(answer) {
        shown += &format!(
            "{} {} {} {} exit {} in {}: {}\n",
            text::of(&one["number"]),
            text::of(&one["id"]),
            text::of(&one["started_at"]),
            text::of(&one["kind"]),
            exit(one),
            text::milliseconds(&one["duration_ms"]),
            text::command(&one["cmd"]),
        );
        for (mark, stream) in [("  ", "stdout"), ("! ", "stderr")] {
            for line in one[stream].as_str().unwrap_or_default().lines() {
                shown += &format!("    {mark}{}\n", text::harmless(line));
            }
            if one[format!("{stream}_truncated")] == true {
                shown += &format!("    {mark}…\n");
            }
        }
    }
    shown
}
