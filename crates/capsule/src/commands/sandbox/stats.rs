//! `capsule sandbox stats`.

use std::process::ExitCode;

use capsule_spec::{ErrorCode, Failure};
use clap::Args;
use serde_json::{Value, json};

use super::connect::Connect;
use super::ls;
use super::table::Table;
use super::text;

/// Whose use to show.
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Of these; without any, of all
    id: Vec<String>,
    #[command(flatten)]
    connect: Connect,
}

impl Stats {
    pub(super) fn run(self) -> ExitCode {
        self.connect.end(self.show())
    }

    fn show(&self) -> Result<(), Failure> {
        let mut client = self.connect.client()?;
        let ids = match self.id.is_empty() {
            false => self.id.clone(),
            true => {
                let all = ls::all(&mut client, &json!({}))?;
                all.iter().filter_map(|one| Some(one["id"].as_str()?.to_owned())).collect()
            }
        };
        let mut all = Vec::new();
        for id in ids {
            match client.call("sandbox.v1.stats", json!({ "id": id })) {
                Ok(mut stats) => {
                    stats["id"] = id.into();
                    all.push(stats);
                }
                // One of all may have ended since it was listed.
                Err(failure)
                    if self.id.is_empty()
                        && [ErrorCode::SandboxNotFound, ErrorCode::SandboxEnded]
                            .contains(&failure.code) => {}
                Err(failure) => return Err(failure),
            }
        }
        self.connect.show(&json!({ "stats": all }), |_| table(&all))
    }
}

fn table(all: &[Value]) -> String {
    let head = ["ID", "CPU TIME", "MEMORY", "MOST", "PROCESSES", "DISK", "READ", "WRITTEN"];
    let mut table = Table::new(&head);
    for one in all {
        let count = one["processes"].as_u64();
        table.row(vec![
            text::of(&one["id"]),
            text::milliseconds(&one["cpu_time_ms"]),
            text::size_of(&one["memory_bytes"]),
            text::size_of(&one["max_memory_bytes"]),
            count.map_or_else(|| "-".to_owned(), |count| count.to_string()),
            text::size_of(&one["disk_bytes"]),
            text::size_of(&one["io_bytes_read"]),
            text::size_of(&one["io_bytes_written"]),
        ]);
    }
    table.text()
}
