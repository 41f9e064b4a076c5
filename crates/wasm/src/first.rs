//! What a guest does first, in every run: found out once, when it is prepared, by running the
//! smallest of programs.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use capsule_backend::guest::{Channel, Grant, Guest, GuestError, Meter, Outside, Pending, Source};
use capsule_spec::{ByteSize, Fuel};

use crate::guest::Runtime;
use crate::memory::{Image, Pages};
use crate::runtime::{self, Language};

const PYTHON: &str = "from capsule import task\n@task(name='main')\ndef main(): return 1\n";
/// As a bundle is.
const JAVASCRIPT: &str = "const { task } = require('@capsule-run/sdk');\n\
    task({ name: 'main' }, () => 1);\n";

/// The pages that a guest writes until it answered its first call. None where that cannot be
/// told, which costs nothing but time.
pub(crate) fn written(language: Language, code: &[u8], image: &[u8]) -> Option<Vec<Pages>> {
    let mut file =
        File::from(rustix::fs::memfd_create("image", rustix::fs::MemfdFlags::CLOEXEC).ok()?);
    file.write_all(image).ok()?;
    let load = |engine: &_| runtime::take(engine, code);
    let runtime = Runtime::of(Image::new(file).ok()?, load, 0, 0).ok()?;
    let (path, program) = match language {
        Language::Python => ("main.py", PYTHON),
        Language::JavaScript => ("main.js", JAVASCRIPT),
    };
    let mut guest = runtime.guest(Arc::new(Smallest { path, program })).ok()?;
    let run = async {
        let grant = grant();
        guest.declare(&grant).await?;
        guest.call("main", r#"{"args":[],"kwargs":{}}"#, &grant).await
    };
    // On this thread alone: the process may have to lock itself down.
    let here = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    here.block_on(run).ok()?;
    guest.written()
}

fn grant() -> Grant {
    Grant {
        meter: Meter::new(Fuel::LOW.units()),
        ram: ByteSize::from_mib(256),
        disk: ByteSize::from_mib(1),
        files: Vec::new(),
        hosts: Vec::new(),
        download: ByteSize::from_bytes(1),
        environment: Vec::new(),
    }
}

/// The way out of a sandbox that has one module, and calls nothing.
struct Smallest {
    path: &'static str,
    program: &'static str,
}

impl Outside for Smallest {
    fn source(&self, module: &str) -> Option<Source> {
        module.is_empty().then(|| Source {
            path: self.path.to_owned(),
            is_package: false,
            bytes: self.program.as_bytes().to_vec(),
        })
    }

    fn output(&self, _: Channel, _: &[u8]) {}

    fn call(&self, _: &str, _: String) -> Pending<'static, Result<String, GuestError>> {
        Box::pin(std::future::ready(Err(GuestError::Crashed("nothing can be called".to_owned()))))
    }
}
