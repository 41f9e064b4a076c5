//! Processes that run what another one asks for, for as long as that one lives.
//!
//! Owns: the protocol (see [`request`]), which requests are under way, and the sessions.
//! Refuses to know: what a sandbox is; runs and sessions are the engine's.
//!
//! ```text
//!              frames          ┌───────┐  frames   ┌────────────────────────────┐
//!   caller ═══════════════════▶│ front │══════════▶│ runner of a project        │
//!          ◀═══════════════════│       │◀══════════│ locked down to its folder  │
//!                              │       │           └────────────────────────────┘
//!    the caller's rights:      │       │           ┌────────────────────────────┐
//!    finds, bundles, imports,  │       │══════════▶│ runner of plain text       │
//!    starts; runs no guest     │       │◀══════════│ locked down to nothing     │
//!                              └───────┘           └────────────────────────────┘
//!   end of input, parent gone, nobody reads: everything ends
//! ```

mod between;
mod frame;
mod front;
mod language;
mod request;
mod runner;
mod stdio;

use std::ffi::OsString;
use std::process::ExitCode;

pub(crate) use front::serve;

/// Serves as a process that runs guests, if this is one.
pub(crate) fn serve_guests(arguments: &[OsString]) -> Option<ExitCode> {
    let [_, name, order] = arguments else { return None };
    (name == front::NAME).then(|| runner::serve(order))
}
