//! Volumes of jails: the contract, and how they come into one.

use std::sync::Arc;

use capsule_backend::guest::Pending;
use capsule_backend::sandbox::{Recipe, Volumes};
use capsule_spec::{ByteSize, ErrorCode, Failure, HostPath, Mount};

use super::{Residents, Shared, errors, state};
use crate::apply::PreparedMount;
use crate::plan::Plan;
use crate::supervisor::sources;
use crate::volume::Images;

impl Volumes for Residents {
    fn create<'a>(&'a self, name: &'a str, size: ByteSize) -> Pending<'a, Result<(), Failure>> {
        self.shared.ask_images(name, move |images, name| images.create(name, size))
    }

    fn used<'a>(&'a self, name: &'a str) -> Pending<'a, Result<u64, Failure>> {
        self.shared.ask_images(name, Images::used)
    }

    fn remove<'a>(&'a self, name: &'a str) -> Pending<'a, Result<(), Failure>> {
        self.shared.ask_images(name, Images::remove)
    }

    fn sweep<'a>(&'a self, keep: &'a [String]) -> Pending<'a, Result<usize, Failure>> {
        let (shared, keep) = (Arc::clone(&self.shared), keep.to_vec());
        Box::pin(async move {
            let work = tokio::task::spawn_blocking(move || shared.images.sweep(&keep));
            work.await.unwrap_or_else(|_| Err(errors::no_answer()))
        })
    }
}

impl Shared {
    /// Has something done with an image, on a thread that may wait.
    fn ask_images<T: Send + 'static>(
        self: &Arc<Self>,
        name: &str,
        what: impl FnOnce(&Images, &str) -> Result<T, Failure> + Send + 'static,
    ) -> Pending<'static, Result<T, Failure>> {
        let (shared, name) = (Arc::clone(self), name.to_owned());
        Box::pin(async move {
            if !state::is_name(&name) {
                return Err(Failure::new(ErrorCode::InvalidValue, "this is no name of a volume"));
            }
            let work = tokio::task::spawn_blocking(move || what(&shared.images, &name));
            work.await.unwrap_or_else(|_| Err(errors::no_answer()))
        })
    }
}

/// A recipe's volumes as mounts of its plan, which come after its files.
pub(super) fn mounts(recipe: &Recipe, images: &Images) -> Result<Vec<Mount>, Failure> {
    let mount = |one: &capsule_backend::sandbox::VolumeMount| {
        if !state::is_name(&one.volume) {
            return Err(Failure::new(ErrorCode::InvalidValue, "this is no name of a volume"));
        }
        let path = images.path(&one.volume);
        let source = path.to_str().and_then(|path| HostPath::new(path).ok());
        let source = source.ok_or_else(|| {
            Failure::new(ErrorCode::InvalidPath, "the path of the state folder is no text")
        })?;
        Ok(Mount { source, destination: one.destination.clone(), access: one.access })
    };
    recipe.volumes.iter().map(mount).collect()
}

/// Mounts the volumes of a plan, which are its last mounts.
pub(super) fn open(
    plan: &Plan,
    recipe: &Recipe,
    images: &Images,
) -> Result<Vec<PreparedMount>, Failure> {
    let first = plan.mounts.len() - recipe.volumes.len();
    let opened = plan.mounts[first..].iter().zip(&recipe.volumes).map(|(mount, volume)| {
        let tree = images.mount(&volume.volume)?;
        let adopted = sources::adopt(mount, tree, &plan.identity);
        adopted.map_err(|error| errors::system("map the owner of a volume", error))?.ok_or_else(
            || {
                let message = "a volume could not be given to the sandbox's user";
                Failure::new(ErrorCode::VolumesUnavailable, message)
                    .hint("the server must be root, on Linux 5.12 or later")
            },
        )
    });
    opened.collect()
}

/// A failure of a sandbox with volumes, without what it says of the host.
pub(super) fn misplaced(recipe: &Recipe, failure: Failure) -> Failure {
    if failure.code != ErrorCode::MountFailed || recipe.volumes.is_empty() {
        return failure;
    }
    let paths: Vec<String> = recipe.volumes.iter().map(|one| one.destination.to_string()).collect();
    let message = format!("a volume cannot be mounted at {}", paths.join(" or "));
    Failure::new(ErrorCode::MountFailed, message)
        .hint("below a directory of the template it must be there already; name a new one, /data")
}
