//! The only file that names concrete backends.

use capsule_backend::Backend;
use capsule_jail::Jail;

/// Every backend of this binary.
pub(crate) fn backends() -> Vec<Box<dyn Backend>> {
    vec![jail()]
}

/// The jail, for callers that are not themselves in the foreground of a run.
pub(crate) fn jail() -> Box<dyn Backend> {
    Box::new(Jail::default())
}
