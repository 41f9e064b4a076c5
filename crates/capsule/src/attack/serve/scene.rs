//! A server of this binary with a folder of its own, two keys, and a secret on the host.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::attempt::{Access, Attempt, Without};
use super::door::Door;
use crate::attack::{Verdict, sys};

/// How long a server may take to start, and to stop.
const STARTING: Duration = Duration::from_secs(30);
const STOPPING: Duration = Duration::from_secs(60);

/// Whether the wall of an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walls {
    Up,
    Down,
}

/// One attempt's server.
pub(super) struct Scene {
    /// The owner of what is attacked; without keys, anybody.
    pub(super) mine: Door,
    /// The stranger.
    pub(super) other: Door,
    pub(super) data: PathBuf,
    /// A file of the host that nobody is given, and what it holds.
    pub(super) secret: (PathBuf, String),
    binary: PathBuf,
    walls: Walls,
    child: Option<Child>,
}

impl Scene {
    pub(super) fn build(
        root: &Path,
        binary: &Path,
        attempt: &Attempt,
        walls: Walls,
    ) -> io::Result<Self> {
        let folder = root.join(attempt.name);
        fs::create_dir(&folder)?;
        let data = folder.join("data");
        let secret =
            (folder.join("secret"), format!("secret-{}-{}", std::process::id(), attempt.name));
        fs::write(&secret.0, &secret.1)?;
        let without = if walls == Walls::Down { attempt.without } else { Without::Nothing };
        let has_keys = attempt.access == Access::Keys && without != Without::Keys;
        let mut keys = [None, None];
        if attempt.access == Access::Keys {
            for key in &mut keys {
                *key = Some(create_key(binary, &data)?);
            }
        }
        let options = match without {
            Without::Options(options) => options,
            _ => attempt.options,
        };
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--backend", "jail", "--pool", "0"]);
        command.arg("--data").arg(&data).args(options);
        if has_keys {
            command.arg("--require-key");
        }
        let log = File::create(folder.join("log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn()?;
        let address = where_it_listens(&mut child);
        let [mine, mut other] = keys;
        if without == Without::Tenancy {
            other.clone_from(&mine);
        }
        let door = |address, key| Door { address, key };
        let mut scene = Self {
            mine: door(([127, 0, 0, 1], 0).into(), mine),
            other: door(([127, 0, 0, 1], 0).into(), other),
            data,
            secret,
            binary: binary.to_owned(),
            walls,
            child: Some(child),
        };
        // Only now: a server that did not start is ended with the scene.
        let address = address?;
        scene.mine.address = address;
        scene.other.address = address;
        Ok(scene)
    }

    /// Whether what the attempt does to raise its wall is to be left out.
    pub(super) fn is_down(&self) -> bool {
        self.walls == Walls::Down
    }

    /// Somebody without a key.
    pub(super) fn nobody(&self) -> Door {
        Door { address: self.mine.address, key: None }
    }

    pub(super) fn process(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// What the server said of itself, line by line.
    pub(super) fn log(&self) -> io::Result<String> {
        fs::read_to_string(self.data.with_file_name("log"))
    }

    /// A verb of this binary, as the operator or a user has it: what it printed on both
    /// streams.
    pub(super) fn capsule(&self, arguments: &[&str]) -> io::Result<String> {
        let mut command = Command::new(&self.binary);
        command.args(arguments).stdin(Stdio::null());
        if let Some(key) = &self.mine.key {
            command.env("CAPSULE_API_KEY", key);
        }
        let output =
            command.env("CAPSULE_SERVER", format!("http://{}", self.mine.address)).output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    pub(super) fn revoke(&self, key: &str) -> io::Result<()> {
        let id = key.split('_').nth(1).unwrap_or_default();
        let data = self.data.display().to_string();
        self.capsule(&["keys", "revoke", id, "--data", &data]).map(drop)
    }

    /// The server is told to stop, and has to leave nothing.
    pub(super) fn close(mut self) -> Verdict {
        let Some(mut child) = self.child.take() else {
            return Verdict::Inconclusive("the server did not run".to_owned());
        };
        if let Ok(Some(status)) = child.try_wait() {
            return Verdict::Escaped(format!("the server ended: {status}"));
        }
        let _ = sys::kill(child.id().cast_signed(), libc::SIGTERM);
        let until = Instant::now() + STOPPING;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                _ => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Verdict::Escaped("the server did not stop".to_owned());
                }
            }
        };
        let left = fs::read_dir(self.data.join("jails")).into_iter().flatten().flatten();
        let left: Vec<_> =
            left.map(|entry| entry.file_name()).filter(|one| one != "lock").collect();
        Verdict::held_if(
            status.success() && left.is_empty(),
            match (status.success(), left.is_empty()) {
                (true, true) => String::new(),
                _ => format!("the server stopped with {status} and left {left:?}"),
            },
        )
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn create_key(binary: &Path, data: &Path) -> io::Result<String> {
    let mut command = Command::new(binary);
    command.args(["keys", "create", "--name", "attack", "--data"]).arg(data);
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match text.starts_with("cap_") {
        true => Ok(text),
        false => Err(io::Error::other("no key was made")),
    }
}

/// The address that a server prints.
fn where_it_listens(child: &mut Child) -> io::Result<std::net::SocketAddr> {
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = BufReader::new(stdout).read_line(&mut line);
        let _ = told.send(line);
    });
    let line = heard.recv_timeout(STARTING).unwrap_or_default();
    let address = line.trim().strip_prefix("http://").and_then(|text| text.parse().ok());
    address.ok_or_else(|| io::Error::other("the server did not start"))
}
