//! The broker: a process beside the one that runs guests, which builds jails for it.
//!
//! Tasks with `isolation="jail"` need what a process that is locked down has given up.
//! So, before it locks itself down, it forks this helper, which keeps the caller's rights
//! and does one thing with them: it runs a task's function in a jail.
//!
//! ```text
//!   runner, locked down                     broker, as the caller started it
//!   ┌───────────────────────┐    frames     ┌──────────────────────────────┐
//!   │ engine, Wasm guests   │ ── call ────▶ │ checks the grant: files below │   ┌──────┐
//!   │ Brokered: Guests      │ ◀─ source? ── │ the project and the mounts    │──▶│ jail │
//!   │                       │ ── source ──▶ │ (openat2), values of variables│   └──────┘
//!   │                       │ ◀─ returned ─ │ its own, limits bounded       │
//!   └───────────────────────┘               └──────────────────────────────┘
//! ```
//!
//! Who attacks: whoever got hold of the runner. What the broker trusts it with is what
//! any program may declare: which files of the project, hosts and variables a task has.
//! It can have code run in jails, and it gets no file outside the project and the mounts,
//! no value of a variable that the caller did not have, no limit beyond the highest.
//!
//! Each ends with the other. The runner's end of the socket is closed by the kernel
//! however it dies: the broker then kills its jails, waits until they are gone, and ends.
//! If the broker dies its jails die with it (PR_SET_PDEATHSIG of each), the calls that
//! are under way fail, and later ones are refused. There is no death signal on the
//! broker itself: it would not live to clean up.

mod client;
mod frame;
mod grant;
mod message;
mod server;
mod sys;

#[cfg(test)]
mod tests;

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use capsule_backend::guest::Guests;
use capsule_engine::Project;
use capsule_spec::{ErrorCode, Failure};

use crate::lockdown;
use client::Broker;
use grant::Bounds;

/// Puts what runs tasks in jails behind a broker, if there is any: it costs a process,
/// and few programs need it. Nothing of the program may have run.
pub(crate) fn start(
    project: &Project,
    jail: Result<Arc<dyn Guests>, Failure>,
) -> Result<Arc<dyn Guests>, Failure> {
    let jail = jail?;
    // A fork copies no thread but this one, and what others were about to do.
    lockdown::be_alone()?;
    let failed = |error: std::io::Error| {
        Failure::new(ErrorCode::OutOfResources, format!("no broker for jails: {error}"))
    };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    match sys::fork().map_err(failed)? {
        None => {
            drop(ours);
            sys::stand_alone(&theirs);
            // Opened after all else is closed.
            if let Ok(bounds) = Bounds::of(project) {
                // Nothing is dropped: what the fork copied belongs to the runner.
                server::serve(theirs, bounds, jail);
                server::wait_alone();
            }
            sys::end()
        }
        Some(process) => {
            drop(theirs);
            Ok(Arc::new(Broker::new(ours, process)))
        }
    }
}
