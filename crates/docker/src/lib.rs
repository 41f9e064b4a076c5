//! Sandboxes in containers of Docker.
//!
//! ```text
//!  Recipe ─▶ container (pure) ─▶ engine: image, create, start ─▶ PROGRAM as PID 1
//!                                   │ client: HTTP over the          │ from here on all is
//!                                   ▼ engine's Unix socket           ▼ as in a jail
//!                                 dockerd ─▶ runc, runsc        capsule_jail::resident
//! ```
//!
//! gVisor lets no socket in and no descriptor out. There the first process is a relay, and all
//! goes through its standard input and output, as the engine gives them to whoever attaches.
//!
//! A container here is nothing but walls round a resident PID 1 of Capsule's own, which is
//! bound into it. Nothing is ever started with `docker exec`: what that starts cannot be
//! ended, and nobody reaps it.
//!
//! Owns: what a recipe becomes as a container, and which containers are of which state
//! folder. Refuses to know: processes, files and streams of a sandbox.

mod attached;
mod client;
mod container;
mod engine;
mod errors;
mod images;
mod probe;
mod walls;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use capsule_jail::resident::{LEASE, Residents};
use capsule_spec::Failure;

pub use images::Images;
pub use probe::try_out;
pub use walls::Containers;

/// The argument that makes Capsule's program the first process of a container.
pub const ROLE: &str = "container-init";
/// The same where nothing but bytes gets out of a container.
pub const RELAY_ROLE: &str = "container-relay";
/// What such a one starts.
pub const RELAYED_ROLE: &str = "container-resident";

/// Becomes what the argument says, if it is one of these. Answers only when that fails.
pub fn become_part(role: &str) -> Option<std::io::Error> {
    match role {
        ROLE => Some(capsule_jail::resident::enclosed()),
        RELAY_ROLE => Some(capsule_jail::resident::relay(RELAYED_ROLE)),
        RELAYED_ROLE => Some(capsule_jail::resident::relayed()),
        _ => None,
    }
}

/// How to reach an engine, and what to ask of it.
#[derive(Clone)]
pub struct Settings {
    /// The engine's Unix socket.
    pub socket: PathBuf,
    /// The runtime, as the engine calls it: `runc`, `runsc`.
    pub runtime: String,
    /// A program that calls [`become_part`] when it has one argument. Static: it runs in any
    /// image.
    pub program: PathBuf,
    /// Hears how far the pull of an image is.
    pub announce: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Settings {
    /// The socket that the environment names (`DOCKER_HOST=unix://…`), or the usual one.
    pub fn usual_socket() -> PathBuf {
        let named = std::env::var("DOCKER_HOST").ok();
        let path = named.as_deref().and_then(|host| host.strip_prefix("unix://"));
        path.map_or_else(|| PathBuf::from("/var/run/docker.sock"), PathBuf::from)
    }
}

/// Sandboxes in containers, with their state in `folder`. To be called within a runtime of
/// tokio.
///
/// # Errors
/// When the engine cannot be reached or has no such runtime, or the folder cannot be used.
pub fn open(settings: Settings, folder: &Path) -> Result<Arc<Residents>, Failure> {
    let containers = Containers::new(settings, folder)?;
    Residents::within(Arc::new(containers), folder, LEASE)
}
