//! Paths as values: absolute, without `.` and `..`, without NUL.
//!
//! Normal form is by component, so `//root` is `/root` and `/homepage` is not
//! below `/home`. Nothing here looks at a file system.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Why a text is not a usable path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path does not start with `/`.
    #[error("{path:?} is not an absolute path")]
    Relative {
        /// What was given.
        path: String,
    },
    /// The path holds `..`.
    #[error("{path:?} holds \"..\"")]
    Parent {
        /// What was given.
        path: String,
    },
    /// The path holds a NUL byte, or is longer than the kernel accepts.
    #[error("{path:?} holds a NUL byte or is longer than 4095 bytes")]
    Malformed {
        /// What was given.
        path: String,
    },
    /// The place belongs to the jail.
    #[error("{path:?} is reserved inside the jail")]
    Reserved {
        /// What was given.
        path: String,
    },
}

fn normalise(text: &str) -> Result<PathBuf, PathError> {
    let path = || text.to_owned();
    if text.contains('\0') || text.len() > 4095 {
        return Err(PathError::Malformed { path: path() });
    }
    if !text.starts_with('/') {
        return Err(PathError::Relative { path: path() });
    }
    let mut normal = PathBuf::from("/");
    for component in Path::new(text).components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => return Err(PathError::Parent { path: path() }),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(normal)
}

/// A path on the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostPath(PathBuf);

impl HostPath {
    /// Takes an absolute path.
    ///
    /// # Errors
    /// [`PathError`] for relative paths, `..`, NUL bytes and overlong paths.
    pub fn new(text: &str) -> Result<Self, PathError> {
        normalise(text).map(Self)
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// A path inside the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GuestPath(PathBuf);

impl GuestPath {
    /// Takes an absolute path.
    ///
    /// # Errors
    /// [`PathError`] for relative paths, `..`, NUL bytes and overlong paths.
    pub fn new(text: &str) -> Result<Self, PathError> {
        normalise(text).map(Self)
    }

    /// Takes a place to mount something at: not `/`, and not below what the jail owns.
    ///
    /// # Errors
    /// As [`GuestPath::new`], and [`PathError::Reserved`].
    pub fn mount_point(text: &str) -> Result<Self, PathError> {
        let path = Self::new(text)?;
        let reserved = path.0.parent().is_none()
            || ["/proc", "/dev", "/sys"].iter().any(|reserved| path.0.starts_with(reserved));
        if reserved { Err(PathError::Reserved { path: text.to_owned() }) } else { Ok(path) }
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_compare_by_component() {
        assert_eq!(HostPath::new("//root/./x/").map(|p| p.to_string()), Ok("/root/x".to_owned()));
        assert!(GuestPath::mount_point("/processes").is_ok());
        for reserved in ["/", "//", "/proc", "/proc/1", "//dev/shm", "/sys/fs"] {
            assert!(matches!(GuestPath::mount_point(reserved), Err(PathError::Reserved { .. })));
        }
        for bad in ["", "x", "./x", "~", "/a/../b", "/..", "/a\0b"] {
            assert!(GuestPath::new(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
