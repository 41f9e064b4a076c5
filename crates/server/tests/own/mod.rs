//! What needs a server of its own: keys, restarts, other settings.

mod expiry;
mod install;
mod keys;
mod leftovers;
mod limits;
mod network;
mod page;
mod pools;
mod restart;
mod snapshots;
mod sockets;
mod volumes;
mod webhooks;

use std::path::Path;
use std::sync::Arc;

use capsule_server::{ServeError, Server, Settings, Template};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::suite::client::Site;
use crate::support::Folders;

/// A server that can be stopped, or killed: its threads end between two instructions of
/// ours, as a process's do.
pub(crate) struct Own {
    pub(crate) site: Site,
    threads: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    run: Option<tokio::task::JoinHandle<bool>>,
}

impl Own {
    pub(crate) fn start(
        data: &Path,
        backend: &Arc<Folders>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::try_start(data, backend, change).unwrap()
    }

    pub(crate) fn try_start(
        data: &Path,
        backend: &Arc<Folders>,
        change: impl FnOnce(&mut Settings),
    ) -> Result<Self, ServeError> {
        Self::try_start_with(data, backend, change, crate::templates())
    }

    pub(crate) fn try_start_with(
        data: &Path,
        backend: &Arc<Folders>,
        change: impl FnOnce(&mut Settings),
        templates: Vec<Template>,
    ) -> Result<Self, ServeError> {
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut settings = crate::settings(data);
        change(&mut settings);
        let backend = Arc::clone(backend);
        let server = threads.block_on(Server::start(settings, |_| Ok(backend), templates))?;
        let address = server.address().strip_prefix("http://").map(|one| one.parse().unwrap());
        let (stop, stopped) = oneshot::channel();
        let run = threads.spawn(server.run(async {
            let _ = stopped.await;
        }));
        let site = Site::new(address.unwrap_or_else(|| "127.0.0.1:1".parse().unwrap()));
        Ok(Self { site, threads: Some(threads), stop: Some(stop), run: Some(run) })
    }

    pub(crate) fn kill(mut self) {
        self.threads.take().unwrap().shutdown_timeout(std::time::Duration::from_secs(5));
    }

    /// Stops it; whether nothing is left that should not be.
    pub(crate) fn stop(mut self) -> bool {
        self.stop.take().unwrap().send(()).unwrap();
        let threads = self.threads.take().unwrap();
        threads.block_on(self.run.take().unwrap()).unwrap()
    }
}
