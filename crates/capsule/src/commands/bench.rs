//! `capsule bench`: sandboxes of this host side by side.

use std::process::ExitCode;

use clap::Args;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("json: {}", self.json)
    }
}
