//! A volume that a sandbox has.

use capsule_backend::sandbox::VolumeMount;
use capsule_spec::{Access, Failure, GuestPath};

use crate::request;

/// A volume of a sandbox, as the server remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// What the backend calls it.
    pub(crate) volume: String,
    /// What its owner calls it.
    pub(crate) name: String,
    /// Where it is inside.
    pub(crate) path: String,
    /// Whether the sandbox may write to it.
    pub(crate) access: Access,
}

impl Mounted {
    /// For the backend.
    pub(super) fn mount(&self) -> Result<VolumeMount, Failure> {
        let destination = GuestPath::mount_point(&self.path).map_err(|error| {
            Failure::new(capsule_spec::ErrorCode::InvalidPath, error.to_string())
        })?;
        Ok(VolumeMount { volume: self.volume.clone(), destination, access: self.access })
    }

    /// On the wire.
    pub(crate) fn told(&self) -> request::VolumeMount {
        let mode = match self.access {
            Access::ReadOnly => request::MountMode::Ro,
            Access::ReadWrite => request::MountMode::Rw,
        };
        request::VolumeMount { volume: self.name.clone(), path: self.path.clone(), mode }
    }
}
