//! A server of the binary, in a folder of its own.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use capsule_jail::groups;
use capsule_tests::{Binary, Signal, path_of, send_signal};

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

/// Options for the backend that the environment names; none is the usual one. An engine that a
/// test names itself comes before that one.
fn backend(arguments: &[&str]) -> Vec<String> {
    if std::env::var_os("CAPSULE_CONFORMANCE_RUNTIME").is_none() {
        return Vec::new();
    }
    let Engine { runtime, socket, image } = engine();
    let options = ["--backend", "docker", "--runtime", &runtime];
    let mut options: Vec<String> = options.map(str::to_owned).into();
    if !arguments.contains(&"--docker-socket") {
        options.extend(["--docker-socket".to_owned(), socket]);
    }
    for template in ["python", "node", "go", "shell"] {
        options.extend(["--image".to_owned(), format!("{template}={image}")]);
    }
    options
}

/// A server that runs. Dropping it stops it, and sees that it leaves nothing.
pub(crate) struct Serve {
    /// Where it is, unless it is at a socket.
    pub(crate) site: Site,
    /// What it printed of where it is.
    pub(crate) said: String,
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
        command.args(backend(arguments)).args(arguments);
        Self::run(command, data)
    }

    /// What this command starts. At a Unix socket, its `site` is nobody's.
    pub(crate) fn run(mut command: Command, data: &Path) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // A signal for the test's terminal is not one for the server.
        command.process_group(0);
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        // From here on it is ended, whatever it says.
        let nowhere = Site::new(([127, 0, 0, 1], 0).into());
        let (said, data) = (String::new(), data.to_owned());
        let mut serve = Self { site: nowhere, said, data, child: Some(child), folder: None };
        BufReader::new(stdout).read_line(&mut serve.said).unwrap();
        serve.said.truncate(serve.said.trim_end().len());
        assert!(!serve.said.is_empty(), "it says where it is");
        if let Some(address) = serve.said.strip_prefix("http://") {
            serve.site = Site::new(address.parse().unwrap());
        }
        serve
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

    /// SIGTERM, and its exit code. Of the control groups that it held, none may be left.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let groups = groups::held_by(child.id());
        send_signal(child.id(), Signal::Terminate);
        let deadline = Instant::now() + Duration::from_secs(60);
        let code = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status.code();
            }
            if Instant::now() >= deadline {
                let _ = child.kill();
                let _ = child.wait();
                assert!(std::thread::panicking(), "it does not stop");
                break None;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        // In those of sandboxes that are kept something lives.
        let processes = |group: &PathBuf| std::fs::read_to_string(group.join("cgroup.procs"));
        let is_empty = |group: &&PathBuf| processes(group).is_ok_and(|all| all.is_empty());
        let left: Vec<_> = groups.iter().filter(is_empty).collect();
        assert!(std::thread::panicking() || left.is_empty(), "left behind: {left:?}");
        code
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
