//! Everything that reads a stranger's sources.

mod compile;
mod folder;
mod locate;
mod plugin;
mod properties;
mod resolve;
mod serve;

pub(crate) use serve::serve;
