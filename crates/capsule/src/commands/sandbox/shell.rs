//! `capsule sandbox shell`, or `capsule shell`: a terminal inside.

pub(super) mod terminal;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use capsule_spec::Failure;
use clap::Args;
use serde_json::json;

use super::connect::{Connect, NOT_RUN};
use super::duplex::Through;
use super::exec::{converse, run};
use super::text;
use crate::client::{Client, encoded};

/// A sandbox that is made for a shell lives as long as that, within a day; and not for long
/// once nobody is there, however this program ended.
const LIFE: u64 = 24 * 3_600_000;
const ALONE: u64 = 60_000;

// Which shell to open.
#[derive(Debug, Args)]
#[command(
    after_help = "On a terminal, Ctrl-C, Ctrl-Z and all other keys go inside; exit or Ctrl-D \
ends the shell. When standard input is no terminal, the shell reads it as a script. All that the \
shell started ends with it.\n\nExit code: the shell's; 125 if it could not be opened."
)]
pub(crate) struct Shell {
    /// The sandbox; without one, a new one that ends with the shell
    id: Option<String>,
    /// What to run in place of a login shell
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// The new sandbox's template
    #[arg(short, long, value_name = "NAME", conflicts_with = "id")]
    template: Option<String>,
    #[command(flatten)]
    connect: Connect,
}

impl Shell {
    pub(crate) fn run(self) -> ExitCode {
        let ended = self.connect.client().and_then(|mut client| match &self.id {
            Some(id) => self.open(&client, id),
            None => {
                let mut params = json!({ "ttl_ms": LIFE, "idle_ms": ALONE });
                params["template"] = self.template.as_deref().unwrap_or("shell").into();
                let made = client.call("sandbox.v1.create", params)?;
                let id = made["id"].as_str().unwrap_or_default();
                let ended = self.open(&client, id);
                let removed = client.call("sandbox.v1.delete", json!({ "id": id }));
                ended.and_then(|code| removed.map(|_| code))
            }
        });
        match ended {
            Ok(code) => code.into(),
            Err(failure) => {
                self.connect.complain(&failure);
                NOT_RUN.into()
            }
        }
    }

    fn open(&self, client: &Client, id: &str) -> Result<u8, Failure> {
        let signals = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];
        if !std::io::stdin().is_terminal() {
            return self.script(client, id, &signals);
        }
        let size = terminal::size();
        let signals = [&signals[..], &[libc::SIGWINCH, libc::SIGCONT]].concat();
        if self.id.is_none() {
            let note = format!("capsule: sandbox {}, removed when you leave\n", text::harmless(id));
            let _ = std::io::stderr().write_all(note.as_bytes());
        }
        // Until it is dropped, whatever ends the conversation.
        let _raw = terminal::Raw::enter()?;
        if self.command.is_empty() {
            let (columns, rows) = (size.columns, size.rows);
            let id_in_path = encoded(id);
            let path = format!("/terminal/{id_in_path}?columns={columns}&rows={rows}&control=1");
            return converse(client, id, Through::Terminal, &path, None, &signals);
        }
        let params = json!({ "cmd": self.command, "terminal": size, "timeout_ms": LIFE });
        run(client, id, Through::Terminal, params, &signals)
    }

    /// Without a terminal here there is none inside: what is read has an end, and what comes
    /// back is what was written.
    fn script(&self, client: &Client, id: &str, signals: &[libc::c_int]) -> Result<u8, Failure> {
        let login = "if [ -x /bin/bash ]; then exec /bin/bash -l; fi; exec /bin/sh -l";
        let command = match self.command.is_empty() {
            true => vec!["/bin/sh".to_owned(), "-c".to_owned(), login.to_owned()],
            false => self.command.clone(),
        };
        let params = json!({ "cmd": command, "timeout_ms": LIFE });
        run(client, id, Through::Pipes, params, signals)
    }
}
