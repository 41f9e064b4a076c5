//! Spare sandboxes, made before anybody asks: who asks gets one at once.
//!
//! Templates that differ in nothing but their language have the same recipe, and so the same
//! pool. A spare is given away only as it is: a request that wants anything else that is
//! settled when a sandbox is made gets a fresh one.
//!
//! A spare is in no table, so a server that is killed leaves it to the next one's sweep.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use capsule_backend::sandbox::{Recipe, Sandbox};
use capsule_spec::Network;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};

use super::sandbox::lock;
use super::{Registry, Template};
use crate::log;
use crate::metrics::Number;
use crate::model::{Next, Pools, new_id};

/// How long a failed spare waits before another is tried, at first and at last.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));
/// How long a pool that is not empty leaves the processors to whom it has just given one.
const AFTER: Duration = Duration::from_millis(20);
/// How long one removal of a spare may take, and how often it is tried.
const REMOVAL: Duration = Duration::from_secs(30);
const REMOVALS: u32 = 5;

/// All pools of a server.
pub(super) struct Spares {
    kinds: Vec<Kind>,
    state: Mutex<Pools<Spare>>,
    keepers: Mutex<Vec<JoinHandle<()>>>,
    is_closed: watch::Sender<bool>,
    pub(super) taken: Number,
    pub(super) missed: Number,
}

/// What one pool is of.
struct Kind {
    recipe: Recipe,
    templates: Vec<String>,
    changed: Notify,
}

/// A sandbox that is nobody's.
pub(super) struct Spare {
    sandbox: Arc<dyn Sandbox>,
    /// Looks whether it ends by itself.
    watch: AbortHandle,
}

/// A spare that was given away.
pub(super) struct Given {
    pub(super) sandbox: Arc<dyn Sandbox>,
    /// Its network is not yet the one that is wanted.
    pub(super) opens: bool,
}

/// A pool as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolStatus {
    /// Templates that share it.
    pub(crate) templates: Vec<String>,
    /// Spares there are to be.
    pub(crate) size: usize,
    /// Spares there are.
    pub(crate) ready: usize,
}

impl Spares {
    pub(super) fn new<'a>(templates: impl Iterator<Item = &'a Arc<Template>>, most: usize) -> Self {
        let mut kinds: Vec<Kind> = Vec::new();
        let mut sizes: Vec<usize> = Vec::new();
        for template in templates {
            let at = kinds.iter().position(|kind| kind.recipe == template.recipe);
            let at = at.unwrap_or_else(|| {
                let recipe = template.recipe.clone();
                kinds.push(Kind { recipe, templates: Vec::new(), changed: Notify::new() });
                sizes.push(0);
                kinds.len() - 1
            });
            kinds[at].templates.push(template.name.clone());
            sizes[at] = sizes[at].max(template.pool);
        }
        Self {
            kinds,
            state: Mutex::new(Pools::new(most, sizes)),
            keepers: Mutex::default(),
            is_closed: watch::Sender::new(false),
            taken: Number::default(),
            missed: Number::default(),
        }
    }

    /// A spare that is exactly this, if there is one, or one with the network that is usual:
    /// a way out to hosts is opened and closed while a sandbox lives, but for the host's own
    /// network, which is settled when it is made.
    pub(super) fn take_for(&self, recipe: &Recipe, usual: &Network) -> Option<(String, Given)> {
        let given = |opens| move |(id, sandbox)| (id, Given { sandbox, opens });
        if let Some(spare) = self.take(recipe) {
            return Some(given(false)(spare));
        }
        let wanted = &recipe.policy.network;
        if wanted == usual || *wanted == Network::Open || *usual == Network::Open {
            return None;
        }
        let mut other = recipe.clone();
        usual.clone_into(&mut other.policy.network);
        self.take(&other).map(given(true))
    }

    fn take(&self, recipe: &Recipe) -> Option<(String, Arc<dyn Sandbox>)> {
        let at = self.kinds.iter().position(|kind| kind.recipe == *recipe)?;
        let (taken, size) = {
            let mut state = lock(&self.state);
            (state.take(at), state.size(at))
        };
        match taken {
            Some((id, spare)) => {
                spare.watch.abort();
                self.taken.add(1);
                self.kinds[at].changed.notify_one();
                Some((id, spare.sandbox))
            }
            None => {
                self.missed.add(u64::from(size > 0));
                None
            }
        }
    }

    /// How many sandboxes there are has changed.
    pub(super) fn look(&self) {
        for kind in &self.kinds {
            kind.changed.notify_one();
        }
    }

    pub(super) fn status(&self) -> Vec<PoolStatus> {
        let state = lock(&self.state);
        let status = |(at, kind): (usize, &Kind)| PoolStatus {
            templates: kind.templates.clone(),
            size: state.size(at),
            ready: state.ready(at),
        };
        self.kinds.iter().enumerate().map(status).collect()
    }

    fn lost(&self, pool: usize, id: &str) {
        if lock(&self.state).lost(pool, id).is_some() {
            log::warn("spare sandbox ended by itself", &[("sandbox", id)]);
            self.kinds[pool].changed.notify_one();
        }
    }
}

impl Registry {
    /// Begins to fill the pools.
    pub(crate) fn open_pools(self: &Arc<Self>) {
        for pool in 0..self.spares.kinds.len() {
            if lock(&self.spares.state).size(pool) > 0 {
                let keeper = tokio::spawn(keep(Arc::clone(self), pool));
                lock(&self.spares.keepers).push(keeper);
            }
        }
    }

    /// Ends all spares; whether that was done in time.
    pub(crate) async fn close_pools(&self, patience: Duration) -> bool {
        lock(&self.spares.state).close();
        self.spares.is_closed.send_replace(true);
        self.spares.look();
        let keepers = std::mem::take(&mut *lock(&self.spares.keepers));
        let over = async {
            for keeper in keepers {
                let _ = keeper.await;
            }
        };
        tokio::time::timeout(patience, over).await.is_ok()
    }

    pub(crate) fn pools(&self) -> Vec<PoolStatus> {
        self.spares.status()
    }

    /// Spares that were given away, and times that there was none where one should be.
    pub(crate) fn pool_counts(&self) -> (u64, u64) {
        (self.spares.taken.get(), self.spares.missed.get())
    }
}

/// Keeps a pool full until it is closed. One spare at a time: who makes sandboxes faster
/// than that makes them for themselves, and is not held up by spares.
async fn keep(registry: Arc<Registry>, pool: usize) {
    let spares = &registry.spares;
    let kind = &spares.kinds[pool];
    let mut wait = AGAIN.0;
    loop {
        let living = registry.count();
        // In a statement of its own: the lock is let go of before anything is waited for.
        let next = lock(&spares.state).next(pool, living);
        match next {
            Next::Over => return,
            Next::Wait => kind.changed.notified().await,
            Next::End(spare) => end(spare).await,
            Next::Make => {
                let has_more = lock(&spares.state).ready(pool) > 0;
                if has_more {
                    tokio::time::sleep(AFTER).await;
                }
                let id = new_id();
                match registry.backend.create(&id, &kind.recipe).await {
                    Ok(sandbox) => {
                        wait = AGAIN.0;
                        if let Some(spare) = add(&registry, pool, id, sandbox) {
                            end(spare).await;
                        }
                    }
                    Err(failure) => {
                        log::warn("spare sandbox not made", &[("error", &failure.message)]);
                        lock(&spares.state).failed(pool);
                        // Closing does not wait for another try.
                        let mut closed = spares.is_closed.subscribe();
                        let closes = closed.wait_for(|closed| *closed);
                        let _ = tokio::time::timeout(wait, closes).await;
                        wait = (wait * 2).min(AGAIN.1);
                    }
                }
            }
        }
    }
}

fn add(
    registry: &Arc<Registry>,
    pool: usize,
    id: String,
    sandbox: Arc<dyn Sandbox>,
) -> Option<Spare> {
    let (added, is_added) = oneshot::channel();
    let watch = {
        let (registry, id, sandbox) = (Arc::clone(registry), id.clone(), Arc::clone(&sandbox));
        tokio::spawn(async move {
            // One that is not there yet could not be taken out.
            let _ = is_added.await;
            sandbox.ended().await;
            registry.spares.lost(pool, &id);
        })
    };
    let spare = Spare { sandbox, watch: watch.abort_handle() };
    let surplus = lock(&registry.spares.state).made(pool, id, spare);
    let _ = added.send(());
    surplus
}

async fn end(spare: Spare) {
    spare.watch.abort();
    for _ in 0..REMOVALS {
        match tokio::time::timeout(REMOVAL, spare.sandbox.end()).await {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => {
                log::error("spare sandbox not removed", &[("error", &failure.message)]);
            }
            Err(_) => log::error("spare sandbox not removed in time", &[]),
        }
        tokio::time::sleep(AGAIN.0).await;
    }
}
