//! What arrives: every field optional, unknown ones refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{SeccompProfile, Wall};

/// A request to run a command, as JSON on the wire and as tables in a
/// configuration file. [`TaskSpec::resolve`] makes it a [`crate::Task`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TaskSpec {
    /// The command and its arguments. Required in the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Variables of the command.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Wall time in milliseconds, 1 to 31536000000. Default 30000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Limits.
    pub resources: ResourceSpec,
    /// Walls and doors.
    pub isolation: IsolationSpec,
}

/// Limits of a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ResourceSpec {
    /// Memory of all processes together. Default 268435456.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Relative processor weight, 2 to 262144. Default 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u64>,
    /// Bytes kept of standard output, and again of standard error. Default 1048576.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_bytes: Option<u64>,
    /// Processes and threads at one time, 1 to 65536. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pids: Option<u64>,
    /// Hard share of processor time, in processors. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Bytes in the private file system. Default 268435456.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
}

/// Walls and doors of a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct IsolationSpec {
    /// Share the host's network. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<bool>,
    /// Hosts that the door connects to: `name`, `name:port`, `*.name`, an address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_hosts: Vec<String>,
    /// Host paths to see at the same place, read-only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readonly_paths: Vec<String>,
    /// Host paths to see at the same place, writable.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub writable_paths: Vec<String>,
    /// Where the command starts. Default `/workspace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Host paths to see at another place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bind_mounts: Vec<BindMount>,
    /// System call profile. Default `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<SeccompProfile>,
    /// Walls without which the command must not run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<Wall>,
}

/// A host path at another place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BindMount {
    /// Where it is on the host; absolute.
    pub source: String,
    /// Where the command sees it; absolute.
    pub destination: String,
    /// Whether writing is refused. Default true.
    #[serde(default = "readonly_by_default")]
    pub readonly: bool,
}

const fn readonly_by_default() -> bool {
    true
}

impl TaskSpec {
    /// Lays `over` on top: what it sets wins, lists are appended, variables are merged.
    #[must_use]
    pub fn overlaid(self, over: Self) -> Self {
        let mut environment = self.environment;
        environment.extend(over.environment);
        Self {
            command: over.command.or(self.command),
            environment,
            timeout_ms: over.timeout_ms.or(self.timeout_ms),
            resources: self.resources.overlaid(over.resources),
            isolation: self.isolation.overlaid(over.isolation),
        }
    }
}

impl ResourceSpec {
    fn overlaid(self, over: Self) -> Self {
        Self {
            memory_bytes: over.memory_bytes.or(self.memory_bytes),
            cpu_shares: over.cpu_shares.or(self.cpu_shares),
            max_output_bytes: over.max_output_bytes.or(self.max_output_bytes),
            max_pids: over.max_pids.or(self.max_pids),
            cpus: over.cpus.or(self.cpus),
            disk_bytes: over.disk_bytes.or(self.disk_bytes),
        }
    }
}

impl IsolationSpec {
    fn overlaid(self, over: Self) -> Self {
        Self {
            network: over.network.or(self.network),
            allowed_hosts: joined(self.allowed_hosts, over.allowed_hosts),
            readonly_paths: joined(self.readonly_paths, over.readonly_paths),
            writable_paths: joined(self.writable_paths, over.writable_paths),
            working_directory: over.working_directory.or(self.working_directory),
            bind_mounts: joined(self.bind_mounts, over.bind_mounts),
            seccomp: over.seccomp.or(self.seccomp),
            require: joined(self.require, over.require),
        }
    }
}

fn joined<T>(mut base: Vec<T>, over: Vec<T>) -> Vec<T> {
    base.extend(over);
    base
}
