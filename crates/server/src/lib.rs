//! Sandboxes that live on, behind JSON-RPC, WebSockets and plain HTTP.
//!
//! ```text
//!  transport ─▶ guard ─▶ rpc ─▶ request ─▶ service ─▶ live ─▶ capsule_backend::sandbox
//!                                             │         │
//!                                             └─ store ─┘      model: what all of it means
//! ```
//!
//! Owns: the wire, the state of every sandbox, keys and their limits, what outlives the
//! server. Refuses to know: how any sandbox is built; `capsule_backend` is all it sees of
//! that.

mod guard;
mod live;
mod log;
mod memory;
mod metrics;
mod model;
mod page;
pub mod request;
pub mod roots;
pub mod rpc;
mod server;
mod service;
mod store;
mod tar;
pub mod templates;
mod transport;
mod webhook;

pub use live::Template;
pub use server::{Listen, ServeError, Server, Settings};
pub use service::{PackageIndex, PackageIndexes};
pub use store::{KeyInfo, NewKey, StoreError, create_key, list_keys, revoke_key};
pub use transport::Doctor;
pub use webhook::WebhookRules;
