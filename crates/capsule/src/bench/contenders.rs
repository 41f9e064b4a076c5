//! Who takes part: what this host has, and for what it lacks, why.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::oci::{Scratch, docker_image};

/// One way to start `/bin/true`.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) name: String,
    argv: Vec<String>,
    /// Runs in every so many rounds.
    every: u32,
}

/// A contender that does not take part, and why.
pub(super) type Missing = (String, String);

impl Contender {
    fn new(name: &str, every: u32, argv: &[&str]) -> Self {
        let argv = argv.iter().map(|argument| (*argument).to_owned()).collect();
        Self { name: name.to_owned(), argv, every }
    }

    pub(super) fn runs_in(&self, round: u32) -> bool {
        round.is_multiple_of(self.every)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// From before the spawn to after the wait.
    pub(super) fn time(&self) -> anyhow::Result<Duration> {
        let mut command = self.command();
        command.stderr(Stdio::null());
        let start = Instant::now();
        let status = command.status().with_context(|| format!("cannot start {}", self.name))?;
        let time = start.elapsed();
        if !status.success() {
            bail!("{} stopped working: {status}", self.name);
        }
        Ok(time)
    }

    /// Why it cannot take part here, if so.
    fn trouble(&self) -> Option<String> {
        match self.command().output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Some("not installed".to_owned())
            }
            Err(error) => Some(error.to_string()),
            Ok(output) if output.status.success() => None,
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().last().unwrap_or("it failed without a word");
                Some(last.chars().take(120).collect())
            }
        }
    }
}

/// The one-shot binary: beside this one, or on the `PATH`.
pub(super) fn capsule_run() -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("capsule-run");
    if beside.exists() {
        return Ok(beside);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join("capsule-run"))
        .find(|candidate| candidate.exists())
        .context("there is no capsule-run beside this program or on the PATH")
}

/// Tries everyone once; those that work take part.
pub(super) fn find(scratch: &Scratch) -> anyhow::Result<(Vec<Contender>, Vec<Missing>)> {
    let run = capsule_run()?;
    let run = path(&run)?;
    let bundle = path(scratch.bundle())?;
    let state = path(scratch.state())?;
    let unique = format!("capsule-bench-{}", std::process::id());
    let mut all = vec![
        Contender::new("bare spawn", 1, &["/bin/true"]),
        Contender::new("capsule-run", 1, &[run, "--", "/bin/true"]),
        Contender::new("capsule-run --network", 1, &[run, "--network", "--", "/bin/true"]),
        Contender::new(
            "unshare",
            1,
            &["unshare", "-UrmpiunC", "--fork", "--mount-proc", "/bin/true"],
        ),
        Contender::new("bwrap", 1, &["bwrap", "--unshare-all", "--ro-bind", "/", "/", "/bin/true"]),
        Contender::new("runc", 3, &["runc", "--root", state, "run", "-b", bundle, &unique]),
        Contender::new("crun", 3, &["crun", "--root", state, "run", "-b", bundle, &unique]),
        Contender::new(
            "runsc",
            6,
            &[
                "runsc",
                "--root",
                state,
                "--network=none",
                "--ignore-cgroups",
                "run",
                "-bundle",
                bundle,
                &unique,
            ],
        ),
    ];
    let mut missing = Vec::new();
    match docker_image(scratch) {
        Ok(image) => all.push(Contender::new(
            "docker run",
            12,
            &["docker", "run", "--rm", "--network", "none", &image, "/bin/true"],
        )),
        Err(why) => missing.push(("docker run".to_owned(), why)),
    }
    all.retain(|contender| match contender.trouble() {
        None => true,
        Some(why) => {
            missing.push((contender.name.clone(), why));
            false
        }
    });
    if !all.iter().any(|contender| contender.name == "capsule-run") {
        let why = missing.iter().find(|(name, _)| name == "capsule-run");
        bail!("capsule-run does not work here: {}", why.map_or("", |(_, why)| why));
    }
    Ok((all, missing))
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path is not UTF-8")
}
