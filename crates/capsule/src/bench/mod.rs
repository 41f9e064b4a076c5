//! Measures sandboxes against each other, in one interleaved run.
//!
//! Every round runs every contender once, so a noisy minute hits all of them
//! alike; ratios can be trusted where single times cannot. Nothing is asserted.

mod contenders;
mod oci;
mod overhead;
mod report;
mod samples;
mod serve;
mod tasks;

use std::io::{IsTerminal, Write};

pub(crate) use report::Report;
use report::Row;
use samples::Samples;
pub(crate) use serve::{Plan as ServePlan, serve};
pub(crate) use tasks::wasm;

/// Starts `/bin/true` in every sandbox of this host, `rounds` times each.
pub(crate) fn jail(rounds: u32) -> anyhow::Result<Report> {
    let scratch = oci::Scratch::new()?;
    let (contenders, missing) = contenders::find(&scratch)?;
    let mut samples: Vec<Samples> = contenders.iter().map(|_| Samples::default()).collect();
    // Twice without counting: caches, and a server's first container.
    for contender in contenders.iter().chain(&contenders) {
        contender.time()?;
    }
    for round in 0..rounds {
        show_progress(round, rounds);
        for (contender, samples) in contenders.iter().zip(&mut samples) {
            // A slow one need not run as often as a fast one to be known.
            if contender.runs_in(round) {
                samples.add(contender.time()?);
            }
        }
    }
    show_progress(rounds, rounds);
    let rows =
        contenders.iter().zip(samples).map(|(contender, samples)| Row::new(contender, samples));
    Ok(Report::new(rows.collect(), missing, overhead::measure(&contenders::capsule_run()?)?))
}

fn show_progress(round: u32, rounds: u32) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let end = if round == rounds { "\r\x1b[K" } else { "" };
        let _ = write!(stderr, "\rround {round} of {rounds}{end}");
    }
}
