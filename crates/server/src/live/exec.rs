//! A command whose caller waits for its end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use capsule_backend::guest::Channel;
use capsule_backend::sandbox::{Ended, Process, Program, Reach};
use capsule_spec::{ErrorCode, Failure};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Asked, Foreground, InUse, Live, Logged};
use crate::memory::{Held, Memory};

/// How long the killing of a tree may take before the caller is answered all the same; it
/// goes on then.
const KILLING: Duration = Duration::from_millis(200);
/// How long after it the last output is looked for.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// How much a command may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) timeout: Duration,
    pub(crate) stdout: usize,
    pub(crate) stderr: usize,
    /// Running processes of the sandbox.
    pub(crate) processes: usize,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) stdout: Head,
    pub(crate) stderr: Head,
    /// None: the timeout ended it.
    pub(crate) ended: Option<Ended>,
    pub(crate) duration: Duration,
}

/// The beginning of a stream.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) bytes: Vec<u8>,
    pub(crate) truncated: bool,
    most: usize,
    held: Held,
}

impl Head {
    pub(super) fn new(most: usize, memory: &Arc<Memory>) -> Self {
        Self { bytes: Vec::new(), truncated: false, most, held: memory.hold() }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let taken = bytes.len().min(self.most - self.bytes.len());
        self.truncated |= taken < bytes.len();
        if self.truncated && taken == 0 {
            return;
        }
        // A server without memory for it says so in the same way as at the caller's cap.
        if self.held.grow(taken) {
            self.bytes.extend_from_slice(&bytes[..taken]);
        } else {
            self.truncated = true;
            self.most = self.bytes.len();
        }
    }

    /// As text. A character that the cap cut through is left out; other bytes that are no
    /// UTF-8 are shown as U+FFFD.
    pub(crate) fn text(&self) -> String {
        let mut bytes = self.bytes.as_slice();
        if self.truncated
            && let Err(error) = std::str::from_utf8(bytes)
            && error.error_len().is_none()
        {
            bytes = &bytes[..error.valid_up_to()];
        }
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// Runs a command to its end, or to its timeout. Dropping the future kills it and all that
/// it started.
///
/// # Errors
/// When it cannot be started.
pub(crate) async fn run(
    used: &InUse,
    program: &Program,
    input: Option<Vec<u8>>,
    limits: Limits,
    memory: &Arc<Memory>,
    asked: Asked,
) -> Result<Finished, Failure> {
    let live = used.live();
    if live.running() >= limits.processes {
        let most = limits.processes;
        let message = format!("the sandbox has {most} processes running, which is the limit");
        return Err(Failure::new(ErrorCode::ServerLimit, message).detail("limit", most));
    }
    let began = Instant::now();
    let deadline = began + limits.timeout;
    let spawned = tokio::time::timeout_at(deadline, spawn(used, program, asked)).await;
    let (process, logged) = spawned.map_err(|_| too_slow())??.take();
    let mut guard = Guard::new(live, Arc::clone(&process), program, logged);
    let mut finished = Finished {
        stdout: Head::new(limits.stdout, memory),
        stderr: Head::new(limits.stderr, memory),
        ended: None,
        duration: Duration::ZERO,
    };
    {
        let collected = collect(&*process, &mut finished, &mut guard.logged);
        tokio::select! {
            () = collected => {}
            () = feed(&*process, input) => {}
            // What was collected so far is the answer.
            () = tokio::time::sleep_until(deadline) => {}
        }
    }
    if finished.ended.is_none() {
        let _ = tokio::time::timeout(KILLING, guard.kill()).await;
        // What was written before the end is in the pipes. How it ended is known: it was killed.
        let _ =
            tokio::time::timeout(LAST_WORDS, collect(&*process, &mut finished, &mut guard.logged))
                .await;
        finished.ended = None;
    }
    finished.duration = match finished.ended {
        Some(ended) => ended.duration,
        None => began.elapsed(),
    };
    guard.over(&finished);
    Ok(finished)
}

async fn collect(process: &dyn Process, finished: &mut Finished, logged: &mut Option<Logged>) {
    while let Some((channel, bytes)) = process.output().await {
        logged.iter_mut().for_each(|logged| logged.push(channel, &bytes));
        match channel {
            Channel::Stdout => finished.stdout.push(&bytes),
            Channel::Stderr => finished.stderr.push(&bytes),
        }
    }
    finished.ended = Some(process.ended().await);
}

/// Gives it its input, and never answers: only the end of the output ends a command.
async fn feed(process: &dyn Process, input: Option<Vec<u8>>) {
    if let Some(bytes) = input {
        // A command that does not read its input is no error.
        let _ = process.input(&bytes).await;
    }
    process.close_input();
    std::future::pending().await
}

fn too_slow() -> Failure {
    let message = "the command could not be started within its timeout";
    Failure::new(ErrorCode::TimedOut, message)
}

/// Starts a process. It is started to the end whatever happens here, so that a caller who
/// goes meanwhile leaves none that nobody knows, or that the log does not have.
pub(super) async fn spawn(
    used: &InUse,
    program: &Program,
    asked: Asked,
) -> Result<Spawned, Failure> {
    let (sandbox, program) = (Arc::clone(used.sandbox()?), program.clone());
    let live = Arc::clone(used.live());
    let (told, started) = oneshot::channel();
    tokio::spawn(async move {
        let spawned = sandbox.spawn(&program).await.map(|process| {
            let logged = asked.begin(&live, &program, process.number());
            Spawned(Some((process, logged)))
        });
        // Without a caller it is dropped here, or in the channel.
        let _ = told.send(spawned);
    });
    started.await.unwrap_or_else(|_| Err(super::ended()))
}

/// A process that is killed unless somebody takes it.
pub(super) struct Spawned(Option<(Arc<dyn Process>, Logged)>);

impl Spawned {
    pub(super) fn number(&self) -> u64 {
        self.0.as_ref().map(|(process, _)| process.number()).expect("it was not taken yet")
    }

    pub(super) fn take(mut self) -> (Arc<dyn Process>, Logged) {
        self.0.take().expect("it can be taken once")
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        if let Some((process, logged)) = self.0.take() {
            kill_logged(process, logged);
        }
    }
}

/// Kills a process and all that belongs to it, in a task of its own, which goes on if nobody
/// waits for it. It also hears of the end: the backend keeps a process until it has told.
pub(crate) fn kill_tree(process: Arc<dyn Process>) -> tokio::task::JoinHandle<Ended> {
    tokio::spawn(async move {
        // It may have ended before, which is as well.
        let _ = process.signal(libc::SIGKILL, Reach::Tree).await;
        process.ended().await
    })
}

/// As [`kill_tree`], and writes how it ended.
fn kill_logged(process: Arc<dyn Process>, logged: Logged) {
    let killed = kill_tree(process);
    tokio::spawn(async move {
        if let Ok(ended) = killed.await {
            logged.end(ended, false);
        }
    });
}

/// Kills the tree of a process if nobody waits for it any more.
struct Guard {
    live: Arc<Live>,
    process: Arc<dyn Process>,
    /// None: it has ended, or the kill was sent.
    logged: Option<Logged>,
}

impl Guard {
    fn new(live: &Arc<Live>, process: Arc<dyn Process>, program: &Program, logged: Logged) -> Self {
        let foreground = Foreground {
            command: program.command.clone(),
            started: SystemTime::now(),
            process: Arc::clone(&process),
        };
        live.foreground_began(process.number(), foreground);
        Self { live: Arc::clone(live), process, logged: Some(logged) }
    }

    async fn kill(&self) {
        let _ = kill_tree(Arc::clone(&self.process)).await;
    }

    /// It has ended, or the kill was sent.
    fn over(mut self, finished: &Finished) {
        let killed = Ended {
            exit_code: 128 + libc::SIGKILL,
            signal: Some(libc::SIGKILL),
            duration: finished.duration,
            processor: Duration::ZERO,
            out_of_memory: false,
        };
        if let Some(logged) = self.logged.take() {
            logged.end(finished.ended.unwrap_or(killed), finished.ended.is_none());
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.live.foreground_ended(self.process.number());
        if let Some(logged) = self.logged.take() {
            kill_logged(Arc::clone(&self.process), logged);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_keeps_whole_characters_and_says_what_it_lost() {
        let mut head = Head::new(5, &Memory::new(100));
        head.push("aé".as_bytes());
        assert!(!head.truncated);
        head.push("éé".as_bytes());
        assert!(head.truncated);
        assert_eq!(head.text(), "aéé");
        let mut head = Head::new(4, &Memory::new(100));
        head.push("aéé".as_bytes());
        assert_eq!((head.text().as_str(), head.bytes.len()), ("aé", 4));
        let mut head = Head::new(4, &Memory::new(100));
        head.push(b"\xff\xfeab");
        assert!(!head.truncated, "what fits to the byte is whole");
        assert_eq!(head.text(), "\u{fffd}\u{fffd}ab");
        // Without memory for it, it is cut and says so, and stays cut.
        let memory = Memory::new(6);
        let mut head = Head::new(100, &memory);
        head.push(b"1234");
        head.push(b"567");
        head.push(b"8");
        assert_eq!((head.text().as_str(), head.truncated), ("1234", true));
        drop(head);
        assert!(memory.hold().grow(6));
    }
}
