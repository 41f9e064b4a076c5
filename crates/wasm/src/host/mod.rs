//! Everything that a guest can ask of its host.

mod interface;
mod operations;
mod state;

pub(crate) use interface::bindings;
pub(crate) use operations::Event;
pub(crate) use state::{Pulse, State};
