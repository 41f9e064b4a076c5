//! `capsule`: run code that nobody has read yet, and let it do no harm.
//!
//! Owns: the verbs. One file a verb under `commands`; [`wire`] alone names
//! concrete backends.

mod answer;
mod attack;
mod bench;
mod broker;
mod bundling;
mod client;
mod commands;
mod lockdown;
mod packages;
mod program;
mod progress;
mod script;
mod shelf;
mod tree;
mod wire;
mod worker;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use commands::Verb;

/// musl's allocator gives memory back to the kernel after every task, and takes it again
/// for the next, a page at a time.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Run code that nobody has read yet, and let it do no harm
#[derive(Debug, Parser)]
#[command(name = "capsule", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Capsule {
    #[command(subcommand)]
    verb: Verb,
}

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = worker::serve_guests(&arguments) {
        return code;
    }
    if let [_, role] = &arguments[..]
        && let Some(error) = role.to_str().and_then(wire::become_part_of_container)
    {
        let _ = writeln!(std::io::stderr(), "error: {error}");
        return ExitCode::FAILURE;
    }
    // `exec` has its own errors, codes and JSON: they are those of capsule-run.
    if arguments.get(1).is_some_and(|verb| verb == "exec") {
        match commands::exec::run(&arguments[1..]) {
            Some(code) => return code,
            None => arguments[1] = "run".into(),
        }
    }
    match Capsule::parse_from(arguments).verb.run() {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
