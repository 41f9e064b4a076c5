//! `capsule doctor`: what this host can enforce, found out by trying.
#![allow(clippy::print_stdout, reason = "a verb's answer goes to stdout")]

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use capsule_backend::Capabilities;
use capsule_spec::WallState;

use crate::wire;

/// How to answer.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let found: Vec<_> = wire::backends().iter().map(|backend| backend.capabilities()).collect();
        if self.json {
            let backends: Vec<_> = found.iter().map(to_json).collect();
            println!("{}", serde_json::to_string_pretty(&json!({ "backends": backends }))?);
        } else {
            found.iter().for_each(print);
        }
        let usable = found.iter().any(|capabilities| capabilities.usable.is_ok());
        Ok(if usable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn to_json(capabilities: &Capabilities) -> serde_json::Value {
    json!({
        "backend": capabilities.name,
        "usable": capabilities.usable.is_ok(),
        "facts": capabilities.facts.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "error": capabilities.usable.as_ref().err(),
        "walls": capabilities.walls,
    })
}

fn print(capabilities: &Capabilities) {
    match &capabilities.usable {
        Ok(()) => {
            println!("{}: usable; a trial run behind all walls ended well", capabilities.name)
        }
        Err(failure) => println!("{}: not usable\n{failure}", capabilities.name),
    }
    for (name, value) in &capabilities.facts {
        println!("  {name}: {value}");
    }
    println!();
    for status in &capabilities.walls {
        let (mark, why) = match &status.state {
            WallState::Full => ("full  ", status.wall.summary()),
            WallState::Weaker(why) => ("weaker", why.as_str()),
            WallState::Absent(why) => ("absent", why.as_str()),
        };
        println!("  {mark}  {:<12}  {why}", status.wall.name());
        if let Some(remedy) = &status.remedy {
            println!("                        hint: {remedy}");
        }
    }
}
