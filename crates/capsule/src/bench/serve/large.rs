//! A file of one GiB, up and down.

use std::io::{Read, sink};
use std::time::Instant;

use serde_json::json;

use super::ours::Server;
use super::report::Report;
use super::{figure, goal, said, tree};

const SIZE: u64 = 1 << 30;

pub(super) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let mut server = Server::start(&[])?;
    // Private files are memory, and may be no more than three quarters of it.
    let limits = json!({ "disk_bytes": SIZE + (64 << 20), "memory_bytes": 2 * SIZE });
    let id = server.create_with(json!({ "template": "shell", "limits": limits }))?;
    let mut client = server.client();
    let began = Instant::now();
    let mut from = std::io::repeat(b'x').take(SIZE);
    client.upload(&id, "large", 0o644, Some(SIZE), &mut from).map_err(said)?;
    let up = began.elapsed();
    let began = Instant::now();
    let (_, mut body) = client.download(&id, "large").map_err(said)?;
    let read = std::io::copy(&mut body, &mut sink())?;
    let down = began.elapsed();
    anyhow::ensure!(read == SIZE, "{read} of {SIZE} bytes came back");
    let peak = tree::status(server.process(), "VmHWM")? as f64 / 1024.0;
    let rate = |time: std::time::Duration| (SIZE >> 20) as f64 / time.as_secs_f64();
    report.figures.extend([
        figure("1 GiB up", rate(up), "MiB/s"),
        figure("1 GiB down", rate(down), "MiB/s"),
        goal("1 GiB up and down: most memory of the server", peak, "MiB", 64.0),
    ]);
    server.delete(&id)
}
