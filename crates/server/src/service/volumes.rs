//! Volumes: made, listed, deleted, and found for sandboxes.
//!
//! ```text
//!  create: made by the backend ─▶ remembered ─▶ there
//!  delete: nobody has it ─▶ forgotten ─▶ removed by the backend
//! ```
//!
//! What is in between when a server dies is nobody's, and removed by the next one.

use capsule_backend::sandbox::Volumes as Backend;
use capsule_spec::{ByteSize, ErrorCode, Failure};

use super::{Caller, Service};
use crate::live::Mounted;
use crate::log;
use crate::model::{State, new_id, rfc3339};
use crate::request::{
    CreateVolume, DeleteVolume, Done, VolumeAnswer, VolumeInfo, VolumeMount, VolumesAnswer,
    no_volume,
};
use crate::rpc::{Kind, Refusal};
use crate::store::{Added, StoreError, VolumeRow, milliseconds, time};

/// Volumes of one owner.
const MOST_VOLUMES: u64 = 100;

impl Service {
    fn backend(&self) -> Result<&dyn Backend, Failure> {
        self.registry.backend.volumes().ok_or_else(|| {
            let message = "sandboxes of this server have no volumes";
            Failure::new(ErrorCode::VolumesUnavailable, message)
                .hint("start the server with --backend jail")
        })
    }

    pub(super) async fn create_volume(
        &self,
        caller: &Caller,
        create: CreateVolume,
    ) -> Result<VolumeAnswer, Refusal> {
        let failed = |failure| Refusal::of(Kind::CreateFailed, failure);
        let backend = self.backend().map_err(failed)?;
        let row = VolumeRow {
            id: new_id(),
            owner: caller.owner.to_string(),
            name: create.name,
            size: create.size_bytes,
            created: milliseconds(std::time::SystemTime::now()),
        };
        // One at a time: what nobody remembers yet is counted by nobody.
        let _turn = self.volumes.write().await;
        let ours = self.store.volumes(row.owner.clone()).await.map_err(internal)?;
        if ours.iter().any(|one| one.name == row.name) {
            return Err(self.not_added(Added::NameIsTaken, &row.name));
        }
        let bytes = ours.iter().fold(row.size, |sum, one| sum.saturating_add(one.size));
        if ours.len() as u64 >= MOST_VOLUMES || bytes > self.volume_bytes {
            return Err(self.not_added(Added::TooMuch, &row.name));
        }
        backend.create(&row.id, ByteSize::from_bytes(row.size)).await.map_err(failed)?;
        let most = (MOST_VOLUMES, self.volume_bytes);
        match self.store.insert_volume(row.clone(), most).await {
            Ok(Added::Yes) => Ok(VolumeAnswer { volume: self.told(row).await }),
            Ok(added) => {
                self.remove_image(&row.id).await;
                Err(self.not_added(added, &row.name))
            }
            Err(error) => {
                self.remove_image(&row.id).await;
                Err(internal(error))
            }
        }
    }

    pub(super) async fn list_volumes(&self, caller: &Caller) -> Result<VolumesAnswer, Refusal> {
        let rows = self.store.volumes(caller.owner.to_string()).await.map_err(internal)?;
        let mut volumes = Vec::with_capacity(rows.len());
        for row in rows {
            volumes.push(self.told(row).await);
        }
        Ok(VolumesAnswer { volumes })
    }

    pub(super) async fn delete_volume(
        &self,
        caller: &Caller,
        delete: &DeleteVolume,
    ) -> Result<Done, Refusal> {
        // Nobody who makes a sandbox with it is on the way meanwhile.
        let _turn = self.volumes.write().await;
        let row = self.volume(caller, &delete.name).await?;
        let has_it = |live: &&std::sync::Arc<crate::live::Live>| {
            live.state() != State::Gone && live.volumes.iter().any(|one| one.volume == row.id)
        };
        if let Some(live) = self.registry.all().iter().find(has_it) {
            let message = format!("a sandbox has the volume {:?}", row.name);
            let failure = Failure::new(ErrorCode::VolumeInUse, message)
                .detail("sandbox", &live.id)
                .hint("delete the sandbox first");
            return Err(Refusal::of(Kind::WrongState, failure));
        }
        self.store.remove_volume(row.id.clone()).await.map_err(internal)?;
        self.remove_image(&row.id).await;
        Ok(Done::OK)
    }

    /// The caller's volumes of these names, for a sandbox. Until it is known that the sandbox
    /// has them, whoever asks holds `self.volumes`.
    pub(super) async fn mounted(
        &self,
        caller: &Caller,
        mounts: &[VolumeMount],
    ) -> Result<Vec<Mounted>, Refusal> {
        let mut all = Vec::with_capacity(mounts.len());
        for mount in mounts {
            let row = self.volume(caller, &mount.volume).await?;
            let place =
                mount.place().map_err(|failure| Refusal::of(Kind::InvalidParams, failure))?;
            let (path, access) = (place.to_string(), mount.mode.into());
            all.push(Mounted { volume: row.id, name: row.name, path, access });
        }
        Ok(all)
    }

    async fn volume(&self, caller: &Caller, name: &str) -> Result<VolumeRow, Refusal> {
        let found = self.store.volume(caller.owner.to_string(), name.to_owned()).await;
        found.map_err(internal)?.ok_or_else(|| Refusal::of(Kind::NotFound, no_volume(name)))
    }

    async fn told(&self, row: VolumeRow) -> VolumeInfo {
        let used = match self.backend() {
            Ok(backend) => backend.used(&row.id).await,
            Err(failure) => Err(failure),
        };
        VolumeInfo {
            name: row.name,
            size_bytes: row.size,
            used_bytes: used.unwrap_or_default(),
            created_at: rfc3339(time(row.created)),
        }
    }

    /// What cannot be removed now, the next server removes.
    async fn remove_image(&self, id: &str) {
        let removed = match self.backend() {
            Ok(backend) => backend.remove(id).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = removed {
            log::error("volume not removed", &[("volume", id), ("error", &failure.message)]);
        }
    }

    fn not_added(&self, why: Added, name: &str) -> Refusal {
        let failure = match why {
            Added::TooMuch => Failure::new(
                ErrorCode::ServerLimit,
                format!(
                    "there may be {MOST_VOLUMES} volumes of one key, of {} bytes together",
                    self.volume_bytes
                ),
            )
            .hint("delete one first"),
            Added::Yes | Added::NameIsTaken => Failure::new(
                ErrorCode::ConflictingOptions,
                format!("there is already a volume {name:?}"),
            )
            .detail("field", "name"),
        };
        Refusal::of(Kind::LimitReached, failure)
    }
}

fn internal(error: StoreError) -> Refusal {
    Refusal::of(Kind::Internal, error.into())
}
