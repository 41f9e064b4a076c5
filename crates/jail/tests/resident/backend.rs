//! The backend that is tested here: jails. `tests/conformance` has the same checks, and
//! other backends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use capsule_backend::sandbox::Root;
use capsule_jail::resident::Residents;
use capsule_spec::Failure;

pub(crate) fn is_jail() -> bool {
    true
}

/// Whether the sandboxes have a kernel of their own.
pub(crate) fn is_gvisor() -> bool {
    false
}

pub(crate) fn open(folder: impl Into<PathBuf>, lease: Duration) -> Result<Arc<Residents>, Failure> {
    Residents::open(folder, lease)
}

pub(crate) fn root() -> Root {
    Root::Host
}
