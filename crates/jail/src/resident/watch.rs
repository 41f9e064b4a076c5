//! Adds up the memory of sandboxes where no control group counts it: one task for all.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::Shared;
use super::sandbox::Resident;
use crate::supervisor::members;

/// The shortest pause between two looks at all sandboxes.
const TICK: Duration = Duration::from_millis(20);
/// A look that took long is followed by a pause so many times as long.
const REST: u32 = 9;

/// Whether the task runs.
#[derive(Default)]
pub(super) struct Watch {
    runs: AtomicBool,
}

/// Starts the task, if it does not run. It ends when no sandbox is left.
pub(super) fn begin(shared: &Arc<Shared>) {
    if !shared.watch.runs.swap(true, Ordering::AcqRel) {
        tokio::spawn(run(Arc::downgrade(shared)));
    }
}

async fn run(shared: Weak<Shared>) {
    let mut pause = TICK;
    loop {
        tokio::time::sleep(pause).await;
        let Some(shared) = shared.upgrade() else { return };
        let watched: Vec<Arc<Resident>> = shared
            .living()
            .values()
            .filter_map(Weak::upgrade)
            .filter(|one| one.is_watched())
            .collect();
        if watched.is_empty() {
            shared.watch.runs.store(false, Ordering::Release);
            // One may have come in between.
            if shared.living().values().filter_map(Weak::upgrade).any(|one| one.is_watched()) {
                begin(&shared);
            }
            return;
        }
        let started = Instant::now();
        let looked = tokio::task::spawn_blocking(move || {
            for sandbox in watched {
                sandbox.look_at_memory();
            }
        });
        if looked.await.is_err() {
            return;
        }
        pause = TICK.max(started.elapsed() * REST);
    }
}

/// Bytes of all processes and private files of a sandbox.
pub(super) fn memory(init: i32, files: Option<&OwnedFd>) -> u64 {
    members::memory(init, files)
}
