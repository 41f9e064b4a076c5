//! The end of a sandbox that must not lose its files: `on_expiry = "pause"`.
//!
//! ```text
//!  time over ─▶ stopped ─▶ its files kept ─▶ paused, for --keep-paused
//!                                              │ time over again
//!                                              ▼
//!                             are its files kept? ── no ─▶ tried again, it stays
//!                                              │ yes
//!                                              ▼ ends
//! ```
//!
//! Its files are kept at once, and not only when it ends, because a paused sandbox can be lost
//! as well: with the host, or when no server comes back for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use capsule_backend::sandbox::Sandbox;
use capsule_spec::{ErrorCode, Failure};

use super::{Live, Registry};
use crate::log;
use crate::model::{Event, State};

/// How long what failed waits before it is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// Stops a sandbox whose time is over and keeps its files; one that was kept long enough may
/// end, if its files are kept. To be dropped at any time: the next server does it again.
pub(super) async fn set_aside(registry: &Registry, live: &Arc<Live>, sandbox: &dyn Sandbox) {
    // Nobody lets it go on meanwhile.
    let _turn = live.turn.lock().await;
    if live.lease_ends() > Instant::now() || !live.state().lives() {
        return;
    }
    if live.is_kept() {
        match files_are_kept(registry, live).await {
            Ok(()) => drop(live.change(Event::TimeOver)),
            Err(failure) => {
                put_off(live, "sandbox not ended, since its files are not kept", &failure)
            }
        }
        return;
    }
    if live.state() == State::Ready {
        if let Err(failure) = sandbox.freeze(true).await {
            return put_off(live, "sandbox not paused when its time was over", &failure);
        }
        live.change(Event::Pause);
    }
    live.keep(registry.bounds.keep_paused);
    log::info("time of a sandbox is over; it is paused", &[("sandbox", &live.id)]);
    if let Err(failure) = remember(registry, live).await {
        // The next server finds that its time is over, and does this again.
        let facts = [("sandbox", live.id.as_str()), ("error", &failure.message)];
        log::error("paused sandbox not remembered", &facts);
    }
    if let Err(failure) = keep_files(registry, live).await {
        let facts = [("sandbox", live.id.as_str()), ("error", &failure.message)];
        log::warn("files of a paused sandbox not kept; it stays until they are", &facts);
    }
}

fn put_off(live: &Live, what: &str, failure: &Failure) {
    log::warn(what, &[("sandbox", &live.id), ("error", &failure.message)]);
    live.put_off(AGAIN);
}

async fn remember(registry: &Registry, live: &Live) -> Result<(), Failure> {
    let row = live.row();
    let environment = row.environment;
    registry.store.update(row.id, row.expires, row.idle, row.paused, environment).await?;
    // After the new time: one that is kept ends when its time is over.
    if let Some(expiry) = live.expiry_row() {
        registry.store.set_expiry(live.id.clone(), expiry).await?;
    }
    Ok(())
}

async fn files_are_kept(registry: &Registry, live: &Arc<Live>) -> Result<(), Failure> {
    let found = registry.store.snapshot(live.owner.to_string(), live.id.clone()).await?;
    if found.is_some() {
        return Ok(());
    }
    keep_files(registry, live).await
}

async fn keep_files(registry: &Registry, live: &Arc<Live>) -> Result<(), Failure> {
    match registry.aside.get() {
        Some(aside) => aside(live.hold()).await,
        None => Err(Failure::new(ErrorCode::StoreFailed, "nobody keeps files here")),
    }
}
