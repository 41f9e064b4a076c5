//! What this host allows, found out by running a jail.

use capsule_backend::{Backend, Capabilities, Output, Silent};
use capsule_spec::{ErrorCode, ExecutionId, Failure, Status, Stdin, TaskSpec};

use crate::host::Host;
use crate::{Jail, walls};

/// Tries a whole jail, and says which walls would stand.
pub(crate) fn capabilities(host: &Host) -> Capabilities {
    Capabilities { name: "jail", usable: try_jail(), walls: walls::of_host(host) }
}

/// Runs `sh -c :` (every host has it) behind all walls.
fn try_jail() -> Result<(), Failure> {
    let spec = TaskSpec {
        command: Some(["sh", "-c", ":"].map(str::to_owned).to_vec()),
        ..TaskSpec::default()
    };
    let task = spec
        .resolve(ExecutionId::random(), Stdin::Empty)
        .map_err(capsule_spec_error)?;
    match Jail::default().run(&task, Output::Captured, &mut Silent) {
        Ok(outcome) if outcome.status == Status::Success => Ok(()),
        Ok(outcome) => Err(outcome.error.unwrap_or_else(|| {
            Failure::new(ErrorCode::SystemFailure, "a trial run did not succeed")
        })),
        Err(error) => Err(error.failure),
    }
}

fn capsule_spec_error(error: capsule_spec::ResolveError) -> Failure {
    error.into_failure()
}
