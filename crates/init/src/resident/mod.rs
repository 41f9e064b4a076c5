//! PID 1 of a sandbox that lives on: starts what its server asks for, reaps, reports.
//!
//! ```text
//!  server ── one connection, datagrams of a fixed layout (wire.rs) ──▶ PID 1 (life.rs)
//!                                                                        │ shares its memory with
//!             ┌──────────────────────────┬───────────────────────────────┤
//!             ▼                          ▼                               ▼
//!        keeper (keeper.rs)         keeper                          worker (files.rs)
//!        subreaper                     │                            one look-up or change of
//!             │ start.rs               ▼                            files, answers, ends
//!             ▼                     a program
//!        a program, and all that it starts, until the program itself ends;
//!        what it leaves behind then becomes PID 1's
//! ```
//!
//! Owns: the processes of the sandbox, and the ends of their streams, so that a server
//! which was killed finds them again. Refuses to know: how the jail was built, what the
//! system call filters say.
//!
//! Everything here allocates nothing, takes no lock and never panics; it does not use the
//! C library's errno, which is one for all who share this memory.

mod files;
mod keeper;
mod life;
mod parents;
mod remove;
mod requests;
mod shed;
mod start;
mod sys;
mod table;
pub mod wire;

use std::io;
use std::os::fd::RawFd;
use std::sync::OnceLock;

use table::Table;

/// What a resident PID 1 is given when its jail is built.
#[derive(Clone, Copy)]
pub struct Settings {
    /// Where servers come from.
    pub entrance: Entrance,
    /// Where [`crate::Report::Ready`] goes.
    pub control: RawFd,
    /// How long it lives without a server, in nanoseconds.
    pub lease: u64,
    /// RLIMIT_NOFILE of what is started.
    pub open_files: u64,
    /// The user that programs become, if it is another one than that of this process; see
    /// [`act_for`].
    pub user: Option<u32>,
    /// Confines PID 1 and with it all that it starts.
    pub seal: fn() -> io::Result<()>,
    /// Runs in each process that is started, last before execve(2).
    pub confine: fn() -> io::Result<()>,
}

/// Where servers come from.
#[derive(Clone, Copy)]
pub enum Entrance {
    /// A socket that is bound, not listening yet: who listens is who the other side sees as its
    /// peer.
    Listener(RawFd),
    /// The only server there will ever be. When it has gone, this process ends.
    Connection(RawFd),
}

/// Makes this process one that does what `user` could do, and is none that `user` could signal,
/// trace or look into: the effective user is that one, the real and the saved one stay root. It
/// is then without any capability, and can become `user` for good without one.
///
/// For kernels that do not protect the first process of a PID namespace from its guests.
///
/// # Errors
/// When this process may not.
pub fn act_for(user: u32) -> io::Result<()> {
    sys::act_for(user).map_err(io::Error::from_raw_os_error)
}

/// What keepers and workers find in the memory that they share.
struct Shared {
    table: &'static Table,
    open_files: u64,
    user: Option<u32>,
    confine: fn() -> io::Result<()>,
    /// Device and inode of the program that PID 1 runs, the server's.
    own_program: [u64; 2],
}

/// Set once, in the process that became a PID 1; never in the server.
static SHARED: OnceLock<Shared> = OnceLock::new();

fn shared() -> Option<&'static Shared> {
    SHARED.get()
}

/// Lives until its lease is over or it is killed; all other processes of the sandbox end
/// with it.
///
/// Gives up every mapping of this process but its program and this stack: nothing that
/// the caller has on a heap may be used afterwards.
pub fn run(settings: Settings) -> ! {
    life::live(settings)
}
