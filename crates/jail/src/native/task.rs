//! From a grant to a plan: the words of the guests' contract in those of a command.

use std::path::Path;

use capsule_backend::guest::{Grant, Granted};
use capsule_spec::{
    Access, BindMount, ErrorCode, ExecutionId, Failure, IsolationSpec, ResolveError, ResourceSpec,
    Stdin, TaskSpec,
};

use super::interpreter::Language;
use super::slot::Slot;
use super::{Setup, node};
use crate::cgroup::Layout;
use crate::host::Host;
use crate::plan::Plan;

/// Where packages are inside, as in a WebAssembly guest.
const PACKAGES: &str = "/packages";
/// Where a folder is that was granted as the root, which the jail has already.
const PROJECT: &str = "/project";
/// Numeric libraries, and V8, start a thread for each processor.
const MOST_PROCESSES: u64 = 512;
/// The caller keeps the deadline: this is only the longest that there is.
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// Where a guest finds packages; empty if it has none but the interpreter's.
pub(super) fn packages(setup: &Setup, grant: &Grant) -> &'static str {
    let are_granted = grant.files.iter().any(|file| file.destination == PACKAGES);
    if setup.packages.is_some() || are_granted { PACKAGES } else { "" }
}

pub(super) fn plan(setup: &Setup, grant: &Grant, slot: &Slot) -> Result<(Plan, Layout), Failure> {
    let interpreter = setup.interpreter()?;
    let mut mounts = Vec::new();
    for (source, destination) in &interpreter.mounts {
        mounts.push(mount(source, text(destination)?, Access::ReadOnly)?);
    }
    for path in &setup.mounts {
        mounts.push(mount(path, text(path)?, Access::ReadOnly)?);
    }
    if let Some(packages) = &setup.packages {
        mounts.push(mount(packages, PACKAGES, Access::ReadOnly)?);
    }
    for (source, destination) in &setup.modules {
        // What was granted there, or below, or above, is what the task sees.
        let meets = |file: &Granted| {
            let other = Path::new(&file.destination);
            other != Path::new("/")
                && (other.starts_with(destination) || Path::new(destination).starts_with(other))
        };
        if !grant.files.iter().any(meets) {
            mounts.push(mount(source, destination, Access::ReadOnly)?);
        }
    }
    let mut working_directory = "/";
    for file in &grant.files {
        // The packages of WebAssembly guests give way to those for this interpreter.
        if file.destination == PACKAGES && setup.packages.is_some() {
            continue;
        }
        let mut destination = file.destination.as_str();
        if destination == "/" {
            (destination, working_directory) = (PROJECT, PROJECT);
        }
        mounts.push(mount(&file.source, destination, file.access)?);
    }
    let mut command = vec![text(&interpreter.executable)?.to_owned()];
    command.extend(setup.language.arguments(grant));
    let environment = match setup.language {
        Language::Python => grant.environment.iter().cloned().collect(),
        Language::JavaScript => node::environment().into_iter().collect(),
    };
    let spec = TaskSpec {
        command: Some(command),
        environment,
        timeout_ms: Some(YEAR_MS),
        resources: ResourceSpec {
            memory_bytes: Some(grant.ram.bytes()),
            max_pids: Some(MOST_PROCESSES),
            disk_bytes: Some(grant.disk.bytes()),
            ..ResourceSpec::default()
        },
        isolation: IsolationSpec {
            allowed_hosts: grant.hosts.iter().map(ToString::to_string).collect(),
            working_directory: Some(working_directory.to_owned()),
            bind_mounts: mounts,
            ..IsolationSpec::default()
        },
    };
    let task =
        spec.resolve(ExecutionId::random(), Stdin::Empty).map_err(ResolveError::into_failure)?;
    let host = Host { serial: slot.number, ..Host::read(false) };
    let plan =
        Plan { has_channel: true, download: Some(grant.download), ..Plan::new(&task, &host)? };
    Ok((plan, host.cgroups))
}

fn mount(source: &Path, destination: &str, access: Access) -> Result<BindMount, Failure> {
    Ok(BindMount {
        source: text(source)?.to_owned(),
        destination: destination.to_owned(),
        readonly: access == Access::ReadOnly,
    })
}

fn text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| {
        Failure::new(ErrorCode::InvalidPath, format!("the path {} is not UTF-8", path.display()))
    })
}
