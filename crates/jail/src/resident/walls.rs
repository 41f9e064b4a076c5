//! Walls that somebody else builds round a resident PID 1: those of a container.
//!
//! ```text
//!  server                                              container
//!  bind NAME.sock, open NAME.entrance
//!  Walls::build ── engine ── starts PROGRAM as PID 1 ─▶ connects to ENTRANCE (enclosed.rs)
//!  Entrance::admit ── order, NAME.sock ───────────────▶ takes the socket over
//!                  ◀── Ready ────────────────────────── listens on it, as in a jail
//! ```
//!
//! So a container's PID 1 is a jail's PID 1: processes, streams, files, doors and what
//! happens when a server dies are the same code in both. Only the walls differ.

use std::path::Path;

use capsule_backend::Capabilities;
use capsule_backend::sandbox::Recipe;
use capsule_spec::{Failure, WallStatus};

/// Where the entrance is inside, a socket.
pub const ENTRANCE: &str = "/.capsule/entrance";
/// Processes of PID 1's own, beside the sandbox's: room for them must be in its limit.
pub const OWN_PROCESSES: u32 = super::build::OUR_PROCESSES;
/// Descriptors that PID 1 needs. What it starts gets the recipe's limit.
pub const OWN_FILES: u64 = super::build::OUR_FILES;

/// Who builds walls. Every call may wait for another program, and is made on a thread that
/// may.
pub trait Walls: Send + Sync + 'static {
    /// What the host allows, found out by trying.
    fn capabilities(&self) -> Capabilities;

    /// Builds walls round a process that runs [`super::enclosed`] as its PID 1, as a user
    /// that is not root, with `entrance`, a socket, at [`ENTRANCE`].
    ///
    /// # Errors
    /// When it cannot; what is left of it then is removed by [`Walls::remove`].
    fn build(&self, name: &str, recipe: &Recipe, entrance: &Path) -> Result<Enclosure, Failure>;

    /// Stops all processes, PID 1 too, or lets them go on.
    ///
    /// # Errors
    /// When it cannot.
    fn freeze(&self, name: &str, frozen: bool) -> Result<(), Failure>;

    /// Ends all processes and removes every trace. Says whether there was any.
    ///
    /// # Errors
    /// When something could not be removed.
    fn remove(&self, name: &str) -> Result<bool, Failure>;

    /// Those of this state folder.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn names(&self) -> Result<Vec<String>, Failure>;
}

/// What was built.
#[derive(Clone, Debug)]
pub struct Enclosure {
    /// The host's number of PID 1.
    pub pid: i32,
    /// The host's number of its user.
    pub user: u32,
    /// `NAME=VALUE`, for every program.
    pub environment: Vec<String>,
    /// Walls that stand less than fully.
    pub weaker: Vec<WallStatus>,
}
