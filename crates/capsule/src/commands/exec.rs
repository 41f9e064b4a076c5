//! `capsule exec`: a command, once: in a jail, with the engine, options and answers of
//! `capsule-run`; or, if it is a file of WebAssembly, in a sandbox without a kernel.
//!
//! ```text
//!   capsule exec [OPTIONS] -- CMD ARGS              jail
//!   capsule exec FILE.wasm [OPTIONS] -- ARGS        WebAssembly; a program that
//!                                                   `capsule build --export` made runs
//!                                                   as `capsule run` does
//! ```
//!
//! The first word that is no option decides, by the end of its name. What follows `--`
//! is never looked at: `capsule exec -- ./tool.wasm` is a command in a jail.

mod arguments;
mod program;
mod recognise;

use std::ffi::OsString;
use std::process::ExitCode;

use capsule_jail::cli;

/// None when the file is a program of tasks (`capsule build --export`): then the words
/// are those of `capsule run`.
pub(crate) fn run(arguments: &[OsString]) -> Option<ExitCode> {
    let arguments = arguments.to_vec();
    if recognise::is_program(&arguments) {
        return None;
    }
    Some(run_command(arguments))
}

fn run_command(arguments: Vec<OsString>) -> ExitCode {
    if recognise::is_wasm(&arguments) {
        return program::run(&arguments);
    }
    cli::run(cli::parse_or_exit("capsule exec", arguments))
}
