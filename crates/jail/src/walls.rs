//! Which walls stand for a task on a host, and how well: the one place that says so.

use capsule_spec::{Network, Task, Wall, WallState, WallStatus};

use crate::cgroup::{Controller, Layout};
use crate::host::Host;

const DELEGATE: &str =
    "run as root, or with a delegated group: systemd-run --user --scope -p Delegate=yes …";

/// Landlock ABI from which on scopes exist (Linux 6.12, landlock(7)).
pub(crate) const LANDLOCK_SCOPES: u32 = 6;

/// The state of every wall for a task.
pub(crate) fn of_task(task: &Task, host: &Host) -> Vec<WallStatus> {
    let mut walls = of_host(host);
    for status in &mut walls {
        match status.wall {
            Wall::Network if task.policy.network == Network::Open => {
                status.state = WallState::Absent("the task shares the host's network".to_owned());
            }
            // In an own network namespace there is nobody to reach by an abstract socket,
            // and in an own process namespace nobody to signal.
            Wall::Scope if task.policy.network != Network::Open => status.state = WallState::Full,
            _ => {}
        }
    }
    walls
}

/// The state of every wall on a host, for a task that shares nothing.
pub(crate) fn of_host(host: &Host) -> Vec<WallStatus> {
    Wall::ALL.iter().map(|wall| of(*wall, host)).collect()
}

fn of(wall: Wall, host: &Host) -> WallStatus {
    match wall {
        Wall::Landlock if host.landlock == 0 => absent(
            wall,
            "this kernel has no Landlock, or it is switched off",
            "Linux 5.13 or newer, with landlock in the kernel's lsm= list",
        ),
        Wall::Scope if host.landlock < LANDLOCK_SCOPES => absent(
            wall,
            "this kernel's Landlock has no scopes, so --network reaches the host's abstract sockets",
            "Linux 6.12 or newer",
        ),
        Wall::User if host.is_lone_root => WallStatus {
            wall,
            state: WallState::Weaker(
                "the caller is root of a nested user namespace, and so is the jail for the host"
                    .to_owned(),
            ),
            remedy: Some("run as a user other than root of that namespace".to_owned()),
        },
        Wall::Memory => controlled(wall, host, Controller::Memory, |why| {
            WallState::Weaker(format!(
                "{why}; the supervisor adds up processes and private files every 20 ms and ends \
                 the run above the limit, but cannot see what no process maps: memfds, System V \
                 segments, buffers of pipes and sockets"
            ))
        }),
        Wall::Cpu => controlled(wall, host, Controller::Cpu, WallState::Absent),
        Wall::Pids => pids(host),
        Wall::Mount
        | Wall::User
        | Wall::Pid
        | Wall::Network
        | Wall::Ipc
        | Wall::Uts
        | Wall::Cgroup
        | Wall::Time
        | Wall::Capabilities
        | Wall::Landlock
        | Wall::Scope
        | Wall::Seccomp
        | Wall::Disk => full(wall),
    }
}

/// Whether `RLIMIT_NPROC` counts a jail's processes alone: per user namespace since
/// Linux 5.14, and on any kernel as root, where each jail has a user of its own.
pub(crate) fn counts_own_processes(host: &Host) -> bool {
    host.may_map_any_user || host.kernel >= (5, 14)
}

fn pids(host: &Host) -> WallStatus {
    if host.cgroups.has(Controller::Pids) {
        return full(Wall::Pids);
    }
    if counts_own_processes(host) {
        return WallStatus {
            wall: Wall::Pids,
            state: WallState::Weaker(
                "the limit holds, but nothing counts refused forks: a command that goes on after \
                 one may end as a success"
                    .to_owned(),
            ),
            remedy: Some(DELEGATE.to_owned()),
        };
    }
    absent(
        Wall::Pids,
        "before Linux 5.14 an unprivileged process limit counts the caller's other processes too",
        "Linux 5.14 or newer, or a delegated control group",
    )
}

fn controlled(
    wall: Wall,
    host: &Host,
    controller: Controller,
    otherwise: fn(String) -> WallState,
) -> WallStatus {
    if host.cgroups.has(controller) {
        return full(wall);
    }
    let remedy = match &host.cgroups {
        Layout::None { .. } if host.uid != 0 => DELEGATE,
        _ => "give this process a cgroup in which it may create groups",
    };
    WallStatus {
        wall,
        state: otherwise(host.cgroups.why_not(controller)),
        remedy: Some(remedy.to_owned()),
    }
}

fn full(wall: Wall) -> WallStatus {
    WallStatus { wall, state: WallState::Full, remedy: None }
}

fn absent(wall: Wall, why: &str, remedy: &str) -> WallStatus {
    WallStatus { wall, state: WallState::Absent(why.to_owned()), remedy: Some(remedy.to_owned()) }
}
