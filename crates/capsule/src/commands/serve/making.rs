//! Makes templates ready with this host's jails or engine.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use capsule_server::roots::{Cache, InUse, Progress, State, Workshop};
use capsule_server::{PackageIndexes, Template};
use capsule_spec::Failure;

use crate::wire;

/// Where templates are made ready, and by whom.
pub(crate) struct Place<'a> {
    pub(crate) kind: &'a wire::Kind,
    /// The engine's that builds Dockerfiles.
    pub(crate) socket: PathBuf,
    pub(crate) data: &'a Path,
}

impl Place<'_> {
    /// Makes what is missing. What is there is not removed while the answer lives.
    pub(crate) async fn make(
        &self,
        templates: &mut [Template],
        indexes: &PackageIndexes,
        progress: &dyn Progress,
    ) -> Result<Option<InUse>, Failure> {
        if !templates.iter().any(|template| template.origin.is_made()) {
            return Ok(None);
        }
        let cache = Cache::open(self.data)?;
        let held = cache.hold()?;
        self.with(cache, indexes, progress, async |workshop| {
            for template in templates {
                workshop.prepare(template).await?;
            }
            Ok(Some(held))
        })
        .await
    }

    /// Whether anything of a template is missing.
    pub(crate) async fn state(
        &self,
        template: &Template,
        indexes: &PackageIndexes,
        progress: &dyn Progress,
    ) -> Result<State, Failure> {
        if !template.origin.is_made() {
            return Ok(State::Ready);
        }
        if !Cache::is_there(self.data) {
            return Ok(State::Missing);
        }
        let cache = Cache::open(self.data)?;
        self.with(cache, indexes, progress, async |workshop| workshop.state(template).await).await
    }

    async fn with<T>(
        &self,
        cache: Cache,
        indexes: &PackageIndexes,
        progress: &dyn Progress,
        what: impl AsyncFnOnce(&Workshop<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let engine = || wire::image_builder(self.socket.clone());
        // Its folder is one's at a time.
        let opened = OnceCell::new();
        let sandboxes = |folder: &Path| match opened.get() {
            Some(opened) => Ok(Arc::clone(opened)),
            None => {
                let found = wire::workplace(self.kind, folder)?;
                Ok(Arc::clone(opened.get_or_init(|| found)))
            }
        };
        let workshop = Workshop {
            cache,
            progress,
            engine: &engine,
            sandboxes: &sandboxes,
            takes_images: matches!(self.kind, wire::Kind::Docker(_)),
            indexes,
        };
        what(&workshop).await
    }
}
