//! Packages of a template, installed once.
//!
//! ```text
//!  a sandbox of the template ─ pip or npm, the way to their index open ─▶ all processes ended
//!      ─▶ its files are walked from outside, bounded, into the cache ─▶ the sandbox ends
//! ```
//!
//! What a package runs when it is installed, it runs in that sandbox: it has the walls, the
//! limits and none of the files of any other. What it leaves is files, read one by one like those
//! of a stranger's archive.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use capsule_backend::guest::Channel;
use capsule_backend::sandbox::{EntryKind, OpenMode, Program, Recipe, Sandbox, Sandboxes};
use capsule_spec::{ByteSize, ErrorCode, Failure, Limits, Network, Policy, SeccompProfile};

use super::Progress;
use super::cache::About;
use super::error::RootError;
use super::unpack::{Bounds, Unpacker};
use crate::Template;
use crate::request::Manager;
use crate::service::{PackageIndexes, quiet};
use crate::tar::is_inside;

/// Where sandboxes find what was installed.
pub(super) const PYTHON: &str = "/capsule/packages/python";
pub(super) const NODE: &str = "/node_modules";
/// Where programs are, unless a template says otherwise.
pub(super) const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where it is installed to.
const TARGET: &str = "/workspace/packages";
/// How long it may take, and how much of what it says is kept.
const PATIENCE: Duration = Duration::from_secs(900);
const TOLD: usize = 16 << 10;
/// What the sandbox may use: packages are unpacked in memory.
const MEMORY: u64 = 4 << 30;
const DISK: u64 = 3 << 30;
const PROCESSES: u32 = 256;
/// The most that a package leaves in one directory.
const MOST_ENTRIES: usize = 100_000;
const PIECE: usize = 256 << 10;

/// What is to be installed, and for whom.
pub(super) struct Job<'a> {
    pub(super) template: &'a Template,
    pub(super) manager: Manager,
    pub(super) packages: &'a [String],
    pub(super) indexes: &'a PackageIndexes,
}

/// Installs packages into an empty folder.
pub(super) async fn install(
    sandboxes: &dyn Sandboxes,
    job: &Job<'_>,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<About, Failure> {
    // Whoever was interrupted in it has left one.
    sandboxes.sweep(&[]).await?;
    let name = uuid::Uuid::new_v4().to_string();
    let sandbox = sandboxes.create(&name, &recipe(job)?).await?;
    let done = within(&sandbox, job, folder, progress).await;
    let ended = sandbox.end().await;
    let about = done?;
    ended.map(|()| about)
}

async fn within(
    sandbox: &Arc<dyn Sandbox>,
    job: &Job<'_>,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<About, Failure> {
    run(&**sandbox, job).await?;
    // Nobody is left who could change what is being read.
    sandbox.kill_all().await?;
    let failed = |error: RootError| error.failure("the packages");
    let bounds = Bounds { bytes: DISK, names: job.template.origin.bounds.names };
    let mut unpacker = Unpacker::new(folder, bounds).map_err(failed)?;
    if job.manager == Manager::Npm {
        // It is what is mounted, also when nothing was to be installed.
        unpacker.directory("node_modules").map_err(failed)?;
    }
    walk(&**sandbox, &mut unpacker, progress).await?;
    let (bytes, names) = unpacker.count();
    Ok(About { bytes, names, ..About::default() })
}

/// The template's files and variables, with room to install in.
fn recipe(job: &Job<'_>) -> Result<Recipe, Failure> {
    let index = match job.manager {
        Manager::Pip => &job.indexes.pip,
        Manager::Npm => &job.indexes.npm,
    };
    if index.hosts.is_empty() {
        let what = format!("there is no index for {}", job.manager.name());
        return Err(
            Failure::new(ErrorCode::NotPermitted, what).hint("name one with --package-index")
        );
    }
    let disk = ByteSize::from_bytes(DISK);
    let limits = Limits {
        memory: ByteSize::from_bytes(MEMORY),
        disk,
        disk_inodes: Limits::inodes_for(disk),
        max_pids: PROCESSES,
        ..job.template.recipe.limits.clone()
    };
    let of_template = &job.template.recipe.policy;
    let policy = Policy {
        files: of_template.files.clone(),
        network: Network::Hosts(index.hosts.clone()),
        environment: of_template.environment.clone(),
        seccomp: SeccompProfile::Default,
    };
    Ok(Recipe {
        root: job.template.recipe.root.clone(),
        limits,
        policy,
        require: Vec::new(),
        volumes: Vec::new(),
    })
}

fn program(job: &Job<'_>) -> Program {
    let (words, index): (&[&str], _) = match job.manager {
        Manager::Pip => {
            (&["python3", "-m", "pip", "install", "--target", TARGET, "--"], &job.indexes.pip)
        }
        Manager::Npm => (&["npm", "install", "--prefix", TARGET, "--"], &job.indexes.npm),
    };
    let words = words.iter().map(|word| (*word).to_owned());
    let own =
        quiet(job.manager).iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Program {
        command: words.chain(job.packages.iter().cloned()).collect(),
        working_directory: "/workspace".to_owned(),
        environment: own.chain(index.environment.clone()).collect(),
        terminal: None,
    }
}

async fn run(sandbox: &dyn Sandbox, job: &Job<'_>) -> Result<(), Failure> {
    let manager = job.manager.name();
    let failed = |what: String| Failure::new(ErrorCode::PackagesFailed, what);
    let process = sandbox.spawn(&program(job)).await.map_err(|failure| {
        failed(format!("{manager} cannot be started in this template: {}", failure.message))
            .hint(format!("{manager} must be among the template's own files"))
    })?;
    process.close_input();
    let mut told = Vec::new();
    let listening = async {
        while let Some((channel, bytes)) = process.output().await {
            if channel == Channel::Stderr || job.manager == Manager::Npm {
                told.extend_from_slice(&bytes);
                let surplus = told.len().saturating_sub(TOLD);
                told.drain(..surplus);
            }
        }
        process.ended().await
    };
    let Ok(ended) = tokio::time::timeout(PATIENCE, listening).await else {
        let what = format!("{manager} was not done after {} minutes", PATIENCE.as_secs() / 60);
        return Err(failed(what));
    };
    match ended.exit_code {
        0 => Ok(()),
        code => {
            let why = if ended.out_of_memory {
                format!("it used more than {} GiB of memory", MEMORY >> 30)
            } else {
                last_words(&told)
            };
            Err(failed(format!("{manager} ended with {code}: {why}"))
                .hint("a package with another name, version or index cannot be installed"))
        }
    }
}

/// The line that says most, without what a terminal would obey.
fn last_words(told: &[u8]) -> String {
    let text = String::from_utf8_lossy(told);
    let is_error = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("ERROR: ")
            || line.starts_with("npm error ")
            || line.starts_with("npm ERR!")
    };
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let line = lines.iter().find(|line| is_error(line)).or(lines.last());
    let plain = line.map_or("it said nothing", |line| line.trim());
    plain.chars().filter(|letter| !letter.is_control()).take(400).collect()
}

/// Copies what was installed. The sandbox's answers are a stranger's.
async fn walk(
    sandbox: &dyn Sandbox,
    unpacker: &mut Unpacker,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let failed = |error: RootError| error.failure("the packages");
    let mut waiting = vec![String::new()];
    while let Some(directory) = waiting.pop() {
        let inside = format!("{TARGET}/{directory}");
        for entry in sandbox.list(inside.trim_end_matches('/'), MOST_ENTRIES).await? {
            let path = match directory.as_str() {
                "" => entry.name.clone(),
                above => format!("{above}/{}", entry.name),
            };
            if !is_inside(&path) || entry.name.contains(['/', '\u{fffd}']) {
                let why = "is no name that a package can have";
                return Err(failed(RootError::Member { member: path, why }));
            }
            unpacker.name(&path).map_err(failed)?;
            match (entry.kind, &entry.target) {
                (EntryKind::Directory, _) => {
                    unpacker.directory(&path).map_err(failed)?;
                    waiting.push(path);
                }
                (EntryKind::File, _) => copy(sandbox, unpacker, &path).await?,
                (EntryKind::Link, Some(target)) => unpacker.link(&path, target).map_err(failed)?,
                (EntryKind::Link | EntryKind::Other, _) => {
                    let why = "is no file, directory or link";
                    return Err(failed(RootError::Member { member: path, why }));
                }
            }
        }
        progress.at(unpacker.count().0);
    }
    Ok(())
}

async fn copy(sandbox: &dyn Sandbox, unpacker: &mut Unpacker, path: &str) -> Result<(), Failure> {
    let failed = |error: RootError| error.failure("the packages");
    let mut file = sandbox.open(&format!("{TARGET}/{path}"), OpenMode::Read).await?;
    let entry = file.entry();
    let modified = entry.modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut writing = unpacker.file(path, entry.mode, modified.as_secs()).map_err(failed)?;
    loop {
        let bytes = file.read(PIECE).await?;
        if bytes.is_empty() {
            break;
        }
        unpacker.charge(bytes.len(), path).map_err(failed)?;
        unpacker.write(&mut writing, &bytes).map_err(failed)?;
    }
    unpacker.finish(writing).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::last_words;

    #[test]
    fn what_a_manager_said_is_one_harmless_line() {
        let told = b"WARNING: x\nERROR: no \x1b[31msuch\x07 package\nERROR: more\n";
        assert_eq!(last_words(told), "ERROR: no [31msuch package");
        assert_eq!(last_words(b"a\n\nb\n \n"), "b");
        assert_eq!(last_words(b""), "it said nothing");
        assert_eq!(last_words(&[b'x'; 1_000]).len(), 400);
    }
}
