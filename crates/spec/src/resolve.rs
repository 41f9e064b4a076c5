//! The one way from what arrives to what runs.
//!
//! Everything is checked here, once: a [`Task`] has no field left to doubt.

use std::time::Duration;

use crate::environment::{self, EnvironmentError};
use crate::{
    Access, ByteSize, CpuQuota, ErrorCode, ExecutionId, Failure, GuestPath, HostPath, HostRule,
    HostRuleError, Isolation, Limits, Mount, Network, PathError, Policy, Program, ResourceSpec,
    Stdin, Task, TaskSpec,
};

/// Why a [`TaskSpec`] is not a [`Task`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ResolveError {
    /// There is no command, or its name is empty.
    #[error("no command was given")]
    MissingCommand,
    /// An argument holds a NUL byte.
    #[error("argument {index} of the command holds a NUL byte")]
    InvalidArgument {
        /// Which one; 0 is the command.
        index: usize,
    },
    /// A number is out of range.
    #[error("{field} must be {accepted}, not {value}")]
    OutOfRange {
        /// The field on the wire.
        field: &'static str,
        /// What is accepted.
        accepted: &'static str,
        /// What was given.
        value: String,
    },
    /// A path is not usable.
    #[error("{field} is not usable")]
    Path {
        /// The field on the wire.
        field: &'static str,
        /// Why.
        #[source]
        source: PathError,
    },
    /// An environment variable is not usable.
    #[error("environment is not usable")]
    Environment(#[from] EnvironmentError),
    /// A host rule is not usable.
    #[error("allowed_hosts is not usable")]
    Host(#[from] HostRuleError),
    /// Two options contradict each other.
    #[error("{first} and {second} contradict each other")]
    Conflict {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// Two mounts claim one place.
    #[error("two mounts have the destination {destination}")]
    DuplicateMount {
        /// The place.
        destination: GuestPath,
    },
}

impl ResolveError {
    /// The error as an outsider sees it.
    pub fn into_failure(self) -> Failure {
        let code = match &self {
            Self::MissingCommand => ErrorCode::MissingCommand,
            Self::InvalidArgument { .. }
            | Self::OutOfRange { .. }
            | Self::Environment(_)
            | Self::Host(_) => ErrorCode::InvalidValue,
            Self::Path { .. } => ErrorCode::InvalidPath,
            Self::Conflict { .. } | Self::DuplicateMount { .. } => ErrorCode::ConflictingOptions,
        };
        let hint = match &self {
            Self::MissingCommand => {
                Some("put the command after \"--\": capsule-run -- echo hello".to_owned())
            }
            Self::Path { source: PathError::Relative { path }, .. } => {
                Some(format!("name the whole path, such as /home/me/{path}"))
            }
            Self::Path { source: PathError::Parent { .. }, .. } => {
                Some("name the path without \"..\", as realpath(1) prints it".to_owned())
            }
            Self::Path { source: PathError::Reserved { .. }, .. } => {
                Some("mount it below /workspace or at a place of its own".to_owned())
            }
            _ => None,
        };
        let mut message = self.to_string();
        let mut source = std::error::Error::source(&self);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Failure { hint, ..Failure::new(code, message) }
    }
}

impl TaskSpec {
    /// Checks everything and fills in the defaults.
    ///
    /// # Errors
    /// [`ResolveError`] names the first field that cannot be honoured exactly.
    pub fn resolve(self, id: ExecutionId, stdin: Stdin) -> Result<Task, ResolveError> {
        let program = program(&self.command)?;
        for (name, value) in &self.environment {
            environment::check(name, value)?;
        }
        let network = network(self.isolation.network, &self.isolation.allowed_hosts)?;
        let working_directory = self.isolation.working_directory.as_deref().unwrap_or("/workspace");
        let working_directory = GuestPath::new(working_directory)
            .map_err(|source| ResolveError::Path { field: "working_directory", source })?;
        let mut require = self.isolation.require.clone();
        require.sort_unstable();
        require.dedup();
        Ok(Task {
            id,
            program,
            working_directory,
            stdin,
            limits: limits(self.timeout_ms, &self.resources)?,
            policy: Policy {
                files: mounts(&self)?,
                network,
                seccomp: self.isolation.seccomp.unwrap_or_default(),
                environment: self.environment,
            },
            isolation: Isolation::Jail,
            require,
        })
    }
}

fn program(command: &Option<Vec<String>>) -> Result<Program, ResolveError> {
    let argv = command.as_deref().unwrap_or_default();
    if argv.first().is_none_or(String::is_empty) {
        return Err(ResolveError::MissingCommand);
    }
    match argv.iter().position(|argument| argument.contains('\0')) {
        Some(index) => Err(ResolveError::InvalidArgument { index }),
        None => Ok(Program::Command(argv.to_vec())),
    }
}

fn network(open: Option<bool>, hosts: &[String]) -> Result<Network, ResolveError> {
    let hosts = hosts.iter().map(|host| host.parse()).collect::<Result<Vec<HostRule>, _>>()?;
    match (open.unwrap_or(false), hosts.is_empty()) {
        (true, true) => Ok(Network::Open),
        (true, false) => Err(ResolveError::Conflict {
            first: "network".to_owned(),
            second: "allowed_hosts".to_owned(),
        }),
        (false, true) => Ok(Network::Denied),
        (false, false) => Ok(Network::Hosts(hosts)),
    }
}

fn limits(timeout_ms: Option<u64>, resources: &ResourceSpec) -> Result<Limits, ResolveError> {
    const YEAR: u64 = 365 * 24 * 60 * 60 * 1000;
    // Less than this cannot hold one process, so it is a mistake rather than a limit.
    const LEAST_MEMORY: u64 = 1 << 20;
    let default = Limits::default();
    let size = |field, value: Option<u64>, default: ByteSize, least: u64, accepted| match value {
        None => Ok(default),
        Some(value) if (least..=i64::MAX as u64).contains(&value) => {
            Ok(ByteSize::from_bytes(value))
        }
        Some(value) => Err(ResolveError::OutOfRange { field, accepted, value: value.to_string() }),
    };
    let count =
        |field, value: Option<u64>, default: u32, least: u32, most: u32, accepted| match value
            .map(u32::try_from)
        {
            None => Ok(default),
            Some(Ok(value)) if (least..=most).contains(&value) => Ok(value),
            Some(_) => Err(ResolveError::OutOfRange {
                field,
                accepted,
                value: value.unwrap_or_default().to_string(),
            }),
        };
    let timeout = match timeout_ms {
        None => default.timeout,
        Some(value) if (1..=YEAR).contains(&value) => Duration::from_millis(value),
        Some(value) => {
            return Err(ResolveError::OutOfRange {
                field: "timeout_ms",
                accepted: "1 to 31536000000 (365 days)",
                value: value.to_string(),
            });
        }
    };
    let cpus = match resources.cpus {
        None => None,
        Some(value) => {
            Some(CpuQuota::from_processors(value).ok_or_else(|| ResolveError::OutOfRange {
                field: "cpus",
                accepted: "0.01 to 1024",
                value: value.to_string(),
            })?)
        }
    };
    let disk = size(
        "disk_bytes",
        resources.disk_bytes,
        default.disk,
        64 << 10,
        "65536 (64 KiB) to 2^63 - 1",
    )?;
    Ok(Limits {
        timeout,
        memory: size(
            "memory_bytes",
            resources.memory_bytes,
            default.memory,
            LEAST_MEMORY,
            "1048576 (1 MiB) to 2^63 - 1",
        )?,
        cpu_shares: count(
            "cpu_shares",
            resources.cpu_shares,
            default.cpu_shares,
            2,
            262_144,
            "2 to 262144",
        )?,
        cpus,
        max_output: size(
            "max_output_bytes",
            resources.max_output_bytes,
            default.max_output,
            1,
            "1 to 2^63 - 1",
        )?,
        max_pids: count("max_pids", resources.max_pids, default.max_pids, 1, 65_536, "1 to 65536")?,
        disk,
        disk_inodes: Limits::inodes_for(disk),
        open_files: default.open_files,
    })
}

/// Where the jail has a private, writable place of its own. A request to have
/// such a path writable is already met; the host's directory is never meant.
const PRIVATE: [&str; 3] = ["/tmp", "/workspace", "/dev/shm"];

/// System directories that every jail sees read-only.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

fn mounts(spec: &TaskSpec) -> Result<Vec<Mount>, ResolveError> {
    let isolation = &spec.isolation;
    let mut mounts: Vec<Mount> = Vec::new();
    for (field, paths, access, provided) in [
        ("readonly_paths", &isolation.readonly_paths, Access::ReadOnly, &SYSTEM[..]),
        ("writable_paths", &isolation.writable_paths, Access::ReadWrite, &PRIVATE[..]),
    ] {
        for path in paths {
            let error = |source| ResolveError::Path { field, source };
            let source = HostPath::new(path).map_err(error)?;
            if provided.iter().any(|provided| source.as_path() == std::path::Path::new(provided)) {
                continue;
            }
            let destination = GuestPath::mount_point(path).map_err(error)?;
            mounts.push(Mount { source, destination, access });
        }
    }
    for bind in &isolation.bind_mounts {
        let access = if bind.readonly { Access::ReadOnly } else { Access::ReadWrite };
        let error = |source| ResolveError::Path { field: "bind_mounts", source };
        mounts.push(Mount {
            source: HostPath::new(&bind.source).map_err(error)?,
            destination: GuestPath::mount_point(&bind.destination).map_err(error)?,
            access,
        });
    }
    // Parents before children, whatever the order of the request.
    mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
    mounts.dedup();
    match mounts.windows(2).find(|pair| pair[0].destination == pair[1].destination) {
        Some(pair) => {
            Err(ResolveError::DuplicateMount { destination: pair[0].destination.clone() })
        }
        None => Ok(mounts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(json: &str) -> Result<Task, Failure> {
        let spec: TaskSpec = serde_json::from_str(json).unwrap();
        spec.resolve(ExecutionId::random(), Stdin::Empty).map_err(ResolveError::into_failure)
    }

    fn code(json: &str) -> &'static str {
        resolve(json).map_or_else(|failure| failure.code.code(), |_| "ok")
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let task = resolve(r#"{"command":["true"]}"#).unwrap();
        assert_eq!(task.limits, Limits::default());
        assert_eq!(task.limits.timeout, Duration::from_millis(30_000));
        assert_eq!(task.limits.memory.bytes(), 268_435_456);
        assert_eq!(task.policy, Policy::default());
        assert_eq!(task.working_directory.to_string(), "/workspace");
    }

    #[test]
    fn bad_values_are_errors_with_codes() {
        for (json, expected) in [
            (r#"{}"#, "E1004"),
            (r#"{"command":[]}"#, "E1004"),
            (r#"{"command":[""]}"#, "E1004"),
            (r#"{"command":["a","b\u0000"]}"#, "E1003"),
            (r#"{"command":["a"],"timeout_ms":0}"#, "E1003"),
            (r#"{"command":["a"],"timeout_ms":31536000001}"#, "E1003"),
            (r#"{"command":["a"],"resources":{"memory_bytes":0}}"#, "E1003"),
            (r#"{"command":["a"],"resources":{"memory_bytes":18446744073709551615}}"#, "E1003"),
            (r#"{"command":["a"],"resources":{"max_pids":0}}"#, "E1003"),
            (r#"{"command":["a"],"resources":{"cpus":0.0}}"#, "E1003"),
            (r#"{"command":["a"],"environment":{"A=B":"x"}}"#, "E1003"),
            (r#"{"command":["a"],"isolation":{"working_directory":"x"}}"#, "E1005"),
            (r#"{"command":["a"],"isolation":{"readonly_paths":["/proc"]}}"#, "E1005"),
            (r#"{"command":["a"],"isolation":{"readonly_paths":["//"]}}"#, "E1005"),
            (r#"{"command":["a"],"isolation":{"network":true,"allowed_hosts":["a.b"]}}"#, "E1006"),
            (
                r#"{"command":["a"],"isolation":{"readonly_paths":["/a"],"writable_paths":["/a/"]}}"#,
                "E1006",
            ),
        ] {
            assert_eq!(code(json), expected, "{json}");
        }
    }

    #[test]
    fn the_private_places_are_never_the_hosts() {
        let task = resolve(
            r#"{"command":["a"],"isolation":{"readonly_paths":["/usr","/bin"],"writable_paths":["/tmp"]}}"#,
        );
        assert_eq!(task.unwrap().policy.files, []);
    }

    #[test]
    fn parents_are_mounted_before_children() {
        let json = r#"{"command":["a"],"isolation":{"bind_mounts":[
            {"source":"/x","destination":"/a/b"},{"source":"/y","destination":"/a","readonly":false}]}}"#;
        let task = resolve(json).unwrap();
        let order: Vec<_> = task.policy.files.iter().map(|m| m.destination.to_string()).collect();
        assert_eq!(order, ["/a", "/a/b"]);
    }
}
