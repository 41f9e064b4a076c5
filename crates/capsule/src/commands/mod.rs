//! The verbs, one file each.

pub(crate) mod attack;
pub(crate) mod bench;
pub(crate) mod build;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod keys;
pub(crate) mod man;
pub(crate) mod run;
pub(crate) mod sandbox;
pub(crate) mod serve;
pub(crate) mod template;
pub(crate) mod volume;
pub(crate) mod worker;

use std::process::ExitCode;

use clap::Subcommand;

/// What to do.
///
/// What a verb takes is put together when it is called: all of them take longer than a short
/// run. Their structs have plain comments, as clap would show others in place of these.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Verb {
    /// Run a command in a jail, as capsule-run does, or a program in WebAssembly: FILE.wasm
    Exec(Box<capsule_jail::cli::Arguments>),
    /// Run a program's tasks, each in a sandbox of its own
    Run(run::Run),
    /// Make a program ready to run, or one file
    Build(build::Build),
    /// Run tasks for a program that asks on standard input; what SDKs talk to
    ///
    /// Requests come in frames on standard input, answers go in frames to standard output: a
    /// length of four bytes, big-endian, and as many bytes of JSON. It ends with its standard
    /// input, and with the process that started it.
    Worker(worker::Worker),
    /// Serve sandboxes that live on, over JSON-RPC and WebSockets
    Serve(serve::Serve),
    /// Make, use and end sandboxes of a server
    Sandbox(Box<sandbox::Sandbox>),
    /// Open a shell in a sandbox of a server; without an id, in a new one that ends with it
    Shell(sandbox::shell::Shell),
    /// List the templates of a server, or make those of a file ready
    Template(template::Template),
    /// Make, list and delete the volumes of a server
    Volume(volume::Volume),
    /// Make, list and revoke the API keys of a server
    Keys(keys::Keys),
    /// Tell what this host can enforce, and how to get the rest
    Doctor(doctor::Doctor),
    /// Try to break out of a sandbox on this host, and report what held
    Attack(attack::Attack),
    /// Measure this host's sandboxes side by side
    Bench(bench::Bench),
    /// Print a completion script for a shell
    Completions(completions::Completions),
    /// Print man pages, or write them into a folder
    Man(man::Man),
}

impl Verb {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            // `main` takes the usual way; this one is for a name that clap abbreviated.
            Self::Exec(arguments) => Ok(capsule_jail::cli::run(*arguments)),
            Self::Run(run) => run.run(),
            Self::Build(build) => build.run(),
            Self::Worker(worker) => worker.run(),
            Self::Serve(serve) => serve.run(),
            Self::Sandbox(sandbox) => sandbox.run(),
            Self::Shell(shell) => Ok(shell.run()),
            Self::Template(template) => template.run(),
            Self::Volume(volume) => volume.run(),
            Self::Keys(keys) => keys.run(),
            Self::Doctor(doctor) => doctor.run(),
            Self::Attack(attack) => attack.run(),
            Self::Bench(bench) => bench.run(),
            Self::Completions(completions) => completions.run(),
            Self::Man(man) => man.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn what_a_verb_does_is_told_the_same_before_and_after_it_is_put_together() {
        let short = crate::Capsule::command();
        let mut whole = crate::Capsule::command();
        whole.build();
        for verb in short.get_subcommands().filter(|verb| verb.get_name() != "exec") {
            let name = verb.get_name();
            let other = whole.find_subcommand(name).expect("it has the same verbs");
            assert!(verb.get_about().is_some(), "{name}");
            assert_eq!(
                verb.get_about().map(ToString::to_string),
                other.get_about().map(ToString::to_string),
                "{name}"
            );
        }
        whole.debug_assert();
    }
}
