//! A distant sandbox in the words of the contract.

use std::sync::Arc;

use capsule_backend::guest::Pending;
use capsule_backend::sandbox::{
    Change, Entry, Notices, OpenMode, Process, Program, Sandbox, SandboxFile, SandboxUsage,
};
use capsule_spec::{Failure, Network, WallStatus};

use super::super::lock;
use super::files;
use super::process::{Far, FarHandle};
use super::sandbox::Distant;
use super::words::Ask;

/// A handle in the words of the contract. Dropping one ends nothing.
pub(super) struct HeldDistant(pub(super) Arc<Distant>);

impl Sandbox for HeldDistant {
    fn weaker(&self) -> Vec<WallStatus> {
        lock(&self.0.record).weaker.clone()
    }

    fn spawn<'a>(&'a self, program: &'a Program) -> Pending<'a, Result<Arc<dyn Process>, Failure>> {
        Box::pin(async move { Ok(self.0.start(program).await? as Arc<dyn Process>) })
    }

    fn processes(&self) -> Pending<'_, Result<Vec<Arc<dyn Process>>, Failure>> {
        Box::pin(async move {
            self.0.must_live()?;
            let known: Vec<Arc<Far>> = lock(&self.0.processes).values().cloned().collect();
            let handle = |far| FarHandle::new(far, self.0.clone()) as Arc<dyn Process>;
            let mut processes: Vec<_> = known.into_iter().map(handle).collect();
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
            if mode != OpenMode::Read {
                self.0.must_be_awake()?;
            }
            self.0.must_live()?;
            files::open(&self.0.line, path, mode).await
        })
    }

    fn list<'a>(&'a self, path: &'a str, limit: usize) -> Pending<'a, Result<Vec<Entry>, Failure>> {
        Box::pin(async move {
            self.0.must_live()?;
            files::list(&self.0.line, path, limit).await
        })
    }

    fn stat<'a>(&'a self, path: &'a str) -> Pending<'a, Result<Entry, Failure>> {
        Box::pin(async move {
            self.0.must_live()?;
            files::stat(&self.0.line, path).await
        })
    }

    fn change<'a>(&'a self, change: &'a Change) -> Pending<'a, Result<(), Failure>> {
        Box::pin(async move {
            self.0.must_be_awake()?;
            files::change(&self.0.line, change).await
        })
    }

    fn watch<'a>(
        &'a self,
        path: &'a str,
        recursive: bool,
    ) -> Pending<'a, Result<Box<dyn Notices>, Failure>> {
        Box::pin(async move {
            self.0.must_be_awake()?;
            files::watch(&self.0.line, path, recursive).await
        })
    }

    fn kill_all(&self) -> Pending<'_, Result<(), Failure>> {
        Box::pin(async move {
            self.0.must_be_awake()?;
            self.0.line.ask(&Ask::KillAll, Vec::new()).await.map(drop)
        })
    }

    fn freeze(&self, frozen: bool) -> Pending<'_, Result<(), Failure>> {
        Box::pin(self.0.stop_or_go(frozen))
    }

    fn set_network<'a>(&'a self, network: &'a Network) -> Pending<'a, Result<(), Failure>> {
        Box::pin(self.0.change_network(network))
    }

    fn usage(&self) -> Pending<'_, Result<SandboxUsage, Failure>> {
        Box::pin(self.0.measure())
    }

    fn ended(&self) -> Pending<'_, ()> {
        Box::pin(self.0.await_end())
    }

    fn end(&self) -> Pending<'_, Result<(), Failure>> {
        Box::pin(self.0.finish())
    }
}
