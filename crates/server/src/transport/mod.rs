//! The doors: HTTP/1.1 on TCP and Unix sockets, with WebSockets and server-sent events.
//!
//! Owns: connections and their bounds, routes, bodies, frames. Refuses to know: what any
//! request does.
//!
//! ```text
//!  listener ─▶ connection ─▶ request ─▶ guard ─▶ route ─┬─ /rpc ─▶ JSON-RPC ─▶ Request
//!             (bounded, timed)          page, key, turn ├─ files, terminals, streams
//!                                                       └─ /health, /metrics, /doctor, the page
//! ```

mod answer;
mod body;
mod connection;
mod doctor;
mod events;
mod files;
mod http;
mod io;
mod listen;
mod page;
mod route;
mod rpc;
mod sockets;
mod upgrade;

pub(crate) use connection::Doors;
pub use doctor::Doctor;
pub(crate) use doctor::Examination;
pub(crate) use http::Http;
pub(crate) use listen::{Listener, accept};
