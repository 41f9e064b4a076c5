//! Guests of Capsule in WebAssembly.
//!
//! Owns: the prepared runtimes and their cache, the memory of guests, and every
//! host function that a guest can call.
//! Refuses to know: what a run is, who calls whom, where a policy comes from.
//!
//! ```text
//!   Language::prepare ──▶ Prepared (code and memory image, as files)
//!                             │ Runtime::new
//!                             ▼
//!                          Runtime ──▶ WasmGuest: one store, one instance
//!                                        │ load, begin, advance
//!                                        ▼
//!                             host/: output, sources, operations, files, network
//!
//!   Command ──▶ Outcome: any other program, once, under WASI
//! ```

mod command;
mod first;
mod guest;
mod host;
mod layer;
mod memory;
mod runtime;

pub use command::{Command, CommandLimits, Seal};
pub use guest::Runtime;
pub use layer::{LayerError, Layered, PACKAGES, Packages};
pub use memory::Recycling;
pub use runtime::{Cache, Entry, Language, PrepareError, Prepared, Progress, Stage, StripError};
