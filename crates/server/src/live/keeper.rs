//! The one task that leads a sandbox through its life.
//!
//! ```text
//!  remember ─▶ make ─▶ wait for: time over, deleted, ended by itself
//!                        │ tell those who watch            ▲
//!                        │     time over, on_expiry = pause: set aside (aside.rs)
//!                        ▼
//!                      remove, again until it works ─▶ forget
//! ```
//!
//! It is remembered before it is made and forgotten after it is removed, so whenever the
//! server dies, the next one knows every sandbox that there can be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use capsule_backend::sandbox::{Recipe, Sandbox};
use capsule_spec::{ErrorCode, Failure};

use super::pool::Given;
use super::{Fill, Live, Registry, aside, lock};
use crate::log;
use crate::model::{Event, State};
use crate::request::OnExpiry;

/// How long those who watch have to hear of the end before it comes.
const TOLD: Duration = Duration::from_millis(100);
/// How long a failed removal waits before it is tried again, at first and at last.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How long a removal may take before it counts as failed.
const REMOVAL: Duration = Duration::from_secs(30);

/// Makes a sandbox, or takes a spare one, and keeps it until it is gone.
pub(super) async fn raise(registry: Arc<Registry>, live: Arc<Live>, making: Making) {
    let Making { recipe, spare, fill } = making;
    match make(&registry, &live, &recipe, spare, fill.is_some()).await {
        Ok(sandbox) => {
            live.set_made(sandbox);
            let filled = match fill {
                Some(fill) => filled(&registry, &live, fill).await,
                None => Ok(()),
            };
            match filled {
                Ok(()) => live.change(Event::Made),
                Err(failure) => {
                    live.set_failure(failure);
                    live.change(Event::Delete)
                }
            };
            keep(registry, live).await;
        }
        Err(failure) => {
            log::warn("sandbox not made", &[("sandbox", &live.id), ("error", &failure.message)]);
            live.set_failure(failure);
            forget(&registry, &live).await;
            // One of the two, depending on whether somebody deleted it meanwhile.
            let _ = live.change(Event::Failed) || live.change(Event::Removed);
            registry.forget(&live);
        }
    }
}

/// What a sandbox is made of.
pub(super) struct Making {
    pub(super) recipe: Recipe,
    pub(super) spare: Option<Given>,
    pub(super) fill: Option<Fill>,
}

/// Puts files into it, unless somebody deletes it meanwhile.
async fn filled(registry: &Registry, live: &Arc<Live>, fill: Fill) -> Result<(), Failure> {
    let mut states = live.watch();
    tokio::select! {
        done = fill(live.hold()) => done?,
        _ = states.wait_for(|state| *state != State::Creating) => return Err(super::ended()),
    }
    Ok(registry.store.set_unfinished(live.id.clone(), false).await?)
}

async fn make(
    registry: &Registry,
    live: &Live,
    recipe: &Recipe,
    spare: Option<Given>,
    is_filled: bool,
) -> Result<Arc<dyn Sandbox>, Failure> {
    let kept = remember(registry, live, is_filled).await;
    match (kept, spare) {
        (Ok(()), None) => registry.backend.create(&live.id, recipe).await,
        (Ok(()), Some(spare)) => {
            if spare.opens
                && let Err(failure) = spare.sandbox.set_network(&recipe.policy.network).await
            {
                let _ = spare.sandbox.end().await;
                return Err(failure);
            }
            Ok(spare.sandbox)
        }
        (Err(failure), spare) => {
            if let Some(spare) = spare {
                let _ = spare.sandbox.end().await;
            }
            Err(failure)
        }
    }
}

async fn remember(registry: &Registry, live: &Live, is_filled: bool) -> Result<(), Failure> {
    registry.store.insert(live.row()).await?;
    if is_filled {
        registry.store.set_unfinished(live.id.clone(), true).await?;
    }
    if let Some(expiry) = live.expiry_row() {
        registry.store.set_expiry(live.id.clone(), expiry).await?;
    }
    if !live.volumes.is_empty() {
        registry.store.set_mounts(live.id.clone(), live.volumes.clone()).await?;
    }
    let network = lock(&live.network).clone();
    if network != live.template.recipe.policy.network {
        registry.store.set_network(live.id.clone(), network).await?;
    }
    Ok(())
}

/// Keeps a sandbox that is made until it is gone.
pub(super) async fn keep(registry: Arc<Registry>, live: Arc<Live>) {
    let Some(sandbox) = live.made().cloned() else { return };
    until_it_ends(&registry, &live, &*sandbox).await;
    if live.state() == State::Expiring {
        log::info("sandbox expires", &[("sandbox", &live.id)]);
        tokio::time::sleep(TOLD).await;
        live.change(Event::Told);
    }
    let mut wait = AGAIN.0;
    loop {
        let ended = tokio::time::timeout(REMOVAL, sandbox.end()).await;
        match ended.unwrap_or_else(|_| Err(too_long())) {
            Ok(()) => break,
            Err(failure) => {
                let facts = [("sandbox", live.id.as_str()), ("error", &failure.message)];
                log::error("sandbox not removed; trying again", &facts);
                live.set_failure(failure);
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(AGAIN.1);
    }
    forget(&registry, &live).await;
    live.change(Event::Removed);
    registry.forget(&live);
}

fn too_long() -> Failure {
    let message = "the sandbox could not be removed in time";
    Failure::new(ErrorCode::SystemFailure, message)
}

/// Answers when the state leads to the end.
async fn until_it_ends(registry: &Registry, live: &Arc<Live>, sandbox: &dyn Sandbox) {
    let mut states = live.watch();
    let mut ended = sandbox.ended();
    loop {
        if !states.borrow_and_update().lives() {
            return;
        }
        let ends = live.lease_ends();
        tokio::select! {
            _ = states.changed() => {}
            () = live.lease_changed.notified() => {}
            () = tokio::time::sleep_until(ends.into()) => {
                // Somebody may have used it in the same moment.
                if live.lease_ends() > Instant::now() {
                    continue;
                }
                if live.on_expiry == OnExpiry::Delete {
                    live.change(Event::TimeOver);
                    continue;
                }
                tokio::select! {
                    () = aside::set_aside(registry, live, sandbox) => {}
                    _ = states.wait_for(|state| !state.lives()) => {}
                    () = &mut ended => lost(live),
                }
            }
            () = &mut ended => lost(live),
        }
    }
}

fn lost(live: &Live) {
    if live.change(Event::Lost) {
        log::warn("sandbox ended by itself", &[("sandbox", &live.id)]);
    }
}

async fn forget(registry: &Registry, live: &Live) {
    if let Err(error) = registry.store.remove(live.id.clone()).await {
        // The next server finds that it does not live and removes the row.
        let facts = [("sandbox", live.id.as_str()), ("error", &error.to_string())];
        log::error("sandbox not forgotten", &facts);
    }
}
