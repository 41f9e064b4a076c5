//! What every backend promises, and the suite that holds it to that.
//!
//! Owns: [`Backend`], [`Capabilities`], [`BackendError`], [`Observer`]; [`guest`];
//! [`address`], which every backend that lets guests out decides by.
//! Refuses to know: how any backend works.

pub mod address;
mod contract;
pub mod guest;
pub mod sandbox;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use contract::{Backend, BackendError, Capabilities, Observer, Output, Silent};
