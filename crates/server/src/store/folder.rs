//! The data folder: nobody else's, and one server's at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::StoreError;

/// A data folder that is ours as long as this lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes the folder, and makes it if it is not there.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        make(path)?;
        let failed = |source| StoreError::Folder { path: path.display().to_string(), source };
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(path.join("lock")).map_err(failed)?;
        // The kernel lets go of it with the last descriptor, however the server ends. Files
        // are opened with O_CLOEXEC, so no sandbox inherits it.
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(StoreError::InUse { path: path.display().to_string() })
            }
            Err(errno) => Err(failed(errno.into())),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes the folder, if it is not there, and looks at whose it is.
pub(crate) fn make(path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Folder { path: path.display().to_string(), source };
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(failed)?;
    let found = std::fs::symlink_metadata(path).map_err(failed)?;
    if !found.is_dir() {
        return Err(failed(io::Error::from(io::ErrorKind::NotADirectory)));
    }
    let own = rustix::process::geteuid().as_raw();
    if found.uid() != own || found.mode() & 0o077 != 0 {
        return Err(StoreError::Shared { path: path.display().to_string() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_has_one_server_and_no_other_writer() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/data");
        let held = Folder::take(&path).unwrap();
        assert_eq!(held.path().metadata().unwrap().mode() & 0o777, 0o700);
        assert!(matches!(Folder::take(&path), Err(StoreError::InUse { .. })));
        drop(held);
        Folder::take(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(Folder::take(&path), Err(StoreError::Shared { .. })));
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(parent.path().join("a"), &link).unwrap();
        assert!(Folder::take(&link).is_err());
    }
}
