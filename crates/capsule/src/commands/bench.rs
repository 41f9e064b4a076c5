//! `capsule bench`: sandboxes of this host side by side.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::{answer, bench};

// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The suite: jail starts /bin/true in every sandbox that this host has; wasm runs
    /// tasks beside python3 and node; serve drives a server of sandboxes beside Docker's engine
    #[arg(value_enum, default_value_t = Suite::Jail)]
    suite: Suite,
    /// Rounds; in each, every contender runs once
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(5..=10_000))]
    rounds: u32,
    /// For wasm: another runtime of the same interface, in a virtual environment
    #[arg(long, value_name = "VENV")]
    peer: Option<PathBuf>,
    /// For serve: the socket of Docker's engine [default: DOCKER_HOST, or /var/run/docker.sock]
    #[arg(long, value_name = "SOCKET")]
    docker: Option<PathBuf>,
    /// For serve: measure without Docker beside it
    #[arg(long, conflicts_with = "docker")]
    no_docker: bool,
    /// For serve: also 500 sandboxes at once, 32 clients for a minute, and a file of 1 GiB
    #[arg(long)]
    scale: bool,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Suite {
    Jail,
    Wasm,
    Serve,
}

impl Bench {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let of_serve = self.docker.is_some() || self.no_docker || self.scale;
        anyhow::ensure!(
            !of_serve || matches!(self.suite, Suite::Serve),
            "--docker, --no-docker and --scale belong to capsule bench serve"
        );
        anyhow::ensure!(
            self.peer.is_none() || matches!(self.suite, Suite::Wasm),
            "--peer belongs to capsule bench wasm"
        );
        match self.suite {
            Suite::Jail => Self::tell(self.json, &bench::jail(self.rounds)?),
            Suite::Wasm => bench::wasm(self.rounds, self.peer.as_deref(), self.json),
            Suite::Serve => {
                let plan = bench::ServePlan {
                    rounds: self.rounds,
                    docker: self.docker,
                    without_docker: self.no_docker,
                    at_scale: self.scale,
                };
                Self::tell(self.json, &bench::serve(&plan)?)
            }
        }
    }

    fn tell(json: bool, report: &(impl Serialize + Display)) -> anyhow::Result<ExitCode> {
        let text = match json {
            true => format!("{}\n", serde_json::to_string_pretty(report)?),
            false => report.to_string(),
        };
        answer::give(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
