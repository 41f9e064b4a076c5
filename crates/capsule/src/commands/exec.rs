//! `capsule exec`: a command, once, in a jail. The same engine, options and
//! answers as `capsule-run`.

use std::ffi::OsString;
use std::process::ExitCode;

use capsule_jail::cli;

pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    cli::run(cli::parse_or_exit("capsule exec", arguments))
}
