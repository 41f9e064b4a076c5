//! A folder of a test's own, which every user can enter and none but the owner write.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// A folder of a test's own, removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    /// Without symbolic links: mount sources must have none.
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// A new, empty folder.
    ///
    /// # Panics
    /// When none can be made.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("capsule-test-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .expect("the temporary folder can be written");
        let path = folder.path().canonicalize().expect("it was just made");
        set_mode(&path, 0o755);
        Self { path, _folder: folder }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder, as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    pub fn text(&self) -> &str {
        self.path.to_str().expect("the temporary folder is UTF-8")
    }

    /// A path below the folder, as text.
    pub fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.text())
    }

    /// Makes a folder in it.
    ///
    /// # Panics
    /// When it cannot.
    pub fn directory(&self, name: &str) -> String {
        let path = self.path.join(name);
        fs::create_dir_all(&path).expect("the scratch folder can be written");
        set_mode(&path, 0o755);
        self.at(name)
    }

    /// Makes a folder in it that belongs to `user`.
    ///
    /// # Panics
    /// When it cannot.
    pub fn directory_of(&self, name: &str, user: u32) -> String {
        let path = self.directory(name);
        if user != crate::own_user() {
            chown(&path, Some(user), Some(user)).expect("the tests run as root");
        }
        path
    }

    /// Writes a file in it.
    ///
    /// # Panics
    /// When it cannot.
    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.path.join(name);
        fs::write(&path, contents).expect("the scratch folder can be written");
        set_mode(&path, 0o644);
        self.at(name)
    }

    /// Reads a file in it.
    ///
    /// # Panics
    /// When it cannot.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).expect("the file is there")
    }

    /// Writes a program in it.
    ///
    /// # Panics
    /// When it cannot.
    pub fn program(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.file(name, contents);
        set_mode(Path::new(&path), 0o755);
        path
    }
}

/// Whatever the mask of the caller is.
fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}
