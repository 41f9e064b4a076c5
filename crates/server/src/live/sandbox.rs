//! One sandbox: its state, its lease, and those who use it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use capsule_backend::sandbox::{Process, Sandbox};
use capsule_spec::{ErrorCode, Failure, Network};
use tokio::sync::{Notify, watch};

use super::{Context, Mounted, Running, Template};
use crate::memory::Memory;
use crate::model::{Event, Lease, State};
use crate::request::{OnExpiry, no_sandbox};
use crate::store::{ExpiryRow, SandboxRow, milliseconds};

/// Ended processes whose last output is kept.
const MOST_ENDED: usize = 16;

/// A sandbox as the server sees it.
pub(crate) struct Live {
    pub(crate) id: String,
    pub(crate) owner: Arc<str>,
    pub(crate) template: Arc<Template>,
    pub(crate) created: SystemTime,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) key: Option<String>,
    /// The request that made it, as text, to compare others with the same key.
    pub(crate) request: String,
    pub(crate) on_expiry: OnExpiry,
    pub(crate) volumes: Vec<Mounted>,
    state: watch::Sender<State>,
    sandbox: OnceLock<Arc<dyn Sandbox>>,
    lease: Mutex<Lease>,
    /// The keeper looks at the lease again.
    pub(super) lease_changed: Notify,
    users: AtomicUsize,
    /// Why the backend failed to make or to remove it, the last time.
    failure: Mutex<Option<Failure>>,
    pub(crate) environment: Mutex<BTreeMap<String, String>>,
    /// What the output that is kept of all processes of the server may cost.
    pub(crate) rings: Arc<Memory>,
    pub(crate) network: Mutex<Network>,
    /// One change of its network at a time.
    pub(crate) network_turn: Arc<tokio::sync::Mutex<()>>,
    /// What holds may be wider than the policy, since it was adopted while it stood still.
    pub(crate) network_unsure: AtomicBool,
    /// One at a time pauses it, lets it go on, or needs its files to stand still.
    pub(crate) turn: tokio::sync::Mutex<()>,
    pub(crate) contexts: Mutex<BTreeMap<String, Context>>,
    processes: Mutex<BTreeMap<u64, Arc<Running>>>,
    foreground: Mutex<BTreeMap<u64, Foreground>>,
}

/// A process whose caller waits for its end.
#[derive(Clone)]
pub(crate) struct Foreground {
    pub(crate) command: Vec<String>,
    pub(crate) started: SystemTime,
    pub(crate) process: Arc<dyn Process>,
}

/// What a new [`Live`] is told.
pub(super) struct Birth {
    pub(super) id: String,
    pub(super) owner: Arc<str>,
    pub(super) template: Arc<Template>,
    pub(super) created: SystemTime,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) network: Network,
    pub(super) rings: Arc<Memory>,
    pub(super) key: Option<String>,
    pub(super) request: String,
    pub(super) on_expiry: OnExpiry,
    pub(super) volumes: Vec<Mounted>,
    pub(super) state: State,
    pub(super) lease: Lease,
}

impl Live {
    pub(super) fn new(birth: Birth) -> Self {
        Self {
            id: birth.id,
            owner: birth.owner,
            template: birth.template,
            created: birth.created,
            labels: birth.labels,
            metadata: birth.metadata,
            key: birth.key,
            request: birth.request,
            on_expiry: birth.on_expiry,
            volumes: birth.volumes,
            state: watch::Sender::new(birth.state),
            sandbox: OnceLock::new(),
            lease: Mutex::new(birth.lease),
            lease_changed: Notify::new(),
            users: AtomicUsize::new(0),
            failure: Mutex::default(),
            environment: Mutex::new(birth.environment),
            rings: birth.rings,
            network: Mutex::new(birth.network),
            network_turn: Arc::default(),
            network_unsure: AtomicBool::new(false),
            turn: tokio::sync::Mutex::default(),
            contexts: Mutex::default(),
            processes: Mutex::default(),
            foreground: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> State {
        *self.state.borrow()
    }

    /// What tells every state that comes.
    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Lets an event happen; whether it could.
    pub(crate) fn change(&self, event: Event) -> bool {
        self.state.send_if_modified(|state| match state.after(event) {
            Some(next) => {
                *state = next;
                true
            }
            None => false,
        })
    }

    /// The backend's sandbox, once it is made.
    pub(crate) fn made(&self) -> Option<&Arc<dyn Sandbox>> {
        self.sandbox.get()
    }

    pub(super) fn set_made(&self, sandbox: Arc<dyn Sandbox>) {
        // Only the keeper calls this, once.
        let _ = self.sandbox.set(sandbox);
    }

    pub(super) fn set_failure(&self, failure: Failure) {
        *lock(&self.failure) = Some(failure);
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        lock(&self.failure).clone()
    }

    /// Uses it: it is ready, and its idle time begins when the answer is dropped.
    ///
    /// # Errors
    /// When it is in another state.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<InUse, Failure> {
        match (self.state(), self.made()) {
            (State::Ready, Some(_)) => Ok(self.hold()),
            (State::Creating | State::Ready, _) => {
                Err(Failure::new(ErrorCode::WrongState, "the sandbox is still being made"))
            }
            (State::Paused, _) => Err(Failure::new(ErrorCode::WrongState, "the sandbox is paused")
                .hint("resume it first: sandbox.v1.resume")),
            (State::Expiring | State::Ending, _) => Err(ended()),
            (State::Gone, _) => Err(no_sandbox(&self.id)),
        }
    }

    /// Keeps it from being idle, in whatever state it is.
    pub(crate) fn hold(self: &Arc<Self>) -> InUse {
        self.users.fetch_add(1, Ordering::SeqCst);
        lock(&self.lease).touch(Instant::now());
        InUse { live: Arc::clone(self) }
    }

    /// When it expires, if nobody comes.
    pub(super) fn lease_ends(&self) -> Instant {
        lock(&self.lease).ends(self.users.load(Ordering::SeqCst) > 0)
    }

    pub(crate) fn extend(&self, life: Duration, idle: Option<Duration>) {
        lock(&self.lease).extend(Instant::now(), life, idle);
        self.lease_changed.notify_one();
    }

    /// Its time is over, and it is kept for another.
    pub(super) fn keep(&self, time: Duration) {
        lock(&self.lease).keep(Instant::now(), time);
    }

    /// It goes on; if it was kept beyond its time, with a new one.
    pub(crate) fn take_up(&self) {
        lock(&self.lease).take_up(Instant::now());
        self.lease_changed.notify_one();
    }

    pub(super) fn put_off(&self, time: Duration) {
        lock(&self.lease).put_off(Instant::now(), time);
    }

    pub(super) fn is_kept(&self) -> bool {
        lock(&self.lease).is_kept()
    }

    /// What the next server has to know of its end, if there is anything.
    pub(crate) fn expiry_row(&self) -> Option<ExpiryRow> {
        let lease = lock(&self.lease);
        let life = i64::try_from(lease.life().as_millis()).unwrap_or(i64::MAX);
        let row = ExpiryRow { life, is_kept: lease.is_kept() };
        (self.on_expiry == OnExpiry::Pause).then_some(row)
    }

    pub(crate) fn expires(&self) -> SystemTime {
        let (until, now) = (lock(&self.lease).until(), Instant::now());
        match until.checked_duration_since(now) {
            Some(left) => SystemTime::now() + left,
            None => SystemTime::now() - (now - until),
        }
    }

    pub(crate) fn idle(&self) -> Option<Duration> {
        lock(&self.lease).idle()
    }

    /// What a new server has to know of it.
    pub(crate) fn row(&self) -> SandboxRow {
        SandboxRow {
            id: self.id.clone(),
            owner: self.owner.to_string(),
            template: self.template.name.clone(),
            created: milliseconds(self.created),
            expires: milliseconds(self.expires()),
            idle: self.idle().map(|idle| i64::try_from(idle.as_millis()).unwrap_or(i64::MAX)),
            paused: self.state() == State::Paused,
            labels: self.labels.clone(),
            metadata: self.metadata.clone(),
            environment: lock(&self.environment).clone(),
            key: self.key.clone(),
            request: self.request.clone(),
        }
    }

    /// A process that was started, also one that ended of late.
    pub(crate) fn process(&self, number: u64) -> Result<Arc<Running>, Failure> {
        let found = lock(&self.processes).get(&number).cloned();
        found.ok_or_else(|| {
            let message = format!("the sandbox has no process {number}");
            Failure::new(ErrorCode::ProcessNotFound, message)
        })
    }

    /// The backend's process of this number, whoever started it.
    ///
    /// # Errors
    /// There is none, or it has ended.
    pub(crate) fn any_process(&self, number: u64) -> Result<Arc<dyn Process>, Failure> {
        if let Some(foreground) = lock(&self.foreground).get(&number) {
            return Ok(Arc::clone(&foreground.process));
        }
        self.process(number)?.process().ok_or_else(|| {
            Failure::new(ErrorCode::ProcessEnded, format!("process {number} has ended"))
        })
    }

    pub(crate) fn processes(&self) -> Vec<Arc<Running>> {
        lock(&self.processes).values().cloned().collect()
    }

    pub(crate) fn foreground(&self) -> Vec<(u64, Foreground)> {
        lock(&self.foreground).iter().map(|(number, one)| (*number, one.clone())).collect()
    }

    pub(crate) fn running(&self) -> usize {
        let started = lock(&self.processes).values().filter(|one| one.exit().is_none()).count();
        started + lock(&self.foreground).len()
    }

    /// Adds a process, and forgets the oldest of those that ended.
    pub(super) fn add_process(&self, running: Arc<Running>) {
        let mut processes = lock(&self.processes);
        processes.insert(running.number, running);
        let ended: Vec<u64> = processes
            .iter()
            .filter(|(_, one)| one.exit().is_some())
            .map(|(number, _)| *number)
            .collect();
        for number in ended.iter().take(ended.len().saturating_sub(MOST_ENDED)) {
            processes.remove(number);
        }
    }

    pub(super) fn foreground_began(&self, number: u64, foreground: Foreground) {
        lock(&self.foreground).insert(number, foreground);
    }

    pub(super) fn foreground_ended(&self, number: u64) {
        lock(&self.foreground).remove(&number);
    }
}

/// What a request gets whose sandbox is about to end, or has ended under it.
pub(crate) fn ended() -> Failure {
    Failure::new(ErrorCode::SandboxEnded, "the sandbox has ended")
}

/// A sandbox that is being used.
pub(crate) struct InUse {
    live: Arc<Live>,
}

impl InUse {
    pub(crate) fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// The backend's sandbox.
    ///
    /// # Errors
    /// When it was never made.
    pub(crate) fn sandbox(&self) -> Result<&Arc<dyn Sandbox>, Failure> {
        self.live.made().ok_or_else(ended)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        lock(&self.live.lease).touch(Instant::now());
        if self.live.users.fetch_sub(1, Ordering::SeqCst) == 1
            && lock(&self.live.lease).idle().is_some()
        {
            self.live.lease_changed.notify_one();
        }
    }
}

/// Data behind these locks is whole whenever a lock is let go of: no code between can panic
/// half-way through a change.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
