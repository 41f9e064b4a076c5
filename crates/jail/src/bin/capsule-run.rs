//! `capsule-run`: a command, once, in a jail.

use std::process::ExitCode;

use capsule_jail::cli;

fn main() -> ExitCode {
    cli::run(cli::parse_or_exit(std::env::args_os()))
}
