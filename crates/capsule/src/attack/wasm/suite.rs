//! Plays the programs, several at a time.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::attempt::{Attempt, Expect, Place};
use super::judge;
use super::scene::Scene;
use crate::attack::audit::Audit;
use crate::attack::suite::{Findings, Scene as Folder, marker_base, show_progress};
use crate::attack::{Finding, Verdict, host};
use crate::wire;

/// Runs `attempts`, `jobs` at a time.
///
/// # Errors
/// When the suite itself cannot work: no temporary directory, no path of this binary.
pub(crate) fn run(attempts: &[&'static Attempt], jobs: usize) -> anyhow::Result<Findings> {
    let started = Instant::now();
    let binary = std::env::current_exe()
        .and_then(std::fs::canonicalize)
        .context("the suite starts this binary, and cannot find it")?;
    let folder = Folder::open().context("cannot make a temporary directory")?;
    let audit = Audit::begin();
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<Finding>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, attempts.len().max(1)) {
            scope.spawn(|| {
                while let Some(attempt) = attempts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let finding = one(attempt, &binary, folder.path());
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

fn one(attempt: &'static Attempt, binary: &Path, root: &Path) -> Finding {
    let started = Instant::now();
    let marker = format!("{}-{}.", marker_base(), attempt.name);
    let verdict = catch_unwind(AssertUnwindSafe(|| {
        play(attempt, binary, root, &marker)
            .unwrap_or_else(|error| Verdict::Inconclusive(format!("the stage failed: {error}")))
    }))
    .unwrap_or_else(|_| Verdict::Inconclusive("the check itself panicked".to_owned()));
    Finding {
        name: attempt.name,
        family: attempt.family,
        tries: attempt.tries,
        verdict: verdict.and(leftover(&marker)),
        took_ms: started.elapsed().as_millis() as u64,
    }
}

fn play(attempt: &Attempt, binary: &Path, root: &Path, marker: &str) -> std::io::Result<Verdict> {
    if attempt.place == Place::Node
        && let Err(why) = wire::node_in_a_jail()
    {
        return Ok(Verdict::Skipped(format!("no Node in a jail here: {why}")));
    }
    let forbidden = Ear::open(None)?;
    let allowed = Ear::open(Some(forbidden.port))?;
    let ports = (forbidden.port, allowed.port);
    let mut scene = Scene::build(root, binary, marker, attempt, ports)?;
    match &attempt.expect {
        Expect::Plays(play) => return play(&scene),
        Expect::Staged(stage) | Expect::StagedFails(stage, _) => {
            stage(&scene)?;
            scene.settle();
        }
        _ => {}
    }
    let ran = scene.run()?;
    let mut verdict = judge::always(&scene, &ran).and(judge::answered(&ran));
    if !verdict.is_failure() {
        verdict = verdict.and(judge::expected(&attempt.expect, &ran));
    }
    let visits = forbidden.visits.load(Ordering::Relaxed);
    if visits > 0 {
        return Ok(Verdict::Escaped(format!("the forbidden server was visited {visits} times")));
    }
    // Where nothing can be reached, that this one was not reached says little.
    if let Verdict::Inconclusive(why) = &verdict
        && why.starts_with("network: ")
    {
        return Ok(Verdict::Skipped(format!("the allowed server cannot be reached, {why}")));
    }
    Ok(verdict)
}

/// The end of every run's promise: no process lives on.
fn leftover(marker: &str) -> Verdict {
    let until = Instant::now() + Duration::from_secs(1);
    loop {
        let left = host::processes_with(marker);
        if left.is_empty() {
            return Verdict::Held(String::new());
        }
        if Instant::now() >= until {
            return Verdict::Escaped(format!("processes live on after the run: {left:?}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A small HTTP server on the host's loopback that counts its visits, and answers
/// `/redirect…` with the way to another port.
struct Ear {
    port: u16,
    visits: Arc<AtomicUsize>,
}

impl Ear {
    fn open(elsewhere: Option<u16>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let visits = Arc::new(AtomicUsize::new(0));
        let counter = visits.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // The last word of the owner: there is nothing more to hear.
                if Arc::strong_count(&counter) == 1 {
                    return;
                }
                counter.fetch_add(1, Ordering::Relaxed);
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let mut bytes = [0; 4096];
                let length = stream.read(&mut bytes).unwrap_or(0);
                let request = String::from_utf8_lossy(&bytes[..length]).into_owned();
                let target = match elsewhere {
                    Some(port) if request.starts_with("GET /redirect-name") => {
                        format!("Location: http://localhost:{port}/\r\n")
                    }
                    Some(port) if request.starts_with("GET /redirect-relative") => {
                        format!("Location: //127.0.0.1:{port}/\r\n")
                    }
                    Some(port) if request.starts_with("GET /redirect") => {
                        format!("Location: http://127.0.0.1:{port}/\r\n")
                    }
                    _ => String::new(),
                };
                let status = if target.is_empty() { "200 OK" } else { "302 Found" };
                let answer = format!(
                    "HTTP/1.1 {status}\r\n{target}Content-Length: 0\r\nConnection: close\r\n\r\n"
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Ok(Self { port, visits })
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // The thread looks once more whether anybody still counts.
        self.visits = Arc::default();
        let _ = std::net::TcpStream::connect(("127.0.0.1", self.port));
    }
}
