//! How the findings are told: a table for people, JSON for programs.

use std::io::{self, Write};

use serde_json::json;

use super::Family;
use super::suite::Findings;

/// The table: a family under its title, an attempt a line, its sentence and what
/// was seen under it.
pub(crate) fn write_table(
    findings: &Findings,
    backend: &str,
    out: &mut impl Write,
) -> io::Result<()> {
    for family in Family::ALL {
        let of_family: Vec<_> =
            findings.attempts.iter().filter(|finding| finding.family == family).collect();
        if of_family.is_empty() {
            continue;
        }
        writeln!(out, "{}", family.title())?;
        for finding in of_family {
            writeln!(
                out,
                "  {:<12}  {:<22}  {}\n                {:<22}  {}",
                finding.verdict.name(),
                finding.name,
                finding.tries,
                "",
                printable(finding.verdict.evidence()),
            )?;
        }
        writeln!(out)?;
    }
    for leak in &findings.leaks {
        writeln!(out, "LEAK  {}: {}", leak.kind, printable(&leak.what))?;
    }
    for finding in findings.attempts.iter().filter(|finding| finding.verdict.name() == "SKIPPED") {
        writeln!(out, "SKIPPED  {}: {}", finding.name, printable(finding.verdict.evidence()))?;
    }
    for finding in findings.attempts.iter().filter(|finding| finding.verdict.is_failure()) {
        writeln!(
            out,
            "{}  {}: {}",
            finding.verdict.name(),
            finding.name,
            printable(finding.verdict.evidence())
        )?;
    }
    let counts = counts(findings);
    writeln!(
        out,
        "{backend}: {} attempts: {} held, {} escaped, {} inconclusive, {} skipped; {} leaks; {:.1} s",
        findings.attempts.len(),
        counts[0],
        counts[1],
        counts[2],
        counts[3],
        findings.leaks.len(),
        findings.took.as_secs_f64(),
    )
}

/// One JSON object.
pub(crate) fn to_json(findings: &Findings, backend: &str) -> serde_json::Value {
    let counts = counts(findings);
    json!({
        "backend": backend,
        "held_all": findings.are_good(),
        "counts": {
            "held": counts[0],
            "escaped": counts[1],
            "inconclusive": counts[2],
            "skipped": counts[3],
            "leaks": findings.leaks.len(),
        },
        "took_ms": findings.took.as_millis() as u64,
        "attempts": findings.attempts,
        "leaks": findings.leaks,
    })
}

/// What could be tried.
pub(crate) fn write_list(
    attempts: impl Iterator<Item = (&'static str, Family, &'static str)>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut last = None;
    for (name, family, tries) in attempts {
        if last != Some(family) {
            writeln!(out, "{}", family.title())?;
            last = Some(family);
        }
        writeln!(out, "  {name:<22}  {tries}")?;
    }
    Ok(())
}

fn counts(findings: &Findings) -> [usize; 4] {
    ["HELD", "ESCAPED", "INCONCLUSIVE", "SKIPPED"].map(|name| {
        findings.attempts.iter().filter(|finding| finding.verdict.name() == name).count()
    })
}

/// Evidence can hold what a guest printed: nothing in it may speak to the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
