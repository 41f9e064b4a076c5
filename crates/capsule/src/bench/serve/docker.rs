//! Docker's engine, over its HTTP API: what a server that wraps Docker does.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use capsule_spec::{ErrorCode, Failure};
use serde_json::{Value, json};

use crate::client::{Answer, Connection, Place, Sent};

const IMAGE: &str = "capsule-bench-serve";
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest answer.
const MOST: u64 = 16 << 20;

/// An engine, and a connection to it.
#[derive(Debug)]
pub(super) struct Engine {
    place: Place,
    kept: Option<Connection>,
}

impl Engine {
    /// The engine at a socket, with an image to start; or why there is none.
    pub(super) fn connect(socket: Option<PathBuf>) -> Result<Self, String> {
        let named = std::env::var("DOCKER_HOST").ok();
        let named =
            named.as_deref().and_then(|host| host.strip_prefix("unix://")).map(PathBuf::from);
        let socket = socket.or(named).unwrap_or_else(|| "/var/run/docker.sock".into());
        let mut engine = Self { place: Place::Unix(socket), kept: None };
        let found = engine.ask("GET", "/version", None);
        found.map_err(|failure| failure.message)?;
        engine.make_image()?;
        Ok(engine)
    }

    /// A static busybox and nothing else: as small as an image can be.
    fn make_image(&mut self) -> Result<(), String> {
        let folder =
            std::env::temp_dir().join(format!("capsule-bench-image-{}", std::process::id()));
        let bin = folder.join("bin");
        let made = std::fs::create_dir_all(&bin)
            .and_then(|()| std::fs::create_dir_all(folder.join("workspace")))
            .and_then(|()| std::fs::copy("/bin/busybox", bin.join("busybox")))
            .and_then(|_| {
                ["true", "sleep"]
                    .iter()
                    .try_for_each(|name| std::os::unix::fs::symlink("busybox", bin.join(name)))
            });
        let imported = made.map_err(|_| "no /bin/busybox to make an image of".to_owned());
        let imported = imported.and_then(|()| self.import(&folder));
        let _ = std::fs::remove_dir_all(&folder);
        imported
    }

    fn import(&mut self, folder: &std::path::Path) -> Result<(), String> {
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(folder).args(["-c", "."]).stdout(Stdio::piped());
        let mut tar = tar.spawn().map_err(|_| "tar is not installed".to_owned())?;
        let mut archive = tar.stdout.take().ok_or("its output is a pipe")?;
        let target = format!("/images/create?fromSrc=-&repo={IMAGE}&tag=latest");
        let mut connection = self.connection().map_err(|failure| failure.message)?;
        let headers = [("Content-Type", "application/x-tar".to_owned())];
        let answer = connection
            .ask("POST", &target, &headers, Sent::Pieces(&mut archive))
            .and_then(|answer| whole(&mut connection, answer));
        let _ = tar.wait();
        answer.map(|_| ()).map_err(|failure| failure.message)
    }

    pub(super) fn time(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<Duration, Failure> {
        let began = Instant::now();
        work(self)?;
        Ok(began.elapsed())
    }

    /// A container that waits.
    pub(super) fn create(&mut self) -> Result<String, Failure> {
        let container = json!({
            "Image": IMAGE, "Cmd": ["/bin/sleep", "3600"], "WorkingDir": "/workspace",
            "HostConfig": { "NetworkMode": "none" },
        });
        let made = self.ask("POST", "/containers/create", Some(&container))?;
        let id = made["Id"].as_str().unwrap_or_default().to_owned();
        self.ask("POST", &format!("/containers/{id}/start"), None)?;
        Ok(id)
    }

    /// What `docker exec` does: make it, start it and read its output, ask how it ended.
    pub(super) fn exec(&mut self, container: &str) -> Result<(), Failure> {
        let command = json!({ "Cmd": ["/bin/true"], "AttachStdout": true, "AttachStderr": true });
        let made = self.ask("POST", &format!("/containers/{container}/exec"), Some(&command))?;
        let id = made["Id"].as_str().unwrap_or_default().to_owned();
        let how = json!({ "Detach": false, "Tty": false });
        self.ask("POST", &format!("/exec/{id}/start"), Some(&how))?;
        let ended = self.ask("GET", &format!("/exec/{id}/json"), None)?;
        match ended["ExitCode"] == json!(0) {
            true => Ok(()),
            false => {
                Err(Failure::new(ErrorCode::NonZeroExit, format!("/bin/true failed: {ended}")))
            }
        }
    }

    /// From nothing to nothing.
    pub(super) fn whole_life(&mut self) -> Result<(), Failure> {
        let container = self.create()?;
        self.exec(&container)?;
        self.remove(&container)
    }

    pub(super) fn remove(&mut self, container: &str) -> Result<(), Failure> {
        self.ask("DELETE", &format!("/containers/{container}?force=1"), None).map(|_| ())
    }

    /// A file in, and out again.
    pub(super) fn file(&mut self, container: &str, content: &[u8]) -> Result<(), Failure> {
        let archive = archive("file", content);
        let target = format!("/containers/{container}/archive?path=/workspace");
        let mut connection = self.connection()?;
        let headers = [("Content-Type", "application/x-tar".to_owned())];
        let answer = connection.ask("PUT", &target, &headers, Sent::Bytes(&archive))?;
        whole(&mut connection, answer)?;
        self.keep(connection);
        let target = format!("/containers/{container}/archive?path=/workspace/file");
        let mut connection = self.connection()?;
        let answer = connection.ask("GET", &target, &[], Sent::Nothing)?;
        let bytes = whole(&mut connection, answer)?;
        self.keep(connection);
        match bytes.len() > content.len() {
            true => Ok(()),
            false => Err(Failure::new(ErrorCode::FileNotFound, "another file came back")),
        }
    }

    fn ask(&mut self, method: &str, target: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let text = body.map(Value::to_string);
        let sent = text.as_ref().map_or(Sent::Nothing, |text| Sent::Bytes(text.as_bytes()));
        let mut connection = self.connection()?;
        let headers = [("Content-Type", "application/json".to_owned())];
        let answer = connection.ask(method, target, &headers, sent)?;
        let bytes = whole(&mut connection, answer)?;
        self.keep(connection);
        // The output of a command is none.
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    fn connection(&mut self) -> Result<Connection, Failure> {
        match self.kept.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.place, PATIENCE),
        }
    }

    fn keep(&mut self, connection: Connection) {
        self.kept = connection.is_reusable().then_some(connection);
    }
}

fn whole(connection: &mut Connection, answer: Answer) -> Result<Vec<u8>, Failure> {
    let status = answer.status;
    let bytes = connection.whole(answer, MOST)?;
    match status {
        200..300 => Ok(bytes),
        _ => {
            let said: String = String::from_utf8_lossy(&bytes).trim().chars().take(500).collect();
            let message = format!("the engine answers with status {status}: {said}");
            Err(Failure::new(ErrorCode::SystemFailure, message))
        }
    }
}

/// A tar archive of one file (POSIX ustar).
fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    let mut head = [0_u8; 512];
    let mut put =
        |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = head.to_vec();
    std::io::Write::write_all(&mut archive, content).expect("memory takes all");
    archive.resize(archive.len().next_multiple_of(512) + 1_024, 0);
    archive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_one_that_tar_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        std::fs::write(&path, archive("file", &[b'x'; 700])).unwrap();
        let listed = Command::new("tar").arg("-tvf").arg(&path).output().unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        assert!(
            listed.status.success() && text.contains(" 700 ") && text.ends_with("file\n"),
            "{text}"
        );
    }
}
