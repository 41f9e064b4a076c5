//! `capsule run`: a program's tasks.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use capsule_backend::guest::Channel;
use capsule_engine::{
    Answer, MountOption, Observer, Output, RunLimits, Silent, Sink, TaskEvent, Workflow,
};
use capsule_spec::{ErrorCode, Failure};
use clap::Args;
use serde_json::{Value, json};

use crate::tree::Tree;
use crate::{answer, lockdown, program};

// What to run, and how to tell of it.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The program; default: the entrypoint of capsule.toml
    file: Option<String>,
    /// Arguments of the task, as text
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
    /// Answer with one JSON object on standard output
    #[arg(long)]
    json: bool,
    /// Tell on standard error what happens to each task
    #[arg(long, short)]
    verbose: bool,
    /// Grant every task a file or folder, read-write unless it ends in :ro
    #[arg(long, value_name = "HOST[::GUEST][:ro|:rw]")]
    mount: Vec<MountOption>,
    /// Read the arguments from a JSON file: a list, or {"args": […], "kwargs": {…}}
    #[arg(long, value_name = "FILE", conflicts_with = "arguments")]
    args_file: Option<String>,
    /// The task to call
    #[arg(long, value_name = "NAME", default_value = "main")]
    task: String,
}

impl Run {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.serve() {
            Ok(never) => match never {},
            Err(failure) => self.give(Answer::refused(&self.task, failure)),
        }
    }

    fn give(&self, answer: Answer) -> anyhow::Result<ExitCode> {
        let succeeded = answer.value.is_ok();
        if self.json {
            let envelope = answer.into_envelope();
            answer::give(&format!("{}\n", serde_json::to_string(&envelope)?))?;
        } else {
            tell(answer)?;
        }
        Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Gives the answer and ends the process on the spot: to take down sandboxes, threads
    /// and mappings one by one would cost as much as the run.
    fn leave(&self, answer: Answer) -> ! {
        let code = match self.give(answer) {
            Ok(code) if code == ExitCode::SUCCESS => 0,
            Ok(_) => 1,
            Err(error) => {
                let _ = writeln!(io::stderr(), "error: {error:#}");
                1
            }
        };
        std::process::exit(code)
    }

    fn serve(&self) -> Result<std::convert::Infallible, Failure> {
        let arguments = self.arguments()?;
        let project = program::open(Path::new(""), self.file.as_deref(), &self.mount)?;
        let mut parts = program::ready(project)?;
        program::start_brokers(&mut parts);
        program::find_kept(&mut parts);
        let environment = program::environment();
        let limits = RunLimits::default();
        // With --json standard output is the envelope's alone.
        let tree = if self.verbose { None } else { Tree::for_terminal() };
        let streams = Streams { stdout_is_ours: self.json, tree: tree.clone() };
        let output = Output::new(Box::new(streams), limits.output);
        let observer: Box<dyn Observer> = match &tree {
            Some(tree) => Box::new(tree.clone()),
            None if self.verbose => Box::new(Lines::default()),
            None => Box::new(Silent),
        };
        let locked = lockdown::enter(&parts, self.verbose)?;
        let load = Workflow::load(parts, limits, environment, output, observer);
        let (runtime, workflow) = match locked.load(load)? {
            Ok(loaded) => loaded,
            Err(answer) => self.leave(answer),
        };
        if let Some(tree) = &tree {
            tree.start();
        }
        let answer = runtime.block_on(workflow.call(&self.task, &arguments));
        if let Some(tree) = tree {
            tree.end();
        }
        self.leave(answer)
    }

    fn arguments(&self) -> Result<String, Failure> {
        let Some(file) = &self.args_file else {
            return Ok(json!({ "args": self.arguments, "kwargs": {} }).to_string());
        };
        let text = std::fs::read_to_string(file).map_err(|error| {
            Failure::new(ErrorCode::ProgramNotFound, format!("{file} cannot be read: {error}"))
        })?;
        let invalid = |what: &str| {
            Failure::new(ErrorCode::InvalidRequest, format!("{file} {what}"))
                .hint("it must hold a list, or {\"args\": […], \"kwargs\": {…}}")
        };
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| invalid(&format!("is not JSON: {error}")))?;
        match value {
            Value::Array(_) => Ok(format!("{{\"args\":{text},\"kwargs\":{{}}}}")),
            Value::Object(mut map) => {
                let args = map.remove("args").unwrap_or(json!([]));
                let kwargs = map.remove("kwargs").unwrap_or(json!({}));
                if !map.is_empty() || !args.is_array() || !kwargs.is_object() {
                    return Err(invalid("holds something else"));
                }
                Ok(json!({ "args": args, "kwargs": kwargs }).to_string())
            }
            _ => Err(invalid("holds something else")),
        }
    }
}

/// For people: the value on standard output, the failure on standard error.
fn tell(answer: Answer) -> anyhow::Result<()> {
    match answer.value {
        Ok(value) => {
            let text = match serde_json::from_str(value.get()) {
                Ok(Value::Null) => return Ok(()),
                Ok(Value::String(text)) => text,
                _ => value.get().to_owned(),
            };
            answer::give(&format!("{text}\n"))?;
        }
        Err(error) => {
            let mut stderr = io::stderr().lock();
            if !error.traceback.is_empty() {
                let _ = write!(stderr, "{}", printable(&error.traceback));
            }
            let message = match error.error_type.as_str() {
                "CapsuleError" => error.message,
                kind => format!("{kind}: {}", error.message),
            };
            let failure = Failure { hint: error.hint, ..Failure::new(error.code, message) };
            let _ = writeln!(stderr, "{failure}");
        }
    }
    Ok(())
}

/// A traceback holds what a stranger chose; a terminal must not obey it.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

/// The process's own streams.
struct Streams {
    stdout_is_ours: bool,
    /// What is on the screen meanwhile.
    tree: Option<Tree>,
}

impl Sink for Streams {
    fn write(&self, channel: Channel, bytes: &[u8]) {
        match &self.tree {
            Some(tree) => tree.above(bytes, || self.pass_on(channel, bytes)),
            None => self.pass_on(channel, bytes),
        }
    }
}

impl Streams {
    fn pass_on(&self, channel: Channel, bytes: &[u8]) {
        // Nobody to tell if the reader is gone; the task goes on.
        let _ = match channel {
            Channel::Stdout if !self.stdout_is_ours => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
            _ => io::stderr().lock().write_all(bytes),
        };
    }
}

/// `--verbose`: a line for each thing that happens.
#[derive(Default)]
struct Lines {
    names: Mutex<BTreeMap<capsule_engine::CallId, String>>,
}

impl Observer for Lines {
    fn observe(&self, event: TaskEvent) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = |call: capsule_engine::CallId| names.get(&call).cloned().unwrap_or_default();
        let line = match event {
            TaskEvent::Called { call, parent, task } => {
                let line = match parent {
                    Some(parent) => {
                        format!("{task} #{}: called by {} #{}", call.0, name(parent), parent.0)
                    }
                    None => format!("{task} #{}: called", call.0),
                };
                names.insert(call, task);
                line
            }
            TaskEvent::Started { call, attempt } => {
                format!("{} #{}: attempt {attempt}", name(call), call.0)
            }
            TaskEvent::Retrying { call, reason, after } => {
                format!("{} #{}: failed, again in {after:?}: {reason}", name(call), call.0)
            }
            TaskEvent::Ended { call, error, took, fuel } => {
                let how = error.map_or("done".to_owned(), |(kind, code)| {
                    format!("failed with {kind} ({code})")
                });
                format!("{} #{}: {how} after {took:.1?}, {fuel} units of fuel", name(call), call.0)
            }
        };
        let _ = writeln!(io::stderr(), "capsule: {}", printable(&line));
    }
}
