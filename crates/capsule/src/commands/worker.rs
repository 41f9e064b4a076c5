//! `capsule worker`: runs for a program that asks.

use std::process::ExitCode;

use clap::Args;

use crate::worker;

// What a frame may hold is told in worker/request.rs.
#[derive(Debug, Args)]
pub(crate) struct Worker {}

impl Worker {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        worker::serve()
    }
}
