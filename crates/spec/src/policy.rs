//! What a task may touch. The default is nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{GuestPath, HostPath, HostRule};

/// Whether a mount can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// `ro`
    #[serde(rename = "ro")]
    ReadOnly,
    /// `rw`
    #[serde(rename = "rw")]
    ReadWrite,
}

/// A file or directory of the host that the task sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Where it is on the host.
    pub source: HostPath,
    /// Where the task sees it.
    pub destination: GuestPath,
    /// Whether the task may write there.
    pub access: Access,
}

/// Which network a task has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "mode", content = "hosts")]
pub enum Network {
    /// An own network with nothing but loopback.
    Denied,
    /// As `Denied`, with one door: a proxy that connects to these hosts only.
    Hosts(Vec<HostRule>),
    /// The host's network.
    Open,
}

/// Which system calls a task may make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SeccompProfile {
    /// Everything that ordinary programs use; other calls fail.
    #[default]
    Default,
    /// About fifty calls; any other one kills the command.
    Strict,
}

/// What a task may touch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Files of the host beyond the read-only system directories.
    pub files: Vec<Mount>,
    /// Network access.
    pub network: Network,
    /// The task's variables, over a small clean base.
    pub environment: BTreeMap<String, String>,
    /// System calls.
    pub seccomp: SeccompProfile,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            network: Network::Denied,
            environment: BTreeMap::new(),
            seccomp: SeccompProfile::Default,
        }
    }
}
