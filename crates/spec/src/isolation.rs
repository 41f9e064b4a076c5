//! Which walls stand between a task and the host.

use serde::{Deserialize, Serialize};

/// The kind of sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// WebAssembly: an interpreter in a sandbox of its own, without a kernel in reach.
    Wasm,
    /// Linux namespaces, Landlock, seccomp and limits, without a daemon.
    Jail,
}

macro_rules! walls {
    ($($variant:ident = $name:literal, $summary:literal;)*) => {
        /// One wall. `--require` takes these names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum Wall {
            $(
                #[doc = $summary]
                #[serde(rename = $name)]
                $variant,
            )*
        }

        impl Wall {
            /// Every wall, in the order in which reports list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name on the wire and the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// One sentence for reports.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary),* }
            }
        }
    };
}

walls! {
    User = "user", "Own user namespace: the host user is never root, inside nobody is root.";
    Mount = "mount", "Own file system tree: host files are absent unless they are mounted.";
    Pid = "pid", "Own process tree: other processes cannot be seen or signalled.";
    Network = "network", "Own network: nothing outside can be reached, or only through the door.";
    Ipc = "ipc", "Own System V IPC and POSIX message queues.";
    Uts = "uts", "Own host name.";
    Cgroup = "cgroup", "Own view of the control group tree.";
    Time = "time", "Own clock offsets.";
    Capabilities = "capabilities", "No capability, and none to be gained: no_new_privs and locked secure bits.";
    Landlock = "landlock", "Kernel rules on file access under the mounts.";
    Scope = "scope", "Landlock scopes: no abstract sockets and no signals across the wall.";
    Seccomp = "seccomp", "Allow-list of system calls.";
    Memory = "memory", "Memory of all processes together is limited by the kernel.";
    Pids = "pids", "The number of processes is limited by the kernel.";
    Cpu = "cpu", "Processor weight and quota are enforced by the kernel.";
    Disk = "disk", "Bytes and inodes of private files are limited by the kernel.";
}

impl std::str::FromStr for Wall {
    type Err = UnknownWall;

    fn from_str(text: &str) -> Result<Self, UnknownWall> {
        Self::ALL
            .iter()
            .copied()
            .find(|wall| wall.name() == text)
            .ok_or_else(|| UnknownWall { name: text.to_owned() })
    }
}

impl std::fmt::Display for Wall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no wall.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a wall")]
pub struct UnknownWall {
    /// What was given.
    pub name: String,
}

/// How well a wall stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "why")]
pub enum WallState {
    /// It stands as described.
    Full,
    /// It stands, but less than described.
    Weaker(String),
    /// It does not stand.
    Absent(String),
}

/// A wall and its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallStatus {
    /// Which wall.
    pub wall: Wall,
    /// How well it stands.
    #[serde(flatten)]
    pub state: WallState,
    /// How to get the rest, where there is a way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}
