//! `capsule attack`: the suite of attempts to break out.

use std::process::ExitCode;

use clap::Args;

/// What to attack.
#[derive(Debug, Args)]
pub(crate) struct Attack {
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

impl Attack {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("json: {}", self.json)
    }
}
