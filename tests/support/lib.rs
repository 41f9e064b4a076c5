//! What the end-to-end tests stand on: the shipped binaries as a user runs them.
//!
//! Owns: finding the binaries, running one with a hard time limit, and the leak
//! audit that follows every run. Refuses to know: how any of it is built.
//!
//! ```no_run
//! use capsule_tests::Run;
//!
//! let run = Run::new(&["--", "echo", "hello"]).finish();
//! assert_eq!((run.code, run.text()), (Some(0), "hello\n"));
//! ```

mod audit;
mod binaries;
mod caller;
mod collected;
mod finished;
mod program;
mod run;
mod scratch;
mod server;
mod skip;
mod sys;
mod terminal;
mod tools;

pub use audit::Traces;
pub use binaries::{Binary, path_of};
pub use caller::Caller;
pub use finished::Finished;
pub use program::{Program, cache};
pub use run::{Run, Running};
pub use scratch::Scratch;
pub use server::{Server, answer, redirect};
pub use skip::{skip, wall_stands};
pub use sys::{Limit, Signal, own_user, send_signal};
pub use terminal::Terminal;
pub use tools::{Toolchain, found_on_path, host_python};
