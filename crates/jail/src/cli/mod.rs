//! The command line of `capsule-run`, and of `capsule exec`, which is the same.
//!
//! What was typed ([`Arguments`]) becomes a [`capsule_spec::TaskSpec`], laid over a profile and
//! a configuration file; [`run`] does the rest and says it in text or JSON.

mod arguments;
mod config;
mod flags;
mod report;
mod request;

use std::process::ExitCode;

use capsule_backend::{Backend, BackendError, Output};
use capsule_spec::{ErrorCode, ExecutionId, Failure, Network, Outcome, Status, Stdin, Task};

pub use arguments::{Arguments, parse_or_exit};
pub use report::{speak, timestamp, usage_failure};

use crate::host::Host;
use crate::jail::Jail;
use crate::plan::Plan;
use report::Report;

/// Exit code for a wrong command line, as clap has it too.
const USAGE: u8 = 2;
/// Exit code of a timeout, as of timeout(1).
const TIMED_OUT: u8 = 124;

/// Runs what was asked for and returns the exit code: the command's own; 1 when
/// there is none to pass on; 124 for a timeout; 128 and the signal's number
/// (137 for SIGKILL) for a command that was killed; 2 for a wrong request.
pub fn run(arguments: Arguments) -> ExitCode {
    let report = Report::new(&arguments);
    let id = arguments.execution_id.unwrap_or_else(ExecutionId::random);
    let output = if arguments.json { Output::Captured } else { Output::Inherited };
    let dry_run = arguments.dry_run;
    let task = match task(arguments, id) {
        Ok(task) => task,
        Err(failure) => {
            report.refused(id, failure);
            return ExitCode::from(USAGE);
        }
    };
    if dry_run {
        return match Plan::new(&task, &Host::read(task.policy.network == Network::Open)) {
            Ok(plan) => report.plan(&plan),
            Err(failure) => {
                report.refused(id, failure);
                ExitCode::FAILURE
            }
        };
    }
    match Jail::forwarding_signals().run(&task, output, &mut report.observer()) {
        Ok(outcome) => match report.outcome(&task, &outcome) {
            Ok(()) => ExitCode::from(exit_code(&outcome)),
            Err(_) => ExitCode::FAILURE,
        },
        Err(BackendError { failure, internal }) => {
            report.internal(&internal);
            report.refused(id, failure);
            ExitCode::FAILURE
        }
    }
}

fn task(arguments: Arguments, id: ExecutionId) -> Result<Task, Failure> {
    let stdin = if arguments.stdin { Stdin::Inherited } else { Stdin::Empty };
    if arguments.json && arguments.stdin {
        return Err(Failure::new(
            ErrorCode::ConflictingOptions,
            "--json reads the request from standard input, so --stdin has nothing to pass on",
        )
        .hint("put the input into a file and mount it with --readonly"));
    }
    let typed = !arguments.json;
    let base = config::load(arguments.config.as_deref(), arguments.profile.as_deref())?;
    let requested = if arguments.json { request::read()? } else { Default::default() };
    let spec = base.overlaid(requested).overlaid(arguments.into_spec()?);
    spec.resolve(id, stdin).map_err(|error| {
        let failure = error.into_failure();
        if typed { flags::instead_of_fields(failure) } else { failure }
    })
}

fn exit_code(outcome: &Outcome) -> u8 {
    let signal = outcome.signal.and_then(|signal| u8::try_from(128 + signal).ok());
    match outcome.status {
        Status::Success => 0,
        Status::Timeout => TIMED_OUT,
        Status::Killed => signal.unwrap_or(137),
        // A reached limit must not look like success.
        Status::Error => match outcome.exit_code.and_then(|code| u8::try_from(code).ok()) {
            None | Some(0) => 1,
            Some(code) => code,
        },
    }
}
