//! The network of a real guest, with real servers.

mod plain;
mod support;
