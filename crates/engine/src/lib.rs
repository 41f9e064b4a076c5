//! Runs of programs.
//!
//! Owns: what a project is, what its program declares, and what happens when its
//! tasks call each other: budgets, depth, retries, parallelism, events.
//! Refuses to know: which sandbox a task runs in. It knows the traits of
//! `capsule_backend::guest` only.
//!
//! ```text
//!   Project::open ──▶ Workflow::load ──declare, without rights──▶ functions of all
//!     and others()       │                                        programs, frozen
//!                        ▼ call(name, arguments)
//!     ┌─▶ attempt: a sandbox, a grant, a deadline ──▶ value ─────────▶ Answer
//!     │        │ calls a task ──▶ the same, one level deeper
//!     └─ back-off ◀── failure, while retries are left
//! ```

mod answer;
mod declaration;
mod event;
mod exit;
mod limits;
mod output;
mod parts;
mod program;
mod programs;
mod project;
mod script;
mod session;
mod settings;
mod uses;
mod value;
pub mod workers;
mod workflow;

pub use answer::Answer;
pub use event::{CallId, Observer, Silent, TaskEvent};
pub use limits::RunLimits;
pub use output::{Output, Sink};
pub use parts::{Part, Parts};
pub use programs::{Programs, Shelf, Shelved};
pub use project::{BundleError, Language, MountOption, Project, ProjectError};
pub use script::{Place, Positions, Script};
pub use session::Session;
pub use settings::Settings;
pub use workflow::{Backends, DISK, DOWNLOAD, Workflow};
