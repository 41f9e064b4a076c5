//! JSON-RPC 2.0, complete to its specification (<https://www.jsonrpc.org/specification>).
//!
//! Owns: calls, batches, notifications, ids, error objects. Refuses to know: HTTP, and what
//! any method does.

mod call;
mod refusal;

#[cfg(feature = "schema")]
mod discover;

pub use call::{Call, MOST_CALLS, Message, Rejected, read};
pub(crate) use call::{answer, error};
#[cfg(feature = "schema")]
pub use discover::document;
pub use refusal::{Kind, Refusal};

/// The OpenRPC document, as `cargo xtask schema` wrote it from the types.
pub(crate) const DOCUMENT: &str = include_str!("../../../../schema/openrpc.json");
