//! The vocabulary: a hostile program, and what is expected of it.

use super::ran::Ran;
use super::scene::Scene;
use crate::attack::{Family, Verdict};

/// One program that tries to get out.
pub(crate) struct Attempt {
    /// Unique, in words with dashes; the program's file name too.
    pub(crate) name: &'static str,
    pub(crate) family: Family,
    /// What is tried, in one sentence without a final period.
    pub(crate) tries: &'static str,
    pub(super) language: Language,
    pub(super) place: Place,
    /// The program, with the names of the stage in it: `@OUTSIDE@`, `@PORT@`, …
    pub(super) program: &'static str,
    pub(super) expect: Expect,
}

/// What a program is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Python,
    TypeScript,
}

/// Where its tasks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In WebAssembly.
    Wasm,
    /// Some of them in Node in a jail, which this host may not have.
    Node,
}

impl Language {
    /// What the program's file is called.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Python => "main.py",
            Self::TypeScript => "main.ts",
        }
    }
}

/// What must come of a program. What every run must show is in `judge`.
pub(super) enum Expect {
    /// It ends, and tells of each thing it tried that it was refused.
    Refused,
    /// It ends with one of these codes.
    Fails(&'static [&'static str]),
    /// It ends, somehow.
    Ends,
    /// Its answer passes a check.
    Shows(fn(&Ran) -> Verdict),
    /// As `Refused`, on a stage with more on it.
    Staged(fn(&Scene) -> std::io::Result<()>),
    /// As `Fails`, on a stage with more on it.
    StagedFails(fn(&Scene) -> std::io::Result<()>, &'static [&'static str]),
    /// As `Refused`; a server that may not be visited listens at `@PORT@`, and one that
    /// may at `@OPEN@`.
    Silent,
    /// It runs the program itself, as often as it likes.
    Plays(fn(&Scene) -> std::io::Result<Verdict>),
}
