//! A server, from its settings to its end.
//!
//! ```text
//!  take the data folder ─▶ open the store ─▶ adopt what an earlier server left ─▶ listen
//!       ▲                                                                          │ stop
//!       └─ let go ◀─ end the sandboxes, or leave them ◀─ drain the connections ◀───┘
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use capsule_backend::sandbox::Sandboxes;
use capsule_spec::{ErrorCode, Failure};
use tokio::sync::Semaphore;

use crate::guard::{Identities, Pages};
use crate::live::{AdoptError, Bounds, Registry, Template};
use crate::log;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::service::{PackageIndexes, Permits, Service};
use crate::store::{Contents, Folder, Store, StoreError};
use crate::transport::{Doctor, Doors, Examination, Http, Listener, accept};
use crate::webhook::{Sender, WebhookRules, deliver};

/// Connections and WebSockets that may be open at one time.
const CONNECTIONS: u32 = 4_096;
const SOCKETS: usize = 2_048;
/// Bytes that callers can make the server hold at one time, all of them together.
const MEMORY: usize = 256 << 20;
/// How long requests that are under way have to end when the server stops.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the removal of all sandboxes may take then.
const REMOVAL: Duration = Duration::from_secs(60);

/// How a server is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: Listen,
    /// Where its state is.
    pub data: PathBuf,
    /// Whether a key is needed on loopback, too. Elsewhere it always is.
    pub require_key: bool,
    /// Names of this server beside `localhost` and `127.0.0.1`, for the `Host` header.
    pub hosts: Vec<String>,
    /// Pages that may talk to it: their origins.
    pub origins: Vec<String>,
    /// Sandboxes at one time.
    pub sandboxes: usize,
    /// Sandboxes of one key at one time.
    pub sandboxes_each: usize,
    /// Running processes of one sandbox that were started from outside.
    pub processes: usize,
    /// Bytes of all snapshots of one key.
    pub snapshot_bytes: u64,
    /// Bytes of all volumes of one key.
    pub volume_bytes: u64,
    /// How long a sandbox is kept that is paused because its time is over.
    pub keep_paused: Duration,
    /// Requests a second of one key; twice as many at once.
    pub rate: u32,
    /// Whether a sandbox may have the host's network.
    pub open_network: bool,
    /// Where packages come from.
    pub indexes: PackageIndexes,
    /// How webhooks are sent.
    pub webhooks: WebhookRules,
    /// Whether sandboxes live on when the server is told to stop, for the next one.
    pub keep_sandboxes: bool,
}

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Listen {
    /// On an address.
    Tcp(SocketAddr),
    /// Under a name in the file system.
    Unix(PathBuf),
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another address than loopback wants a key, and there is none.
    #[error("{address} can be reached by others, and there is no API key yet")]
    NoKey {
        /// Which address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which address.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The state cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no way to make sandboxes.
    #[error("{}", .0.message)]
    Backend(Failure),
    /// What an earlier server left could not be taken over.
    #[error("what an earlier server left could not be taken over: {}", .0.message)]
    Adopt(Failure),
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let message = error.to_string();
        match error {
            ServeError::NoKey { .. } => Self::new(ErrorCode::NotAuthorized, message)
                .hint("make one with \"capsule keys create\", or listen on 127.0.0.1"),
            ServeError::Listen { source, .. } => {
                Self::new(ErrorCode::InvalidValue, format!("{message}: {source}"))
                    .hint("name another address with --listen")
            }
            ServeError::Store(error) => error.into(),
            ServeError::Backend(failure) => failure,
            ServeError::Adopt(failure) => Self { message, ..failure },
        }
    }
}

/// A server that listens.
pub struct Server {
    settings: Settings,
    address: String,
    listener: Listener,
    http: Arc<Http>,
    registry: Arc<Registry>,
    doors: Arc<Doors>,
    _folder: Folder,
}

impl Server {
    /// Takes over what an earlier server left, and listens. `backend` gets the data folder,
    /// once it is this server's.
    ///
    /// # Errors
    /// [`ServeError`]: nothing is left running then that was not before.
    pub async fn start(
        settings: Settings,
        backend: impl FnOnce(&Path) -> Result<Arc<dyn Sandboxes>, Failure>,
        templates: Vec<Template>,
    ) -> Result<Self, ServeError> {
        if let Some(template) = templates.iter().find(|template| !template.origin.is_ready()) {
            let what = format!("template {:?} was not made ready", template.name);
            return Err(ServeError::Backend(Failure::new(ErrorCode::InvalidConfig, what)));
        }
        let folder = Folder::take(&settings.data)?;
        let needs_key = needs_key(&settings, &folder)?;
        let backend = backend(folder.path()).map_err(ServeError::Backend)?;
        let store = Store::open(folder.path())?;
        let bounds = Bounds {
            sandboxes: settings.sandboxes,
            sandboxes_each: settings.sandboxes_each,
            processes: settings.processes,
            keep_paused: settings.keep_paused,
        };
        let registry = Arc::new(Registry::new(backend, store.clone(), templates, bounds));
        let contents = contents(&folder, &store).await?;
        let service = Arc::new(Service {
            registry: Arc::clone(&registry),
            store: store.clone(),
            metrics: Arc::new(Metrics::default()),
            memory: Memory::new(MEMORY),
            contents,
            snapshot_bytes: settings.snapshot_bytes,
            volume_bytes: settings.volume_bytes,
            volumes: tokio::sync::RwLock::default(),
            permits: Permits {
                open_network: settings.open_network,
                indexes: settings.indexes.clone(),
                webhooks: Sender::new(settings.webhooks.allowed.clone()),
            },
        });
        registry.put_aside_by(service.aside());
        // Before anybody can ask for anything.
        registry.adopt().await.map_err(|error| match error {
            AdoptError::Store(error) => ServeError::Store(error),
            AdoptError::Backend(failure) => ServeError::Adopt(failure),
        })?;
        let listener = listen(&settings.listen).await?;
        tokio::spawn(deliver(store.clone(), settings.webhooks.clone()));
        let doors = Arc::new(Doors::new(CONNECTIONS));
        let pages = match (&settings.listen, needs_key) {
            (Listen::Unix(_), _) | (_, true) => Pages::of_any_name(settings.origins.clone()),
            (Listen::Tcp(_), false) => Pages::of_names(&settings.hosts, settings.origins.clone()),
        };
        let http = Arc::new(Http {
            service,
            pages,
            identities: Identities::new(needs_key, settings.rate, store),
            doors: Arc::clone(&doors),
            sockets: Arc::new(Semaphore::new(SOCKETS)),
            examination: Examination::default(),
        });
        let address = listener.address();
        registry.open_pools();
        log::info("listening", &[("address", &address)]);
        Ok(Self { settings, address, listener, http, registry, doors, _folder: folder })
    }

    /// Who looks at the host for `GET /doctor`; without one there is nothing at that path.
    #[must_use]
    pub fn with_doctor(self, doctor: Doctor) -> Self {
        self.http.examination.by(doctor);
        self
    }

    /// Where it listens: a URL, or `unix:` and a path.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Serves until `stop` answers; then lets requests end, and sandboxes end or live on.
    /// Answers whether nothing is left that should not be.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let accepting = tokio::spawn(accept(self.listener, Arc::clone(&self.doors), self.http));
        stop.await;
        log::info("stopping", &[]);
        self.doors.close();
        let _ = accepting.await;
        if !self.doors.drained(DRAIN).await {
            log::warn("requests were cut off", &[]);
        }
        if self.settings.keep_sandboxes {
            // Spares are nobody's: the next server makes its own.
            let is_clean = self.registry.close_pools(REMOVAL).await;
            let _ = self.registry.store.flush().await;
            return is_clean;
        }
        let left = self.registry.end_all(REMOVAL).await;
        // How the last executions ended is on its way to the log.
        let _ = self.registry.store.flush().await;
        if left > 0 {
            log::error("sandboxes are left", &[("count", &left.to_string())]);
        }
        left == 0
    }
}

/// The snapshots' folder, without what an earlier server was interrupted in.
async fn contents(folder: &Folder, store: &Store) -> Result<Contents, StoreError> {
    let failed = |source| StoreError::Folder { path: folder.path().display().to_string(), source };
    let contents = Contents::open(folder.path()).map_err(failed)?;
    let removed = contents.clear(&store.contents().await?).map_err(failed)?;
    if removed > 0 {
        log::warn("contents of no snapshot removed", &[("count", &removed.to_string())]);
    }
    Ok(contents)
}

fn needs_key(settings: &Settings, folder: &Folder) -> Result<bool, ServeError> {
    let Listen::Tcp(address) = settings.listen else { return Ok(settings.require_key) };
    let needs_key = settings.require_key || !address.ip().is_loopback();
    let is_usable = |key: &crate::store::KeyInfo| key.revoked.is_none();
    if needs_key && !crate::store::list_keys(folder.path())?.iter().any(is_usable) {
        return Err(ServeError::NoKey { address });
    }
    Ok(needs_key)
}

async fn listen(listen: &Listen) -> Result<Listener, ServeError> {
    match listen {
        Listen::Tcp(address) => {
            let failed = |source| ServeError::Listen { address: address.to_string(), source };
            Listener::tcp(*address).await.map_err(failed)
        }
        Listen::Unix(path) => {
            let address = path.display().to_string();
            Listener::unix(path).map_err(|source| ServeError::Listen { address, source })
        }
    }
}
