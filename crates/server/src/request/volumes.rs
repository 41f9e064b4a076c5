//! Volumes: files that outlive sandboxes, and where sandboxes have them.

use std::path::Path;

use capsule_spec::{Access, ErrorCode, Failure, GuestPath};
use serde::{Deserialize, Serialize};

use super::check::{self, Checked, invalid};

/// Bytes of the smallest and the largest volume.
const SIZES: (u64, u64) = (16 << 20, 1 << 40);
/// Most volumes of one sandbox.
const MOST_MOUNTS: u64 = 8;
/// Longest place of one.
const LONGEST_PLACE: usize = 255;
/// What a volume can neither cover nor be below: the system's directories, whose programs
/// others than the guest rely on, and places that are each sandbox's own.
const RESERVED: [&str; 16] = [
    ".capsule",
    "bin",
    "boot",
    "dev",
    "etc",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "proc",
    "run",
    "sbin",
    "sys",
    "tmp",
    "usr",
    "workspace",
];

/// A volume to make.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateVolume {
    /// What it is called, by this caller: letters, digits, `-`, `_` and `.`, up to 64.
    pub name: String,
    /// The most that it can take, what its file system itself needs included; 16 MiB to 1 TiB.
    pub size_bytes: u64,
}

impl Checked for CreateVolume {
    fn check(&self) -> Result<(), Failure> {
        volume_name(&self.name)?;
        check::range("size_bytes", self.size_bytes, SIZES.0, SIZES.1)
    }
}

/// A volume that was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VolumeAnswer {
    /// All about it.
    pub volume: VolumeInfo,
}

/// A place for files that outlives sandboxes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VolumeInfo {
    /// Its name.
    pub name: String,
    /// The most that it can take.
    pub size_bytes: u64,
    /// What it takes of the server's disk.
    pub used_bytes: u64,
    /// RFC 3339, UTC.
    pub created_at: String,
}

/// Which volumes there are.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Volumes {}

impl Checked for Volumes {
    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// The caller's volumes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VolumesAnswer {
    /// Ordered by name.
    pub volumes: Vec<VolumeInfo>,
}

/// A volume to delete, with all that it holds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeleteVolume {
    /// Its name.
    pub name: String,
}

impl Checked for DeleteVolume {
    fn check(&self) -> Result<(), Failure> {
        known_name(&self.name)
    }
}

/// A volume in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VolumeMount {
    /// Its name.
    pub volume: String,
    /// Where it is inside: absolute, such as `/data`; not in the workspace.
    pub path: String,
    /// Whether the sandbox may write to it.
    #[serde(default)]
    pub mode: MountMode,
}

/// Whether a sandbox may write to a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum MountMode {
    /// It may only read.
    Ro,
    /// It may write.
    #[default]
    Rw,
}

impl From<MountMode> for Access {
    fn from(mode: MountMode) -> Self {
        match mode {
            MountMode::Ro => Self::ReadOnly,
            MountMode::Rw => Self::ReadWrite,
        }
    }
}

impl VolumeMount {
    /// Where it is inside.
    ///
    /// # Errors
    /// A path that is relative, reserved or too long.
    pub(crate) fn place(&self) -> Result<GuestPath, Failure> {
        let wrong = |message: String| {
            Failure::new(ErrorCode::InvalidPath, message)
                .detail("field", "volumes")
                .hint("a path of its own, such as /data")
        };
        let shown: String = self.path.chars().take(LONGEST_PLACE).collect();
        if self.path.len() > LONGEST_PLACE || self.path.chars().any(char::is_control) {
            return Err(wrong(format!(
                "the path {shown:?} is too long, or has control characters"
            )));
        }
        let path = GuestPath::mount_point(&self.path).map_err(|error| wrong(error.to_string()))?;
        let top = path.as_path().components().nth(1).and_then(|top| top.as_os_str().to_str());
        match top.is_some_and(|top| !RESERVED.contains(&top)) {
            true => Ok(path),
            false => Err(wrong(format!("a volume cannot be at {shown:?}, which is reserved"))),
        }
    }
}

/// Volumes of a sandbox: each with a place of its own.
pub(super) fn mounts(mounts: &[VolumeMount]) -> Result<(), Failure> {
    check::range("the number of volumes", mounts.len() as u64, 0, MOST_MOUNTS)?;
    let mut places: Vec<GuestPath> = Vec::new();
    for mount in mounts {
        known_name(&mount.volume)?;
        let place = mount.place()?;
        let meets =
            |other: &Path| other.starts_with(place.as_path()) || place.as_path().starts_with(other);
        if places.iter().any(|other| meets(other.as_path())) {
            let message = format!("two volumes would be at {place}");
            return Err(
                Failure::new(ErrorCode::ConflictingOptions, message).detail("field", "volumes")
            );
        }
        places.push(place);
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.len() <= 64
        && name.bytes().all(is_plain)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

fn volume_name(name: &str) -> Result<(), Failure> {
    match is_name(name) {
        true => Ok(()),
        false => Err(invalid("name", "this is no name for a volume")
            .hint("letters, digits, \"-\", \"_\" and \".\", at most 64")),
    }
}

/// A name that no volume can have is answered like one that none has.
fn known_name(name: &str) -> Result<(), Failure> {
    if is_name(name) { Ok(()) } else { Err(no_volume(name)) }
}

pub(crate) fn no_volume(name: &str) -> Failure {
    let shown: String = name.chars().take(64).collect();
    Failure::new(ErrorCode::VolumeNotFound, format!("there is no volume {shown:?}"))
        .hint("volume.v1.list lists them")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> VolumeMount {
        VolumeMount { volume: "v".into(), path: path.into(), mode: MountMode::Rw }
    }

    #[test]
    fn volumes_have_places_of_their_own() {
        for path in ["/data", "/mnt/a/b", "//data/.//x", "/workspaces", "/opt/x"] {
            assert!(mounts(&[at(path)]).is_ok(), "{path}");
        }
        let long = format!("/{}", "a".repeat(255));
        for path in [
            "",
            "/",
            "data",
            "/../data",
            "/data/../etc",
            "/etc",
            "/etc/ssl",
            "/usr/lib",
            "/proc/1",
            "/dev/shm/a",
            "/workspace",
            "//workspace/data",
            "/./tmp/x",
            "/run",
            "/.capsule/init",
            "/a\nb",
            "/a\0b",
            long.as_str(),
        ] {
            assert_eq!(mounts(&[at(path)]).unwrap_err().code, ErrorCode::InvalidPath, "{path:?}");
        }
        for pair in [["/a", "/a"], ["/a", "/a/b"], ["/a/b/c", "/a//b"]] {
            let refused = mounts(&pair.map(at)).unwrap_err();
            assert_eq!(refused.code, ErrorCode::ConflictingOptions, "{pair:?}");
        }
        assert!(mounts(&[at("/a/b"), at("/a/bc"), at("/a/c")]).is_ok());
        let many: Vec<_> = (0..9).map(|number| at(&format!("/v{number}"))).collect();
        assert_eq!(mounts(&many).unwrap_err().code, ErrorCode::InvalidValue);
    }

    #[test]
    fn names_are_plain() {
        for name in ["a", "my-data_1.x", "0"] {
            assert!(volume_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "../a", "-a", "a/b", "a\n", "ä", &"a".repeat(65)] {
            assert_eq!(volume_name(name).unwrap_err().code, ErrorCode::InvalidValue, "{name:?}");
            assert_eq!(known_name(name).unwrap_err().code, ErrorCode::VolumeNotFound, "{name:?}");
        }
    }
}
