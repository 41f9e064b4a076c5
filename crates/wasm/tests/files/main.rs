//! The files of a guest: real Python in the real guest, ordinary use and attacks.
#![allow(clippy::unwrap_used, missing_docs)]

mod attacks;
mod grants;
mod limits;
mod ordinary;
mod support;
