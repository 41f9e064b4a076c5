//! A server of the binary, in a folder of its own.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use capsule_tests::{Binary, Caller, Signal, path_of, send_signal};

use crate::suite::client::Site;

/// An engine to test containers on.
pub(crate) struct Engine {
    pub(crate) runtime: String,
    pub(crate) socket: String,
    pub(crate) image: String,
}

pub(crate) fn engine() -> Engine {
    let named = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    Engine {
        runtime: named("CAPSULE_CONFORMANCE_RUNTIME"),
        socket: named("CAPSULE_CONFORMANCE_SOCKET"),
        image: named("CAPSULE_CONFORMANCE_IMAGE"),
    }
}

/// Options for the backend that the environment names; none is the usual one.
fn backend() -> Vec<String> {
    if std::env::var_os("CAPSULE_CONFORMANCE_RUNTIME").is_none() {
        return Vec::new();
    }
    let Engine { runtime, socket, image } = engine();
    let options = ["--backend", "docker", "--runtime", &runtime, "--docker-socket", &socket];
    let mut options: Vec<String> = options.map(str::to_owned).into();
    for template in ["python", "node", "go", "shell"] {
        options.extend(["--image".to_owned(), format!("{template}={image}")]);
    }
    options
}

/// A server that runs. Dropping it stops it, and sees that it leaves nothing.
pub(crate) struct Serve {
    pub(crate) site: Site,
    pub(crate) data: PathBuf,
    /// None once it was killed or stopped.
    child: Option<Child>,
    folder: Option<tempfile::TempDir>,
}

impl Serve {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut serve = Self::again(&data, arguments);
        serve.folder = Some(folder);
        serve
    }

    /// One that finds the state of an earlier one.
    pub(crate) fn again(data: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(path_of(Binary::Capsule));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.args(backend()).args(arguments);
        Self::run(command, data)
    }

    /// One that is not root's.
    pub(crate) fn unprivileged() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut command = Command::new(path_of(Binary::Capsule));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
        if let Some(user) = Caller::Unprivileged.change_to() {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(user)).unwrap();
            command.uid(user).gid(user);
        }
        let mut serve = Self::run(command, &data);
        serve.folder = Some(folder);
        serve
    }

    fn run(mut command: Command, data: &Path) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // A signal for the test's terminal is not one for the server.
        command.process_group(0);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").expect("it says where it is").parse();
        let site = Site::new(address.unwrap());
        Self { site, data: data.to_owned(), child: Some(child), folder: None }
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// `kill -9`; the folder stays for the next server.
    pub(crate) fn kill(mut self) -> (PathBuf, Option<tempfile::TempDir>) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
        (self.data.clone(), self.folder.take())
    }

    /// SIGTERM, and its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        send_signal(child.id(), Signal::Terminate);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        if self.child.is_some() {
            let code = self.stop();
            assert!(std::thread::panicking() || code == Some(0), "it stopped with {code:?}");
        }
    }
}

impl std::ops::Deref for Serve {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}
