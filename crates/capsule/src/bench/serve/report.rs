//! The figures, for people and for programs.

use std::fmt;

use serde::Serialize;

use super::super::contenders::Missing;
use super::super::samples::Samples;

/// All figures of one run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(super) rows: Vec<Row>,
    pub(super) figures: Vec<Goal>,
    pub(super) missing: Vec<Missing>,
}

/// One piece of work, ours and Docker's, in microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    name: &'static str,
    runs: usize,
    min_us: u128,
    p50_us: u128,
    p99_us: u128,
    docker_runs: usize,
    docker_min_us: Option<u128>,
    docker_p50_us: Option<u128>,
    docker_p99_us: Option<u128>,
    /// Ours over Docker's, of the medians.
    ratio: Option<f64>,
    /// What it is to be at most.
    goal: Option<f64>,
}

/// A figure, and what it is to be at most.
#[derive(Debug, Serialize)]
pub(super) struct Goal {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    pub(super) most: Option<f64>,
}

impl Row {
    pub(super) fn new(
        name: &'static str,
        ours: &Samples,
        docker: &Samples,
        goal: Option<f64>,
    ) -> Self {
        let of_docker = |time: fn(&Samples) -> u128| (docker.count() > 0).then(|| time(docker));
        let p50 = ours.percentile(50).as_micros();
        let docker_p50 = of_docker(|samples| samples.percentile(50).as_micros());
        Self {
            name,
            runs: ours.count(),
            min_us: ours.min().as_micros(),
            p50_us: p50,
            p99_us: ours.percentile(99).as_micros(),
            docker_runs: docker.count(),
            docker_min_us: of_docker(|samples| samples.min().as_micros()),
            docker_p50_us: docker_p50,
            docker_p99_us: of_docker(|samples| samples.percentile(99).as_micros()),
            ratio: docker_p50.map(|docker| p50 as f64 / docker as f64),
            goal,
        }
    }
}

fn verdict(value: f64, most: f64) -> &'static str {
    if value <= most { "met" } else { "missed" }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |us: u128| us as f64 / 1000.0;
        let of = |us: Option<u128>| {
            us.map_or_else(|| "-".to_owned(), |us| format!("{:.2}", milliseconds(us)))
        };
        writeln!(f, "over loopback JSON-RPC, milliseconds, interleaved with Docker's HTTP API\n")?;
        writeln!(
            f,
            "  {:<24}{:>9}{:>9}{:>9}{:>12}{:>9}{:>9}   ratio of p50",
            "", "min", "p50", "p99", "docker min", "p50", "p99"
        )?;
        for row in &self.rows {
            let ratio = row.ratio.map(|ratio| format!("1/{:.0}", 1.0 / ratio));
            let goal = match (row.ratio, row.goal) {
                (Some(ratio), Some(goal)) => {
                    format!(", goal 1/{:.0}: {}", 1.0 / goal, verdict(ratio, goal))
                }
                _ => String::new(),
            };
            let line = format!(
                "  {:<24}{:>9}{:>9}{:>9}{:>12}{:>9}{:>9}   {}{goal}",
                row.name,
                of(Some(row.min_us)),
                of(Some(row.p50_us)),
                of(Some(row.p99_us)),
                of(row.docker_min_us),
                of(row.docker_p50_us),
                of(row.docker_p99_us),
                ratio.unwrap_or_default(),
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        if !self.figures.is_empty() {
            writeln!(f)?;
        }
        for figure in &self.figures {
            let goal = match figure.most {
                Some(most) => format!("   goal {most}: {}", verdict(figure.value, most)),
                None => String::new(),
            };
            let line =
                format!("  {:<48}{:>10.2} {:<6}{goal}", figure.name, figure.value, figure.unit);
            writeln!(f, "{}", line.trim_end())?;
        }
        for (name, why) in &self.missing {
            writeln!(f, "  {name}: {why}")?;
        }
        Ok(())
    }
}
