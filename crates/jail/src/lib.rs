//! The Linux jail: a command behind namespaces, Landlock, seccomp and limits.
//!
//! Owns: the plan (pure: task and host facts to an ordered list), its
//! application (one table), the supervisor that watches a run, the door.
//! Refuses to know: other backends, servers, storage.
//!
//! Reading order: [`plan`] says what will be built, `apply` builds it inside the
//! cloned process, `supervisor` stands outside and watches.

pub mod plan;

mod apply;
mod capabilities;
mod cgroup;
pub mod cli;
mod door;
pub mod groups;
mod host;
mod jail;
mod landlock;
pub mod lockdown;
pub mod native;
mod probe;
pub mod resident;
pub mod seccomp;
mod supervisor;
mod sys;
mod volume;
mod walls;

pub use host::Host;
pub use jail::Jail;
