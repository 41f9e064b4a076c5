//! Images that are built here from Dockerfiles. What a Dockerfile runs, it runs in the engine's
//! containers: whoever wrote it is trusted as far as the engine trusts them.

use std::fs::File;
use std::path::PathBuf;

use capsule_spec::Failure;

use crate::client::Client;
use crate::engine::Engine;

/// An engine, as far as it builds images.
pub struct Images {
    engine: Engine,
}

impl Images {
    /// Finds the engine at a socket.
    ///
    /// # Errors
    /// When nobody answers there.
    pub fn connect(socket: PathBuf) -> Result<Self, Failure> {
        Ok(Self { engine: Engine::connect(Client { socket })? })
    }

    /// Whether there is an image of this name.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn has(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.engine.image(name)?.is_some())
    }

    /// Builds an image from an archive of so many bytes, in which the Dockerfile is. `announce`
    /// hears each step.
    ///
    /// # Errors
    /// When the engine does not answer, or a step fails.
    pub fn build(
        &self,
        name: &str,
        dockerfile: &str,
        (context, length): (&File, u64),
        announce: &dyn Fn(&str),
    ) -> Result<(), Failure> {
        std::io::Seek::rewind(&mut &*context).map_err(|error| {
            let what = format!("what is built from cannot be read: {error}");
            Failure::new(capsule_spec::ErrorCode::SystemFailure, what)
        })?;
        self.engine.build(name, dockerfile, (context, length), announce)
    }

    /// Writes an image into a file, as an archive of at most `most` bytes.
    ///
    /// # Errors
    /// When the engine does not answer, or the image is larger.
    pub fn save(&self, name: &str, file: &File, most: u64) -> Result<(), Failure> {
        self.engine.save(name, file, most)
    }

    /// Removes an image, if it is there.
    ///
    /// # Errors
    /// When the engine does not answer, or uses it.
    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        self.engine.remove_image(name)
    }
}
