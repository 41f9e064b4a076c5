//! The JSON shapes that callers see: each a view of [`crate::Outcome`].

pub(crate) mod command;
pub(crate) mod envelope;
