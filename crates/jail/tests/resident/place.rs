//! A state folder for one test, and short ways to use a sandbox in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use capsule_backend::guest::Channel;
use capsule_backend::sandbox::{
    Ended, OpenMode, Process, Program, Recipe, Sandbox, Sandboxes, TerminalSize,
};
use capsule_jail::resident::Residents;
use capsule_spec::{Failure, Limits, Policy};
use tempfile::TempDir;

use crate::backend;

pub(crate) struct Place {
    pub(crate) residents: Arc<Residents>,
    pub(crate) folder: TempDir,
}

pub(crate) fn recipe() -> Recipe {
    Recipe {
        root: backend::root(),
        limits: Limits::default(),
        policy: Policy::default(),
        require: Vec::new(),
        volumes: Vec::new(),
    }
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) ended: Ended,
}

impl Said {
    pub(crate) fn code(&self) -> i32 {
        self.ended.exit_code
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("capsule-resident-").tempdir().unwrap();
        let residents =
            backend::open(folder.path().join("state"), Duration::from_secs(20)).unwrap();
        Self { residents, folder }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) async fn make(&self, name: &str) -> Arc<dyn Sandbox> {
        self.make_with(name, &recipe()).await
    }

    pub(crate) async fn make_with(&self, name: &str, recipe: &Recipe) -> Arc<dyn Sandbox> {
        self.residents.create(name, recipe).await.unwrap()
    }

    /// The record that the next server would read.
    pub(crate) fn record(&self, name: &str) -> serde_json::Value {
        let text = fs::read(self.state().join(format!("{name}.json"))).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Host process of PID 1.
    pub(crate) fn init(&self, name: &str) -> i32 {
        i32::try_from(self.record(name)["pid"].as_i64().unwrap()).unwrap()
    }

    pub(crate) fn groups(&self, name: &str) -> Vec<PathBuf> {
        let record = self.record(name);
        let groups = record["groups"].as_array().unwrap().clone();
        groups.iter().map(|group| PathBuf::from(group[1].as_str().unwrap())).collect()
    }

    /// Everything that a sandbox was made of, to be looked for when it has ended.
    pub(crate) fn traces(&self, name: &str) -> Traces {
        let init = self.init(name);
        Traces { processes: descendants(init), groups: self.groups(name) }
    }

    /// Ends a sandbox and looks whether anything is left of it.
    pub(crate) async fn end(&self, name: &str, sandbox: &Arc<dyn Sandbox>) {
        let traces = self.traces(name);
        sandbox.end().await.unwrap();
        sandbox.ended().await;
        traces.assert_gone();
        assert!(self.files_of(name).is_empty(), "{:?}", self.files_of(name));
    }

    pub(crate) fn files_of(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.state()).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|file| file.starts_with(&format!("{name}."))).collect()
    }
}

#[derive(Debug)]
pub(crate) struct Traces {
    pub(crate) processes: Vec<i32>,
    pub(crate) groups: Vec<PathBuf>,
}

impl Traces {
    pub(crate) fn assert_gone(&self) {
        assert!(!self.processes.is_empty());
        for pid in &self.processes {
            assert!(!is_alive(*pid), "{pid} lives");
        }
        for group in &self.groups {
            assert!(!group.exists(), "{}", group.display());
        }
    }
}

pub(crate) fn is_alive(pid: i32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_ok()
}

/// A process and all below it.
pub(crate) fn descendants(pid: i32) -> Vec<i32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().map(|pid| pid.parse::<i32>().unwrap()));
        }
    }
    found
}

/// How many processes a sandbox has, its PID 1 included. Processes of a kernel of their own are
/// none of this host's, and are asked for.
pub(crate) async fn count(sandbox: &Arc<dyn Sandbox>, init: i32) -> usize {
    if !backend::is_gvisor() {
        return descendants(init).len();
    }
    let usage = sandbox.usage().await.unwrap();
    usize::try_from(usage.processes.unwrap()).unwrap()
}

/// Waits a little until there are so many processes: a keeper is ended after its process.
pub(crate) async fn settles(sandbox: &Arc<dyn Sandbox>, init: i32, wanted: usize) {
    for _ in 0..400 {
        if count(sandbox, init).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let status = |pid| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let left: Vec<_> = descendants(init).into_iter().map(status).collect();
    panic!("{} in place of {wanted}: {left:#?}", count(sandbox, init).await);
}

pub(crate) fn program(command: &[&str]) -> Program {
    Program {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        working_directory: "/workspace".to_owned(),
        environment: BTreeMap::new(),
        terminal: None,
    }
}

pub(crate) fn shell(script: &str) -> Program {
    program(&["sh", "-c", script])
}

pub(crate) fn on_terminal(command: &[&str]) -> Program {
    Program { terminal: Some(TerminalSize { columns: 80, rows: 24 }), ..program(command) }
}

pub(crate) async fn start(sandbox: &Arc<dyn Sandbox>, program: &Program) -> Arc<dyn Process> {
    within(5, sandbox.spawn(program)).await.unwrap()
}

/// Runs a command to its end, without input.
pub(crate) async fn run(sandbox: &Arc<dyn Sandbox>, program: &Program) -> Said {
    let process = start(sandbox, program).await;
    process.close_input();
    finish(&process).await
}

pub(crate) async fn sh(sandbox: &Arc<dyn Sandbox>, script: &str) -> Said {
    run(sandbox, &shell(script)).await
}

/// All that is still said, and the end.
pub(crate) async fn finish(process: &Arc<dyn Process>) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some((channel, bytes)) = within(30, process.output()).await {
        match channel {
            Channel::Stdout => out.extend(bytes),
            Channel::Stderr => err.extend(bytes),
        }
    }
    let ended = within(5, process.ended()).await;
    Said {
        out: String::from_utf8_lossy(&out).into_owned(),
        err: String::from_utf8_lossy(&err).into_owned(),
        ended,
    }
}

/// Waits until the process has said this.
pub(crate) async fn hear(process: &Arc<dyn Process>, wanted: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(wanted) {
        let piece = tokio::time::timeout(Duration::from_secs(10), process.output()).await;
        match piece {
            Ok(Some((_, bytes))) => heard += &String::from_utf8_lossy(&bytes),
            other => panic!("{other:?} in place of {wanted:?} after {heard:?}"),
        }
    }
    heard
}

pub(crate) async fn write(
    sandbox: &Arc<dyn Sandbox>,
    path: &str,
    bytes: &[u8],
) -> Result<(), Failure> {
    let mut file = sandbox.open(path, OpenMode::Write { mode: 0o644 }).await?;
    file.write(bytes).await?;
    file.finish().await
}

pub(crate) async fn read(sandbox: &Arc<dyn Sandbox>, path: &str) -> Result<Vec<u8>, Failure> {
    let mut file = within(10, sandbox.open(path, OpenMode::Read)).await?;
    let mut all = Vec::new();
    loop {
        let bytes = file.read(1 << 20).await?;
        if bytes.is_empty() {
            return Ok(all);
        }
        all.extend(bytes);
    }
}

/// No test waits for ever.
pub(crate) async fn within<T>(seconds: u64, future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(seconds);
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| panic!("not within {limit:?}"))
}
