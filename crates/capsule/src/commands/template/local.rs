//! Templates of a configuration file on this host, without a server.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use capsule_server::roots::{Cache, Files, State};
use capsule_server::{PackageIndexes, Template, templates as configuration};
use capsule_spec::{ErrorCode, Failure, nearest};
use clap::Args;

use super::super::sandbox::connect::give;
use super::super::sandbox::table::Table;
use super::super::sandbox::text;
use super::super::serve::making::Place;
use super::super::serve::{self, packages};
use crate::progress::Making;
use crate::{program, wire};

/// Which file, and whose state.
#[derive(Debug, Args)]
struct Source {
    /// Configuration file with templates [default: capsule.toml in the data folder]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The server's data folder, in which it is kept [default: that of capsule serve]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What will make the sandboxes
    #[arg(long, value_enum, default_value = "auto")]
    backend: serve::Kind,
    /// The engine's socket [default: the environment's DOCKER_HOST, or /var/run/docker.sock]
    #[arg(long, value_name = "PATH")]
    docker_socket: Option<PathBuf>,
    /// The image of a built-in template, for containers (can be given more than once)
    #[arg(long, value_name = "TEMPLATE=IMAGE", value_parser = serve::image)]
    image: Vec<(String, String)>,
}

/// What is to be made ready.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// The templates [default: all]
    name: Vec<String>,
    #[command(flatten)]
    source: Source,
    /// Where packages come from: pip=URL or npm=URL [default: as for capsule serve]
    #[arg(long, value_name = "MANAGER=URL")]
    package_index: Vec<String>,
    /// Another host that packages come from (can be given more than once)
    #[arg(long, value_name = "HOST[:PORT]")]
    package_host: Vec<String>,
}

/// What is to be listed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Templates of a file")]
pub(super) struct List {
    /// List the templates of this file, and how far they are, without a server
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "unix", "json"])]
    config: Option<PathBuf>,
    /// The server's data folder, in which what was made is kept
    #[arg(long, value_name = "DIR", requires = "config")]
    data: Option<PathBuf>,
}

/// What stays.
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Configuration file with templates [default: capsule.toml in the data folder]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The server's data folder [default: that of capsule serve]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Tells a failure as every verb does.
pub(super) fn ended(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{failure}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Everything that the options say.
struct Read {
    kind: wire::Kind,
    socket: PathBuf,
    data: PathBuf,
    templates: Vec<Template>,
}

impl Source {
    fn read(self) -> Result<Read, Failure> {
        let socket = self.docker_socket.unwrap_or_else(wire::Engine::usual_socket);
        let engine = wire::Engine { socket: socket.clone(), runtime: "runc".to_owned() };
        let kind = self.backend.found(engine);
        let data = serve::data(self.data)?;
        let built_in = serve::templates(&kind, &self.image, 0)?;
        let templates = serve::configured(self.config, &data, built_in)?;
        Ok(Read { kind, socket, data, templates })
    }
}

impl Read {
    fn place(&self) -> Place<'_> {
        Place { kind: &self.kind, socket: self.socket.clone(), data: &self.data }
    }
}

impl Build {
    pub(super) fn build(self) -> Result<(), Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let indexes = packages::indexes(&self.package_index, &self.package_host, &variable)?;
        let mut read = self.source.read()?;
        check_names(&self.name, &read.templates)?;
        let mut templates = std::mem::take(&mut read.templates);
        if !self.name.is_empty() {
            templates.retain(|template| self.name.contains(&template.name));
        }
        let progress = Making::for_people();
        let made = read.place();
        program::threads()?.block_on(made.make(&mut templates, &indexes, &progress))?;
        progress.clear();
        for template in templates.iter().filter(|template| template.origin.is_made()) {
            give(&format!("{}\n", template.name))?;
        }
        Ok(())
    }
}

impl List {
    pub(super) fn is_meant(&self) -> bool {
        self.config.is_some()
    }

    pub(super) fn list(self) -> Result<(), Failure> {
        let source = Source {
            config: self.config,
            data: self.data,
            backend: serve::Kind::Jail,
            docker_socket: None,
            image: Vec::new(),
        };
        let read = source.read()?;
        let (place, indexes) = (read.place(), PackageIndexes::default());
        let (threads, progress) = (program::threads()?, Making::for_people());
        let mut table = Table::new(&["NAME", "LANGUAGE", "SOURCE", "PACKAGES", "STATE"]);
        for template in &read.templates {
            // One that cannot be read is a line of the list, not the end of it.
            let state = match threads.block_on(place.state(template, &indexes, &progress)) {
                Ok(State::Ready) => "ready".to_owned(),
                Ok(State::Missing) => "to be built".to_owned(),
                Err(failure) => format!("{}: {}", failure.code, failure.message),
            };
            table.row(vec![
                template.name.clone(),
                text::of(&serde_json::json!(template.language)),
                source_of(template),
                packages_of(template),
                text::cut(&text::harmless(&state), 100),
            ]);
        }
        give(&table.text())
    }
}

impl Prune {
    pub(super) fn prune(self) -> Result<(), Failure> {
        let data = serve::data(self.data)?;
        let built_in = serve::templates(&wire::Kind::Jail, &[], 0)?;
        let named = self
            .config
            .or_else(|| Some(data.join(configuration::NAME)).filter(|file| file.exists()));
        let Some(config) = named else {
            let what = "there is no configuration file, so nothing says what is needed";
            return Err(Failure::new(ErrorCode::InvalidConfig, what).hint("name it with --config"));
        };
        let templates = configuration::load(&config, built_in)?;
        if !Cache::is_there(&data) {
            return give("removed: 0\n");
        }
        let needed: BTreeSet<String> = templates
            .into_iter()
            .filter(|template| template.origin.is_made())
            .map(|template| template.name)
            .collect();
        let removed = Cache::open(&data)?.prune(&needed)?;
        give(&format!("removed: {removed}\n"))
    }
}

fn check_names(names: &[String], templates: &[Template]) -> Result<(), Failure> {
    let known: Vec<&str> = templates.iter().map(|template| template.name.as_str()).collect();
    let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) else {
        return Ok(());
    };
    let what = format!("there is no template {name:?}");
    let failure = Failure::new(ErrorCode::UnknownTemplate, what);
    Err(match nearest(name, known.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean {near:?}?")),
        None => failure.hint(format!("it can be {}", known.join(", "))),
    })
}

fn source_of(template: &Template) -> String {
    use capsule_backend::sandbox::Root;

    let (kind, path) = match (&template.origin.files, &template.recipe.root) {
        (Some(Files::Archive(path)), _) => ("archive", path),
        (Some(Files::Layout(path)), _) => ("layout", path),
        (Some(Files::Dockerfile(path)), _) => ("dockerfile", path),
        (None, Root::Directory(path)) => ("directory", path),
        (None, Root::Host) => return "host".to_owned(),
        (None, Root::Image(name)) => return format!("image {}", text::harmless(name)),
    };
    format!("{kind} {}", text::harmless(&path.display().to_string()))
}

fn packages_of(template: &Template) -> String {
    let packages = &template.origin.packages;
    let of = |name: &str, list: &[String]| {
        (!list.is_empty()).then(|| format!("{name}: {}", list.join(" ")))
    };
    let all: Vec<String> =
        [of("pip", &packages.pip), of("npm", &packages.npm)].into_iter().flatten().collect();
    if all.is_empty() { "-".to_owned() } else { text::cut(&all.join("; "), 60) }
}
