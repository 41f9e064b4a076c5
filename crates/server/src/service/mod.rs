//! What each request does.
//!
//! Owns: the way from a [`Request`] to an answer, for one caller. Refuses to know: how the
//! request came, and who else there is.

mod archive;
mod aside;
mod events;
mod exec;
mod files;
mod install;
mod lifecycle;
mod network;
mod observe;
mod processes;
mod snapshots;
mod volumes;

use std::sync::Arc;

use serde::Serialize;

use crate::live::{InUse, Live, Registry};
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::request::Request;
use crate::rpc::{DOCUMENT, Kind, Refusal};
use crate::store::{Contents, Store};
use crate::webhook::Sender;

pub(crate) use events::{Event, Events, told};
pub(crate) use install::quiet;
pub use install::{PackageIndex, PackageIndexes};
pub(crate) use processes::{Owned, Session};

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Whose sandboxes it sees.
    pub(crate) owner: Arc<str>,
    /// Of this request, in logs.
    pub(crate) request: Arc<str>,
}

/// What is answered.
pub(crate) enum Reply {
    /// JSON text.
    Once(String),
    /// Events until an end.
    Stream(Events),
}

impl Reply {
    fn once(answer: &impl Serialize) -> Self {
        Self::Once(serde_json::to_string(answer).expect("answers have string keys"))
    }
}

/// Does what is asked.
pub(crate) struct Service {
    pub(crate) registry: Arc<Registry>,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) contents: Contents,
    /// Bytes of all snapshots of one owner.
    pub(crate) snapshot_bytes: u64,
    pub(crate) permits: Permits,
    /// Bytes of all volumes of one owner.
    pub(crate) volume_bytes: u64,
    /// Written by who makes or deletes a volume, read by who makes a sandbox with one.
    pub(crate) volumes: tokio::sync::RwLock<()>,
}

/// What the operator allows beyond the usual.
#[derive(Debug)]
pub(crate) struct Permits {
    /// The host's network for sandboxes.
    pub(crate) open_network: bool,
    /// Where packages come from.
    pub(crate) indexes: PackageIndexes,
    /// Where webhooks may go.
    pub(crate) webhooks: Sender,
}

impl Service {
    /// Answers a request.
    pub(crate) async fn answer(&self, caller: &Caller, request: Request) -> Result<Reply, Refusal> {
        use Request as R;
        Ok(match request {
            R::Create(create) => Reply::once(&self.create(caller, create).await?),
            R::Exec(exec) => Reply::once(&self.exec(caller, exec).await?),
            R::RunCode(code) => Reply::once(&self.run_code(caller, code).await?),
            R::Batch(batch) => Reply::once(&self.batch(caller, batch).await?),
            R::ExecStream(exec) => Reply::Stream(self.exec_stream(caller, exec).await?),
            R::WriteFile(write) => Reply::once(&self.write_file(caller, write).await?),
            R::ReadFile(read) => Reply::Once(self.read_file(caller, read).await?),
            R::ListDir(list) => Reply::once(&self.list_dir(caller, list).await?),
            R::Delete(delete) => Reply::once(&self.delete(caller, &delete.id).await?),
            R::List(list) => Reply::once(&self.list(caller, &list)),
            R::Get(get) => Reply::once(&self.get(caller, &get.id)?),
            R::Extend(extend) => Reply::once(&self.extend(caller, &extend).await?),
            R::Pause(pause) => Reply::once(&self.freeze(caller, &pause.id, true).await?),
            R::Resume(resume) => Reply::once(&self.freeze(caller, &resume.id, false).await?),
            R::SetEnv(set) => Reply::once(&self.set_env(caller, set).await?),
            R::SetNetwork(set) => Reply::once(&self.set_network(caller, &set).await?),
            R::Install(install) => Reply::once(&self.install(caller, install).await?),
            R::OpenContext(open) => Reply::once(&self.open_context(caller, open)?),
            R::Start(start) => Reply::once(&self.start(caller, start).await?),
            R::ListProcesses(list) => Reply::once(&self.list_processes(caller, &list.id)?),
            R::Attach(attach) => Reply::Stream(self.attach(caller, &attach)?),
            R::Wait(wait) => Reply::once(&self.wait(caller, &wait).await?),
            R::Input(input) => Reply::once(&self.input(caller, &input).await?),
            R::CloseInput(close) => Reply::once(&self.close_input(caller, &close)?),
            R::Kill(kill) => Reply::once(&self.kill(caller, &kill).await?),
            R::Resize(resize) => Reply::once(&self.resize(caller, &resize).await?),
            R::Stat(stat) => Reply::once(&self.stat(caller, &stat).await?),
            R::MakeDirectory(make) => Reply::once(&self.make_directory(caller, make).await?),
            R::Move(one) => Reply::once(&self.rename(caller, one).await?),
            R::Remove(remove) => Reply::once(&self.remove(caller, remove).await?),
            R::Logs(logs) => Reply::once(&self.logs(caller, logs).await?),
            R::Stats(stats) => Reply::once(&self.stats(caller, &stats.id).await?),
            R::Watch(watch) => Reply::Stream(self.watch(caller, &watch.id)?),
            R::WatchDir(watch) => Reply::Stream(self.watch_dir(caller, &watch).await?),
            R::Snapshot(snapshot) => Reply::once(&self.snapshot(caller, snapshot).await?),
            R::Snapshots(list) => Reply::once(&self.snapshots(caller, list).await?),
            R::DeleteSnapshot(delete) => Reply::once(&self.delete_snapshot(caller, &delete).await?),
            R::Restore(restore) => Reply::once(&self.restore(caller, &restore).await?),
            R::CloneSandbox(clone) => Reply::once(&self.clone_sandbox(caller, clone).await?),
            R::Templates(_) => Reply::once(&self.templates()),
            R::CreateVolume(create) => Reply::once(&self.create_volume(caller, create).await?),
            R::Volumes(_) => Reply::once(&self.list_volumes(caller).await?),
            R::DeleteVolume(delete) => Reply::once(&self.delete_volume(caller, &delete).await?),
            R::Discover(_) => Reply::Once(DOCUMENT.to_owned()),
        })
    }

    /// A sandbox of the caller's.
    fn find(&self, caller: &Caller, id: &str) -> Result<Arc<Live>, Refusal> {
        let found = self.registry.find(&caller.owner, id);
        found.map_err(|failure| Refusal::of(Kind::NotFound, failure))
    }

    /// A sandbox of the caller's, to be used now.
    fn enter(&self, caller: &Caller, id: &str, kind: Kind) -> Result<InUse, Refusal> {
        self.find(caller, id)?.enter().map_err(|failure| Refusal::of(kind, failure))
    }
}
