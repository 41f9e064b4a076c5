//! What the caller sees: data on stdout, everything else on stderr.
#![allow(clippy::print_stdout, reason = "this is the one place that speaks to the caller")]

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use capsule_backend::Observer;
use capsule_spec::{
    CommandResponse, ErrorCode, Event, ExecutionId, Failure, Outcome, Program, Task,
};

use super::Arguments;
use crate::plan::Plan;

/// Speaks on stderr, as far as somebody listens: a closed stderr is no reason to
/// fail, and a full one no reason to stop the clock.
macro_rules! say {
    ($($part:tt)*) => { speak(&format!($($part)*)) };
}

/// Says a line on stderr, if it takes one soon.
pub fn speak(line: &str) {
    use rustix::event::{PollFd, PollFlags, poll};
    let stderr = rustix::stdio::stderr();
    let mut ready = [PollFd::from_borrowed_fd(stderr, PollFlags::OUT)];
    let patience = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
    if matches!(poll(&mut ready, Some(&patience)), Ok(1..)) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// How to speak.
pub(super) struct Report {
    json: bool,
    pretty: bool,
    verbose: bool,
}

impl Report {
    pub(super) fn new(arguments: &Arguments) -> Self {
        Self { json: arguments.json, pretty: arguments.pretty, verbose: arguments.verbose }
    }

    pub(super) fn refused(&self, id: ExecutionId, failure: Failure) {
        if self.json {
            let _ =
                self.print(&CommandResponse::refused(id, failure, SystemTime::now(), timestamp));
        } else {
            say!("{failure}");
        }
    }

    pub(super) fn internal(&self, story: &str) {
        if self.verbose {
            say!("capsule: {story}");
        }
    }

    /// Says what came of a run. Fails when the caller cannot be told.
    pub(super) fn outcome(&self, task: &Task, outcome: &Outcome) -> std::io::Result<()> {
        if self.verbose {
            for status in &outcome.weaker {
                if let capsule_spec::WallState::Weaker(why) | capsule_spec::WallState::Absent(why) =
                    &status.state
                {
                    say!("capsule: wall {}: {why}", status.wall);
                }
            }
            say!("capsule: {} in {:?}", outcome.status.name(), outcome.metrics.wall);
        }
        if !self.json && (self.verbose || outcome.error.is_some()) {
            outcome.notes.iter().for_each(|note| say!("note: {note}"));
        }
        if self.json {
            return self.print(&CommandResponse::of(outcome, timestamp));
        }
        let Some(failure) = &outcome.error else { return Ok(()) };
        match failure.code {
            // The command has spoken for itself; only what it cannot know is added.
            ErrorCode::NonZeroExit => hint_at_hidden_file(task),
            // As any program in a pipeline that ends early.
            ErrorCode::OutputClosed
                if failure.details.get("errno").is_some_and(|errno| errno == BROKEN_PIPE) => {}
            _ => say!("{failure}"),
        }
        Ok(())
    }

    pub(super) fn plan(&self, plan: &Plan) -> ExitCode {
        let text = if self.json && !self.pretty {
            serde_json::to_string(plan)
        } else {
            serde_json::to_string_pretty(plan)
        };
        match text {
            Ok(text) => {
                let _ = writeln!(std::io::stdout(), "{text}");
                ExitCode::SUCCESS
            }
            Err(_) => ExitCode::FAILURE,
        }
    }

    pub(super) fn observer(&self) -> impl Observer + use<> {
        Narrator { verbose: self.verbose }
    }

    fn print(&self, response: &CommandResponse) -> std::io::Result<()> {
        let text = if self.pretty {
            serde_json::to_string_pretty(response)
        } else {
            serde_json::to_string(response)
        };
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{}", text?)?;
        stdout.flush()
    }
}

/// EPIPE, as a failure's details have it.
const BROKEN_PIPE: &str = "32";

/// A moment as answers have it: RFC 3339, UTC, milliseconds.
pub fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// Says what happens, for `--verbose`.
struct Narrator {
    verbose: bool,
}

impl Observer for Narrator {
    fn observe(&mut self, event: Event) {
        if !self.verbose {
            return;
        }
        match event {
            Event::Started { id } => say!("capsule: execution {id}"),
            Event::SignalForwarded { signal } => say!("capsule: passed signal {signal} on"),
            Event::LimitReached { code } => say!("capsule: {}", code.summary()),
            Event::Connection { host, allowed: true } => say!("capsule: connected {host}"),
            Event::Connection { host, allowed: false } => say!("capsule: refused {host}"),
            Event::Ended { .. } => {}
        }
    }
}

/// The most common surprise: a script of the current folder, which the jail cannot see.
fn hint_at_hidden_file(task: &Task) {
    let Program::Command(argv) = &task.program;
    let seen = |name: &str| {
        task.policy.files.iter().any(|m| {
            std::path::Path::new(name).starts_with(m.destination.as_path())
                || m.destination.as_path() == std::path::Path::new("/workspace")
        })
    };
    let hidden = argv.iter().find(|argument| {
        !argument.starts_with(['/', '-'])
            && !argument.is_empty()
            && std::path::Path::new(argument).is_file()
            && !seen(argument)
    });
    if let Some(name) = hidden {
        say!(
            "hint: {name} is in the current folder, which the jail does not see; \
             add --bind \"$PWD:/workspace\""
        );
    }
}

/// Prints help, a version or an error of the command line, and exits.
pub(super) fn usage_error(arguments: &[OsString], error: &clap::Error) -> ! {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        error.exit();
    }
    let failure = usage_failure(error);
    // What was typed could not be read, so this looks at the words: a caller that
    // asked for JSON gets JSON.
    let asks = |name: &str| arguments.iter().take_while(|a| *a != "--").any(|a| a == name);
    let report = Report { json: asks("--json"), pretty: asks("--pretty"), verbose: false };
    report.refused(ExecutionId::random(), failure);
    std::process::exit(super::USAGE.into())
}

/// What an error of the command line is, with its code.
pub fn usage_failure(error: &clap::Error) -> Failure {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let argument = context(ContextKind::InvalidArg).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let failure =
                Failure::new(ErrorCode::UnknownOption, format!("there is no option {argument}"))
                    .detail("option", &argument);
            match context(ContextKind::SuggestedArg) {
                Some(near) => failure
                    .hint(format!("did you mean {near}? options of the command go after \"--\"")),
                None => failure.hint("see --help; options of the command go after \"--\""),
            }
        }
        ErrorKind::InvalidUtf8 => {
            Failure::new(ErrorCode::InvalidValue, "an argument is not valid UTF-8")
        }
        ErrorKind::ArgumentConflict => Failure::new(
            ErrorCode::ConflictingOptions,
            format!("{argument} was given twice, or contradicts another option"),
        ),
        _ => {
            let value = context(ContextKind::InvalidValue).unwrap_or_default();
            let why = std::error::Error::source(error).map(|source| format!(": {source}"));
            let message = if value.is_empty() {
                format!("{argument} needs a value")
            } else {
                format!("{value:?} is not a value of {argument}{}", why.unwrap_or_default())
            };
            Failure::new(ErrorCode::InvalidValue, message).detail("option", &argument)
        }
    }
}
