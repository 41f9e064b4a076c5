//! `capsule serve`: sandboxes that live on, for whoever asks over HTTP.

mod doctor;
mod sys;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use capsule_backend::sandbox::{Recipe, Root};
use capsule_server::request::Language;
use capsule_server::{Listen, ServeError, Server, Settings, Template};
use capsule_spec::{ErrorCode, Failure, Limits, Policy};
use clap::{Args, ValueEnum};

use crate::{answer, program, wire};

/// Where to listen, who may come, and how much there may be.
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
    /// Folder for the server's state, nobody else's [default: capsule/server in the user's
    /// state folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
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
    /// Processes started from outside that run in one sandbox at one time
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    max_processes: usize,
    /// Requests a second of one API key; twice as many at once
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    rate: u32,
    /// Leave the sandboxes to the next server when told to stop, instead of ending them
    #[arg(long)]
    keep_sandboxes: bool,
}

/// Kinds of sandboxes.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// The best there is
    Auto,
    /// Jails of this host
    Jail,
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
        // One way to make them today, whichever is asked for.
        let (Kind::Auto | Kind::Jail) = self.backend;
        let stop = sys::stop_signals().map_err(|error| {
            Failure::new(ErrorCode::SystemFailure, format!("signals cannot be caught: {error}"))
        })?;
        let settings = self.settings()?;
        program::threads()?.block_on(async {
            let server = Server::start(settings, wire::sandboxes, templates());
            let server = server.await.map_err(|error: ServeError| Failure::from(error))?;
            let server = server.with_doctor(Box::new(|| Box::pin(doctor::look())));
            // A program that starts a server on port 0 reads here where it is.
            let _ = answer::give(&format!("{}\n", server.address()));
            let is_clean = server.run(sys::stopped(stop)).await;
            Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        })
    }

    fn settings(self) -> Result<Settings, Failure> {
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
            rate: self.rate.max(1),
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

/// The host's own toolchains; what is not installed here is not there inside.
fn templates() -> Vec<Template> {
    let languages = [
        ("python", Language::Python),
        ("node", Language::JavaScript),
        ("go", Language::Go),
        ("shell", Language::Shell),
    ];
    let template = |(name, language): (&str, Language)| Template {
        name: name.to_owned(),
        recipe: Recipe {
            root: Root::Host,
            limits: Limits::default(),
            policy: Policy::default(),
            require: Vec::new(),
        },
        language,
    };
    languages.map(template).into()
}
