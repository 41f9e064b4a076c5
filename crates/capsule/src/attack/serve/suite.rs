//! Makes the attempts, several at a time, each at a server of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context;

use super::attempt::{Attempt, Tries, Without};
use super::scene::Scene;
pub(crate) use super::scene::Walls;
use crate::attack::audit::Audit;
use crate::attack::suite::{Findings, Scene as Folder, show_progress};
use crate::attack::{Finding, Verdict};

/// Makes `attempts`, `jobs` at a time. Without walls, only those whose wall can be taken away.
///
/// # Errors
/// When the suite itself cannot work: no temporary directory, no path of this binary.
pub(crate) fn run(
    attempts: &[&'static Attempt],
    jobs: usize,
    walls: Walls,
) -> anyhow::Result<Findings> {
    let started = Instant::now();
    let binary = std::env::current_exe()
        .and_then(std::fs::canonicalize)
        .context("the suite starts this binary, and cannot find it")?;
    let has_wall = |attempt: &&&Attempt| walls == Walls::Up || attempt.without != Without::Nothing;
    let attempts: Vec<_> = attempts.iter().filter(has_wall).copied().collect();
    let folder = Folder::open().context("cannot make a temporary directory")?;
    let audit = Audit::begin();
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<Finding>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, attempts.len().max(1)) {
            scope.spawn(|| {
                while let Some(attempt) = attempts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let finding = one(attempt, &binary, folder.path(), walls);
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
    let leaks = audit.end(folder);
    Ok(Findings { attempts: found, leaks, took: started.elapsed() })
}

fn one(attempt: &'static Attempt, binary: &Path, root: &Path, walls: Walls) -> Finding {
    let started = Instant::now();
    let verdict = catch_unwind(AssertUnwindSafe(|| play(attempt, binary, root, walls)))
        .unwrap_or_else(|_| Verdict::Inconclusive("the check itself panicked".to_owned()));
    let Attempt { name, family, tries, .. } = *attempt;
    Finding { name, family, tries, verdict, took_ms: started.elapsed().as_millis() as u64 }
}

fn play(attempt: &Attempt, binary: &Path, root: &Path, walls: Walls) -> Verdict {
    let failed = |error| Verdict::Inconclusive(format!("the stage failed: {error}"));
    let scene = match Scene::build(root, binary, attempt, walls) {
        Ok(scene) => scene,
        Err(error) => return failed(error),
    };
    let mut tries = Tries::default();
    let played = (attempt.play)(&scene, &mut tries);
    // Whatever was tried, the server serves its own users.
    let serves = scene.mine.create().and_then(|id| scene.mine.shell(&id, "echo served"));
    let mut verdict = tries.verdict();
    if let Err(error) = played {
        verdict = verdict.and(failed(error));
    }
    verdict = verdict.and(match serves {
        Ok(said) if said == "served\n" => Verdict::Held(String::new()),
        Ok(said) => Verdict::Escaped(format!("the server says {said:?} afterwards")),
        // A limit that the attempt itself reached is no answer to it.
        Err(_) if attempt.family == crate::attack::Family::Limits => Verdict::Held(String::new()),
        Err(error) => Verdict::Escaped(format!("the server serves nobody afterwards: {error}")),
    });
    verdict.and(scene.close())
}
