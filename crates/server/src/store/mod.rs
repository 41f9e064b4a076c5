//! What outlives the server: sandboxes, processes that were started, executions, API keys.
//!
//! Owns: the data folder and the SQLite database in it, used by one thread. Refuses to
//! know: what any of it is for.
//!
//! SQLite rather than a format of our own: executions are searched, `capsule keys` writes
//! while a server runs, and a file that was cut off by `kill -9` or a full disk is a solved
//! problem there.

mod contents;
mod executions;
mod expiries;
mod folder;
mod keys;
mod networks;
mod sandboxes;
mod snapshots;
mod volumes;
mod webhooks;

use std::path::Path;

use capsule_spec::{ErrorCode, Failure};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::{mpsc, oneshot};

pub(crate) use contents::{Contents, Writing, next_piece};
pub(crate) use executions::{End, Execution, Wanted};
pub(crate) use expiries::ExpiryRow;
pub(crate) use folder::{Folder, make as make_folder};
pub use keys::{KeyInfo, NewKey, create_key, list_keys, revoke_key};
pub(crate) use keys::{Known, id_of, milliseconds, time};
pub(crate) use sandboxes::{ProcessRow, SandboxRow};
pub(crate) use snapshots::{Quota, SnapshotRow};
pub(crate) use volumes::{Added, VolumeRow};
pub(crate) use webhooks::WebhookRow;

/// Requests that wait for the database at one time; more of them wait to be let in.
const MOST_WAITING: usize = 256;

/// Why the state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder cannot be used.
    #[error("the data folder {path} cannot be used")]
    Folder {
        /// Which one.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another server has it.
    #[error("another server uses the data folder {path}")]
    InUse {
        /// Which one.
        path: String,
    },
    /// Others could write in it.
    #[error("the data folder {path} belongs to somebody else, or others may write in it")]
    Shared {
        /// Which one.
        path: String,
    },
    /// It was written by a newer version.
    #[error("the database was written by a newer version of Capsule (format {found})")]
    Newer {
        /// Its format.
        found: i64,
    },
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] rusqlite::Error),
    /// A value in it is no JSON of ours.
    #[error("the database holds a value that cannot be read")]
    Value(#[from] serde_json::Error),
    /// Its thread is gone.
    #[error("the database is closed")]
    Closed,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        // What the database says is for whoever runs the server.
        if let Some(source) = std::error::Error::source(&error) {
            crate::log::error("store failed", &[("error", &source.to_string())]);
        }
        let failure = Self::new(ErrorCode::StoreFailed, error.to_string());
        match error {
            StoreError::InUse { .. } => failure.hint("give each server a --data folder of its own"),
            StoreError::Shared { .. } => failure.hint("chmod 700 it, or name another with --data"),
            _ => failure,
        }
    }
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The database, used by a thread of its own. Clones use the same one.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    jobs: mpsc::Sender<Job>,
    /// Told when a webhook may have become due.
    wake: std::sync::Arc<tokio::sync::Notify>,
    /// The largest number of an execution.
    last_execution: std::sync::Arc<std::sync::atomic::AtomicI64>,
    /// Executions whose end could not be written.
    unlogged: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Store {
    /// Opens the database in a data folder, and makes it if it is not there.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        let mut connection = connect(folder)?;
        // What AUTOINCREMENT remembers: also of those that were let go of.
        let last: Option<i64> = connection
            .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'executions'", [], |row| {
                row.get(0)
            })
            .optional()?;
        let (jobs, mut waiting) = mpsc::channel::<Job>(MOST_WAITING);
        let thread = std::thread::Builder::new().name("store".to_owned());
        let run = move || {
            while let Some(job) = waiting.blocking_recv() {
                job(&mut connection);
            }
        };
        thread
            .spawn(run)
            .map_err(|source| StoreError::Folder { path: folder.display().to_string(), source })?;
        let last_execution = std::sync::Arc::new(last.unwrap_or_default().into());
        let unlogged = std::sync::Arc::default();
        Ok(Self { jobs, wake: std::sync::Arc::default(), last_execution, unlogged })
    }

    /// Does something with the database, and waits for it.
    async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let _ = answer.send(job(connection));
        });
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Does something with the database that nobody waits for. If too much waits already, it
    /// is asked for when there is a place: who makes them is bounded.
    fn post(&self, job: impl FnOnce(&mut Connection) -> Result<(), StoreError> + Send + 'static) {
        let job: Job = Box::new(move |connection| {
            if let Err(error) = job(connection) {
                crate::log::error("not logged", &[("error", &error.to_string())]);
            }
        });
        if let Err(mpsc::error::TrySendError::Full(job)) = self.jobs.try_send(job) {
            let jobs = self.jobs.clone();
            tokio::spawn(async move {
                let _ = jobs.send(job).await;
            });
        }
    }

    /// Answers when all that was asked for before is done.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        self.ask(|_| Ok(())).await
    }
}

/// Every format so far only added tables, and these columns.
const FORMAT: i64 = 4;

/// Columns that later formats added to a table of the first, with what they hold in older rows.
const ADDED: [(&str, &str, &str); 8] = [
    ("executions", "kind", "TEXT NOT NULL DEFAULT 'exec'"),
    ("executions", "process", "INTEGER NOT NULL DEFAULT 0"),
    ("executions", "directory", "TEXT NOT NULL DEFAULT ''"),
    // 0 runs, 1 ended, 2 lost
    ("executions", "state", "INTEGER NOT NULL DEFAULT 1"),
    ("executions", "signal", "INTEGER"),
    ("executions", "out_of_memory", "INTEGER NOT NULL DEFAULT 0"),
    ("executions", "stdout_truncated", "INTEGER NOT NULL DEFAULT 0"),
    ("executions", "stderr_truncated", "INTEGER NOT NULL DEFAULT 0"),
];

fn connect(folder: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(folder.join("server.db"))?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // WAL: `capsule keys` reads and writes while the server does. NORMAL: what was answered
    // survives the end of the process at any point; sandboxes do not survive that of the host.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > FORMAT {
        return Err(StoreError::Newer { found });
    }
    if found < FORMAT {
        let change = connection.transaction()?;
        change.execute_batch(include_str!("tables.sql"))?;
        for (table, column, kind) in ADDED {
            let known = change.prepare(&format!("SELECT * FROM {table}"))?;
            if !known.column_names().any(|name| name == column) {
                change.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {kind}"))?;
            }
        }
        change.pragma_update(None, "user_version", FORMAT)?;
        change.commit()?;
    }
    Ok(connection)
}
