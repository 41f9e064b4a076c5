//! The only file that names concrete backends.

use std::path::PathBuf;
use std::sync::Arc;

use capsule_backend::Backend;
use capsule_backend::guest::Guests;
use capsule_engine::{Backends, Project};
use capsule_jail::Jail;
use capsule_spec::{ErrorCode, Failure};
use capsule_wasm::{Language, PACKAGES, Progress, Runtime};

use crate::packages;

/// What runs other programs in WebAssembly.
pub(crate) use capsule_wasm::{Command as WasmCommand, CommandLimits};

/// Every backend of this binary.
pub(crate) fn backends() -> Vec<Box<dyn Backend>> {
    vec![jail()]
}

/// The jail, for callers that are not themselves in the foreground of a run.
pub(crate) fn jail() -> Box<dyn Backend> {
    Box::new(Jail::default())
}

/// What runs the tasks of a project, its packages in memory.
pub(crate) fn guests(project: &mut Project, progress: &dyn Progress) -> Result<Backends, Failure> {
    /// Memories that are kept for later tasks.
    const MOST_IDLE: usize = 32;
    let unavailable = |error: &dyn std::error::Error| {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Failure::new(ErrorCode::RuntimeUnavailable, message)
    };
    let prepared = Language::Python
        .prepare(&cache().join("runtimes"), progress)
        .map_err(|error| unavailable(&error))?;
    let requirements = project.requirements()?;
    let prepared = if requirements.is_empty() {
        prepared
    } else {
        let (layered, folder) = packages::with_packages(&prepared, &requirements, &cache())?;
        project.packages(folder, PACKAGES);
        layered
    };
    let runtime = Runtime::new(&prepared, MOST_IDLE)
        .map_err(|error| Failure::new(ErrorCode::RuntimeUnavailable, format!("{error:#}")))?;
    let wasm: Arc<dyn Guests> = Arc::new(runtime);
    let jail =
        Err(Failure::new(ErrorCode::RuntimeUnavailable, "isolation=\"jail\" is not built in"));
    Ok(Backends { wasm, jail })
}

/// The user's cache: only ever a saving.
pub(crate) fn cache() -> PathBuf {
    let variable =
        |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("CAPSULE_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("capsule")))
        .or_else(|| {
            Some(variable("HOME")?.join(".cache/capsule"))
                .filter(|path| path.ancestors().nth(2).is_some_and(std::path::Path::is_dir))
        })
        // An account without a home; the folder must still be its own.
        .unwrap_or_else(|| {
            std::env::temp_dir().join(format!("capsule-{}", rustix::process::geteuid().as_raw()))
        })
}
