//! TypeScript and JavaScript projects as one script, which a guest can run.
//!
//! Owns: which files a program is made of, what its imports mean, how the result is kept,
//! and where in the sources a place of the script is. Refuses to know: guests, tasks, what
//! runs the script.
//!
//! ```text
//!   Place::find          which folder: nothing outside of it is read
//!       │
//!   Bundler::begin ──── a bundle in the cache, and its files say the same? ──▶ Bundle
//!       │ no
//!       ▼
//!   a process of its own (`process`, the program `capsule-bundle`): limits, one folder, one
//!   pipe, locked down
//!     folder   files below the root, by openat2; every answer is traced
//!     resolve  what a specifier means
//!     plugin   what rolldown asks and is answered
//!     compile  rolldown
//!       │ script, map, trace
//!       ▼
//!   Bundle ──▶ cache
//! ```
//!
//! This library is who asks. It knows nothing of rolldown, so whoever links it does not carry
//! that through every start.

mod bundler;
mod place;

mod cache;
mod helper;
mod holding;

mod error;
mod map;
mod problem;

pub mod files;
pub mod limits;
pub mod order;
pub mod trace;

pub use bundler::{Begun, Bundle, Bundler};
pub use error::BundleError;
pub use limits::Allowance;
pub use map::{Map, MapError, Place as Origin};
pub use place::Place;
pub use problem::{Problem, visible};
