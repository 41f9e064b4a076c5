//! The programs of a run: the one that was named, and those that it may call.

use crate::project::Project;
use crate::workflow::Backends;

/// A program, and what runs its tasks.
pub struct Part {
    /// What `capsule.toml` calls it; empty if nothing.
    pub name: String,
    /// The program.
    pub project: Project,
    /// What runs its tasks.
    pub backends: Backends,
}

/// The programs of a run.
pub struct Parts {
    /// The one that was named.
    pub entry: Part,
    /// Those that it, and they, may call.
    pub others: Vec<Part>,
}

impl Parts {
    /// All of them, the one that was named first.
    pub fn iter(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.entry).chain(&self.others)
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        std::iter::once(&mut self.entry).chain(&mut self.others)
    }

    pub(crate) fn into_list(self) -> Vec<Part> {
        std::iter::once(self.entry).chain(self.others).collect()
    }
}
