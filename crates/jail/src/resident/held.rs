//! A sandbox in the words of the contract. Dropping a handle ends nothing.

use std::sync::Arc;

use capsule_backend::guest::Pending;
use capsule_backend::sandbox::{
    Change, Entry, Notices, OpenMode, Process, Program, Sandbox, SandboxFile, SandboxUsage,
};
use capsule_spec::{Failure, Network, WallStatus};

use super::notices::Watching;
use super::process::Handle;
use super::sandbox::Resident;
use super::{errors, files, lock};

/// A handle.
pub(super) struct Held(pub(super) Arc<Resident>);

impl Sandbox for Held {
    fn weaker(&self) -> Vec<WallStatus> {
        lock(&self.0.record).weaker.clone()
    }

    fn spawn<'a>(&'a self, program: &'a Program) -> Pending<'a, Result<Arc<dyn Process>, Failure>> {
        Box::pin(async move { Ok(self.0.start(program).await? as Arc<dyn Process>) })
    }

    fn processes(&self) -> Pending<'_, Result<Vec<Arc<dyn Process>>, Failure>> {
        Box::pin(async move {
            if *self.0.ended.borrow() {
                return Err(errors::ended());
            }
            let known = lock(&self.0.connection.processes);
            let handle = |running: &Arc<_>| {
                Handle::new(Arc::clone(running), self.0.connection.clone()) as Arc<dyn Process>
            };
            let mut processes: Vec<_> = known.values().map(handle).collect();
            processes.sort_by_key(|process| process.number());
            Ok(processes)
        })
    }

    fn open<'a>(
        &'a self,
        path: &'a str,
        mode: OpenMode,
    ) -> Pending<'a, Result<Box<dyn SandboxFile>, Failure>> {
        Box::pin(async move {
            if let (Some(root), OpenMode::Read) = (self.0.stands_still(), mode) {
                return files::open_still(&self.0.connection, root, path);
            }
            self.0.must_be_awake()?;
            files::open(&self.0.connection, path, mode).await
        })
    }

    fn list<'a>(&'a self, path: &'a str, limit: usize) -> Pending<'a, Result<Vec<Entry>, Failure>> {
        Box::pin(async move {
            if let Some(root) = self.0.stands_still() {
                return files::list_still(root, path, limit).await;
            }
            self.0.must_be_awake()?;
            files::list(&self.0.connection, path, limit).await
        })
    }

    fn stat<'a>(&'a self, path: &'a str) -> Pending<'a, Result<Entry, Failure>> {
        Box::pin(async move {
            if let Some(root) = self.0.stands_still() {
                return files::stat_still(root, path);
            }
            self.0.must_be_awake()?;
            files::stat(&self.0.connection, path).await
        })
    }

    fn change<'a>(&'a self, change: &'a Change) -> Pending<'a, Result<(), Failure>> {
        Box::pin(async move {
            self.0.must_be_awake()?;
            files::change(&self.0.connection, change).await
        })
    }

    fn watch<'a>(
        &'a self,
        path: &'a str,
        recursive: bool,
    ) -> Pending<'a, Result<Box<dyn Notices>, Failure>> {
        Box::pin(async move {
            self.0.must_be_awake()?;
            let watching =
                Watching::begin(&self.0.connection, self.0.ended.subscribe(), path, recursive)
                    .await?;
            Ok(Box::new(watching) as Box<dyn Notices>)
        })
    }

    fn kill_all(&self) -> Pending<'_, Result<(), Failure>> {
        Box::pin(self.0.purge())
    }

    fn freeze(&self, frozen: bool) -> Pending<'_, Result<(), Failure>> {
        Box::pin(self.0.stop_or_go(frozen))
    }

    fn set_network<'a>(&'a self, network: &'a Network) -> Pending<'a, Result<(), Failure>> {
        Box::pin(self.0.change_network(network))
    }

    fn usage(&self) -> Pending<'_, Result<SandboxUsage, Failure>> {
        Box::pin(async move {
            if *self.0.ended.borrow() {
                return Err(errors::ended());
            }
            Ok(self.0.measure().await)
        })
    }

    fn ended(&self) -> Pending<'_, ()> {
        Box::pin(self.0.await_end())
    }

    fn end(&self) -> Pending<'_, Result<(), Failure>> {
        Box::pin(self.0.finish())
    }
}
