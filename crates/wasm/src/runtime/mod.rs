//! From a guest that the binary carries to one that is ready to be instantiated.

mod cache;
mod engine;
mod prepare;
mod strip;
mod sys;

pub use cache::{Cache, Entry};
pub(crate) use engine::{FUEL_SLICE, Threads, compiler, runner};
pub(crate) use prepare::compatibility;
pub use prepare::{PrepareError, Prepared, Progress, Stage};
pub use strip::StripError;
pub(crate) use sys::{load, load_module, take};

use std::path::Path;

/// A guest language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// CPython.
    Python,
    /// SpiderMonkey.
    JavaScript,
}

impl Language {
    /// How it is called in keys and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::JavaScript => "javascript",
        }
    }

    /// The packed guest and its hash.
    fn carried(self) -> (&'static [u8], &'static str) {
        match self {
            Self::Python => include!(concat!(env!("OUT_DIR"), "/python.wasm.rs")),
            Self::JavaScript => include!(concat!(env!("OUT_DIR"), "/javascript.wasm.rs")),
        }
    }

    /// Makes the guest ready, or finds it ready in `cache`.
    ///
    /// # Errors
    /// [`PrepareError`] when the binary carries no guest or the cache cannot be used.
    pub fn prepare(self, cache: &Path, progress: &dyn Progress) -> Result<Prepared, PrepareError> {
        prepare::prepare(self, cache, progress)
    }
}
