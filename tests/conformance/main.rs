//! What every backend of sandboxes must show, through the contract: one list of checks, which
//! is that of the jail's own tests. `run.sh` runs it on each backend and prints a table.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail with them")]

mod backend;

#[path = "../../crates/jail/tests/resident/attacks.rs"]
mod attacks;
#[path = "../../crates/jail/tests/resident/doors.rs"]
mod doors;
#[path = "../../crates/jail/tests/resident/files.rs"]
mod files;
#[path = "../../crates/jail/tests/resident/leftovers.rs"]
mod leftovers;
#[path = "../../crates/jail/tests/resident/limits.rs"]
mod limits;
#[path = "../../crates/jail/tests/resident/place.rs"]
mod place;
#[path = "../../crates/jail/tests/resident/processes.rs"]
mod processes;
#[path = "../../crates/jail/tests/resident/returning.rs"]
mod returning;
#[path = "../../crates/jail/tests/resident/terminals.rs"]
mod terminals;
