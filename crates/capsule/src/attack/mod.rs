//! The attack suite: small programs that really try to get out of a sandbox, to
//! exhaust its host or to carry data away, and checks from outside that they failed.
//!
//! Owns: the attempts, what becomes of each, and the audit of what a whole run
//! left behind. Refuses to know: how a backend builds its walls. An attempt asks
//! the kernel, from inside and from outside, and believes nobody else.
//!
//! Three suites: against the jail, whose attempts play in this binary inside it, and by way of
//! [`sandbox`] inside containers; in [`wasm`] against tasks, whose attempts are Python programs;
//! and in [`serve`] against a server, whose attempts come from outside.
//!
//! Reading order: [`attempt`] is the vocabulary, `attempts` the table (one file a
//! family), [`guest`] the side inside, [`stage`] the side outside, [`suite`] runs
//! them, [`audit`] looks for leaks, [`report`] tells.
//!
//! ```text
//!   capsule attack ──stage──▶ jail ──▶ this same binary, --inside NAME
//!        │                               │ tries; prints what it met
//!        ◀────── what was printed ───────┘
//!        │ looks at the host: processes, files, sockets
//!        ▼
//!     HELD  ESCAPED  INCONCLUSIVE  SKIPPED
//! ```

pub(crate) mod attempt;
mod attempts;
pub(crate) mod audit;
pub(crate) mod guest;
mod host;
pub(crate) mod report;
pub(crate) mod sandbox;
pub(crate) mod serve;
mod stage;
pub(crate) mod suite;
mod sys;
pub(crate) mod wasm;

#[cfg(test)]
mod tests;

pub(crate) use attempt::{Attempt, Family, Finding, Verdict};
pub(crate) use attempts::{all, find};
