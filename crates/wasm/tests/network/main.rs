//! The network of a real guest, with real servers.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

mod attacks;
mod packages;
mod plain;
mod support;
mod tls;
