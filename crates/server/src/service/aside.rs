//! Files of sandboxes whose time is over, kept as snapshots under the sandbox's own id.

use std::sync::Arc;

use capsule_spec::{ErrorCode, Failure};

use super::Service;
use super::snapshots::Naming;
use crate::live::{Aside, InUse, Live};
use crate::log;

impl Service {
    /// What keeps them, for the keeper of each sandbox.
    pub(crate) fn aside(self: &Arc<Self>) -> Aside {
        let service = Arc::downgrade(self);
        Box::new(move |used| {
            let service = service.upgrade();
            Box::pin(async move {
                match service {
                    Some(service) => service.keep_files(used).await,
                    None => Err(Failure::new(ErrorCode::StoreFailed, "the server stops")),
                }
            })
        })
    }

    /// In place of what was kept of it before.
    async fn keep_files(&self, used: InUse) -> Result<(), Failure> {
        let live = Arc::clone(used.live());
        self.forget_files(&live).await;
        let most = self.snapshot_room(&live.owner).await.map_err(|refusal| refusal.failure)?;
        let packed = self.pack_into(used, most).await?;
        let naming = Naming { id: live.id.clone(), name: None, labels: live.labels.clone() };
        self.keep(&live, packed, naming).await.map(drop).map_err(|refusal| refusal.failure)
    }

    /// They are in the sandbox again, or nobody wants them.
    pub(super) async fn forget_files(&self, live: &Live) {
        let (owner, id) = (live.owner.to_string(), live.id.clone());
        let found = match self.store.snapshot(owner.clone(), id.clone()).await {
            Ok(None) => return,
            Ok(Some(row)) => self.store.remove_snapshot(owner, id).await.map(|_| row),
            Err(error) => Err(error),
        };
        match found {
            Ok(row) => self.contents.forget(&self.store, &row.content).await,
            Err(error) => {
                let facts = [("sandbox", live.id.as_str()), ("error", &error.to_string())];
                log::error("kept files not forgotten", &facts);
            }
        }
    }
}
