//! Checks and generators of this repository: `cargo xtask tidy`, `cargo xtask schema`.
//!
//! Owns: the rules of the house that a compiler does not know, and the files that
//! are made from the Rust types. Refuses to know: how anything runs.
#![allow(clippy::print_stdout, reason = "the findings are the answer")]

mod generated;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  tidy             check the rules of the house
  schema           write the generated files (schema/, docs/seccomp-calls.md)
  schema --check   fail when one of them is stale";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> anyhow::Result<ExitCode> {
    let root = repository()?;
    match words {
        ["tidy"] => tidy::run(&root),
        ["schema"] => generated::write(&root).map(|()| ExitCode::SUCCESS),
        ["schema", "--check"] => tidy::report(&generated::stale(&root)?, "generated files"),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprintln!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}

/// The folder above this crate.
fn repository() -> anyhow::Result<PathBuf> {
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = own.parent().map(Path::to_owned).context("xtask has no folder above it")?;
    if !root.join("Cargo.toml").is_file() {
        bail!("{} is not the repository", root.display());
    }
    Ok(root)
}
