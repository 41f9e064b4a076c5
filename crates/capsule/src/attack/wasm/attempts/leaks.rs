//! Attempts at what another task left.

use super::super::attempt::{Attempt, Expect};
use super::super::checks;
use super::program;

pub(super) const ATTEMPTS: &[Attempt] = &[
    program!(
        "marks",
        Leaks,
        "leave marks wherever the interpreter has room, and look for them in the next tasks",
        Expect::Refused
    ),
    program!(
        "fresh-memory",
        Leaks,
        "look for another task's bytes in memory that was never written",
        Expect::Refused
    ),
    program!("raw-memory", Leaks, "read and write memory by address", Expect::Refused),
    program!(
        "bent-code",
        Leaks,
        "run byte code that reads outside of its own frame, and look what is left for others",
        Expect::Refused
    ),
    program!("same-chance", Leaks, "have two tasks draw the same random numbers", Expect::Refused),
    program!("siblings", Leaks, "meet a task that runs at the same time", Expect::Refused),
    program!(
        "two-runs",
        Leaks,
        "find in a second run what the first one left",
        Expect::Plays(checks::two_runs)
    ),
    program!(
        TypeScript,
        "marks-ts",
        Leaks,
        "leave marks wherever the engine has room, and look for them in the next tasks",
        Expect::Refused
    ),
];
