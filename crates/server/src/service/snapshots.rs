//! File states of sandboxes: the workspace, packed while all processes stand still.

use std::collections::BTreeMap;
use std::sync::Arc;

use capsule_backend::sandbox::Change;
use capsule_spec::{ErrorCode, Failure};

use super::archive::{Packing, Unpacking};
use super::files::PIECE;
use super::lifecycle::describe;
use super::{Caller, Service};
use crate::live::{Fill, InUse, Live, lock};
use crate::model::{Event, State, new_id, rfc3339};
use crate::request::{
    CloneSandbox, Create, Created, DEFAULT_DIRECTORY, DeleteSnapshot, Done, Restore, SandboxAnswer,
    Snapshot, SnapshotAnswer, SnapshotInfo, Snapshots, SnapshotsAnswer, no_snapshot,
};
use crate::rpc::{Kind, Refusal};
use crate::store::{Quota, SnapshotRow, Writing, milliseconds, next_piece, time};

/// Snapshots of one owner.
const MOST_SNAPSHOTS: u64 = 1_000;
/// Bytes of a clone, of which nothing is kept.
const MOST_CLONED: u64 = 64 << 30;

/// What a snapshot is called.
pub(super) struct Naming {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
}

impl Service {
    pub(super) async fn snapshot(
        &self,
        caller: &Caller,
        snapshot: Snapshot,
    ) -> Result<SnapshotAnswer, Refusal> {
        let live = self.find(caller, &snapshot.id)?;
        let most = self.snapshot_room(&caller.owner).await?;
        let packed = self.pack_still(&live, most).await?;
        let naming = Naming { id: new_id(), name: snapshot.name, labels: snapshot.labels };
        Ok(SnapshotAnswer { snapshot: self.keep(&live, packed, naming).await? })
    }

    fn quota(&self) -> Quota {
        Quota { snapshots: MOST_SNAPSHOTS, bytes: self.snapshot_bytes }
    }

    /// Bytes that an owner may still keep.
    pub(super) async fn snapshot_room(&self, owner: &str) -> Result<u64, Refusal> {
        let quota = self.quota();
        let (count, bytes) = self.store.snapshot_usage(owner.to_owned()).await.map_err(internal)?;
        match count >= quota.snapshots || bytes >= quota.bytes {
            true => Err(too_much(quota)),
            false => Ok(quota.bytes - bytes),
        }
    }

    /// Keeps what was packed of a sandbox.
    pub(super) async fn keep(
        &self,
        live: &Live,
        (writing, files): (Writing, u64),
        naming: Naming,
    ) -> Result<SnapshotInfo, Refusal> {
        let row = SnapshotRow {
            id: naming.id,
            owner: live.owner.to_string(),
            name: naming.name,
            sandbox: live.id.clone(),
            template: live.template.name.clone(),
            created: milliseconds(std::time::SystemTime::now()),
            bytes: writing.bytes(),
            files,
            labels: naming.labels,
            content: writing.hash(),
        };
        let info = info(row.clone());
        let kept = self.contents.keep(writing, &self.store, row, self.quota()).await;
        match kept.map_err(|failure| Refusal::of(Kind::ReadFileFailed, failure))? {
            true => Ok(info),
            false => Err(too_much(self.quota())),
        }
    }

    pub(super) async fn snapshots(
        &self,
        caller: &Caller,
        list: Snapshots,
    ) -> Result<SnapshotsAnswer, Refusal> {
        let owner = caller.owner.to_string();
        let mut found = self.store.snapshots(owner, list.after).await.map_err(internal)?;
        found.retain(|row| {
            list.labels.iter().all(|(name, value)| row.labels.get(name) == Some(value))
        });
        let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
        let more = found.len() > limit;
        found.truncate(limit);
        Ok(SnapshotsAnswer { snapshots: found.into_iter().map(info).collect(), more })
    }

    pub(super) async fn delete_snapshot(
        &self,
        caller: &Caller,
        delete: &DeleteSnapshot,
    ) -> Result<Done, Refusal> {
        let row = self.find_snapshot(caller, &delete.snapshot).await?;
        let owner = caller.owner.to_string();
        if !self.store.remove_snapshot(owner, row.id).await.map_err(internal)? {
            return Err(Refusal::of(Kind::NotFound, no_snapshot(&delete.snapshot)));
        }
        self.contents.forget(&self.store, &row.content).await;
        Ok(Done::OK)
    }

    /// What fills a new sandbox with the files of a snapshot. The content stays readable when
    /// the snapshot is deleted meanwhile.
    pub(super) async fn filling(&self, caller: &Caller, snapshot: &str) -> Result<Fill, Refusal> {
        let row = self.find_snapshot(caller, snapshot).await?;
        let file = self.contents.read(&row.content).await;
        Ok(self.fill(file.map_err(|failure| Refusal::of(Kind::CreateFailed, failure))?))
    }

    pub(super) async fn clone_sandbox(
        &self,
        caller: &Caller,
        clone: CloneSandbox,
    ) -> Result<Created, Refusal> {
        let live = self.find(caller, &clone.id)?;
        let from = clone.id.clone();
        let mut create: Create = clone.create(live.template.name.clone());
        let mut environment = lock(&live.environment).clone();
        environment.append(&mut create.env);
        create.env = environment;
        let (writing, _) = self.pack_still(&live, MOST_CLONED).await?;
        let file = writing.into_file().await;
        let file = file.map_err(|failure| Refusal::of(Kind::CreateFailed, failure))?;
        self.create_filled(caller, create, Some(self.fill(file)), &from).await
    }

    async fn find_snapshot(&self, caller: &Caller, id: &str) -> Result<SnapshotRow, Refusal> {
        let found = self.store.snapshot(caller.owner.to_string(), id.to_owned()).await;
        found.map_err(internal)?.ok_or_else(|| Refusal::of(Kind::NotFound, no_snapshot(id)))
    }

    fn fill(&self, file: std::fs::File) -> Fill {
        let held = self.memory.hold();
        Box::new(move |used: InUse| {
            Box::pin(async move {
                let mut unpacking = Unpacking::of(used, held, DEFAULT_DIRECTORY.to_owned());
                let mut file = file;
                loop {
                    let (rest, bytes) = next_piece(file, PIECE).await?;
                    if bytes.is_empty() {
                        break;
                    }
                    file = rest;
                    unpacking.write(bytes).await.map_err(|refusal| refusal.failure)?;
                }
                unpacking.finish().await.map(drop).map_err(|refusal| refusal.failure)
            })
        })
    }

    /// The files of a sandbox, all of one moment: its processes stand still while they are
    /// read, as far as the host can stop them. How many there are.
    async fn pack_still(&self, live: &Arc<Live>, most: u64) -> Result<(Writing, u64), Refusal> {
        let failed = |failure| Refusal::of(Kind::ReadFileFailed, failure);
        // Nobody lets them go on meanwhile.
        let _turn = live.turn.lock().await;
        let used = live.hold();
        let sandbox = Arc::clone(used.sandbox().map_err(failed)?);
        let is_ours = match live.state() {
            State::Ready => live.change(Event::Pause),
            _ => false,
        };
        if !is_ours && live.state() != State::Paused {
            let message = format!("the sandbox is {}", live.state().name());
            return Err(Refusal::new(Kind::WrongState, ErrorCode::WrongState, message));
        }
        if is_ours && let Err(failure) = sandbox.freeze(true).await {
            live.change(Event::Resume);
            return Err(failed(failure));
        }
        let packed = self.pack_into(used, most).await;
        if is_ours {
            let gone = sandbox.freeze(false).await;
            live.change(Event::Resume);
            gone.map_err(failed)?;
            // Somebody may have had its state remembered meanwhile.
            self.remember(live).await?;
        }
        packed.map_err(failed)
    }

    pub(super) async fn pack_into(
        &self,
        used: InUse,
        most: u64,
    ) -> Result<(Writing, u64), Failure> {
        let mut writing = self.contents.begin(most).await?;
        let mut packing =
            Packing::of(used, self.memory.hold(), DEFAULT_DIRECTORY.to_owned()).await?;
        while let Some(bytes) = packing.next().await.map_err(|refusal| refusal.failure)? {
            writing.write(bytes).await?;
        }
        Ok((writing, packing.members()))
    }

    /// The files are as they were; what runs is ended.
    pub(super) async fn restore(
        &self,
        caller: &Caller,
        restore: &Restore,
    ) -> Result<SandboxAnswer, Refusal> {
        let live = self.find(caller, &restore.id)?;
        let fill = self.filling(caller, &restore.snapshot).await?;
        let _turn = live.turn.lock().await;
        let used = self.enter(caller, &restore.id, Kind::WriteFileFailed)?;
        // A server that dies from here on leaves files of two states.
        self.store.set_unfinished(live.id.clone(), true).await.map_err(internal)?;
        let done = empty(&used).await;
        let done = match done {
            Ok(()) => fill(used).await,
            Err(failure) => Err(failure),
        };
        done.map_err(|failure| {
            let hint = "its files are incomplete; restore again, or delete the sandbox";
            Refusal::of(Kind::WriteFileFailed, failure.hint(hint))
        })?;
        self.store.set_unfinished(live.id.clone(), false).await.map_err(internal)?;
        Ok(describe(&live))
    }
}

/// Ends what was started in a sandbox, and empties its workspace.
async fn empty(used: &InUse) -> Result<(), Failure> {
    const MOST: usize = 100_000;
    let sandbox = used.sandbox()?;
    sandbox.kill_all().await?;
    for entry in sandbox.list(DEFAULT_DIRECTORY, MOST).await? {
        let path = format!("{DEFAULT_DIRECTORY}/{}", entry.name);
        sandbox.change(&Change::Remove { path, recursive: true }).await?;
    }
    Ok(())
}

fn internal(error: crate::store::StoreError) -> Refusal {
    Refusal::of(Kind::Internal, error.into())
}

fn too_much(quota: Quota) -> Refusal {
    let message = format!(
        "there may be {} snapshots of one key, of {} bytes together",
        quota.snapshots, quota.bytes
    );
    let failure = Failure::new(ErrorCode::ServerLimit, message).hint("delete one first");
    Refusal::of(Kind::LimitReached, failure)
}

fn info(row: SnapshotRow) -> SnapshotInfo {
    SnapshotInfo {
        id: row.id,
        name: row.name,
        sandbox: row.sandbox,
        template: row.template,
        created_at: rfc3339(time(row.created)),
        bytes: row.bytes,
        files: row.files,
        labels: row.labels,
    }
}
