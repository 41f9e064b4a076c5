//! A program of tasks, in a folder of its own.

use std::env;
use std::path::PathBuf;

use crate::{Binary, Finished, Run, Scratch};

/// A program in a folder of its own.
#[derive(Debug)]
pub struct Program {
    folder: Scratch,
}

impl Program {
    /// One whose `main.py` holds this.
    pub fn new(main: &str) -> Self {
        Self { folder: Scratch::new() }.with("main.py", main)
    }

    /// One more file, or another text of the same.
    #[must_use]
    pub fn with(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        self.write(name, text);
        self
    }

    /// Writes a file.
    ///
    /// # Panics
    /// When it cannot.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        if let Some((folder, _)) = name.rsplit_once('/') {
            self.folder.directory(folder);
        }
        self.folder.file(name, text);
    }

    /// The folder.
    pub fn folder(&self) -> &Scratch {
        &self.folder
    }

    /// `capsule run ARGUMENTS` in the folder, the runtime ready.
    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::new(&[&["run"][..], arguments].concat())
            .binary(Binary::Capsule)
            .directory(self.folder.path())
            .variable("CAPSULE_CACHE", &cache())
    }

    /// `capsule run --json main.py ARGUMENTS`, to its end.
    ///
    /// # Panics
    /// When it hangs, or leaves something behind.
    #[track_caller]
    pub fn answer(&self, arguments: &[&str]) -> Finished {
        self.run(&[&["--json", "main.py"][..], arguments].concat()).finish()
    }
}

/// The cache of whoever runs the tests: a runtime is made ready once for all of them.
///
/// # Panics
/// When its path is not UTF-8.
pub fn cache() -> String {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("CAPSULE_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("capsule")))
        .or_else(|| Some(set("HOME")?.join(".cache/capsule")))
        .unwrap_or_else(|| env::temp_dir().join("capsule-tests-cache"));
    folder.into_os_string().into_string().expect("the cache's path is UTF-8")
}
