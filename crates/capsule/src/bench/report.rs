//! The figures, for people and for programs.

use std::fmt;

use serde::{Serialize, Serializer};

use super::contenders::{Contender, Missing};
use super::overhead::Overhead;
use super::samples::Samples;

/// One contender's figures, in microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    name: String,
    runs: usize,
    min_us: u128,
    p50_us: u128,
    p99_us: u128,
}

impl Row {
    pub(super) fn new(contender: &Contender, samples: Samples) -> Self {
        Self {
            name: contender.name.clone(),
            runs: samples.count(),
            min_us: samples.min().as_micros(),
            p50_us: samples.percentile(50).as_micros(),
            p99_us: samples.percentile(99).as_micros(),
        }
    }
}

/// All figures of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    rows: Vec<Row>,
    /// Ratios of the median of capsule-run to that of each other contender.
    capsule_run_over: Vec<(String, f64)>,
    #[serde(serialize_with = "cpu")]
    cpu_bound_inside_over_outside: f64,
    memory_on_top_kib: u64,
    missing: Vec<Missing>,
}

fn cpu<S: Serializer>(ratio: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((ratio * 1000.0).round() / 1000.0)
}

impl Report {
    pub(super) fn new(rows: Vec<Row>, missing: Vec<Missing>, overhead: Overhead) -> Self {
        let ours = rows.iter().find(|row| row.name == "capsule-run");
        let ours = ours.map_or(0.0, |row| row.p50_us as f64);
        let ratio = |row: &Row| (ours / row.p50_us as f64 * 1000.0).round() / 1000.0;
        let others = rows.iter().filter(|row| row.name != "capsule-run");
        Self {
            capsule_run_over: others.map(|row| (row.name.clone(), ratio(row))).collect(),
            rows,
            cpu_bound_inside_over_outside: overhead.cpu_ratio,
            memory_on_top_kib: overhead.memory_kib,
            missing,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |us: u128| us as f64 / 1000.0;
        writeln!(f, "start of /bin/true, milliseconds, interleaved\n")?;
        writeln!(
            f,
            "  {:<24}{:>9}{:>9}{:>9}{:>7}   capsule-run is",
            "", "min", "p50", "p99", "runs"
        )?;
        for row in &self.rows {
            let ratio = self.capsule_run_over.iter().find(|(name, _)| *name == row.name);
            let ratio = ratio.map_or(String::new(), |(_, ratio)| format!("{ratio:.2}x of its p50"));
            writeln!(
                f,
                "  {:<24}{:>9.2}{:>9.2}{:>9.2}{:>7}   {ratio}",
                row.name,
                milliseconds(row.min_us),
                milliseconds(row.p50_us),
                milliseconds(row.p99_us),
                row.runs,
            )?;
        }
        for (name, why) in &self.missing {
            writeln!(f, "  {name:<24} left out: {why}")?;
        }
        writeln!(
            f,
            "\n  CPU-bound work inside takes {:.3}x of the same outside\n  \
             supervisor and PID 1 take {} KiB on top of the command",
            self.cpu_bound_inside_over_outside, self.memory_on_top_kib
        )
    }
}
