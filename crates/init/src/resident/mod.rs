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
    /// Bound, not listening yet: who listens is who the other side sees as its peer.
    pub listener: RawFd,
    /// Where [`crate::Report::Ready`] goes.
    pub control: RawFd,
    /// How long it lives without a server, in nanoseconds.
    pub lease: u64,
    /// RLIMIT_NOFILE of what is started.
    pub open_files: u64,
    /// Confines PID 1 and with it all that it starts.
    pub seal: fn() -> io::Result<()>,
    /// Runs in each process that is started, last before execve(2).
    pub confine: fn() -> io::Result<()>,
}

/// What keepers and workers find in the memory that they share.
struct Shared {
    table: &'static Table,
    open_files: u64,
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
