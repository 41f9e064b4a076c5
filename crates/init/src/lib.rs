//! PID 1 of a jail: starts the command, reaps, forwards signals, reports.
//!
//! Owns: the report that goes to the supervisor, and the loop between the start
//! of the command and the end of its last descendant.
//! Refuses to know: how the jail round it was built.
//!
//! Everything here runs in a process that was cloned from a program that may
//! have had other threads: it allocates nothing, takes no lock and never panics.

mod command;
mod reaper;
mod report;
pub mod resident;
mod sys;

pub use command::{CHANNEL, Command};
pub use reaper::run;
pub use report::{Ended, REPORT_BYTES, Report};

/// Sent by the supervisor to PID 1: end everything, report, exit.
///
/// A real-time signal that neither glibc nor musl keeps for itself (they take 32 to 34).
pub const END_SIGNAL: i32 = 40;
