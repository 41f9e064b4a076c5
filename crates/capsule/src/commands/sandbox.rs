//! `capsule sandbox`: the sandboxes of a server, from a shell.

mod clone;
pub(super) mod connect;
mod cp;
mod create;
mod duplex;
mod exec;
mod extend;
mod get;
mod logs;
mod ls;
mod pause;
mod restore;
mod resume;
mod rm;
pub(super) mod shell;
mod signals;
mod snapshot;
mod snapshots;
mod stats;
pub(super) mod table;
pub(super) mod text;

use std::process::ExitCode;

pub(super) use create::size;

use clap::{Args, Subcommand};

// What to do with the sandboxes of a server.
#[derive(Debug, Args)]
pub(crate) struct Sandbox {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a sandbox, and print its id
    Create(create::Create),
    /// List sandboxes
    Ls(ls::Ls),
    /// Show everything about a sandbox
    Get(get::Get),
    /// Run a command in a sandbox, and exit as it does
    Exec(exec::Exec),
    /// Open a shell in a sandbox
    Shell(shell::Shell),
    /// Copy files into a sandbox or out of it
    Cp(cp::Cp),
    /// Show what ran, newest first; also of sandboxes that are gone
    Logs(logs::Logs),
    /// Show what sandboxes use
    Stats(stats::Stats),
    /// Keep the files of a sandbox as they are, and print the snapshot's id
    Snapshot(snapshot::Snapshot),
    /// List snapshots, or delete one
    Snapshots(snapshots::Snapshots),
    /// Put a sandbox's files back to a snapshot; what runs in it is ended
    Restore(restore::Restore),
    /// Make a sandbox with the files of another, and print its id
    Clone(clone::Clone),
    /// Stop all processes of a sandbox where they are
    Pause(pause::Pause),
    /// Let the processes of a paused sandbox go on
    Resume(resume::Resume),
    /// Let a sandbox live longer, or less long
    Extend(extend::Extend),
    /// End sandboxes, and remove every trace of them
    Rm(rm::Rm),
}

impl Sandbox {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        Ok(match self.what {
            What::Create(verb) => verb.run(),
            What::Ls(verb) => verb.run(),
            What::Get(verb) => verb.run(),
            What::Exec(verb) => verb.run(),
            What::Shell(verb) => verb.run(),
            What::Cp(verb) => verb.run(),
            What::Logs(verb) => verb.run(),
            What::Stats(verb) => verb.run(),
            What::Snapshot(verb) => verb.run(),
            What::Snapshots(verb) => verb.run(),
            What::Restore(verb) => verb.run(),
            What::Clone(verb) => verb.run(),
            What::Pause(verb) => verb.run(),
            What::Resume(verb) => verb.run(),
            What::Extend(verb) => verb.run(),
            What::Rm(verb) => verb.run(),
        })
    }
}
