//! `capsule serve` from outside: the binary, over loopback, with jails.
//!
//! The suite is the one that the crate's own tests run against plain processes.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail with them")]

#[allow(unreachable_pub, reason = "another crate has it, too")]
#[path = "../../crates/server/tests/suite/mod.rs"]
mod suite;

mod chaos;
mod command_line;
mod errors;
mod expiry;
mod faults;
mod network;
mod notices;
mod pools;
mod roots;
mod server;
mod survival;
mod templates;
mod volumes;

use server::Serve;

crate::suite!(site);

/// A server for each test: it must end, and clean up, in whatever state the test left it.
fn site() -> Serve {
    Serve::start(&[])
}
