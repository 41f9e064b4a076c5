//! Sandboxes that nothing gets out of but bytes: no socket of the server can be reached from
//! inside, and no descriptor leaves. gVisor is one.
//!
//! ```text
//!  server                                    container
//!  Distant ── Line ── one stream of bytes ── relay, PID 1 ── SEQPACKET ── resident
//!   asks       frames   (standard input       does there what   SCM_RIGHTS  (capsule_init), as
//!              words     and output)          the server does               in a jail
//!                                             for a jail
//! ```
//!
//! The relay is the server's own code on the other side of the stream: `connection`, `process`,
//! `files` and `notices` run there, next to the PID 1 of a jail, which takes no notice. Over the
//! stream goes the contract itself, one question and one answer at a time for each thing that
//! is held: who does not ask for output gets none, so a slow reader holds up its own process and
//! nobody else's.
//!
//! Rejected: descriptors carried as channels of bytes with credits, which needs files,
//! directories and notices as messages all the same, and loses what is under way when a server
//! dies; sockets of the host let in by a flag of the runtime (`--host-uds`), which every
//! container of that engine would then have.
//!
//! The relay and the resident are root inside, for one reason: this kernel lets a guest of the
//! same user signal them, and open what they have open by /proc. They give up every capability
//! and act as the guest's user (`capsule_init::resident::act_for`), which is enough to work for
//! it and too little to be touched by it.

mod count;
mod doors;
mod files;
mod frames;
mod held;
mod line;
mod process;
mod relay;
mod sandbox;
mod session;
mod words;

pub use relay::{relay, relayed};
pub(super) use sandbox::Distant;

/// Whom programs run as, and the relay acts as.
pub(super) const USER: u32 = 1000;
