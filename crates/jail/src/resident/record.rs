//! What the next server must know of a sandbox and PID 1 cannot tell.

use std::path::PathBuf;

use capsule_spec::WallStatus;
use serde::{Deserialize, Serialize};

use crate::cgroup::Controller;

/// Beside the socket, as JSON. A record that cannot be read belongs to a sandbox that
/// can only be ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The server's number for PID 1, to be believed only if the socket agrees.
    pub(super) pid: i32,
    pub(super) inside_user: u32,
    pub(super) outside_user: u32,
    pub(super) outside_group: u32,
    pub(super) mapped_by_supervisor: bool,
    /// The plan's environment without the door's variables.
    pub(super) environment: Vec<String>,
    pub(super) weaker: Vec<WallStatus>,
    pub(super) memory_bytes: u64,
    /// What was in use before anything of the sandbox's own ran, and is not held against it.
    #[serde(default)]
    pub(super) own_memory: u64,
    /// Whether the memory must be added up from outside.
    pub(super) adds_up_memory: bool,
    pub(super) shares_network: bool,
    /// The rules of the door; empty is none.
    pub(super) hosts: Vec<String>,
    /// Control groups, once there are some.
    pub(super) groups: Vec<(Option<Controller>, PathBuf)>,
    /// Where it is stopped, in version 1, once it was.
    pub(super) freezer: Option<PathBuf>,
    /// Whether its processes were stopped.
    pub(super) frozen: bool,
}
