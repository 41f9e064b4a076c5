//! A server of this binary, in a folder of its own.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use base64_simd::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::said;
use crate::client::{Client, Place};

/// A server that is ended when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    data: PathBuf,
    place: Place,
    client: Client,
}

impl Server {
    pub(super) fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let unique = format!("capsule-bench-serve-{}-{}", std::process::id(), arguments.len());
        let data = std::env::temp_dir().join(unique);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--listen", "127.0.0.1:0", "--rate", "1000000", "--data"]);
        command.arg(&data).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("the server cannot be started")?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("its output is a pipe")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let place = Place::parse(line.trim());
        let Ok(place) = place else {
            let _ = child.kill();
            let _ = child.wait();
            anyhow::bail!("the server did not start");
        };
        let client = Client::new(place.clone(), None);
        Ok(Self { child, data, place, client })
    }

    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Another client of it.
    pub(super) fn client(&self) -> Client {
        Client::new(self.place.clone(), None)
    }

    pub(super) fn time(
        &mut self,
        work: impl FnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<Duration> {
        let began = Instant::now();
        work(self)?;
        Ok(began.elapsed())
    }

    pub(super) fn create(&mut self) -> anyhow::Result<String> {
        create(&mut self.client, json!({ "template": "shell", "ttl_ms": 3_600_000 }))
    }

    pub(super) fn create_with(&mut self, params: Value) -> anyhow::Result<String> {
        create(&mut self.client, params)
    }

    pub(super) fn exec(&mut self, id: &str) -> anyhow::Result<()> {
        exec(&mut self.client, id)
    }

    /// From nothing to nothing.
    pub(super) fn whole_life(&mut self) -> anyhow::Result<()> {
        whole_life(&mut self.client)
    }

    pub(super) fn file_in_json(&mut self, id: &str, content: &[u8]) -> anyhow::Result<()> {
        file_in_json(&mut self.client, id, content)
    }

    pub(super) fn file(&mut self, id: &str, content: &[u8]) -> anyhow::Result<()> {
        let size = content.len() as u64;
        let mut from = content;
        self.client.upload(id, "raw", 0o644, Some(size), &mut from).map_err(said)?;
        let (told, mut body) = self.client.download(id, "raw").map_err(said)?;
        let read = std::io::copy(&mut body, &mut std::io::sink())?;
        anyhow::ensure!(told == size && read == size, "{read} of {size} bytes came back");
        Ok(())
    }

    pub(super) fn delete(&mut self, id: &str) -> anyhow::Result<()> {
        delete(&mut self.client, id)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = Pid::from_raw(self.child.id().cast_signed())
            .is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        if !stopped {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

pub(super) fn create(client: &mut Client, params: Value) -> anyhow::Result<String> {
    let made = client.call("sandbox.v1.create", params).map_err(said)?;
    Ok(made["id"].as_str().context("it has no id")?.to_owned())
}

pub(super) fn exec(client: &mut Client, id: &str) -> anyhow::Result<()> {
    let done = client.call("sandbox.v1.exec", json!({ "id": id, "cmd": ["/bin/true"] }));
    let done = done.map_err(said)?;
    anyhow::ensure!(done["exit_code"] == json!(0), "/bin/true failed: {done}");
    Ok(())
}

pub(super) fn delete(client: &mut Client, id: &str) -> anyhow::Result<()> {
    client.call("sandbox.v1.delete", json!({ "id": id })).map_err(said)?;
    Ok(())
}

pub(super) fn whole_life(client: &mut Client) -> anyhow::Result<()> {
    let id = create(client, json!({ "template": "shell" }))?;
    exec(client, &id)?;
    delete(client, &id)
}

pub(super) fn file_in_json(client: &mut Client, id: &str, content: &[u8]) -> anyhow::Result<()> {
    let sent = STANDARD.encode_to_string(content);
    let params = json!({ "id": id, "path": "file", "content": sent });
    client.call("sandbox.v1.writeFile", params).map_err(said)?;
    let read = client.call("sandbox.v1.readFile", json!({ "id": id, "path": "file" }));
    let read = read.map_err(said)?;
    anyhow::ensure!(read["content"] == json!(sent), "another file came back");
    Ok(())
}
