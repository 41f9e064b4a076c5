//! Joins the core modules of a component into one: `guest-link IN OUT`.
//!
//! A Python guest comes as ten dynamic libraries that are linked when it is
//! instantiated: thousands of names, imports and table entries that each start pays
//! for, and calls from one library to another that go through pointers. All of that
//! is known when the guest is built. So the modules become one, its constants become
//! numbers in the code, and functions that nobody can reach are left out.
//!
//! Then the objects of its image are made to last ([`lasting`]).
//!
//! What the modules mean is not changed. Whoever has no part in a circle through the
//! host (the module that fills in the host's functions needs the memory first) is joined.

mod component;
mod join;
mod lasting;
mod module;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use anyhow::Context;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        eprintln!("usage: guest-link IN OUT");
        return ExitCode::from(2);
    };
    match run(input, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(input: &str, output: &str) -> anyhow::Result<()> {
    let bytes = std::fs::read(input).with_context(|| format!("{input} cannot be read"))?;
    let mut linked =
        component::link(&bytes).with_context(|| format!("{input} cannot be linked"))?;
    let lasting = lasting::make(&mut linked).context("its objects cannot be made to last")?;
    eprintln!(
        "guest-link: {} objects last for ever",
        lasting.context("there is no list of objects")?
    );
    wasmparser::Validator::new().validate_all(&linked).context("the result is not valid")?;
    std::fs::write(output, linked).with_context(|| format!("{output} cannot be written"))
}
