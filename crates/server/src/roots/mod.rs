//! Files of templates: made ready once, from whatever a template names.
//!
//! ```text
//!  archive ─────────────────────┐
//!  image layout, docker save ───┼─▶ layers ─▶ unpack ─┐
//!  Dockerfile ─▶ engine ─▶ save ┘                     ├─▶ cache ─▶ Template: root, mounts,
//!  pip, npm ─▶ a sandbox ─▶ walk ─────────────────────┘                    variables
//! ```
//!
//! Owns: what is read, how it is bounded, and where it lies. Refuses to know: who builds images
//! and sandboxes; an engine and a backend are traits to it.

mod cache;
mod context;
mod error;
mod image;
mod install;
mod layout;
mod stream;
#[cfg(test)]
mod tests;
mod unpack;
mod workshop;

use std::fs::File;
use std::path::PathBuf;

use capsule_spec::Failure;

use crate::request::Manager;

pub use cache::{Cache, InUse};
pub use unpack::Bounds;
pub use workshop::{OpenSandboxes, State, Workshop};

/// Where the files of a template come from, beside what its recipe says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// What its root is made from. None: the recipe's root is there as it is.
    pub files: Option<Files>,
    /// Packages that its sandboxes have.
    pub packages: Packages,
    /// The most that is unpacked of it.
    pub bounds: Bounds,
    /// Whether what is made of all this stands in the recipe.
    ready: bool,
}

impl Origin {
    /// Whether anything has to be made before a sandbox can be.
    pub fn is_made(&self) -> bool {
        self.files.is_some() || !self.packages.is_empty()
    }

    /// Whether sandboxes can be made: without what is missing they would have other files.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready || !self.is_made()
    }
}

/// What a root is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// An archive: of a root's files, or of an image.
    Archive(PathBuf),
    /// A folder with an image.
    Layout(PathBuf),
    /// A recipe for an engine.
    Dockerfile(PathBuf),
}

/// Packages of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packages {
    /// Of Python.
    pub pip: Vec<String>,
    /// Of Node.
    pub npm: Vec<String>,
}

impl Packages {
    fn is_empty(&self) -> bool {
        self.pip.is_empty() && self.npm.is_empty()
    }

    fn of(&self, manager: Manager) -> &[String] {
        match manager {
            Manager::Pip => &self.pip,
            Manager::Npm => &self.npm,
        }
    }
}

/// Hears how far things are.
pub trait Progress: Send + Sync {
    /// Something began, or is done.
    fn say(&self, text: &str);

    /// So many bytes of it are done. Often: most of it is not worth showing.
    fn at(&self, bytes: u64);
}

/// What builds images from Dockerfiles. Its methods wait.
pub trait Engine {
    /// Whether it has an image of this name.
    ///
    /// # Errors
    /// When it does not answer.
    fn has(&self, image: &str) -> Result<bool, Failure>;

    /// Builds an image. `context` is an archive: a file, and how many bytes of it from its
    /// beginning; `dockerfile` is the path of a file in it.
    ///
    /// # Errors
    /// When it does not answer, or a step fails.
    fn build(
        &self,
        image: &str,
        dockerfile: &str,
        context: (&File, u64),
        progress: &dyn Progress,
    ) -> Result<(), Failure>;

    /// Writes an image into a file, as an archive of at most `most` bytes.
    ///
    /// # Errors
    /// When it does not answer, or the image is larger.
    fn save(&self, image: &str, file: &File, most: u64) -> Result<(), Failure>;

    /// Removes an image.
    ///
    /// # Errors
    /// When it does not answer.
    fn remove(&self, image: &str) -> Result<(), Failure>;
}
