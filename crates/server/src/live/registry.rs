//! All sandboxes of the server.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use capsule_backend::sandbox::{Recipe, Sandboxes};
use capsule_spec::{ByteSize, ErrorCode, Failure, Limits, Network, nearest};

use super::pool::Spares;
use super::sandbox::{Birth, lock};
use super::{Aside, Fill, Live, Logged, Mounted, Running, Template, keeper, kill_tree};
use crate::log;
use crate::memory::Memory;
use crate::model::{Event, Lease, State, new_id};
use crate::request::{OnExpiry, ResourceLimits, no_sandbox};
use crate::store::{ExpiryRow, SandboxRow, Store, StoreError, time};

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Sandboxes of everybody.
    pub(crate) sandboxes: usize,
    /// Sandboxes of one owner.
    pub(crate) sandboxes_each: usize,
    /// Running processes of one sandbox.
    pub(crate) processes: usize,
    /// How long a sandbox is kept whose time is over.
    pub(crate) keep_paused: Duration,
}

/// Bytes of output that are kept of all processes together, beyond a little of each.
const RINGS: usize = 128 << 20;

/// All sandboxes, by id.
pub(crate) struct Registry {
    pub(crate) backend: Arc<dyn Sandboxes>,
    pub(crate) store: Store,
    pub(crate) bounds: Bounds,
    templates: BTreeMap<String, Arc<Template>>,
    pub(super) spares: Spares,
    rings: Arc<Memory>,
    pub(super) aside: OnceLock<Aside>,
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    by_id: BTreeMap<String, Arc<Live>>,
    by_key: HashMap<(Arc<str>, String), Arc<Live>>,
}

/// A sandbox that is wanted.
pub(crate) struct Order {
    pub(crate) owner: Arc<str>,
    pub(crate) template: String,
    pub(crate) life: Duration,
    pub(crate) idle: Option<Duration>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) key: Option<String>,
    pub(crate) limits: ResourceLimits,
    /// None: the template's.
    pub(crate) network: Option<Network>,
    /// None: the template's.
    pub(crate) on_expiry: Option<OnExpiry>,
    pub(crate) volumes: Vec<Mounted>,
    /// The files it begins with.
    pub(crate) fill: Option<Fill>,
    /// The request as text.
    pub(crate) request: String,
}

impl Registry {
    pub(crate) fn new(
        backend: Arc<dyn Sandboxes>,
        store: Store,
        templates: Vec<Template>,
        bounds: Bounds,
    ) -> Self {
        let by_name = templates.into_iter().map(|one| (one.name.clone(), Arc::new(one)));
        let templates: BTreeMap<_, _> = by_name.collect();
        let spares = Spares::new(templates.values(), bounds.sandboxes);
        let rings = Memory::new(RINGS);
        let (aside, all) = (OnceLock::new(), Mutex::default());
        Self { backend, store, bounds, templates, spares, rings, aside, all }
    }

    /// Who keeps the files of sandboxes whose time is over. Told once, before there are any.
    pub(crate) fn put_aside_by(&self, aside: Aside) {
        let _ = self.aside.set(aside);
    }

    pub(crate) fn templates(&self) -> impl Iterator<Item = &Arc<Template>> {
        self.templates.values()
    }

    /// The sandbox of an owner; somebody else's is answered as if it were not there.
    pub(crate) fn find(&self, owner: &str, id: &str) -> Result<Arc<Live>, Failure> {
        let found = lock(&self.all).by_id.get(id).cloned();
        found.filter(|live| &*live.owner == owner).ok_or_else(|| no_sandbox(id))
    }

    /// The sandboxes of an owner, ordered by id, after one.
    pub(crate) fn of(&self, owner: &str, after: Option<&str>) -> Vec<Arc<Live>> {
        let all = lock(&self.all);
        let ids = all.by_id.values();
        let ours = ids.filter(|live| &*live.owner == owner);
        ours.filter(|live| after.is_none_or(|after| live.id.as_str() > after)).cloned().collect()
    }

    /// How many sandboxes there are.
    pub(super) fn count(&self) -> usize {
        lock(&self.all).by_id.len()
    }

    /// Every sandbox.
    pub(crate) fn all(&self) -> Vec<Arc<Live>> {
        lock(&self.all).by_id.values().cloned().collect()
    }

    /// Makes a sandbox, or finds the one that was made with the same key. It is made even
    /// if the future is dropped; then it lives until its time is over, like any other.
    ///
    /// # Errors
    /// No such template, too many sandboxes, a key that was used for another request, or
    /// the backend's failure.
    pub(crate) async fn create(self: &Arc<Self>, order: Order) -> Result<Arc<Live>, Failure> {
        let live = self.begin(order)?;
        let mut states = live.watch();
        // The sender lives in `live`.
        let _ = states.wait_for(|state| *state != State::Creating).await;
        match live.state() {
            State::Ready | State::Paused => Ok(live),
            _ => Err(live.failure().unwrap_or_else(super::sandbox::ended)),
        }
    }

    fn begin(self: &Arc<Self>, order: Order) -> Result<Arc<Live>, Failure> {
        let template = self.template(&order.template)?;
        let now = Instant::now();
        let mut all = lock(&self.all);
        if let Some(key) = &order.key
            && let Some(live) = all.by_key.get(&(Arc::clone(&order.owner), key.clone()))
            && live.state().lives()
        {
            if live.request != order.request {
                let message = "another sandbox was asked for with this key";
                return Err(Failure::new(ErrorCode::ConflictingOptions, message)
                    .detail("field", "key")
                    .detail("sandbox", &live.id));
            }
            return Ok(Arc::clone(live));
        }
        let ours = all.by_id.values().filter(|live| live.owner == order.owner).count();
        too_many(all.by_id.len(), self.bounds.sandboxes)?;
        too_many(ours, self.bounds.sandboxes_each)?;
        let recipe = recipe(&template, &order)?;
        let (id, spare) = match self.spares.take_for(&recipe, &template.recipe.policy.network) {
            Some((id, spare)) => (id, Some(spare)),
            None => (new_id(), None),
        };
        let live = Arc::new(Live::new(Birth {
            id,
            owner: order.owner,
            rings: Arc::clone(&self.rings),
            network: order.network.unwrap_or_else(|| template.recipe.policy.network.clone()),
            on_expiry: order.on_expiry.unwrap_or(template.on_expiry),
            volumes: order.volumes,
            template,
            created: SystemTime::now(),
            labels: order.labels,
            metadata: order.metadata,
            environment: order.environment,
            key: order.key,
            request: order.request,
            state: State::Creating,
            lease: Lease::new(now, order.life, order.idle),
        }));
        all.add(&live);
        drop(all);
        self.spares.look();
        let making = keeper::Making { recipe, spare, fill: order.fill };
        tokio::spawn(keeper::raise(Arc::clone(self), Arc::clone(&live), making));
        Ok(live)
    }

    fn template(&self, name: &str) -> Result<Arc<Template>, Failure> {
        if let Some(template) = self.templates.get(name) {
            return Ok(Arc::clone(template));
        }
        let shown: String = name.chars().take(64).collect();
        let message = format!("there is no template {shown:?}");
        let failure = Failure::new(ErrorCode::UnknownTemplate, message);
        let names: Vec<&str> = self.templates.keys().map(String::as_str).collect();
        Err(match nearest(&shown, names.iter().copied()) {
            Some(near) => failure.hint(format!("did you mean {near:?}?")),
            None => failure.hint(format!("known here: {}", names.join(", "))),
        })
    }

    /// Nothing is left of it.
    pub(super) fn forget(&self, live: &Arc<Live>) {
        let mut all = lock(&self.all);
        all.by_id.remove(&live.id);
        if let Some(key) = &live.key {
            let key = (Arc::clone(&live.owner), key.clone());
            // A new sandbox may have it already.
            if all.by_key.get(&key).is_some_and(|found| Arc::ptr_eq(found, live)) {
                all.by_key.remove(&key);
            }
        }
        drop(all);
        self.spares.look();
    }

    /// Takes over what an earlier server left: what lives is kept, what does not is
    /// forgotten, and what nobody remembers is ended.
    ///
    /// # Errors
    /// When the store or the backend fails.
    pub(crate) async fn adopt(self: &Arc<Self>) -> Result<(), AdoptError> {
        let mut kept = Vec::new();
        // Lines of the log that go on.
        let mut logged = BTreeSet::new();
        let mut networks = self.store.networks().await?;
        let mut expiries = self.store.expiries().await?;
        let mut mounts = self.store.mounts().await?;
        let unfinished = self.store.unfinished().await?;
        for row in self.store.sandboxes().await? {
            // Nobody was told of a sandbox whose files are not complete, or that they are.
            let found = match unfinished.contains(&row.id) {
                true => None,
                false => self.backend.adopt(&row.id).await?,
            };
            let template = self.templates.get(&row.template).cloned();
            let (Some(sandbox), Some(template)) = (found, template) else {
                log::warn("sandbox lost", &[("sandbox", &row.id), ("owner", &row.owner)]);
                self.store.remove(row.id).await?;
                continue;
            };
            kept.push(row.id.clone());
            let network = networks.remove(&row.id);
            let expiry = expiries.remove(&row.id);
            let volumes = mounts.remove(&row.id).unwrap_or_default();
            let live = birth(row, template, (network.clone(), expiry), &self.rings);
            let live = Arc::new(Live::new(Birth { volumes, ..live }));
            if live.state() == State::Ready {
                // The earlier server may have died while it made them stand still.
                if let Err(failure) = sandbox.freeze(false).await {
                    let facts = [("sandbox", live.id.as_str()), ("error", &failure.message)];
                    log::warn("sandbox not let go on", &facts);
                }
            }
            live.set_made(sandbox);
            self.adopt_network(&live, network).await?;
            logged.extend(self.adopt_processes(&live).await?);
            lock(&self.all).add(&live);
            log::info("sandbox adopted", &[("sandbox", &live.id)]);
            tokio::spawn(keeper::keep(Arc::clone(self), live));
        }
        let running = |live: &Arc<Live>| {
            let numbers = live.processes().into_iter().map(|one| one.number);
            numbers.map(|number| (live.id.clone(), number)).collect::<Vec<_>>()
        };
        let known = self.all().iter().flat_map(running).collect();
        self.store.lose_webhooks(known, super::lost).await?;
        let lost = self.store.lose_executions(logged).await?;
        if lost > 0 {
            log::warn("executions lost", &[("count", &lost.to_string())]);
        }
        let swept = self.backend.sweep(&kept).await?;
        if let Some(volumes) = self.backend.volumes() {
            let removed = volumes.sweep(&self.store.volume_ids().await?).await?;
            if removed > 0 {
                let count = removed.to_string();
                log::warn("volumes removed that nobody remembers", &[("count", &count)]);
            }
        }
        if swept > 0 {
            log::warn("sandboxes swept that nobody remembers", &[("count", &swept.to_string())]);
        }
        Ok(())
    }

    /// What is remembered holds: the earlier server may have died between the two.
    async fn adopt_network(&self, live: &Live, network: Option<Network>) -> Result<(), AdoptError> {
        let (Some(network), Some(sandbox)) = (network, live.made()) else { return Ok(()) };
        if live.state() == State::Paused {
            // Nobody in it connects to anything before it goes on.
            live.network_unsure.store(true, Ordering::SeqCst);
            return Ok(());
        }
        if let Err(failure) = sandbox.set_network(&network).await {
            let facts = [("sandbox", live.id.as_str()), ("error", &failure.message)];
            log::warn("network not opened again", &facts);
            // Nothing is let out that nobody can answer for.
            let _ = sandbox.set_network(&Network::Denied).await;
            *lock(&live.network) = Network::Denied;
            self.store.set_network(live.id.clone(), Network::Denied).await?;
        }
        Ok(())
    }

    /// Processes that were to stay go on; those whose caller waited for them have none now.
    /// Answers with the lines of the log that go on, too.
    async fn adopt_processes(&self, live: &Arc<Live>) -> Result<Vec<i64>, AdoptError> {
        let rows = self.store.processes(live.id.clone()).await?;
        let Some(sandbox) = live.made() else { return Ok(Vec::new()) };
        let mut kept = Vec::new();
        for process in sandbox.processes().await? {
            let Some(row) = rows.iter().find(|row| row.number == process.number()) else {
                drop(kill_tree(process));
                continue;
            };
            let found = self.store.running_execution(live.id.clone(), row.number).await?;
            let logged = found.map(|found| Logged::again(self.store.clone(), found, live));
            kept.extend(logged.as_ref().map(Logged::number));
            Running::adopt(live, process, row, self.store.clone(), logged);
        }
        Ok(kept)
    }

    /// Ends every sandbox, and answers when all are gone or the time is over; how many
    /// are not.
    pub(crate) async fn end_all(&self, patience: Duration) -> usize {
        let all = self.all();
        for live in &all {
            live.change(Event::Delete);
        }
        let spares = self.close_pools(patience);
        let gone = async {
            for live in &all {
                let _ = live.watch().wait_for(|state| *state == State::Gone).await;
            }
        };
        let (_, _) = tokio::join!(tokio::time::timeout(patience, gone), spares);
        let spares: usize = self.pools().iter().map(|pool| pool.ready).sum();
        all.iter().filter(|live| live.state() != State::Gone).count() + spares
    }
}

impl All {
    fn add(&mut self, live: &Arc<Live>) {
        self.by_id.insert(live.id.clone(), Arc::clone(live));
        if let Some(key) = &live.key {
            self.by_key.insert((Arc::clone(&live.owner), key.clone()), Arc::clone(live));
        }
    }
}

/// What a sandbox is made of: the template's, but for what was asked for.
fn recipe(template: &Template, order: &Order) -> Result<Recipe, Failure> {
    let mut recipe = template.recipe.clone();
    let (limits, wanted) = (&mut recipe.limits, &order.limits);
    if let Some(bytes) = wanted.memory_bytes {
        limits.memory = ByteSize::from_bytes(bytes);
    }
    if let Some(bytes) = wanted.disk_bytes {
        limits.disk = ByteSize::from_bytes(bytes);
        limits.disk_inodes = Limits::inodes_for(limits.disk);
    }
    limits.max_pids = wanted.max_pids.unwrap_or(limits.max_pids);
    limits.cpu_shares = wanted.cpu_shares.unwrap_or(limits.cpu_shares);
    if let Some(network) = &order.network {
        recipe.policy.network = network.clone();
    }
    recipe.volumes = order.volumes.iter().map(Mounted::mount).collect::<Result<_, _>>()?;
    Ok(recipe)
}

fn birth(
    row: SandboxRow,
    template: Arc<Template>,
    (network, expiry): (Option<Network>, Option<ExpiryRow>),
    rings: &Arc<Memory>,
) -> Birth {
    let left = time(row.expires).duration_since(SystemTime::now()).unwrap_or_default();
    let milliseconds = |number: i64| Duration::from_millis(number.max(0).cast_unsigned());
    let idle = row.idle.map(milliseconds);
    let given = expiry.map_or((left, false), |row| (milliseconds(row.life), row.is_kept));
    Birth {
        id: row.id,
        owner: row.owner.into(),
        rings: Arc::clone(rings),
        network: network.unwrap_or_else(|| template.recipe.policy.network.clone()),
        template,
        created: time(row.created),
        labels: row.labels,
        metadata: row.metadata,
        environment: row.environment,
        key: row.key,
        request: row.request,
        state: if row.paused { State::Paused } else { State::Ready },
        volumes: Vec::new(),
        on_expiry: if expiry.is_some() { OnExpiry::Pause } else { OnExpiry::Delete },
        lease: Lease::again(Instant::now(), left, idle, given),
    }
}

fn too_many(found: usize, limit: usize) -> Result<(), Failure> {
    if found < limit {
        return Ok(());
    }
    let message = format!("there are {found} sandboxes, which is the limit");
    Err(Failure::new(ErrorCode::ServerLimit, message).detail("limit", limit))
}

/// Why the sandboxes of an earlier server could not be taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdoptError {
    #[error("the state could not be read")]
    Store(#[from] StoreError),
    #[error("the backend failed: {}", .0.message)]
    Backend(Failure),
}

impl From<Failure> for AdoptError {
    fn from(failure: Failure) -> Self {
        Self::Backend(failure)
    }
}
