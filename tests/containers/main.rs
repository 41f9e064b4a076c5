//! `capsule serve` from outside, as `tests/serve` has it, with containers behind it: the same
//! suite, faults and errors, and what containers alone can show. Needs an engine:
//! `tests/conformance/run.sh` runs it on its own.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail with them")]

#[allow(unreachable_pub, reason = "another crate has it, too")]
#[path = "../../crates/server/tests/suite/mod.rs"]
mod suite;

mod attack;
mod engine;
#[path = "../serve/errors.rs"]
mod errors;
#[path = "../serve/faults.rs"]
mod faults;
mod own;
mod pools;
#[path = "../serve/server.rs"]
mod server;
#[path = "../serve/survival.rs"]
mod survival;

use server::Serve;

crate::suite!(site);

fn site() -> Serve {
    Serve::start(&[])
}
