//! `capsule build`: everything that a first run would wait for, done now.

use std::io::{self, Write};
use std::process::ExitCode;

use capsule_engine::{Part, Parts, Project};
use capsule_spec::{ErrorCode, Failure};
use clap::Args;

use crate::program;

// What to build.
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// The program; default: the entrypoint of capsule.toml
    file: Option<String>,
    /// Write the program as one file NAME.wasm, for capsule exec
    #[arg(long)]
    export: bool,
}

impl Build {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.build() {
            Ok(text) => {
                let _ = writeln!(io::stderr(), "capsule: {text}");
                Ok(ExitCode::SUCCESS)
            }
            Err(failure) => {
                let _ = writeln!(io::stderr(), "{failure}");
                Ok(ExitCode::FAILURE)
            }
        }
    }

    fn build(&self) -> Result<String, Failure> {
        let project = Project::open(self.file.as_deref()).map_err(|error| error.into_failure())?;
        let Parts { entry: Part { project, .. }, others } = program::ready(project)?;
        if !self.export {
            return Ok(format!("{} is ready to run", project.entry()));
        }
        let others: Vec<&Project> = others.iter().map(|part| &part.project).collect();
        let bytes = project.export(&others)?;
        let file = project.entry().rsplit('/').next().unwrap_or_default();
        let name = format!("{}.wasm", file.rsplit_once('.').map_or(file, |(stem, _)| stem));
        write_whole(&name, &bytes).map_err(|error| {
            Failure::new(ErrorCode::SystemFailure, format!("{name} cannot be written: {error}"))
        })?;
        Ok(format!(
            "wrote {name} ({} KiB); run it with: capsule exec {name}",
            bytes.len().div_ceil(1024)
        ))
    }
}

/// By rename, so that nobody finds half of it.
fn write_whole(name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!(".{name}.{}", std::process::id());
    let written =
        std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, name));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}
