//! The process that bundles, as a program of its own, for tests and benchmarks. `capsule`
//! is this process itself when it is started so.

use std::io;
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    let order = std::env::args_os().next_back().unwrap_or_default();
    capsule_bundle::serve(&order, || Ok(()))
}
