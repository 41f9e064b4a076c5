//! What is true of sandboxes, without doing anything: states, time, output, names.

mod labels;
mod lease;
mod pool;
mod ring;
mod screen;
mod state;

pub(crate) use labels::{new_id, rfc3339};
pub(crate) use lease::Lease;
pub(crate) use pool::{Next, Pools};
pub(crate) use ring::{Piece, Ring};
pub(crate) use screen::Screen;
pub(crate) use state::{Event, State};
