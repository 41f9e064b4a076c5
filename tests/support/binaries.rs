//! Where the binaries under test are.

use std::env;
use std::path::PathBuf;

/// A binary that ships.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binary {
    /// `capsule-run`
    #[default]
    CapsuleRun,
    /// `capsule`
    Capsule,
}

impl Binary {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CapsuleRun => "capsule-run",
            Self::Capsule => "capsule",
        }
    }
}

/// The path of a binary: what the environment names (`CAPSULE_RUN_BIN`,
/// `CAPSULE_BIN`), else what was built beside the tests.
///
/// # Panics
/// When it was not built: nothing can be tested then, and a skip would hide it.
pub fn path_of(binary: Binary) -> PathBuf {
    let variable = match binary {
        Binary::CapsuleRun => "CAPSULE_RUN_BIN",
        Binary::Capsule => "CAPSULE_BIN",
    };
    if let Some(path) = env::var_os(variable) {
        return path.into();
    }
    let test = env::current_exe().expect("a running program has a path");
    let beside = test.ancestors().nth(2).expect("tests are in target/PROFILE/deps");
    let path = beside.join(binary.name());
    assert!(
        path.exists(),
        "{} is not built\nhint: make build, or cargo build --workspace, or set {variable}",
        path.display()
    );
    path
}
