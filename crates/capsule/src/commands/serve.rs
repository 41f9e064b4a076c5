//! `capsule serve`: sandboxes that live on, for whoever asks over HTTP.

mod doctor;
pub(super) mod making;
pub(super) mod packages;
mod sys;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use capsule_backend::sandbox::{Recipe, Root};
use capsule_server::request::{Language, OnExpiry};
use capsule_server::{
    Listen, ServeError, Server, Settings, Template, WebhookRules, templates as configuration,
};
use capsule_spec::{
    ByteSize, ErrorCode, Failure, HostRule, Limits, Policy, parse_duration, parse_size,
};
use clap::{Args, ValueEnum};

use crate::progress::Making;
use crate::{answer, program, wire};

// Where to listen, who may come, and how much there may be.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address to listen on; beyond loopback, callers need an API key
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Listen on a Unix socket instead, for this user only
    #[arg(long, value_name = "PATH", conflicts_with = "listen")]
    unix: Option<PathBuf>,
    /// What makes the sandboxes
    #[arg(long, value_enum, default_value = "auto")]
    backend: Kind,
    /// What runs containers: a runtime that the engine knows, such as runc or runsc (gVisor)
    #[arg(long, value_name = "NAME", default_value = "runc")]
    runtime: String,
    /// The engine's socket [default: the environment's DOCKER_HOST, or /var/run/docker.sock]
    #[arg(long, value_name = "PATH")]
    docker_socket: Option<PathBuf>,
    /// The image of a template, for containers (can be given more than once)
    #[arg(long, value_name = "TEMPLATE=IMAGE", value_parser = image)]
    image: Vec<(String, String)>,
    /// Folder for the server's state, nobody else's [default: capsule/server in the user's
    /// state folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration file with templates [default: capsule.toml in the folder for the state, if
    /// it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Demand an API key on loopback, too
    #[arg(long)]
    require_key: bool,
    /// Another name of this server, for the Host header (can be given more than once)
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// An origin whose pages may talk to this server (can be given more than once)
    #[arg(long, value_name = "URL")]
    allow_origin: Vec<String>,
    /// Sandboxes at one time
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    max_sandboxes: usize,
    /// Sandboxes of one API key at one time
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    max_sandboxes_per_key: usize,
    /// Spare sandboxes of each kind that are kept ready for who asks next [default: 2 jails, 0
    /// containers]
    #[arg(long, value_name = "COUNT")]
    pool: Option<usize>,
    /// Processes started from outside that run in one sandbox at one time
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    max_processes: usize,
    /// Size of all snapshots of one API key together
    #[arg(long, value_name = "SIZE", default_value = "10GiB", value_parser = parse_size)]
    max_snapshots_per_key: ByteSize,
    /// Size of all volumes of one API key together
    #[arg(long, value_name = "SIZE", default_value = "10GiB", value_parser = parse_size)]
    max_volumes_per_key: ByteSize,
    /// How long a sandbox that is paused because its time is over is kept; then its files are
    /// left as a snapshot
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_duration)]
    keep_paused: Duration,
    /// Requests a second of one API key; twice as many at once
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    rate: u32,
    /// Let callers make sandboxes that have the host's network
    #[arg(long)]
    allow_open_network: bool,
    /// Where sandbox.v1.install gets packages: pip=URL or npm=URL [default: PIP_INDEX_URL and
    /// npm_config_registry, or the public ones]
    #[arg(long, value_name = "MANAGER=URL")]
    package_index: Vec<String>,
    /// Another host that packages come from (can be given more than once)
    #[arg(long, value_name = "HOST[:PORT]")]
    package_host: Vec<String>,
    /// An address inside that webhooks may go to (can be given more than once)
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    allow_webhook: Vec<HostRule>,
    /// Leave the sandboxes to the next server when told to stop, instead of ending them
    #[arg(long)]
    keep_sandboxes: bool,
}

/// Kinds of sandboxes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Kind {
    /// The best there is
    Auto,
    /// Jails of this host
    Jail,
    /// Containers of Docker
    Docker,
}

pub(super) fn image(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((template, image)) if !template.is_empty() && !image.is_empty() => {
            Ok((template.to_owned(), image.to_owned()))
        }
        _ => Err("expected TEMPLATE=IMAGE, such as python=python:3.13-slim".to_owned()),
    }
}

impl Kind {
    pub(super) fn found(self, engine: wire::Engine) -> wire::Kind {
        match self {
            Self::Jail => wire::Kind::Jail,
            Self::Docker => wire::Kind::Docker(engine),
            Self::Auto => wire::best_kind(engine),
        }
    }
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.serve() {
            Ok(code) => Ok(code),
            Err(failure) => {
                let _ = writeln!(std::io::stderr(), "{failure}");
                Ok(ExitCode::FAILURE)
            }
        }
    }

    fn serve(self) -> Result<ExitCode, Failure> {
        let kind = self.kind();
        let pool = self.pool.unwrap_or(match kind {
            wire::Kind::Jail => 2,
            // Each keeps memory, and its image has to be there before anybody asks for it.
            wire::Kind::Docker(_) => 0,
        });
        let (built_in, config) = (templates(&kind, &self.image, pool)?, self.config.clone());
        let socket = self.docker_socket.clone().unwrap_or_else(wire::Engine::usual_socket);
        let settings = self.settings()?;
        let mut templates = configured(config, &settings.data, built_in)?;
        let threads = program::threads()?;
        // Before signals are caught: whoever does not want to wait for it can end it.
        let place = making::Place { kind: &kind, socket, data: &settings.data };
        let progress = Making::for_server();
        let made = place.make(&mut templates, &settings.indexes, &progress);
        // As long as the server runs, nobody removes them.
        let _held = threads.block_on(made)?;
        drop(progress);
        let stop = sys::stop_signals().map_err(|error| {
            Failure::new(ErrorCode::SystemFailure, format!("signals cannot be caught: {error}"))
        })?;
        threads.block_on(async {
            let server = Server::start(settings, |data| wire::sandboxes(&kind, data), templates);
            let server = server.await.map_err(|error: ServeError| Failure::from(error))?;
            let server = server.with_doctor(Box::new(|| Box::pin(doctor::look())));
            // A program that starts a server on port 0 reads here where it is.
            let _ = answer::give(&format!("{}\n", server.address()));
            let is_clean = server.run(sys::stopped(stop)).await;
            Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        })
    }

    fn kind(&self) -> wire::Kind {
        self.backend.found(wire::Engine {
            socket: self.docker_socket.clone().unwrap_or_else(wire::Engine::usual_socket),
            runtime: self.runtime.clone(),
        })
    }

    fn settings(self) -> Result<Settings, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let listen = self.unix.map_or(Listen::Tcp(self.listen), Listen::Unix);
        Ok(Settings {
            listen,
            data: data(self.data)?,
            require_key: self.require_key,
            hosts: self.allow_host,
            origins: self.allow_origin,
            sandboxes: self.max_sandboxes,
            sandboxes_each: self.max_sandboxes_per_key,
            processes: self.max_processes,
            snapshot_bytes: self.max_snapshots_per_key.bytes(),
            volume_bytes: self.max_volumes_per_key.bytes(),
            keep_paused: self.keep_paused,
            rate: self.rate.max(1),
            open_network: self.allow_open_network,
            webhooks: WebhookRules { allowed: self.allow_webhook, ..WebhookRules::default() },
            indexes: packages::indexes(&self.package_index, &self.package_host, &variable)?,
            keep_sandboxes: self.keep_sandboxes,
        })
    }
}

/// The server's data folder, if no other one was named.
pub(super) fn data(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let variable =
        |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = named
        .or_else(|| Some(variable("XDG_STATE_HOME")?.join("capsule/server")))
        .or_else(|| Some(variable("HOME")?.join(".local/state/capsule/server")))
        .ok_or_else(|| {
            Failure::new(ErrorCode::InvalidValue, "there is no home folder to keep state in")
                .hint("name a folder with --data")
        })?;
    match folder.is_absolute() {
        true => Ok(folder),
        false => Ok(std::env::current_dir().unwrap_or_else(|_| Path::new("/").into()).join(folder)),
    }
}

/// With what a configuration file says of templates.
pub(super) fn configured(
    named: Option<PathBuf>,
    data: &Path,
    built_in: Vec<Template>,
) -> Result<Vec<Template>, Failure> {
    let usual = || Some(data.join(configuration::NAME)).filter(|file| file.exists());
    match named.or_else(usual) {
        Some(file) => configuration::load(&file, built_in),
        None => Ok(built_in),
    }
}

/// In jails, the host's own toolchains: what is not installed here is not there inside. In
/// containers, images.
pub(super) fn templates(
    kind: &wire::Kind,
    images: &[(String, String)],
    pool: usize,
) -> Result<Vec<Template>, Failure> {
    let languages = [
        ("python", Language::Python, "python:3-slim"),
        ("node", Language::JavaScript, "node:lts-slim"),
        ("go", Language::Go, "golang:latest"),
        ("shell", Language::Shell, "debian:stable-slim"),
    ];
    let known = |name: &str| languages.iter().any(|(known, _, _)| *known == name);
    if let Some((name, _)) = images.iter().find(|(name, _)| !known(name)) {
        let message = format!("there is no template {name:?} to give an image to");
        return Err(Failure::new(ErrorCode::UnknownTemplate, message));
    }
    if let (wire::Kind::Jail, Some(_)) = (kind, images.first()) {
        let message = "--image is for containers, and the sandboxes are jails";
        return Err(Failure::new(ErrorCode::ConflictingOptions, message)
            .hint("ask for them with --backend docker"));
    }
    let template = |(name, language, usual): (&str, Language, &str)| {
        let named = images.iter().rev().find(|(template, _)| template == name);
        let image = || named.map_or(usual, |(_, image)| image).to_owned();
        let root = match kind {
            wire::Kind::Jail => Root::Host,
            wire::Kind::Docker(_) => Root::Image(image()),
        };
        Template {
            name: name.to_owned(),
            recipe: Recipe {
                root,
                limits: Limits::default(),
                policy: Policy::default(),
                require: Vec::new(),
                volumes: Vec::new(),
            },
            language,
            description: None,
            on_expiry: OnExpiry::Delete,
            pool,
            origin: capsule_server::roots::Origin::default(),
        }
    };
    Ok(languages.map(template).into())
}
