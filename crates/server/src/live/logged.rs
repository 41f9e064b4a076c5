//! An execution as the log has it: written when it begins and when it has ended, whoever
//! listens to it, and whether its caller is still there.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use capsule_backend::guest::Channel;
use capsule_backend::sandbox::{Ended, Program};

use super::Live;
use super::exec::Head;
use crate::request::ExecutionKind;
use crate::store::{End, Execution, Store, milliseconds};

/// How much of a stream, and of a word of a command, the log keeps.
const LOGGED: usize = 2_048;
/// How many words of a command.
const LOGGED_WORDS: usize = 32;

/// Who asked for an execution, and how.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) kind: ExecutionKind,
    pub(crate) owner: Arc<str>,
    pub(crate) request: Arc<str>,
    pub(crate) store: Store,
}

/// An execution that runs. Whoever has it writes its end; if nobody does, because the server
/// is killed or leaves its sandboxes to the next one, that one does.
pub(crate) struct Logged {
    store: Store,
    execution: Execution,
    stdout: Head,
    stderr: Head,
}

impl Asked {
    /// Writes that it runs.
    pub(super) fn begin(self, live: &Live, program: &Program, process: u64) -> Logged {
        let execution = Execution {
            number: self.store.next_execution(),
            sandbox: live.id.clone(),
            owner: self.owner.to_string(),
            request: self.request.to_string(),
            kind: self.kind,
            process,
            started: milliseconds(SystemTime::now()),
            command: program.command.iter().take(LOGGED_WORDS).map(|word| head(word)).collect(),
            directory: head(&program.working_directory),
        };
        self.store.log_begin(execution.clone());
        Logged::new(self.store, execution, live)
    }
}

impl Logged {
    fn new(store: Store, execution: Execution, live: &Live) -> Self {
        let head = || Head::new(LOGGED, &live.rings);
        Self { store, execution, stdout: head(), stderr: head() }
    }

    /// One that an earlier server wrote the beginning of, and heard the first words of.
    pub(super) fn again(store: Store, execution: Execution, live: &Live) -> Self {
        let mut logged = Self::new(store, execution, live);
        logged.stdout.truncated = true;
        logged.stderr.truncated = true;
        logged
    }

    pub(super) fn number(&self) -> i64 {
        self.execution.number
    }

    /// Keeps what it wrote, as far as it is the beginning.
    pub(super) fn push(&mut self, channel: Channel, bytes: &[u8]) {
        match channel {
            Channel::Stdout => self.stdout.push(bytes),
            Channel::Stderr => self.stderr.push(bytes),
        }
    }

    /// Writes how it ended.
    pub(super) fn end(self, ended: Ended, timed_out: bool) {
        let length = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let end = End {
            exit_code: Some(if timed_out { 124 } else { ended.exit_code }),
            signal: ended.signal,
            timed_out,
            out_of_memory: ended.out_of_memory,
            duration: length(ended.duration),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            stdout_truncated: self.stdout.truncated,
            stderr_truncated: self.stderr.truncated,
        };
        self.store.log_end(self.execution, end);
    }
}

fn head(text: &str) -> String {
    text[..text.floor_char_boundary(LOGGED)].to_owned()
}
