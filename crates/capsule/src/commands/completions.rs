//! `capsule completions`: scripts for shells.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::answer;

// For which shell, and which of the two programs.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
    /// Complete capsule-run in place of capsule
    #[arg(long)]
    capsule_run: bool,
}

impl Completions {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (mut command, name) = if self.capsule_run {
            (capsule_jail::cli::Arguments::command(), "capsule-run")
        } else {
            (crate::Capsule::command(), "capsule")
        };
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        answer::give(&String::from_utf8(script)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
