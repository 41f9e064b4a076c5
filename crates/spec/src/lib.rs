//! The words of Capsule, and the one way from what arrives to what runs.
//!
//! Owns: [`TaskSpec`] (what arrives), [`Task`] (what runs), [`Limits`],
//! [`Policy`], [`Isolation`], [`Wall`], [`Outcome`], [`Event`], [`ErrorCode`].
//! Refuses to know: files, processes, clocks, sockets. No I/O happens here.

mod environment;
mod error_code;
mod event;
mod failure;
mod function;
pub mod host_rule;
mod ids;
mod isolation;
mod limits;
mod nearest;
mod outcome;
mod path;
mod policy;
mod resolve;
mod task;
mod task_spec;
mod units;
mod view;

pub use environment::{EnvironmentError, parse_assignment};
pub use error_code::{Blame, ErrorCode};
pub use event::Event;
pub use failure::Failure;
pub use function::{AllowedFile, Fuel, Function};
pub use host_rule::{HostRule, HostRuleError};
pub use ids::ExecutionId;
pub use isolation::{Isolation, Wall, WallState, WallStatus};
pub use limits::{CpuQuota, Limits};
pub use nearest::nearest;
pub use outcome::{Captured, Metrics, Outcome, Status};
pub use path::{GuestPath, HostPath, PathError};
pub use policy::{Access, Mount, Network, Policy, SeccompProfile};
pub use resolve::ResolveError;
pub use task::{Program, Stdin, Task};
pub use task_spec::{BindMount, IsolationSpec, ResourceSpec, TaskSpec};
pub use units::{ByteSize, UnitError, parse_duration, parse_size};
pub use view::command::CommandResponse;
pub use view::envelope::{Envelope, EnvelopeError, Execution, HostRequest};
