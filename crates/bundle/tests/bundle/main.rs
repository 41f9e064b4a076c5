//! Projects on disk, bundled by the real process, and run by Node where what the script
//! does matters.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cached;
mod confinement;
mod errors;
mod language;
mod limits;
mod packages;
mod positions;
mod support;
mod text;
