//! Programs in WebAssembly as commands: what works, and what attackers try.
#![allow(clippy::unwrap_used, missing_docs)]

mod cache;
mod components;
mod endless;
mod files;
mod limits;
mod ordinary;
mod place;
mod strange;
