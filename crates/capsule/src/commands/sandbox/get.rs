//! `capsule sandbox get`.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::connect::Connect;
use super::table::facts;
use super::text;

/// The sandbox to show.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The sandbox
    id: String,
    #[command(flatten)]
    connect: Connect,
}

impl Get {
    pub(super) fn run(self) -> ExitCode {
        self.connect.call_and_show("sandbox.v1.get", json!({ "id": self.id }), shown)
    }
}

/// Everything about a sandbox, one fact a line.
pub(super) fn shown(one: &Value) -> String {
    let weaker = one["weaker"].as_array().into_iter().flatten();
    let weaker: Vec<_> = weaker.map(|wall| text::of(&wall["wall"])).collect();
    let volumes = one["volumes"].as_array().into_iter().flatten();
    let volumes = volumes.map(|one| {
        let [volume, path, mode] = ["volume", "path", "mode"].map(|field| text::of(&one[field]));
        format!("{volume}:{path}:{mode}")
    });
    let volumes = volumes.collect::<Vec<_>>();
    facts(&[
        ("id", text::of(&one["id"])),
        ("template", text::of(&one["template"])),
        ("state", text::of(&one["state"])),
        (
            "created",
            format!("{} ({} ago)", text::of(&one["created_at"]), text::age(&one["created_at"])),
        ),
        (
            "expires",
            format!("{} (in {})", text::of(&one["expires_at"]), text::left(&one["expires_at"])),
        ),
        ("idle", one.get("idle_ms").map_or_else(String::new, text::milliseconds)),
        ("processes", text::of(&one["processes"])),
        ("network", text::of(&one["network"])),
        ("volumes", volumes.join(", ")),
        ("on expiry", text::of(&one["on_expiry"])),
        ("labels", text::pairs(&one["labels"])),
        ("metadata", text::pairs(&one["metadata"])),
        ("weaker", weaker.join(", ")),
    ])
}
