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

use std::io;
use std::os::unix::net::UnixStream;
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

    /// Whether these walls let no socket in and no descriptor out, so that all there is to a
    /// sandbox is a stream of bytes: then PID 1 is [`super::relay`], and never
    /// [`super::enclosed`].
    fn are_distant(&self) -> bool {
        false
    }

    /// Builds walls round a process that runs [`super::enclosed`] as its PID 1, as a user
    /// that is not root, with `entrance`, a socket, at [`ENTRANCE`]. Distant ones are given no
    /// entrance, and run [`super::relay`] as root with nothing but what it takes to be the two
    /// other users.
    ///
    /// # Errors
    /// When it cannot; what is left of it then is removed by [`Walls::remove`].
    fn build(
        &self,
        name: &str,
        recipe: &Recipe,
        entrance: Option<&Path>,
    ) -> Result<Enclosure, Failure>;

    /// Takes hold of the standard input and output of a distant PID 1; none if it is not there
    /// any more.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn attach(&self, name: &str) -> Result<Option<Wire>, Failure> {
        let _ = name;
        Ok(None)
    }

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

/// What is taken out of its wrapping: what came, and where what was in it goes.
pub type Unwrap = Box<dyn FnMut(&[u8], &mut Vec<u8>) -> io::Result<()> + Send>;

/// The stream of bytes to a distant PID 1.
pub struct Wire {
    /// What is written here comes in as it is.
    pub stream: UnixStream,
    /// What is read there is wrapped.
    pub unwrap: Unwrap,
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
