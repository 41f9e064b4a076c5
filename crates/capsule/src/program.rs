//! How a program is opened and what it runs on: the same for `capsule run` and for a
//! worker's runs.

use std::collections::BTreeMap;
use std::path::Path;

use capsule_engine::{MountOption, Part, Parts, Project};
use capsule_spec::{ErrorCode, Failure};

use crate::progress::Preparing;
use crate::wire::{self, Runtimes};
use crate::{broker, shelf};

/// Opens a program for a caller whose current folder is `place` (empty: this process's),
/// with what the caller grants it.
pub(crate) fn open(
    place: &Path,
    file: Option<&str>,
    mounts: &[MountOption],
) -> Result<Project, Failure> {
    let project = match file {
        Some(file) if file.ends_with(".wasm") => Project::open_export(place, file),
        _ => Project::open_in(place, file),
    };
    let project = project.map_err(|error| error.into_failure())?;
    mounted(project, mounts)
}

/// Grants every task of a program what the caller named.
pub(crate) fn mounted(mut project: Project, mounts: &[MountOption]) -> Result<Project, Failure> {
    for mount in mounts {
        project.mount(mount).map_err(|error| error.into_failure())?;
    }
    Ok(project)
}

/// Makes ready what runs a program and those that it may call, their scripts too. May take
/// minutes, the first time on a machine.
pub(crate) fn ready(project: Project) -> Result<Parts, Failure> {
    let runtimes = Runtimes::default();
    let make = |name: String, mut project: Project| {
        let backends = runtimes.of(&mut project, &Preparing)?;
        Ok(Part { name, project, backends })
    };
    let others = project.others()?.into_iter().map(|(name, project)| make(name, project));
    let others = others.collect::<Result<_, Failure>>()?;
    Ok(Parts { entry: make(project.name().to_owned(), project)?, others })
}

/// Finds the program, if it was loaded in an earlier run. Nothing of it may have run.
pub(crate) fn find_kept(parts: &mut Parts) {
    // Of several, one could write what is kept of another.
    if parts.others.is_empty() {
        let Part { project, backends, .. } = &mut parts.entry;
        backends.shelf = shelf::of(project, &*backends.wasm, &wire::cache().join("kept"));
    }
}

/// Puts what runs tasks in jails behind brokers. Nothing of the programs may have run.
pub(crate) fn start_brokers(parts: &mut Parts) {
    for Part { project, backends, .. } in parts.iter_mut() {
        let none = Failure::new(ErrorCode::SystemFailure, "there is no broker for jails");
        let jail = std::mem::replace(&mut backends.jail, Err(none));
        backends.jail = broker::start(project, jail);
    }
}

/// What tasks may ask for by name: this process's variables, as far as they are text.
pub(crate) fn environment() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// The threads that tasks run on.
pub(crate) fn threads() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Timers are looked at between tasks; a running guest stops for breath every
        // fraction of a millisecond.
        .event_interval(4)
        .build()
        .map_err(|error| Failure::new(ErrorCode::OutOfResources, format!("no threads: {error}")))
}
