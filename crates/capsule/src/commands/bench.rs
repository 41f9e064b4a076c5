//! `capsule bench`: sandboxes of this host side by side.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::{answer, bench};

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The suite: jail starts /bin/true in every sandbox that this host has; wasm runs
    /// tasks beside python3 and node
    #[arg(value_enum, default_value_t = Suite::Jail)]
    suite: Suite,
    /// Rounds; in each, every contender runs once
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(5..=10_000))]
    rounds: u32,
    /// For wasm: another runtime of the same interface, in a virtual environment
    #[arg(long, value_name = "VENV")]
    peer: Option<PathBuf>,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Suite {
    Jail,
    Wasm,
}

impl Bench {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if let Suite::Wasm = self.suite {
            return bench::wasm(self.rounds, self.peer.as_deref(), self.json);
        }
        anyhow::ensure!(self.peer.is_none(), "--peer belongs to capsule bench wasm");
        let report = bench::jail(self.rounds)?;
        if self.json {
            answer::give(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
        } else {
            answer::give(&report.to_string())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
