//! Thirty-two clients for a minute: errors, leaks, and memory that grows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::ours::{Server, create, delete, exec, file_in_json, whole_life};
use super::report::Report;
use super::{figure, goal, tree};
use crate::client::Client;

const CLIENTS: usize = 32;
const TIME: Duration = Duration::from_secs(60);
/// After so long the server has seen everything once; from here on it may not grow.
const SETTLED: Duration = Duration::from_secs(20);
/// How much of growth is chance: a sandbox more or less, a buffer, a page.
const CHANCE: f64 = 8.0;

pub(super) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let server = Server::start(&[])?;
    // The first of everything opens what stays open.
    whole_life(&mut server.client())?;
    let process = server.process();
    let (descriptors, mounts) = (tree::descriptors(process), tree::mounts());
    let (done, errors) = (AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    let (early, late, trouble) = thread::scope(|scope| {
        let work = || {
            let mut client = server.client();
            let mut last = None;
            while began.elapsed() < TIME {
                match round(&mut client) {
                    Ok(calls) => done.fetch_add(calls, Ordering::Relaxed),
                    Err(error) => {
                        last = Some(error.to_string());
                        errors.fetch_add(1, Ordering::Relaxed)
                    }
                };
            }
            last
        };
        let all: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(work)).collect();
        thread::sleep(SETTLED);
        let early = tree::status(process, "VmRSS");
        thread::sleep(TIME.saturating_sub(began.elapsed() + Duration::from_millis(500)));
        let late = tree::status(process, "VmRSS");
        let trouble = all.into_iter().find_map(|one| one.join().unwrap_or_default());
        (early, late, trouble)
    });
    let calls = done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    let grown = (late? as f64 - early? as f64) / 1024.0;
    // Connections that were closed a moment ago are let go of.
    thread::sleep(Duration::from_secs(2));
    let left = tree::descendants(process).len() - 1;
    let opened = tree::descriptors(process).saturating_sub(descriptors);
    let mounted = tree::mounts().saturating_sub(mounts);
    report.figures.extend([
        figure("32 clients: requests in a second", calls, ""),
        goal("32 clients: errors in a minute", errors.load(Ordering::Relaxed) as f64, "", 0.0),
        goal("32 clients: growth of the server, 20 s to 60 s", grown, "MiB", CHANCE),
        goal("32 clients: processes left", left as f64, "", 0.0),
        goal("32 clients: descriptors left", opened as f64, "", 0.0),
        goal("32 clients: mounts left", mounted as f64, "", 0.0),
    ]);
    if let Some(trouble) = trouble {
        report.missing.push(("32 clients".to_owned(), trouble));
    }
    Ok(())
}

/// What one client does over and over: a sandbox, commands, files. How many calls it made.
fn round(client: &mut Client) -> anyhow::Result<u64> {
    let id = create(client, json!({ "template": "shell" }))?;
    let content = vec![b'x'; 10_000];
    for _ in 0..5 {
        exec(client, &id)?;
        file_in_json(client, &id, &content)?;
    }
    delete(client, &id)?;
    Ok(17)
}
