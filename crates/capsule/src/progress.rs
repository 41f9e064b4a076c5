//! What is shown while a runtime is made ready, once for a machine.

use std::io::{self, Write};

use capsule_wasm::{Progress, Stage};

/// Lines on standard error.
#[derive(Default)]
pub(crate) struct Preparing;

impl Progress for Preparing {
    fn stage(&self, stage: Stage) {
        let what = match stage {
            Stage::Unpack => "unpacking the runtime (once for this machine)",
            Stage::Compile => "compiling it for this processor; this takes some seconds",
            Stage::Store => "storing it",
        };
        let _ = writeln!(io::stderr(), "capsule: {what}");
    }
}
