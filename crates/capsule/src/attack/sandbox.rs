//! Sandboxes that live on as the target of the jail's suite: each run gets one of its own, in
//! which the hostile program is started as `capsule serve` starts what it is asked for.
//!
//! Owns: the way from a task to a sandbox, a process in it, and an outcome. Refuses to know:
//! what the walls of the sandbox are made of.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use capsule_backend::guest::Channel;
use capsule_backend::sandbox::{
    Ended, Process, Program, Reach, Recipe, Root, Sandbox, SandboxUsage, Sandboxes,
};
use capsule_backend::{Backend, BackendError, Capabilities, Observer, Output};
use capsule_spec::{
    Captured, ErrorCode, Failure, Metrics, Outcome, Program as Asked, Status, Task,
};
use tokio::runtime::Runtime;

use super::audit::Leak;
use super::suite::{self, Findings};
use super::{Attempt, Family};
use crate::{program, wire};

/// How long the killing of a tree may take, and how long the last output is waited for.
const KILLING: Duration = Duration::from_secs(10);
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How long an operation of the sandbox itself may take before the attempt is in doubt.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sandboxes to attack.
pub(crate) struct Target {
    runtime: Runtime,
    sandboxes: Arc<dyn Sandboxes>,
    root: Root,
    made: AtomicUsize,
}

/// Runs the jail's `attempts` in sandboxes of the target.
///
/// # Errors
/// As [`suite::run`].
pub(crate) fn run(
    scene: suite::Scene,
    attempts: &[&'static Attempt],
    jobs: usize,
    target: Arc<Target>,
) -> anyhow::Result<Findings> {
    let made = || -> Box<dyn Backend> { Box::new(Attacked(Arc::clone(&target))) };
    suite::run_on(scene, attempts, jobs, made, spared, || target.left())
}

/// Why an attempt of the jail's suite says nothing about sandboxes that live on, or about
/// containers; where a container is weaker than a jail, `docs/guide-docker.md` says so.
fn spared(attempt: &Attempt) -> Option<&'static str> {
    match attempt.family {
        Family::Supervisor => return Some("its target is the supervisor of a run; here is none"),
        // What is kept of output is the server's to bound: its own suite attacks that.
        Family::Output => return Some("the server bounds output, and has attempts of its own"),
        _ => {}
    }
    Some(match attempt.name {
        "fork-bomb-daemons" | "fork-bomb-recursive" => {
            "counted outside for a moment that the making of a container outlasts"
        }
        "outrun-the-group" => "it looks for a group of Capsule's; this one is the engine's",
        "kill-everybody" => "Capsule's keepers have the guest's user; PID 1 outlives them",
        "giant-request" => "the request is refused before a sandbox sees it",
        "source-race" => "no caller names a mount; the operator's are checked once",
        "give-files-away" => "mounts of containers have the users of the host",
        "host-secrets" => "these names are the image's own",
        "kernel-facts" => "weaker than a jail: the engine hides less of /proc",
        "host-processes" => "weaker than a jail: Capsule's first process is seen",
        "sysfs-and-groups" => "weaker than a jail: /sys can be read",
        "dns-query" => "weaker than a jail: resolv.conf tells the host's resolver",
        _ => return None,
    })
}

impl Target {
    /// Opens the way to sandboxes of a kind, with their state below a folder.
    ///
    /// # Errors
    /// When there can be none.
    pub(crate) fn open(kind: &wire::Kind, root: Root, folder: &Path) -> Result<Self, Failure> {
        let runtime = program::threads()?;
        let sandboxes = {
            let _within = runtime.enter();
            wire::sandboxes(kind, folder)?
        };
        sandboxes.capabilities().usable?;
        Ok(Self { runtime, sandboxes, root, made: AtomicUsize::new(0) })
    }

    /// What is still there of all sandboxes; nothing should be.
    fn left(&self) -> Vec<Leak> {
        let leak = |what: String| Leak { kind: "sandbox", what };
        match self.runtime.block_on(self.sandboxes.sweep(&[])) {
            Ok(0) => Vec::new(),
            Ok(count) => vec![leak(format!("{count} were left, and had to be swept"))],
            Err(failure) => vec![leak(failure.to_string())],
        }
    }

    async fn play(&self, task: &Task) -> Result<Outcome, Failure> {
        let name = format!("attack{}", self.made.fetch_add(1, Ordering::Relaxed));
        let recipe = Recipe {
            root: self.root.clone(),
            limits: task.limits.clone(),
            policy: task.policy.clone(),
            require: task.require.clone(),
            volumes: Vec::new(),
        };
        let made = tokio::time::timeout(PATIENCE, self.sandboxes.create(&name, &recipe)).await;
        let sandbox = made.map_err(|_| late("made"))??;
        let played = attend(&*sandbox, task).await;
        let ended = tokio::time::timeout(PATIENCE, sandbox.end()).await;
        ended.map_err(|_| late("removed"))??;
        played
    }
}

fn late(what: &str) -> Failure {
    Failure::new(ErrorCode::SystemFailure, format!("the sandbox was not {what} in time"))
}

/// As the server does it: its output is read until it ends, and at the timeout its tree is
/// killed.
async fn attend(sandbox: &dyn Sandbox, task: &Task) -> Result<Outcome, Failure> {
    let (began, started) = (Instant::now(), SystemTime::now());
    let Asked::Command(command) = task.program.clone();
    let program = Program {
        command,
        working_directory: task.working_directory.to_string(),
        environment: std::collections::BTreeMap::new(),
        terminal: None,
    };
    let spawned = tokio::time::timeout(PATIENCE, sandbox.spawn(&program)).await;
    let process = spawned.map_err(|_| late("used"))??;
    process.close_input();
    let most = usize::try_from(task.limits.max_output.bytes()).unwrap_or(usize::MAX);
    let mut streams = Streams { most, ..Streams::default() };
    let left = task.limits.timeout.saturating_sub(began.elapsed());
    let ended = tokio::time::timeout(left, streams.until_the_end(&*process)).await.ok();
    if ended.is_none() {
        let killed = tokio::time::timeout(KILLING, process.signal(libc::SIGKILL, Reach::Tree));
        killed.await.map_err(|_| late("rid of the program"))??;
        let _ = tokio::time::timeout(LAST_WORDS, streams.until_the_end(&*process)).await;
    }
    let wall = began.elapsed();
    // What a program left behind belongs to its sandbox, and goes with it.
    let usage = tokio::time::timeout(PATIENCE, sandbox.usage()).await;
    let usage = usage.ok().and_then(Result::ok).unwrap_or_default();
    let (status, error) = judged(task, ended, &usage, &streams);
    Ok(Outcome {
        id: task.id,
        status,
        exit_code: ended.filter(|ended| ended.signal.is_none()).map(|ended| ended.exit_code),
        signal: ended.and_then(|ended| ended.signal),
        stdout: streams.stdout,
        stderr: streams.stderr,
        metrics: Metrics {
            wall,
            max_memory: usage.peak_memory.unwrap_or_default(),
            ..Metrics::default()
        },
        started,
        completed: SystemTime::now(),
        error,
        weaker: sandbox.weaker(),
        notes: Vec::new(),
    })
}

fn judged(
    task: &Task,
    ended: Option<Ended>,
    usage: &SandboxUsage,
    streams: &Streams,
) -> (Status, Option<Failure>) {
    let limit = task.limits.memory.bytes();
    let error = |code, message: &str| Some(Failure::new(code, message));
    let Some(ended) = ended else {
        return (Status::Timeout, error(ErrorCode::TimedOut, "the timeout ended it"));
    };
    // A group that was at its limit when somebody was killed in it.
    let at_limit = usage.peak_memory.is_some_and(|peak| peak >= limit - limit / 16);
    match ended.signal {
        Some(libc::SIGKILL) if ended.out_of_memory || at_limit => {
            (Status::Killed, error(ErrorCode::MemoryLimit, "the memory limit ended it"))
        }
        Some(number) => {
            let message = format!("signal {number} ended it");
            (Status::Killed, error(ErrorCode::Killed, &message))
        }
        None if streams.stdout.truncated || streams.stderr.truncated => {
            (Status::Error, error(ErrorCode::OutputLimit, "more output than is kept"))
        }
        None if ended.exit_code != 0 => (Status::Error, error(ErrorCode::NonZeroExit, "it failed")),
        None => (Status::Success, None),
    }
}

/// What was kept of its output.
#[derive(Default)]
struct Streams {
    stdout: Captured,
    stderr: Captured,
    most: usize,
}

impl Streams {
    async fn until_the_end(&mut self, process: &dyn Process) -> Ended {
        while let Some((channel, bytes)) = process.output().await {
            let captured = match channel {
                Channel::Stdout => &mut self.stdout,
                Channel::Stderr => &mut self.stderr,
            };
            let taken = bytes.len().min(self.most - captured.bytes.len());
            captured.truncated |= taken < bytes.len();
            captured.bytes.extend_from_slice(&bytes[..taken]);
        }
        process.ended().await
    }
}

/// The target as the suite knows targets.
struct Attacked(Arc<Target>);

impl Backend for Attacked {
    fn capabilities(&self) -> Capabilities {
        self.0.sandboxes.capabilities()
    }

    fn run(&self, task: &Task, _: Output, _: &mut dyn Observer) -> Result<Outcome, BackendError> {
        let played = self.0.runtime.block_on(self.0.play(task));
        played.map_err(|failure| BackendError { internal: failure.to_string(), failure })
    }
}
