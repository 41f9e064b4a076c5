//! What a lock-down could not take away.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use capsule_spec::{ErrorCode, Failure};

use super::Lockdown;
use crate::sys::{self, Side};

/// How a lock-down went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockdownReport {
    /// What is weaker on this host than it should be: what it is about, a colon, why.
    pub weaker: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl LockdownReport {
    /// What is known before anything is tried.
    pub(super) fn of(landlock: u32, foreign: Option<&Path>) -> Self {
        let mut weaker = Vec::new();
        match landlock {
            0 => weaker.push(
                "landlock: this kernel has none, or it is switched off, so all files of the \
                 caller stay in reach (Linux 5.13, with landlock in lsm=)"
                    .to_owned(),
            ),
            1 | 2 => weaker.push(
                "landlock: files outside the grants can be emptied, though not read or written \
                 (Linux 6.2)"
                    .to_owned(),
            ),
            _ => {}
        }
        if let Some(path) = foreign {
            weaker.push(format!(
                "capabilities: CAP_DAC_OVERRIDE is kept, bounded by Landlock: {} belongs to \
                 another user",
                path.display()
            ));
        }
        Self { weaker, took: Duration::ZERO }
    }
}

/// Locks a process down that does nothing else, to learn what this host enforces.
///
/// # Errors
/// As [`Lockdown::apply`].
pub fn try_out() -> Result<LockdownReport, Failure> {
    let failed = |error: io::Error| {
        Failure::new(ErrorCode::SystemFailure, format!("no process for a trial: {error}"))
    };
    let (mut from, mut to) = io::pipe().map_err(failed)?;
    match sys::fork().map_err(failed)? {
        Side::Inside => {
            let lines = match Lockdown::default().apply() {
                Ok(report) => {
                    report.weaker.iter().map(|line| format!("w{line}\n")).collect::<String>()
                        + &format!("t{}\n", report.took.as_nanos())
                }
                Err(failure) => format!("f{}\n", failure.message),
            };
            let _ = to.write_all(lines.as_bytes());
            sys::exit_now(0)
        }
        Side::Outside { pid, .. } => {
            drop(to);
            let mut text = String::new();
            let read = from.read_to_string(&mut text);
            sys::reap(pid).map_err(failed)?;
            read.map_err(failed)?;
            told(&text)
        }
    }
}

fn told(text: &str) -> Result<LockdownReport, Failure> {
    let lost = || Failure::new(ErrorCode::SystemFailure, "a locked-down process died at once");
    let mut report = LockdownReport::default();
    let mut is_whole = false;
    for line in text.lines() {
        match line.split_at_checked(1).ok_or_else(lost)? {
            ("w", line) => report.weaker.push(line.to_owned()),
            ("t", time) => {
                report.took = Duration::from_nanos(time.parse().map_err(|_| lost())?);
                is_whole = true;
            }
            (_, message) => return Err(Failure::new(ErrorCode::SystemFailure, message)),
        }
    }
    if is_whole { Ok(report) } else { Err(lost()) }
}
