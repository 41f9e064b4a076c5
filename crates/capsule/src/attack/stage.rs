//! The side outside: sets the scene of one attempt, runs its jails, and reads
//! what the program inside printed.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use capsule_backend::{Backend, BackendError, Output, Silent};
use capsule_spec::{
    BindMount, ErrorCode, ExecutionId, Outcome, ResolveError, Status, Stdin, TaskSpec, Wall,
};

use super::guest::END;
use super::{Attempt, Verdict, host};

/// Where the jail sees this binary.
pub(super) const BINARY: &str = "/opt/capsule-attack/capsule";

/// One attempt, outside.
pub(crate) struct Stage<'a> {
    pub(super) attempt: &'a Attempt,
    /// Makes the sandbox under attack; each run has its own.
    pub(super) backend: &'a (dyn Fn() -> Box<dyn Backend> + Sync),
    /// This binary on the host, without a symbolic link in its path.
    pub(super) binary: &'a Path,
    /// In the arguments of every process that the attempt starts, and nowhere else.
    pub(super) marker: String,
    /// A directory of the suite's own.
    pub(super) root: &'a Path,
}

impl Stage<'_> {
    /// A jail with the attempt's bounds and nothing else.
    pub(super) fn jail(&self) -> Entry<'_> {
        let bounds = self.attempt.bounds;
        let mut spec = TaskSpec {
            command: Some(self.command(&[])),
            timeout_ms: Some(bounds.timeout_ms),
            ..TaskSpec::default()
        };
        spec.resources.memory_bytes = Some(bounds.memory_mib << 20);
        spec.resources.disk_bytes = Some(bounds.disk_mib << 20);
        spec.resources.max_output_bytes = Some(bounds.output_kib << 10);
        spec.resources.max_pids = Some(bounds.pids);
        spec.isolation.bind_mounts.push(BindMount {
            source: self.binary.display().to_string(),
            destination: BINARY.to_owned(),
            readonly: true,
        });
        Entry { stage: self, spec }
    }

    fn command(&self, arguments: &[&str]) -> Vec<String> {
        [BINARY, "attack", "--inside", self.attempt.name, &self.marker]
            .iter()
            .chain(arguments)
            .map(|text| (*text).to_owned())
            .collect()
    }

    /// `capsule exec` as a process of its own, where the supervisor is the target.
    pub(super) fn exec(&self, options: &[&str], arguments: &[&str]) -> Command {
        let bounds = self.attempt.bounds;
        let mut command = Command::new(self.binary);
        command
            .args(["exec", "--timeout", &format!("{}ms", bounds.timeout_ms)])
            .args(["--memory", &format!("{}M", bounds.memory_mib)])
            .args(["--max-pids", &bounds.pids.to_string()])
            .args(["--bind", &format!("{}:{BINARY}:ro", self.binary.display())])
            .args(options)
            .arg("--")
            .args(self.command(arguments));
        command
    }

    /// Plays a part outside any jail: a harmless process of the host to aim at.
    pub(super) fn bystander(&self, role: &str) -> Command {
        let mut command = Command::new(self.binary);
        command.args(&self.command(&[role])[1..]);
        command
    }

    /// A new, empty directory on the host, open to all: what keeps the jail out must be
    /// the jail, and where a file system cannot be id-mapped its user is a stranger.
    pub(super) fn directory(&self, name: &str) -> std::io::Result<PathBuf> {
        let path = self.root.join(self.attempt.name).join(name);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o777))?;
        Ok(path)
    }

    /// A directory with a file `secret` in it, and what the file holds.
    pub(super) fn secret(&self, name: &str) -> std::io::Result<(PathBuf, String)> {
        let directory = self.directory(name)?;
        let secret = format!("secret-{}", ExecutionId::random());
        fs::write(directory.join("secret"), &secret)?;
        Ok((directory, secret))
    }

    /// Processes of the attempt that live on the host.
    pub(super) fn processes(&self) -> Vec<i32> {
        host::processes_with(&self.marker)
    }

    /// Waits for the host to show something; says whether it did.
    pub(super) fn wait_for(&self, limit: Duration, mut shown: impl FnMut() -> bool) -> bool {
        let until = Instant::now() + limit;
        loop {
            if shown() {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Runs the attempt's main part and believes what it prints: for attempts whose
/// failure only the inside can see.
pub(super) fn told(stage: &Stage<'_>) -> Verdict {
    stage.jail().told()
}

/// A jail about to be run.
pub(super) struct Entry<'a> {
    stage: &'a Stage<'a>,
    spec: TaskSpec,
}

impl Entry<'_> {
    /// The part that the program inside plays, and more for it to know.
    pub(super) fn role(mut self, arguments: &[&str]) -> Self {
        self.spec.command = Some(self.stage.command(arguments));
        self
    }

    pub(super) fn writable(self, source: &Path, destination: &str) -> Self {
        self.bind(source, destination, false)
    }

    pub(super) fn readonly(self, source: &Path, destination: &str) -> Self {
        self.bind(source, destination, true)
    }

    fn bind(mut self, source: &Path, destination: &str, readonly: bool) -> Self {
        self.spec.isolation.bind_mounts.push(BindMount {
            source: source.display().to_string(),
            destination: destination.to_owned(),
            readonly,
        });
        self
    }

    pub(super) fn allow_host(mut self, rule: &str) -> Self {
        self.spec.isolation.allowed_hosts.push(rule.to_owned());
        self
    }

    pub(super) fn run(self) -> Result<Outcome, BackendError> {
        let task = self
            .spec
            .resolve(ExecutionId::random(), Stdin::Empty)
            .map_err(ResolveError::into_failure)
            .map_err(|failure| BackendError { internal: failure.to_string(), failure })?;
        (self.stage.backend)().run(&task, Output::Captured, &mut Silent)
    }

    pub(super) fn told(self) -> Verdict {
        judge(&self.run())
    }
}

/// The verdict that the program inside printed.
pub(super) fn judge(result: &Result<Outcome, BackendError>) -> Verdict {
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(error) => return Verdict::Inconclusive(no_run(error)),
    };
    judge_text(&outcome.stdout.bytes, || describe(outcome))
}

/// As [`judge`]; `ended` says how the run ended, in case it broke off.
pub(super) fn judge_text(stdout: &[u8], ended: impl Fn() -> String) -> Verdict {
    let text = String::from_utf8_lossy(stdout);
    let mut told: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    let mut has_ended = false;
    for line in text.lines() {
        let mut fields = line.split('\t');
        match (fields.next(), fields.next(), fields.next()) {
            (Some(END), None, _) => has_ended = true,
            (Some(verdict), Some(what), Some(evidence)) => {
                told.entry(verdict).or_default().push((what, evidence));
            }
            _ => {}
        }
    }
    let of = |verdict| told.get(verdict).map(Vec::as_slice).unwrap_or_default();
    if !of("through").is_empty() {
        return Verdict::Escaped(summary(of("through")));
    }
    if !of("unclear").is_empty() {
        return Verdict::Inconclusive(summary(of("unclear")));
    }
    if !has_ended {
        return Verdict::Inconclusive(format!("the program broke off: {}", ended()));
    }
    match (of("held"), of("absent")) {
        ([], []) => Verdict::Inconclusive("the program tried nothing".to_owned()),
        ([], absent) => Verdict::Skipped(summary(absent)),
        (held, _) => Verdict::Held(summary(held)),
    }
}

/// A few things one by one, many by their evidence.
pub(super) fn summary(tried: &[(&str, &str)]) -> String {
    if tried.len() <= 3 {
        let each = tried.iter().map(|(what, evidence)| format!("{what}: {evidence}"));
        return each.collect::<Vec<_>>().join("; ");
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, evidence) in tried {
        *counts.entry(evidence).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let shown = counts.iter().take(4).map(|(evidence, count)| format!("{evidence} x{count}"));
    let more = if counts.len() > 4 { ", …" } else { "" };
    format!("{} tries: {}{more}", tried.len(), shown.collect::<Vec<_>>().join(", "))
}

pub(super) fn no_run(error: &BackendError) -> String {
    format!("no jail: {} ({})", error.failure.message, error.internal)
}

/// How a run ended, in a few words.
pub(super) fn describe(outcome: &Outcome) -> String {
    let mut text = outcome.status.name().to_owned();
    if let Some(code) = outcome.exit_code {
        text = format!("{text}, exit {code}");
    }
    if let Some(signal) = outcome.signal {
        text = format!("{text}, signal {signal}");
    }
    match &outcome.error {
        Some(failure) => format!("{text}, {}", failure.code),
        None => text,
    }
}

/// Whether a wall stood less than fully, as the outcome itself admits, and why.
pub(super) fn admitted(outcome: &Outcome, wall: Wall) -> Option<String> {
    use capsule_spec::WallState::{Absent, Full, Weaker};
    let status = outcome.weaker.iter().find(|status| status.wall == wall)?;
    match &status.state {
        Full => None,
        Weaker(why) | Absent(why) => {
            Some(format!("the {} wall is weaker here: {why}", wall.name()))
        }
    }
}

/// A run that must have been ended for its time, and soon enough after it.
pub(super) fn timed_out(result: &Result<Outcome, BackendError>, took: Duration) -> Verdict {
    // An emulated machine is slow; what tries to stretch a run tries for half a minute.
    const SOON: Duration = Duration::from_secs(8);
    match result {
        Err(error) => Verdict::Inconclusive(no_run(error)),
        Ok(outcome) if outcome.status == Status::Timeout => Verdict::held_if(
            took < SOON,
            format!("{} after {} ms", ErrorCode::TimedOut, took.as_millis()),
        ),
        Ok(outcome) => Verdict::Inconclusive(format!("no timeout: {}", describe(outcome))),
    }
}
