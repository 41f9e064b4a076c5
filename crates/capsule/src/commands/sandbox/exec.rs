//! `capsule sandbox exec`: a command inside, as if it ran here.

use std::process::ExitCode;
use std::time::Duration;

use capsule_spec::{ErrorCode, Failure};
use clap::Args;
use serde_json::{Value, json};

use super::connect::{Connect, NOT_RUN};
use super::create::{assignments, time};
use super::duplex::{Talk, Through};
use super::signals::Signals;
use crate::client::{Client, encoded, open_socket};

/// The longest that a command may take whose caller stays: 30 days.
const LONGEST: u64 = 30 * 24 * 3_600_000;
/// What `sandbox.v1.exec` takes at most.
const LONGEST_WITH_JSON: u64 = 120_000;

/// A command to run.
#[derive(Debug, Args)]
#[command(
    after_help = "What the command writes comes as it is written, byte for byte, as if it ran \
here: a terminal obeys it. Standard input is passed on; end it with </dev/null. Ctrl-C and SIGTERM \
are passed on to the command and all that it started; a second one ends them at once, and so does \
the end of this program.\n\nExit code: the command's; 124 after the timeout; 125 if it could not \
be run."
)]
pub(crate) struct Exec {
    /// The sandbox
    id: String,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Where it starts [default: /workspace, or the context's directory]
    #[arg(short = 'w', long, value_name = "DIR")]
    cwd: Option<String>,
    /// A variable (can be given more than once)
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// End it after so long, such as 30s [default: none; with --json 2m]
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// The shell context whose directory and variables it gets
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    #[command(flatten)]
    connect: Connect,
}

impl Exec {
    pub(super) fn run(self) -> ExitCode {
        let ended = match self.connect.json {
            true => self.at_once(),
            false => self.streamed(),
        };
        match ended {
            Ok(code) => code.into(),
            Err(failure) => {
                self.connect.complain(&failure);
                NOT_RUN.into()
            }
        }
    }

    /// With its output as it comes.
    fn streamed(&self) -> Result<u8, Failure> {
        let client = self.connect.client()?;
        let params = self.params(LONGEST)?;
        let signals = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];
        run(&client, &self.id, Through::Pipes, params, &signals)
    }

    /// With all of it in one answer, and without input.
    fn at_once(&self) -> Result<u8, Failure> {
        let mut params = self.params(LONGEST_WITH_JSON)?;
        params["id"] = self.id.as_str().into();
        let answer = self.connect.client()?.call("sandbox.v1.exec", params)?;
        self.connect.show(&answer, |_| String::new())?;
        let code = answer["exit_code"].as_i64().unwrap_or(1);
        Ok(u8::try_from(code & 0xff).unwrap_or(1))
    }

    fn params(&self, longest: u64) -> Result<Value, Failure> {
        let timeout = time("--timeout", self.timeout.as_deref())?.unwrap_or(longest);
        let mut params = json!({ "cmd": self.command, "timeout_ms": timeout });
        if !self.env.is_empty() {
            params["env"] = assignments("--env", &self.env)?;
        }
        for (name, value) in [("cwd", &self.cwd), ("context", &self.context)] {
            if let Some(value) = value {
                params[name] = value.as_str().into();
            }
        }
        Ok(params)
    }
}

/// Runs a command over a WebSocket to its end.
pub(super) fn run(
    client: &Client,
    id: &str,
    through: Through,
    params: Value,
    signals: &[libc::c_int],
) -> Result<u8, Failure> {
    converse(client, id, through, &format!("/sandbox/{}/exec", encoded(id)), Some(params), signals)
}

/// Opens a WebSocket, and speaks through it until the process at its other end has ended.
pub(super) fn converse(
    client: &Client,
    id: &str,
    through: Through,
    path: &str,
    first: Option<Value>,
    signals: &[libc::c_int],
) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed("there is nothing to wait with", &error))?;
    let ended = runtime.block_on(async {
        let signals =
            Signals::catch(signals).map_err(|error| failed("signals cannot be caught", &error))?;
        let socket = open_socket(client, path).await?;
        Talk { client, id, through, socket, first, signals }.lead().await
    });
    // Threads that read or write for it end with the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

fn failed(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(ErrorCode::SystemFailure, format!("{what}: {error}"))
}
