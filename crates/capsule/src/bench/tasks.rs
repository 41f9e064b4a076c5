//! Tasks beside native Python and Node, and beside another runtime.
//!
//! What is measured is whole processes, one of them Python's, so a Python program does it;
//! this binary carries it.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context;

const PROGRAM: &str = include_str!("../../../../bench/wasm.py");

/// Measures this binary, with tables on standard output, or one JSON object.
pub(crate) fn wasm(rounds: u32, peer: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let mut command = Command::new("python3");
    command.args(["-c", PROGRAM]).arg(std::env::current_exe()?);
    command.args(["--rounds", &rounds.to_string()]);
    if let Some(peer) = peer {
        command.arg("--peer").arg(peer);
    }
    if json {
        command.args(["--json", "-"]);
    }
    let status =
        command.status().context("python3, beside which tasks are measured, is missing")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
