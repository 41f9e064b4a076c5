//! `capsule exec`: a command, once: in a jail, with the engine, options and answers of
//! `capsule-run`; or, if it is a file of WebAssembly, in a sandbox without a kernel.
//!
//! ```text
//!   capsule exec [OPTIONS] -- CMD ARGS              jail
//!   capsule exec FILE.wasm [OPTIONS] -- ARGS        WebAssembly
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

pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    if recognise::is_wasm(&arguments) {
        return program::run(&arguments);
    }
    cli::run(cli::parse_or_exit("capsule exec", arguments))
}
