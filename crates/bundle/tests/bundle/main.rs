//! Projects on disk, bundled by the real process, and run by Node where what the script
//! does matters.

mod cached;
mod confinement;
mod errors;
mod language;
mod limits;
mod packages;
mod positions;
mod support;
