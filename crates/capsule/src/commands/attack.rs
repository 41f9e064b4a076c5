//! `capsule attack`: the suite of attempts to break out.

use std::io;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use crate::attack::{self, Attempt};
use crate::wire;

/// What to attack.
#[derive(Debug, Args)]
pub(crate) struct Attack {
    /// Attempts to make [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Which sandbox to attack
    #[arg(long, value_name = "NAME", default_value = "jail")]
    backend: String,

    /// Answer with one JSON object
    #[arg(long)]
    json: bool,

    /// Print the attempts, and make none
    #[arg(long)]
    list: bool,

    /// Attempts at a time [default: the number of processors]
    #[arg(long, short, value_name = "NUMBER")]
    jobs: Option<usize>,

    /// Play the hostile part of an attempt; this is what runs inside the sandbox
    #[arg(long, hide = true, num_args = 2.., value_names = ["NAME", "MARKER"], allow_hyphen_values = true)]
    inside: Vec<String>,
}

impl Attack {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if let [name, marker, arguments @ ..] = &self.inside[..] {
            return Ok(attack::guest::play(name, marker, arguments));
        }
        let attempts = chosen(&self.names)?;
        if self.list {
            attack::report::write_list(attempts.into_iter(), &mut io::stdout().lock())?;
            return Ok(ExitCode::SUCCESS);
        }
        let known: Vec<_> = wire::backends().iter().map(|backend| backend.capabilities()).collect();
        let Some(at) = known.iter().position(|known| known.name == self.backend) else {
            bail!("there is no backend {:?}; \"capsule doctor\" lists them", self.backend);
        };
        let name = known[at].name;
        if let Err(failure) = &known[at].usable {
            bail!("the {name} cannot be attacked, it does not run here: {failure}");
        }
        let backend = || wire::backends().swap_remove(at);
        let jobs = self
            .jobs
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let findings = attack::suite::run(&attempts, jobs, backend)?;
        let mut out = io::stdout().lock();
        if self.json {
            let answer = attack::report::to_json(&findings, name);
            serde_json::to_writer_pretty(&mut out, &answer)?;
            io::Write::write_all(&mut out, b"\n")?;
        } else {
            attack::report::write_table(&findings, name, &mut out)?;
        }
        Ok(if findings.are_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The attempts by name, in the order of the report.
fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Attempt>> {
    for name in names {
        if attack::find(name).is_none() {
            let known = attack::all().map(|attempt| attempt.name);
            match capsule_spec::nearest(name, known) {
                Some(nearest) => bail!("there is no attempt {name:?}; did you mean {nearest:?}?"),
                None => bail!("there is no attempt {name:?}; \"capsule attack --list\" has them"),
            }
        }
    }
    let wanted =
        |attempt: &&Attempt| names.is_empty() || names.iter().any(|name| name == attempt.name);
    Ok(attack::all().filter(wanted).collect())
}
