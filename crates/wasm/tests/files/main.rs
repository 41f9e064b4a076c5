//! The files of a guest: real Python in the real guest, ordinary use and attacks.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../shared/guest.rs"]
mod guest;

/// The language of these tests.
const LANGUAGE: capsule_wasm::Language = capsule_wasm::Language::Python;

mod attacks;
mod grants;
mod limits;
mod ordinary;
mod support;
