//! `capsule doctor`: what this host can enforce, found out by trying.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use capsule_backend::Capabilities;
use capsule_jail::lockdown::{self, LockdownReport};
use capsule_spec::{Failure, WallState};

use crate::{answer, wire};

// How to answer.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut found: Vec<_> =
            wire::backends().iter().map(|backend| backend.capabilities()).collect();
        found.extend(wire::try_engine());
        let lockdown = lockdown::try_out();
        let text = if self.json {
            let backends: Vec<_> = found.iter().map(to_json).collect();
            let lockdown = lockdown_to_json(&lockdown);
            let (recycling, _) = recycling();
            let wasm = json!({ "recycling": recycling });
            let found = json!({ "backends": backends, "lockdown": lockdown, "wasm": wasm });
            format!("{}\n", serde_json::to_string_pretty(&found)?)
        } else {
            let (_, recycling) = recycling();
            found.iter().map(to_text).collect::<String>()
                + &lockdown_to_text(&lockdown)
                + &format!("wasm: {recycling}\n")
        };
        answer::give(&text)?;
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

/// How used memories of sandboxes in WebAssembly are made new, in a word and in a line.
fn recycling() -> (&'static str, &'static str) {
    match wire::Recycling::of_this_host() {
        wire::Recycling::WrittenPages => (
            "written-pages",
            "used memories are made new page by page, as /proc/self/pagemap tells",
        ),
        wire::Recycling::WholeMapping => (
            "whole-mapping",
            "used memories are mapped anew, because /proc/self/pagemap is closed; slower, as clean",
        ),
    }
}

fn lockdown_to_json(tried: &Result<LockdownReport, Failure>) -> serde_json::Value {
    json!({
        "usable": tried.is_ok(),
        "weaker": tried.as_ref().map(|report| report.weaker.clone()).unwrap_or_default(),
        "error": tried.as_ref().err(),
    })
}

fn lockdown_to_text(tried: &Result<LockdownReport, Failure>) -> String {
    match tried {
        Ok(report) if report.weaker.is_empty() => {
            "lockdown: full; a process that runs guests in WebAssembly keeps what their run may \
             grant\n"
                .to_owned()
        }
        Ok(report) => {
            let lines = report.weaker.iter().map(|line| format!("  weaker  {line}\n"));
            format!("lockdown: weaker on this host\n{}", lines.collect::<String>())
        }
        Err(failure) => format!("lockdown: not usable\n{failure}\n"),
    }
}

fn to_text(capabilities: &Capabilities) -> String {
    let name = capabilities.name;
    let mut lines = match &capabilities.usable {
        Ok(()) => vec![format!("{name}: usable; a trial run behind all walls ended well")],
        Err(failure) => vec![format!("{name}: not usable"), failure.to_string()],
    };
    lines.extend(capabilities.facts.iter().map(|(name, value)| format!("  {name}: {value}")));
    lines.push(String::new());
    for status in &capabilities.walls {
        let (mark, why) = match &status.state {
            WallState::Full => ("full  ", status.wall.summary()),
            WallState::Weaker(why) => ("weaker", why.as_str()),
            WallState::Absent(why) => ("absent", why.as_str()),
        };
        lines.push(format!("  {mark}  {:<12}  {why}", status.wall.name()));
        let remedy = status.remedy.iter();
        lines.extend(remedy.map(|remedy| format!("{:24}hint: {remedy}", "")));
    }
    lines.push(String::new());
    lines.join("\n")
}
