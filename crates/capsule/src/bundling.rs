//! Programs in TypeScript and JavaScript become one script, in a process of their own. What
//! that runs is a program which this one carries, packed: it is what is needed least often.

use std::io;

use capsule_bundle::Bundler;
use capsule_spec::{ErrorCode, Failure};

use crate::wire;

const NAME: &str = "capsule-bundle";

/// Makes scripts, and keeps them in the user's cache.
pub(crate) fn bundler() -> Result<Bundler, Failure> {
    let (packed, hash) = include!(concat!(env!("OUT_DIR"), "/capsule-bundle.rs"));
    if packed.is_empty() {
        let message = "this binary was built without what bundles TypeScript and JavaScript";
        return Err(Failure::new(ErrorCode::RuntimeUnavailable, message));
    }
    let unpack = || zstd::decode_all(packed);
    let program = wire::carried_program(NAME, hash, unpack).map_err(unusable)?;
    Ok(Bundler::new(program, Some(wire::cache().join("bundles"))))
}

fn unusable(error: io::Error) -> Failure {
    let folder = wire::cache();
    let message = format!("the cache {} cannot be used: {error}", folder.display());
    Failure::new(ErrorCode::RuntimeUnavailable, message)
}
