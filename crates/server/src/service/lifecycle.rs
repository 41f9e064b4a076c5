//! Sandboxes as a whole.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use capsule_backend::sandbox::Root;
use capsule_spec::{ErrorCode, Failure};

use super::{Caller, Service};
use crate::live::{Fill, Live, Mounted, Order, lock};
use crate::model::{Event, State, rfc3339};
use crate::request::{
    Create, Created, Done, Extend, List, ListAnswer, NetworkPolicy, OnExpiry, PoolAnswer,
    ResourceLimits, SandboxAnswer, TemplateAnswer, TemplatesAnswer,
};
use crate::roots::Files;
use crate::rpc::{Kind, Refusal};

/// How long a caller waits for the removal of a sandbox; it goes on after that.
const REMOVAL: Duration = Duration::from_secs(30);

impl Service {
    pub(super) async fn create(&self, caller: &Caller, create: Create) -> Result<Created, Refusal> {
        let fill = match &create.snapshot {
            Some(snapshot) => Some(self.filling(caller, snapshot).await?),
            None => None,
        };
        self.create_filled(caller, create, fill, "").await
    }

    /// Creates a sandbox that begins with files; `from` says whose, to tell requests with one
    /// key apart.
    pub(super) async fn create_filled(
        &self,
        caller: &Caller,
        create: Create,
        fill: Option<Fill>,
        from: &str,
    ) -> Result<Created, Refusal> {
        let request = format!(
            "{} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {from:?}",
            create.template,
            create.idle_ms,
            create.env,
            create.labels,
            create.metadata,
            create.limits,
            create.network,
            create.snapshot,
            create.on_expiry,
            create.volumes
        );
        let _volumes = match create.volumes.is_empty() {
            true => None,
            false => Some(self.volumes.read().await),
        };
        let volumes = self.mounted(caller, &create.volumes).await?;
        let network = create.network.map(|policy| self.allowed(&policy)).transpose()?;
        let order = Order {
            owner: Arc::clone(&caller.owner),
            template: create.template,
            life: Duration::from_millis(create.ttl_ms),
            idle: create.idle_ms.map(Duration::from_millis),
            environment: create.env,
            labels: create.labels,
            metadata: create.metadata,
            key: create.key,
            limits: create.limits,
            network,
            on_expiry: create.on_expiry,
            volumes,
            fill,
            // Environments hold secrets; what is compared need not be readable.
            request: blake3::hash(request.as_bytes()).to_hex().to_string(),
        };
        let live = self
            .registry
            .create(order)
            .await
            .map_err(|failure| Refusal::of(Kind::CreateFailed, failure))?;
        Ok(Created {
            id: live.id.clone(),
            template: live.template.name.clone(),
            created_at: rfc3339(live.created),
            expires_at: rfc3339(live.expires()),
            weaker: live.made().map(|sandbox| sandbox.weaker()).unwrap_or_default(),
        })
    }

    pub(super) async fn delete(&self, caller: &Caller, id: &str) -> Result<Done, Refusal> {
        let live = self.find(caller, id)?;
        live.change(Event::Delete);
        let mut states = live.watch();
        let gone = states.wait_for(|state| *state == State::Gone);
        if tokio::time::timeout(REMOVAL, gone).await.is_ok() {
            if live.on_expiry == OnExpiry::Pause {
                self.forget_files(&live).await;
            }
            return Ok(Done::OK);
        }
        let failure = live.failure().unwrap_or_else(|| {
            Failure::new(ErrorCode::SystemFailure, "the sandbox could not be removed in time")
        });
        Err(Refusal::of(Kind::DeleteFailed, failure.hint("the server goes on trying")))
    }

    pub(super) fn list(&self, caller: &Caller, list: &List) -> ListAnswer {
        let mut found = self.registry.of(&caller.owner, list.after.as_deref());
        found.retain(|live| {
            let has = |(name, value): (&String, &String)| live.labels.get(name) == Some(value);
            list.labels.iter().all(has)
        });
        let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
        let more = found.len() > limit;
        ListAnswer {
            sandboxes: found.iter().take(limit).map(|live| describe(live)).collect(),
            more,
        }
    }

    pub(super) fn get(&self, caller: &Caller, id: &str) -> Result<SandboxAnswer, Refusal> {
        self.find(caller, id).map(|live| describe(&live))
    }

    pub(super) async fn extend(
        &self,
        caller: &Caller,
        extend: &Extend,
    ) -> Result<SandboxAnswer, Refusal> {
        let live = self.find(caller, &extend.id)?;
        if !live.state().lives() {
            return Err(Refusal::of(Kind::WrongState, crate::live::ended()));
        }
        let idle = extend.idle_ms.map(Duration::from_millis);
        live.extend(Duration::from_millis(extend.ttl_ms), idle);
        self.remember(&live).await?;
        Ok(describe(&live))
    }

    pub(super) async fn freeze(
        &self,
        caller: &Caller,
        id: &str,
        frozen: bool,
    ) -> Result<SandboxAnswer, Refusal> {
        let live = self.find(caller, id)?;
        let _turn = live.turn.lock().await;
        let event = if frozen { Event::Pause } else { Event::Resume };
        if live.state().after(event).is_none() {
            let state = live.state().name();
            let message = format!("the sandbox is {state}");
            return Err(Refusal::new(Kind::WrongState, ErrorCode::WrongState, message));
        }
        let used = live.hold();
        let failed = |failure| Refusal::of(Kind::ExecFailed, failure);
        used.sandbox().map_err(failed)?.freeze(frozen).await.map_err(failed)?;
        if !frozen && live.network_unsure.swap(false, Ordering::SeqCst) {
            let network = lock(&live.network).clone();
            self.change_network(&used, &network).await?;
        }
        live.change(event);
        if !frozen {
            live.take_up();
        }
        self.remember(&live).await?;
        if !frozen && live.on_expiry == OnExpiry::Pause {
            // What was kept of it, if its time was over, is in it again.
            self.forget_files(&live).await;
        }
        Ok(describe(&live))
    }

    /// Keeps what changed for the next server.
    pub(super) async fn remember(&self, live: &Live) -> Result<(), Refusal> {
        let row = live.row();
        let environment = row.environment;
        let failed = |error: crate::store::StoreError| Refusal::of(Kind::Internal, error.into());
        let kept = self.store.update(row.id, row.expires, row.idle, row.paused, environment).await;
        kept.map_err(failed)?;
        match live.expiry_row() {
            Some(row) => self.store.set_expiry(live.id.clone(), row).await.map_err(failed),
            None => Ok(()),
        }
    }

    pub(super) fn templates(&self) -> TemplatesAnswer {
        let pools = self.registry.pools();
        let describe = |template: &Arc<crate::live::Template>| {
            let pool = pools.iter().find(|pool| pool.templates.contains(&template.name));
            let limits = &template.recipe.limits;
            TemplateAnswer {
                name: template.name.clone(),
                language: template.language,
                description: template.description.clone(),
                // Where on the host is nobody's business who asks.
                root: match (&template.origin.files, &template.recipe.root) {
                    (Some(Files::Dockerfile(_)), _) => "dockerfile",
                    (Some(Files::Archive(_) | Files::Layout(_)), _) => "archive",
                    (None, Root::Host) => "host",
                    (None, Root::Directory(_)) => "directory",
                    (None, Root::Image(_)) => "image",
                },
                backend: self.registry.backend.name(),
                network: NetworkPolicy::of(&template.recipe.policy.network),
                on_expiry: template.on_expiry,
                limits: ResourceLimits {
                    memory_bytes: Some(limits.memory.bytes()),
                    disk_bytes: Some(limits.disk.bytes()),
                    max_pids: Some(limits.max_pids),
                    cpu_shares: Some(limits.cpu_shares),
                },
                pool: PoolAnswer {
                    size: pool.map_or(0, |pool| pool.size),
                    ready: pool.map_or(0, |pool| pool.ready),
                },
            }
        };
        TemplatesAnswer { templates: self.registry.templates().map(describe).collect() }
    }
}

pub(super) fn describe(live: &Live) -> SandboxAnswer {
    SandboxAnswer {
        id: live.id.clone(),
        template: live.template.name.clone(),
        state: live.state().name().to_owned(),
        created_at: rfc3339(live.created),
        expires_at: rfc3339(live.expires()),
        idle_ms: live.idle().map(|idle| u64::try_from(idle.as_millis()).unwrap_or(u64::MAX)),
        labels: live.labels.clone(),
        metadata: live.metadata.clone(),
        processes: live.running(),
        network: NetworkPolicy::of(&lock(&live.network)),
        on_expiry: live.on_expiry,
        volumes: live.volumes.iter().map(Mounted::told).collect(),
        weaker: live.made().map(|sandbox| sandbox.weaker()).unwrap_or_default(),
    }
}
