//! Runs a program in WebAssembly, and says what came of it as `capsule-run` does.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use capsule_backend::Output;
use capsule_jail::cli::{speak, timestamp, usage_failure};
use capsule_jail::lockdown::Lockdown;
use capsule_spec::{
    Access, CommandResponse, ErrorCode, ExecutionId, Failure, Mount, Outcome, Status,
};
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::arguments::Arguments;
use crate::lockdown;
use crate::wire::{self, Seal};

const USAGE: u8 = 2;
const TIMED_OUT: u8 = 124;
/// As of a process that SIGKILL ended.
const KILLED: u8 = 137;

pub(super) fn run(words: &[OsString]) -> ExitCode {
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => return mistyped(words, &error),
    };
    let answer =
        Answer { json: arguments.json, pretty: arguments.pretty, verbose: arguments.verbose };
    let id = arguments.execution_id.unwrap_or_else(ExecutionId::random);
    let command = match arguments.into_command() {
        Ok(command) => command,
        Err(failure) => return answer.refused(id, failure),
    };
    let output = if answer.json { Output::Captured } else { Output::Inherited };
    let seal = OwnProcess { mounts: &command.mounts, verbose: answer.verbose };
    let cache = wire::cache().join("programs");
    match command.run(id, output, Some(&cache), Some(&seal)) {
        Ok(outcome) => answer.outcome(&outcome),
        Err(error) => {
            answer.tell(&error.internal);
            answer.refused(id, error.failure)
        }
    }
}

fn mistyped(words: &[OsString], error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        error.exit();
    }
    let asks = |name: &str| words.iter().take_while(|word| *word != "--").any(|word| word == name);
    let answer = Answer { json: asks("--json"), pretty: asks("--pretty"), verbose: false };
    let failure = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(word)))
            if !word.starts_with('-') =>
        {
            Failure::new(ErrorCode::UnknownOption, format!("{word:?} is no option"))
                .hint("arguments of the program go after \"--\"")
        }
        _ => usage_failure(error),
    };
    answer.refused(ExecutionId::random(), failure)
}

/// This process, which keeps no more than the mounts.
struct OwnProcess<'a> {
    mounts: &'a [Mount],
    verbose: bool,
}

impl Seal for OwnProcess<'_> {
    fn may_start_over(&self) -> bool {
        lockdown::may_start_over()
    }

    fn close(&self) -> Result<(), Failure> {
        lockdown::be_alone()?;
        let mut kept = Lockdown::default();
        for mount in self.mounts {
            let source = mount.source.as_path().to_owned();
            match mount.access {
                Access::ReadOnly => kept.read.push(source),
                Access::ReadWrite => kept.write.push(source),
            }
        }
        let report = kept.apply()?;
        if self.verbose {
            lockdown::tell("locked down", &report);
        }
        Ok(())
    }
}

/// How to speak: data on stdout, everything else on stderr.
struct Answer {
    json: bool,
    pretty: bool,
    verbose: bool,
}

impl Answer {
    fn tell(&self, story: &str) {
        if self.verbose {
            speak(&format!("capsule: {}", story.escape_debug()));
        }
    }

    fn refused(&self, id: ExecutionId, failure: Failure) -> ExitCode {
        let code = match failure.code {
            ErrorCode::TimedOut => TIMED_OUT,
            // The family of requests that are wrong.
            code if code.code().starts_with("E1") => USAGE,
            _ => 1,
        };
        if self.json {
            let response = CommandResponse::refused(id, failure, SystemTime::now(), timestamp);
            if self.print(&response).is_err() {
                return ExitCode::FAILURE;
            }
        } else {
            speak(&failure.to_string());
        }
        ExitCode::from(code)
    }

    fn outcome(&self, outcome: &Outcome) -> ExitCode {
        let fuel =
            outcome.metrics.fuel.map_or(String::new(), |fuel| format!(", {fuel} units of fuel"));
        self.tell(&format!("{} in {:?}{fuel}", outcome.status.name(), outcome.metrics.wall));
        if self.json {
            if self.print(&CommandResponse::of(outcome, timestamp)).is_err() {
                return ExitCode::FAILURE;
            }
        } else if let Some(failure) = &outcome.error {
            let has_spoken = match failure.code {
                // The program has spoken for itself; only what it cannot know is added.
                ErrorCode::NonZeroExit => failure.hint.is_none(),
                // As any program in a pipeline that ends early.
                ErrorCode::OutputClosed => {
                    failure.details.get("errno").is_some_and(|errno| *errno == EPIPE.to_string())
                }
                _ => false,
            };
            if !has_spoken {
                speak(&failure.to_string());
            }
        }
        ExitCode::from(exit_code(outcome))
    }

    fn print(&self, response: &CommandResponse) -> io::Result<()> {
        let text = match self.pretty {
            true => serde_json::to_string_pretty(response),
            false => serde_json::to_string(response),
        };
        let mut stdout = io::stdout();
        writeln!(stdout, "{}", text?)?;
        stdout.flush()
    }
}

const EPIPE: i32 = libc::EPIPE;

fn exit_code(outcome: &Outcome) -> u8 {
    match outcome.status {
        Status::Success => 0,
        Status::Timeout => TIMED_OUT,
        Status::Killed => KILLED,
        // A reached limit must not look like success.
        Status::Error => match outcome.exit_code.and_then(|code| u8::try_from(code).ok()) {
            Some(code) if code != 0 => code,
            None if outcome
                .error
                .as_ref()
                .is_some_and(|failure| failure.code.code().starts_with("E1")) =>
            {
                USAGE
            }
            _ => 1,
        },
    }
}
