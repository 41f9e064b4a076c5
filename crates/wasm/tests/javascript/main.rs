//! Programs in JavaScript, in the guest that the binary carries.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

#[path = "../shared/guest.rs"]
mod guest;

/// The language of these tests.
const LANGUAGE: capsule_wasm::Language = capsule_wasm::Language::JavaScript;

mod attacks;
mod fetch;
mod kept;
mod limits;
mod node;
mod programs;
mod support;
mod values;
