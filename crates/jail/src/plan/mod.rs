//! The plan: everything that a jail will be, decided before anything is done.
//!
//! Pure: a [`Task`] and a [`Host`] in, a [`Plan`] out. `--dry-run` prints it.

mod base;
mod environment;
mod identity;
mod root;

use serde::Serialize;

use capsule_spec::{
    ByteSize, ErrorCode, ExecutionId, Failure, HostRule, Limits, Mount, Network, Program,
    SeccompProfile, Stdin, Task, Wall, WallState, WallStatus,
};

use crate::cgroup::{Controller, Layout};
use crate::host::Host;
use crate::walls;

pub use identity::Identity;
pub use root::RootStep;

/// Everything that a jail will be.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Names this execution.
    pub execution_id: ExecutionId,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Where it starts.
    pub working_directory: String,
    /// Its whole environment, `NAME=value`.
    pub environment: Vec<String>,
    /// What it reads.
    pub stdin: Stdin,
    /// Whether descriptor 3 is a socket to a program on the host, which speaks to the
    /// command through it. The one descriptor beside the three streams that is let in.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_channel: bool,
    /// Who it is, inside and outside.
    pub identity: Identity,
    /// Whether it has the host's network.
    pub shares_network: bool,
    /// Hosts that the door connects to; none means no door.
    pub door: Vec<HostRule>,
    /// Bytes that may come in through the door, in all; none is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<ByteSize>,
    /// A directory in place of the host's root: system directories come from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Mount>,
    /// How the private root is filled, in order.
    pub root: Vec<RootStep>,
    /// Files of the host, in the order in which they are mounted.
    pub mounts: Vec<Mount>,
    /// What it may use.
    pub limits: Limits,
    /// `RLIMIT_NPROC`, where it counts this jail's processes only.
    pub process_rlimit: Option<ProcessRlimit>,
    /// What it may call.
    pub seccomp: SeccompProfile,
    /// The Landlock ABI that the rules are written for; 0 is none.
    pub landlock: u32,
    /// Whether limits must stand before the command starts, at the cost of a slower start.
    pub limits_before_start: bool,
    /// Whether the supervisor adds up memory, all of the time or before a group is joined.
    pub adds_up_memory: bool,
    /// Every wall and how well it stands.
    pub walls: Vec<WallStatus>,
}

impl Plan {
    /// Decides.
    ///
    /// # Errors
    /// A [`Failure`] when a required wall, or a limit that was asked for, cannot stand here.
    pub fn new(task: &Task, host: &Host) -> Result<Self, Failure> {
        let Program::Command(command) = &task.program;
        let walls = walls::of_task(task, host);
        refuse_missing(task, &walls)?;
        let door = match &task.policy.network {
            Network::Hosts(rules) => rules.clone(),
            Network::Denied | Network::Open => Vec::new(),
        };
        Ok(Self {
            execution_id: task.id,
            command: command.clone(),
            working_directory: task.working_directory.to_string(),
            environment: environment::of(task),
            stdin: task.stdin,
            has_channel: false,
            identity: Identity::new(host),
            shares_network: task.policy.network == Network::Open,
            door,
            download: None,
            base: host.base.clone(),
            root: root::steps(task, host),
            mounts: task.policy.files.clone(),
            limits: task.limits.clone(),
            process_rlimit: process_rlimit(task, host),
            seccomp: task.policy.seccomp,
            landlock: host.landlock,
            adds_up_memory: !matches!(host.cgroups, Layout::V2 { .. })
                || !host.cgroups.has(Controller::Memory),
            limits_before_start: limits_before_start(task),
            walls,
        })
    }
}

/// Whoever requires a limit gets it before the first instruction.
fn limits_before_start(task: &Task) -> bool {
    [Wall::Memory, Wall::Pids, Wall::Cpu].iter().any(|wall| task.require.contains(wall))
}

/// `RLIMIT_NPROC`: it holds from the first instruction on, PID 1 included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessRlimit {
    /// In force from the start; as `hard` where the group counts from the start, too.
    pub soft: u64,
    /// In force once a control group counts: a little above the group's limit,
    /// which would otherwise never be reached, and only the group counts refusals.
    pub hard: u64,
}

fn process_rlimit(task: &Task, host: &Host) -> Option<ProcessRlimit> {
    const ROOM: u64 = 8;
    let soft = u64::from(task.limits.max_pids) + 1;
    if host.cgroups.has(Controller::Pids) {
        let hard = soft + ROOM;
        let joins_late = matches!(host.cgroups, Layout::V1 { .. }) && !limits_before_start(task);
        return Some(ProcessRlimit { soft: if joins_late { soft } else { hard }, hard });
    }
    walls::counts_own_processes(host).then_some(ProcessRlimit { soft, hard: soft })
}

fn refuse_missing(task: &Task, walls: &[WallStatus]) -> Result<(), Failure> {
    for status in walls {
        let why = match &status.state {
            WallState::Full => continue,
            WallState::Weaker(why) | WallState::Absent(why) => why,
        };
        // A quota that nothing would enforce must not be accepted.
        let asked_for = status.wall == Wall::Cpu && task.limits.cpus.is_some();
        if task.require.contains(&status.wall) || asked_for {
            let failure = Failure::new(
                ErrorCode::WallUnavailable,
                format!("the wall {:?} cannot stand fully here: {why}", status.wall.name()),
            )
            .detail("wall", status.wall);
            return Err(match &status.remedy {
                Some(remedy) => failure.hint(remedy.clone()),
                None => failure.hint("run \"capsule doctor\" to see what this host allows"),
            });
        }
    }
    Ok(())
}

/// The private, writable places as absolute paths.
pub(crate) fn private_places() -> Vec<String> {
    root::PRIVATE.iter().map(|(path, _)| format!("/{path}")).collect()
}
