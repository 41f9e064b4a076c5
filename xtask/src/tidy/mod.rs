//! `cargo xtask tidy`: the rules of the house. One file a family of rules.
//!
//! Each rule is data at the top of its file and a pure function below it, so that
//! the tests can show it a bad sample.

mod containment;
mod errors;
mod files;
mod graph;
mod markdown;
mod rust;
mod scripts;
mod words;

use std::path::Path;
use std::process::ExitCode;

pub(crate) use files::{Source, sources};

use crate::generated;

/// Something that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) what: String,
    pub(crate) hint: String,
    /// Said, but not failed for.
    pub(crate) is_warning: bool,
}

impl Problem {
    pub(crate) fn new(
        path: impl Into<String>,
        line: usize,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (path, what, hint) = (path.into(), what.into(), hint.into());
        Self { path, line, what, hint, is_warning: false }
    }

    pub(crate) fn warning(self) -> Self {
        Self { is_warning: true, ..self }
    }
}

pub(crate) fn run(root: &Path) -> anyhow::Result<ExitCode> {
    let sources = sources(root)?;
    let mut problems = graph::check(&sources)?;
    for source in &sources {
        problems.extend(rust::check(source));
        problems.extend(files::check_size(source));
        problems.extend(words::check(source));
        problems.extend(scripts::check(source));
    }
    problems.extend(files::check_exemptions(&sources));
    problems.extend(words::check_exceptions(&sources));
    problems.extend(errors::check(&sources));
    problems.extend(containment::check(&sources));
    problems.extend(markdown::check(&sources));
    problems.extend(generated::stale(root)?);
    report(&problems, &format!("{} files", sources.len()))
}

/// Prints every problem and a closing line.
pub(crate) fn report(problems: &[Problem], what: &str) -> anyhow::Result<ExitCode> {
    for problem in problems {
        let Problem { path, line, what, hint, is_warning } = problem;
        let kind = if *is_warning { "warning: " } else { "" };
        println!("{path}:{line}: {kind}{what}; hint: {hint}");
    }
    let warnings = problems.iter().filter(|problem| problem.is_warning).count();
    let failures = problems.len() - warnings;
    println!("xtask: {what} checked, {failures} problems, {warnings} warnings");
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
