//! `capsule worker`: runs for a program that asks.

use std::process::ExitCode;

use clap::Args;

use crate::worker;

/// Requests come in frames on standard input, answers go in frames to standard output: a
/// length of four bytes, big-endian, and as many bytes of JSON. What a frame may hold is
/// told in crates/capsule/src/worker/request.rs. It ends with its standard input, and with
/// the process that started it.
#[derive(Debug, Args)]
pub(crate) struct Worker {}

impl Worker {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        worker::serve()
    }
}
