//! Sandboxes that live on, in real jails of this host: what they do, and what a guest
//! tries against them.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail with them")]

mod attacks;
mod backend;
mod doors;
mod files;
mod leftovers;
mod limits;
mod notices;
mod place;
mod processes;
mod returning;
mod roots;
mod terminals;
mod volumes;
