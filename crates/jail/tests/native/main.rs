//! Functions in a real CPython, and in a real Node, in a real jail.
//!
//! The guest is hostile in half of these: it tries, and the test sees what it got.
#![allow(clippy::unwrap_used, reason = "tests, their helpers too")]

mod attacks;
mod leftovers;
mod limits;
mod node;
mod node_attacks;
mod packages;
mod play;
mod programs;
