//! Five hundred sandboxes at once.

use std::time::Instant;

use super::ours::Server;
use super::report::Report;
use super::{Samples, figure, goal, tree};
use crate::bench::show_progress;

const SANDBOXES: u32 = 500;
/// Commands for each median.
const COMMANDS: usize = 300;

pub(super) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let mut server = Server::start(&[])?;
    let first = server.create()?;
    let alone = execs(&mut server, std::slice::from_ref(&first))?;
    let (memory, free) = (tree::memory(&tree::descendants(server.process())), tree::available()?);
    let began = Instant::now();
    let mut ids = vec![first];
    for number in 1..SANDBOXES {
        show_progress(number, SANDBOXES);
        ids.push(server.create()?);
    }
    show_progress(SANDBOXES, SANDBOXES);
    let took = began.elapsed();
    // Each is used once, so that nothing is left that only the first command brings.
    for id in &ids {
        server.exec(id)?;
    }
    let more = f64::from(SANDBOXES - 1);
    let used = tree::memory(&tree::descendants(server.process())).saturating_sub(memory);
    let taken = free.saturating_sub(tree::available()?);
    let together = execs(&mut server, &ids)?;
    let ratio = together.percentile(50).as_secs_f64() / alone.percentile(50).as_secs_f64();
    let milliseconds = |samples: &Samples| samples.percentile(50).as_secs_f64() * 1e3;
    report.figures.extend([
        figure("500 sandboxes: each is made in", took.as_secs_f64() * 1e3 / more, "ms"),
        goal("500 sandboxes: memory of processes, each", used as f64 / more / 1024.0, "MiB", 1.5),
        figure(
            "500 sandboxes: memory of the kernel too, each",
            taken as f64 / more / 1024.0,
            "MiB",
        ),
        figure("exec of /bin/true, one sandbox, p50", milliseconds(&alone), "ms"),
        figure("exec of /bin/true, 500 sandboxes, p50", milliseconds(&together), "ms"),
        goal("500 sandboxes: exec over that of one alone", ratio, "x", 2.0),
    ]);
    for id in &ids {
        server.delete(id)?;
    }
    let left = tree::descendants(server.process()).len() - 1;
    report.figures.push(goal("500 sandboxes removed: processes left", left as f64, "", 0.0));
    Ok(())
}

/// Commands in one after the other.
fn execs(server: &mut Server, ids: &[String]) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    for id in ids.iter().cycle().take(COMMANDS) {
        samples.add(server.time(|server| server.exec(id))?);
    }
    Ok(samples)
}
