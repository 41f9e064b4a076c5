//! The backend that is tested: what the environment says, or jails.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use capsule_backend::sandbox::Root;
use capsule_docker::{Containers, Settings};
use capsule_jail::resident::Residents;
use capsule_spec::Failure;
use capsule_tests::{Binary, path_of};

/// A runtime of Docker; jails are tested without it.
const RUNTIME: &str = "CAPSULE_CONFORMANCE_RUNTIME";
/// The engine's socket.
const SOCKET: &str = "CAPSULE_CONFORMANCE_SOCKET";
/// The image, with a shell, the usual programs and Python.
const IMAGE: &str = "CAPSULE_CONFORMANCE_IMAGE";

fn runtime() -> Option<String> {
    std::env::var(RUNTIME).ok()
}

pub(crate) fn is_jail() -> bool {
    runtime().is_none()
}

/// Whether the sandboxes have a kernel of their own.
pub(crate) fn is_gvisor() -> bool {
    runtime().is_some_and(|name| name == "runsc")
}

pub(crate) fn open(folder: impl Into<PathBuf>, lease: Duration) -> Result<Arc<Residents>, Failure> {
    let folder = folder.into();
    let Some(runtime) = runtime() else { return Residents::open(folder, lease) };
    let settings = Settings {
        socket: std::env::var_os(SOCKET).expect("the engine's socket is named").into(),
        runtime,
        program: path_of(Binary::Capsule),
        announce: Arc::new(|_| {}),
    };
    let containers = Containers::new(settings, &folder)?;
    Residents::within(Arc::new(containers), folder, lease)
}

pub(crate) fn root() -> Root {
    match runtime() {
        None => Root::Host,
        Some(_) => Root::Image(std::env::var(IMAGE).expect("the image is named")),
    }
}
