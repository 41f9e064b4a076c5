//! Runs attempts, several at a time, and asks after each whether a process of it
//! is left.

use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use capsule_backend::Backend;

use super::audit::{Audit, Leak};
use super::stage::Stage;
use super::{Attempt, Finding, Verdict, host, sys};

/// How long the last processes of a run may take to vanish from `/proc`.
const VANISH: Duration = Duration::from_secs(1);

/// Everything that a run found out.
pub(crate) struct Findings {
    pub(crate) attempts: Vec<Finding>,
    pub(crate) leaks: Vec<Leak>,
    pub(crate) took: Duration,
}

impl Findings {
    /// Nothing got through, nothing is in doubt, nothing was left behind.
    pub(crate) fn are_good(&self) -> bool {
        self.leaks.is_empty() && !self.attempts.iter().any(|finding| finding.verdict.is_failure())
    }
}

/// Runs `attempts`, `jobs` at a time.
///
/// # Errors
/// When the suite itself cannot work: no temporary directory, no path of this binary.
pub(crate) fn run(
    attempts: &[&'static Attempt],
    jobs: usize,
    backend: impl Fn() -> Box<dyn Backend> + Sync,
) -> anyhow::Result<Findings> {
    let scene = Scene::open().context("cannot make a temporary directory")?;
    run_on(scene, attempts, jobs, backend, |_| None, Vec::new)
}

/// As [`run`], on a scene that others have made something ready in, without the attempts that
/// are `spared`, which says why; `left` is asked for more leaks at the end.
///
/// # Errors
/// As there.
pub(super) fn run_on(
    scene: Scene,
    attempts: &[&'static Attempt],
    jobs: usize,
    backend: impl Fn() -> Box<dyn Backend> + Sync,
    spared: fn(&Attempt) -> Option<&'static str>,
    left: impl FnOnce() -> Vec<Leak>,
) -> anyhow::Result<Findings> {
    let started = Instant::now();
    let binary = std::env::current_exe()
        .and_then(std::fs::canonicalize)
        .context("the suite runs this binary inside the jail, and cannot find it")?;
    let audit = Audit::begin();
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<Finding>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, attempts.len().max(1)) {
            scope.spawn(|| {
                while let Some(attempt) = attempts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let finding = match spared(attempt) {
                        Some(why) => skipped(attempt, why),
                        None => one(attempt, &backend, &binary, &scene.path),
                    };
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.push(finding);
                    show_progress(found.len(), attempts.len(), attempt.name);
                }
            });
        }
    });
    show_progress(0, 0, "");
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let place = |name| attempts.iter().position(|attempt| attempt.name == name);
    found.sort_by_key(|finding| place(finding.name));
    let mut leaks = left();
    leaks.extend(audit.end(scene));
    Ok(Findings { attempts: found, leaks, took: started.elapsed() })
}

fn skipped(attempt: &'static Attempt, why: &str) -> Finding {
    let verdict = Verdict::Skipped(why.to_owned());
    let Attempt { name, family, tries, .. } = *attempt;
    Finding { name, family, tries, verdict, took_ms: 0 }
}

fn one(
    attempt: &'static Attempt,
    backend: &(dyn Fn() -> Box<dyn Backend> + Sync),
    binary: &Path,
    root: &Path,
) -> Finding {
    let started = Instant::now();
    let marker = format!("{}-{}", marker_base(), attempt.name);
    // The end of the marker is distinct, so that no name is the start of another.
    let stage = Stage { attempt, backend, binary, marker: format!("{marker}."), root };
    let verdict = catch_unwind(AssertUnwindSafe(|| (attempt.outside)(&stage)))
        .unwrap_or_else(|_| Verdict::Inconclusive("the check itself panicked".to_owned()));
    let verdict = verdict.and(leftover(&stage));
    Finding {
        name: attempt.name,
        family: attempt.family,
        tries: attempt.tries,
        verdict,
        took_ms: started.elapsed().as_millis() as u64,
    }
}

/// The end of every run's promise: no process lives on.
fn leftover(stage: &Stage<'_>) -> Verdict {
    if stage.wait_for(VANISH, || stage.processes().is_empty()) {
        return Verdict::Held(String::new());
    }
    let left = stage.processes();
    let names = left
        .iter()
        .map(|pid| host::status_field(*pid, "Name").unwrap_or_default() + " " + &pid.to_string());
    let names = names.collect::<Vec<_>>().join(", ");
    for pid in &left {
        // They carry this attempt's marker: nobody else's.
        let _ = sys::kill(*pid, libc::SIGKILL);
    }
    Verdict::Escaped(format!("processes live on after the run: {names}"))
}

/// Common to all markers of this process.
pub(super) fn marker_base() -> String {
    format!("capsule-attack-{}", std::process::id())
}

pub(super) fn show_progress(done: usize, total: usize, name: &str) {
    let mut err = std::io::stderr().lock();
    if !err.is_terminal() {
        return;
    }
    let line = if total == 0 { String::new() } else { format!("[{done}/{total}] {name}") };
    let _ = write!(err, "\r\x1b[K{line}");
    let _ = err.flush();
}

/// The suite's own directory on the host.
pub(crate) struct Scene {
    path: PathBuf,
}

impl Scene {
    pub(crate) fn open() -> std::io::Result<Self> {
        // Mount sources may not go through a link, and the usual place may be one.
        let base = std::fs::canonicalize(std::env::temp_dir())?;
        let path = base.join(marker_base());
        std::fs::create_dir(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directory. No jail lives any more, so nothing is mounted in it;
    /// links are removed and never followed.
    pub(crate) fn close(self) -> std::io::Result<()> {
        std::fs::remove_dir_all(self.path)
    }
}
