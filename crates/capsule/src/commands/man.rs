//! `capsule man`: man pages, from the same source as `--help`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as Page;

use crate::answer;

// Where to.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write every page into this folder, in place of capsule(1) to stdout
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut capsule = crate::Capsule::command();
        // What each verb takes is otherwise left out until it is called.
        capsule.build();
        let Some(directory) = self.directory else {
            let mut page = Vec::new();
            write_page(capsule, &mut page)?;
            answer::give(&String::from_utf8(page)?)?;
            return Ok(ExitCode::SUCCESS);
        };
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let verbs = capsule
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
            .map(|verb| {
                let name = format!("capsule-{}", verb.get_name());
                verb.clone().name(name)
            });
        let run = capsule_jail::cli::Arguments::command().name("capsule-run");
        for command in verbs.chain([run, capsule.clone()]) {
            let path = directory.join(format!("{}.1", command.get_name()));
            let mut file =
                File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
            write_page(command, &mut file)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn write_page(command: Command, out: &mut impl Write) -> io::Result<()> {
    Page::new(command).render(out)
}
