//! Everything that a guest can ask of its host.

mod files;
mod interface;
mod network;
mod operations;
mod state;
mod witness;

pub(crate) use files::{MOST_ROOTS, link as link_files};
pub(crate) use interface::bindings;
pub(crate) use operations::Event;
pub(crate) use state::{Pulse, State};
