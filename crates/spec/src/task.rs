//! What runs: complete, checked, nothing left to decide.

use serde::Serialize;

use crate::{ExecutionId, GuestPath, Isolation, Limits, Policy, Wall};

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// A command and its arguments; never empty, no NUL bytes.
    Command(Vec<String>),
}

/// What the command reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stdin {
    /// Nothing: end of file at once.
    #[default]
    Empty,
    /// What the caller's standard input gives, copied by the supervisor.
    Inherited,
}

/// One thing to run, with all that bounds it. Made by [`crate::TaskSpec::resolve`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Task {
    /// Names this execution.
    pub id: ExecutionId,
    /// What to run.
    pub program: Program,
    /// Where it starts. Default `/workspace`.
    pub working_directory: GuestPath,
    /// What it reads.
    pub stdin: Stdin,
    /// How much it may use.
    pub limits: Limits,
    /// What it may touch.
    pub policy: Policy,
    /// Which kind of sandbox.
    pub isolation: Isolation,
    /// Walls without which it must not run.
    pub require: Vec<Wall>,
}
