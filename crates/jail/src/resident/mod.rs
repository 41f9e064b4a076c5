//! Sandboxes that live on in jails.
//!
//! ```text
//!  Residents ── create ──▶ build: plan, clone, Ready ──▶ Resident ── spawn ──▶ Running
//!     │                                                     │
//!     │ state folder: NAME.sock, NAME.json                  │ Connection: one task, datagrams
//!     │ adopt, sweep                                        ▼
//!     └──────────── after kill -9 ─────────────────▶ PID 1 (capsule_init::resident)
//! ```
//!
//! The walls round a PID 1 are a jail's, or somebody else's ([`Walls`]): a container's. Some let
//! nothing through but a stream of bytes (`distant/`).
//!
//! A sandbox costs one process and, in the server, a task and a few descriptors; no
//! thread. What lives in PID 1 outlives the server: processes, and the ends of their
//! streams. What lives here (the count of memory where no group counts it, the door)
//! starts again when a sandbox is adopted.
//!
//! Owns: the state folder, control groups, the account of what is used. Refuses to know:
//! who may use which sandbox, and for how long.

mod build;
mod connection;
mod distant;
mod doors;
mod enclosed;
mod errors;
mod files;
mod group;
mod held;
mod making;
mod notices;
mod orphans;
mod process;
mod record;
mod sandbox;
mod state;
mod still;
mod sys;
mod volumes;
mod walls;
mod watch;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use capsule_backend::Capabilities;
use capsule_backend::guest::Pending;
use capsule_backend::sandbox::{Made, Recipe, Sandbox, Sandboxes, Volumes};
use capsule_spec::{ErrorCode, Failure};

use crate::cgroup::Freezer;
use crate::host::Host;
use crate::probe;
use crate::volume::Images;
use distant::Distant;
use held::Held;
use sandbox::Resident;
use state::State;

pub use distant::{relay, relayed};
pub use enclosed::enclosed;
pub use walls::{ENTRANCE, Enclosure, OWN_FILES, OWN_PROCESSES, Unwrap, Walls, Wire};

/// How long a sandbox lives on when its server has gone and none comes back.
pub const LEASE: Duration = Duration::from_secs(300);

/// All sandboxes of one state folder. One at a time: the folder is locked.
pub struct Residents {
    shared: Arc<Shared>,
}

/// What all sandboxes have in common.
struct Shared {
    state: State,
    host: Host,
    lease: Duration,
    living: Mutex<HashMap<String, Weak<Resident>>>,
    distant: Mutex<HashMap<String, Weak<Distant>>>,
    /// Names that somebody is making, finding or removing something of.
    busy: Mutex<HashSet<String>>,
    /// Host users of living sandboxes.
    users: Mutex<HashSet<u32>>,
    watch: watch::Watch,
    doors: doors::Doors,
    /// None: jails.
    walls: Option<Arc<dyn Walls>>,
    /// Of jails.
    images: Images,
}

impl Residents {
    /// Opens a state folder, which is made if it is not there, with mode 0700. To be
    /// called, like all that follows, within a runtime of tokio.
    ///
    /// # Errors
    /// When the folder cannot be used, or another server uses it.
    pub fn open(folder: impl Into<PathBuf>, lease: Duration) -> Result<Arc<Self>, Failure> {
        Self::new(folder.into(), lease, None)
    }

    /// As [`Residents::open`], within walls that somebody else builds.
    ///
    /// # Errors
    /// As there.
    pub fn within(
        walls: Arc<dyn Walls>,
        folder: impl Into<PathBuf>,
        lease: Duration,
    ) -> Result<Arc<Self>, Failure> {
        Self::new(folder.into(), lease, Some(walls))
    }

    fn new(
        folder: PathBuf,
        lease: Duration,
        walls: Option<Arc<dyn Walls>>,
    ) -> Result<Arc<Self>, Failure> {
        sys::raise_file_limit();
        let state = State::open(folder)?;
        let host = Host::read(true);
        let images = Images::new(state.volumes());
        let shared = Arc::new(Shared {
            state,
            host,
            lease,
            living: Mutex::default(),
            distant: Mutex::default(),
            busy: Mutex::default(),
            users: Mutex::default(),
            watch: watch::Watch::default(),
            doors: doors::Doors::default(),
            walls,
            images,
        });
        if shared.walls.is_some() {
            orphans::begin(&shared);
        }
        Ok(Arc::new(Self { shared }))
    }
}

impl Shared {
    /// Has the walls do something, if they are somebody else's, on a thread that may wait.
    async fn ask_walls<T: Send + 'static>(
        &self,
        what: impl FnOnce(&dyn Walls) -> Result<T, Failure> + Send + 'static,
    ) -> Option<Result<T, Failure>> {
        let walls = self.walls.clone()?;
        let work = tokio::task::spawn_blocking(move || what(&*walls));
        Some(work.await.unwrap_or_else(|_| Err(errors::no_answer())))
    }

    /// Names of which anything is there, here or with who builds the walls.
    async fn names(&self) -> Result<Vec<String>, Failure> {
        let mut names = self.state.names()?;
        if let Some(others) = self.ask_walls(Walls::names).await {
            names.extend(others?);
            names.sort_unstable();
            names.dedup();
        }
        Ok(names)
    }

    fn living(&self) -> MutexGuard<'_, HashMap<String, Weak<Resident>>> {
        lock(&self.living)
    }

    /// The walls, if nothing but bytes goes through them.
    fn distant_walls(&self) -> Option<Arc<dyn Walls>> {
        self.walls.clone().filter(|walls| walls.are_distant())
    }

    fn find(&self, name: &str) -> Option<Arc<Resident>> {
        self.living().get(name).and_then(Weak::upgrade)
    }

    /// Takes a name, as long as the answer lives. Two who work on one sandbox would take its
    /// PID 1 from each other.
    fn reserve(self: &Arc<Self>, name: &str) -> Result<Reserved, Failure> {
        if lock(&self.busy).insert(name.to_owned()) {
            return Ok(Reserved { shared: self.clone(), name: name.to_owned() });
        }
        let what = format!("somebody else is making or ending the sandbox {name:?}");
        Err(Failure::new(ErrorCode::WrongState, what).hint("try again in a moment"))
    }

    /// A host user for a sandbox of root. The process id of the server, which other jails
    /// take theirs from, does not outlive it; so it is drawn, from 2^27 numbers.
    fn draw_user(&self) -> u32 {
        const FIRST: u32 = 0x7000_0000;
        const MASK: u32 = 0x07ff_ffff;
        loop {
            let id = capsule_spec::ExecutionId::random().to_string();
            let number = u32::from_str_radix(&id[..8], 16).expect("a UUID begins with 8 digits");
            let user = FIRST + (number & MASK);
            if lock(&self.users).insert(user) {
                return user;
            }
        }
    }
}

/// A name that nobody else works on meanwhile.
struct Reserved {
    shared: Arc<Shared>,
    name: String,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        lock(&self.shared.busy).remove(&self.name);
    }
}

/// A thread that panicked while it held one of these left a map that is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Sandboxes for Residents {
    fn name(&self) -> &'static str {
        match self.shared.walls {
            None => "jail",
            Some(_) => "docker",
        }
    }

    fn capabilities(&self) -> Capabilities {
        match &self.shared.walls {
            Some(walls) => walls.capabilities(),
            None => probe::capabilities(&Host::read(false)),
        }
    }

    fn create<'a>(&'a self, name: &'a str, recipe: &'a Recipe) -> Pending<'a, Made> {
        Box::pin(async move {
            if let Some(walls) = self.shared.distant_walls() {
                return Distant::create(&self.shared, walls, name, recipe).await;
            }
            let made = Resident::create(&self.shared, name, recipe).await?;
            Ok(Arc::new(Held(made)) as Arc<dyn Sandbox>)
        })
    }

    fn adopt<'a>(
        &'a self,
        name: &'a str,
    ) -> Pending<'a, Result<Option<Arc<dyn Sandbox>>, Failure>> {
        Box::pin(async move {
            let _reserved = self.shared.reserve(name)?;
            if let Some(walls) = self.shared.distant_walls() {
                return Distant::adopt(&self.shared, walls, name).await;
            }
            let found = match self.shared.find(name) {
                Some(living) => Some(living),
                None => Resident::adopt(&self.shared, name).await?,
            };
            Ok(found.map(|found| Arc::new(Held(found)) as Arc<dyn Sandbox>))
        })
    }

    fn volumes(&self) -> Option<&dyn Volumes> {
        // The engine of a container would have to be given a mount of the host.
        self.shared.walls.is_none().then_some(self)
    }

    fn sweep<'a>(&'a self, keep: &'a [String]) -> Pending<'a, Result<usize, Failure>> {
        Box::pin(async move {
            let mut ended = 0;
            for name in self.shared.names().await? {
                if keep.contains(&name) {
                    continue;
                }
                let _reserved = self.shared.reserve(&name)?;
                let distant = Distant::find(&self.shared, &name);
                let lived = match (self.shared.find(&name), distant) {
                    (_, Some(distant)) => distant.finish().await.map(|()| true)?,
                    (Some(living), None) => living.finish().await.map(|()| true)?,
                    (None, None) => making::put_down(&self.shared, &name).await?,
                };
                ended += usize::from(lived);
            }
            if self.shared.walls.is_none() {
                // A server may have died before it wrote down which it had made.
                let _ = tokio::task::spawn_blocking(Freezer::sweep).await;
            }
            Ok(ended)
        })
    }
}
