//! What this host allows, found out by running a jail.

use capsule_backend::{Backend, Capabilities, Output, Silent};
use capsule_spec::{ErrorCode, ExecutionId, Failure, ResolveError, Status, Stdin, TaskSpec};

use crate::host::Host;
use crate::{Jail, walls};

/// Tries a whole jail, and says which walls would stand.
pub(crate) fn capabilities(host: &Host) -> Capabilities {
    Capabilities {
        name: "jail",
        usable: try_jail(),
        facts: facts(host),
        walls: walls::of_host(host),
    }
}

fn facts(host: &Host) -> Vec<(String, String)> {
    let (major, minor) = host.kernel;
    let user = if host.may_map_any_user {
        "root: each jail gets a host user of its own"
    } else {
        "unprivileged: jails run as the caller's host user"
    };
    let landlock = match host.landlock {
        0 => "none".to_owned(),
        version => format!("ABI {version}"),
    };
    [
        ("kernel", format!("Linux {major}.{minor}")),
        ("user", user.to_owned()),
        ("control groups", host.cgroups.to_string()),
        ("landlock", landlock),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Runs `sh -c :` (every host has it) behind all walls.
fn try_jail() -> Result<(), Failure> {
    let spec = TaskSpec {
        command: Some(["sh", "-c", ":"].map(str::to_owned).to_vec()),
        ..TaskSpec::default()
    };
    let task =
        spec.resolve(ExecutionId::random(), Stdin::Empty).map_err(ResolveError::into_failure)?;
    match Jail::default().run(&task, Output::Captured, &mut Silent) {
        Ok(outcome) if outcome.status == Status::Success => Ok(()),
        Ok(outcome) => Err(outcome.error.unwrap_or_else(|| {
            Failure::new(ErrorCode::SystemFailure, "a trial run did not succeed")
        })),
        Err(error) => Err(error.failure),
    }
}
