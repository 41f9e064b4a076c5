//! `capsule attack`: the suite of attempts to break out.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use capsule_backend::sandbox::Root;
use clap::Args;

use crate::attack::serve::suite::Walls;
use crate::attack::{self, Family};
use crate::{progress, wire};

/// Targets that are none of the jail's kind.
const WASM: &str = "wasm";
const SERVE: &str = "serve";
const DOCKER: &str = "docker";

// What to attack.
#[derive(Debug, Args)]
pub(crate) struct Attack {
    /// Attempts to make [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// What to attack: jail, wasm (tasks), docker (containers), or serve (a server)
    #[arg(long, value_name = "NAME", default_value = "jail")]
    backend: String,

    /// What runs the containers to attack
    #[arg(long, value_name = "NAME", default_value = "runc")]
    runtime: String,

    /// The engine's socket [default: the environment's DOCKER_HOST, or /var/run/docker.sock]
    #[arg(long, value_name = "PATH")]
    docker_socket: Option<PathBuf>,

    /// The image of the containers to attack
    #[arg(long, value_name = "IMAGE", default_value = "debian:stable-slim")]
    image: String,

    /// Take the wall of each attempt away where that can be done, and see that it gets through:
    /// for servers
    #[arg(long)]
    walls_down: bool,

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
        if self.walls_down && self.backend != SERVE {
            bail!("--walls-down is for --backend {SERVE}");
        }
        match &*self.backend {
            WASM => return self.tasks(),
            SERVE => return self.server(),
            DOCKER => return self.containers(),
            _ => {}
        }
        let attempts = chosen(&self.names, attack::all(), |attempt| attempt.name)?;
        if self.list {
            return list(attempts.iter().map(|one| (one.name, one.family, one.tries)));
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
        self.tell(&attack::suite::run(&attempts, self.jobs(), backend)?, name)
    }

    /// The suite against tasks, which are run by the engine and not by a `Backend`.
    fn tasks(&self) -> anyhow::Result<ExitCode> {
        let attempts = chosen(&self.names, attack::wasm::all(), |attempt| attempt.name)?;
        if self.list {
            return list(attempts.iter().map(|one| (one.name, one.family, one.tries)));
        }
        // Made ready once, and not by all of them at a time.
        wire::prepare(&progress::Preparing).map_err(|failure| {
            anyhow!("tasks cannot be attacked, they do not run here: {failure}")
        })?;
        self.tell(&attack::wasm::suite::run(&attempts, self.jobs())?, WASM)
    }

    /// The suite against a server of this binary.
    fn server(&self) -> anyhow::Result<ExitCode> {
        let attempts = chosen(&self.names, attack::serve::all(), |attempt| attempt.name)?;
        if self.list {
            return list(attempts.iter().map(|one| (one.name, one.family, one.tries)));
        }
        let walls = if self.walls_down { Walls::Down } else { Walls::Up };
        let findings = attack::serve::suite::run(&attempts, self.jobs(), walls)?;
        let told = self.tell(&findings, SERVE)?;
        let all_through = || findings.attempts.iter().all(|one| one.verdict.name() == "ESCAPED");
        Ok(match walls {
            Walls::Up => told,
            Walls::Down if all_through() && findings.leaks.is_empty() => ExitCode::SUCCESS,
            Walls::Down => ExitCode::FAILURE,
        })
    }

    /// The jail's suite, inside containers as the server makes them.
    fn containers(&self) -> anyhow::Result<ExitCode> {
        let attempts = chosen(&self.names, attack::all(), |attempt| attempt.name)?;
        if self.list {
            return list(attempts.iter().map(|one| (one.name, one.family, one.tries)));
        }
        let socket = self.docker_socket.clone().unwrap_or_else(wire::Engine::usual_socket);
        let kind = wire::Kind::Docker(wire::Engine { socket, runtime: self.runtime.clone() });
        let scene = attack::suite::Scene::open()?;
        let root = Root::Image(self.image.clone());
        let target = match attack::sandbox::Target::open(&kind, root, scene.path()) {
            Ok(target) => Arc::new(target),
            Err(failure) => {
                let _ = scene.close();
                bail!("containers cannot be attacked, they do not run here: {failure}");
            }
        };
        let findings = attack::sandbox::run(scene, &attempts, self.jobs(), target)?;
        self.tell(&findings, DOCKER)
    }

    fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn tell(&self, findings: &attack::suite::Findings, name: &str) -> anyhow::Result<ExitCode> {
        let mut out = io::stdout().lock();
        if self.json {
            let answer = attack::report::to_json(findings, name);
            serde_json::to_writer_pretty(&mut out, &answer)?;
            io::Write::write_all(&mut out, b"\n")?;
        } else {
            attack::report::write_table(findings, name, &mut out)?;
        }
        Ok(if findings.are_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn list(
    attempts: impl Iterator<Item = (&'static str, Family, &'static str)>,
) -> anyhow::Result<ExitCode> {
    attack::report::write_list(attempts, &mut io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

/// The attempts by name, in the order of the report.
fn chosen<T>(
    names: &[String],
    all: impl Iterator<Item = &'static T> + Clone,
    name_of: fn(&T) -> &'static str,
) -> anyhow::Result<Vec<&'static T>> {
    for name in names {
        if !all.clone().any(|attempt| name_of(attempt) == name) {
            match capsule_spec::nearest(name, all.map(name_of)) {
                Some(nearest) => bail!("there is no attempt {name:?}; did you mean {nearest:?}?"),
                None => bail!("there is no attempt {name:?}; \"capsule attack --list\" has them"),
            }
        }
    }
    let wanted = |one: &&T| names.is_empty() || names.iter().any(|name| name == name_of(one));
    Ok(all.filter(wanted).collect())
}
