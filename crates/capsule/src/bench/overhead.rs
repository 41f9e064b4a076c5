//! What a jail costs once it runs: processor time of work inside, memory beside it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use super::samples::Samples;

/// What a jail costs once it runs.
#[derive(Debug)]
pub(super) struct Overhead {
    /// Time of CPU-bound work inside, over the same outside (minimum of several runs each).
    pub(super) cpu_ratio: f64,
    /// Memory of supervisor and PID 1 together, shared pages by share (Pss).
    pub(super) memory_kib: u64,
}

/// About half a second of a shell counting, so that the start does not matter.
const WORK: &str = "i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done";
const RUNS: usize = 7;

pub(super) fn measure(capsule_run: &Path) -> anyhow::Result<Overhead> {
    let (mut outside, mut inside) = (Samples::default(), Samples::default());
    for _ in 0..RUNS {
        outside.add(time(Command::new("/bin/sh").args(["-c", WORK]))?);
        inside.add(time(Command::new(capsule_run).args(["--", "/bin/sh", "-c", WORK]))?);
    }
    Ok(Overhead {
        cpu_ratio: inside.min().as_secs_f64() / outside.min().as_secs_f64(),
        memory_kib: memory(capsule_run)?,
    })
}

fn time(command: &mut Command) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let status = command.status().context("cannot start the work")?;
    anyhow::ensure!(status.success(), "the work failed: {status}");
    Ok(start.elapsed())
}

fn memory(capsule_run: &Path) -> anyhow::Result<u64> {
    let mut supervisor = Command::new(capsule_run)
        .args(["--", "/bin/sleep", "30"])
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start capsule-run")?;
    std::thread::sleep(Duration::from_millis(300));
    let result = memory_of(&supervisor);
    // It takes its control groups down; one that is killed leaves them to the next run.
    kill_process(Pid::from_child(&supervisor), Signal::TERM)?;
    supervisor.wait()?;
    result
}

fn memory_of(supervisor: &Child) -> anyhow::Result<u64> {
    let pid = supervisor.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let init = children.split_whitespace().next().context("the supervisor has no child")?;
    // An unprivileged caller may not look into PID 1, which is a copy of the
    // supervisor: then the supervisor counts twice.
    let own = pss(&pid.to_string())?;
    Ok(own + pss(init).unwrap_or(own))
}

fn pss(pid: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kibibytes = line.context("no Pss in smaps_rollup")?.trim().trim_end_matches(" kB");
    Ok(kibibytes.parse()?)
}
