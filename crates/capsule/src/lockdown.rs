//! How much of this process is left when guests run in it: what the run may grant.
//!
//! ```text
//!   one thread:   enter ──▶ load, without rights ──▶ narrow to what is declared ──▶ calls
//!   more threads:                                                                    └──▶
//! ```
//!
//! Landlock holds for a thread and those that it starts, so no other thread may be there
//! when the program has told what its tasks may do.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use capsule_engine::{Answer, Parts, Workflow, workers};
use capsule_jail::lockdown::{Lockdown, LockdownReport};
use capsule_spec::{Access, ErrorCode, Failure};
use tokio::runtime::Runtime;

/// A process that is locked down.
pub(crate) struct Locked {
    root: PathBuf,
    /// What all tasks may have, whatever they declare: mounts, and the program itself.
    common: Lockdown,
    is_verbose: bool,
}

/// Locks this process down to what the programs of a run may grant their tasks. Everything
/// that runs guests has to be mapped, and nothing may have started a thread.
pub(crate) fn enter(parts: &Parts, is_verbose: bool) -> Result<Locked, Failure> {
    be_alone()?;
    let root = parts.entry.project.root().to_owned();
    let common = common(parts);
    let locked = Locked { root, common, is_verbose };
    locked.tell("locked down", &most(&locked.root, &locked.common).apply()?);
    Ok(locked)
}

/// As [`enter`], for a process that goes on to run many programs of one place, and so keeps
/// what these may grant; and more to read, and to write.
pub(crate) fn enter_for_good(
    parts: &Parts,
    read: Option<PathBuf>,
    write: Option<PathBuf>,
) -> Result<(), Failure> {
    let mut kept = most(parts.entry.project.root(), &common(parts));
    kept.read.extend(read);
    kept.write.extend(write);
    kept.apply().map(drop)
}

/// What all tasks of the programs may have; they are of one project.
fn common(parts: &Parts) -> Lockdown {
    let root = parts.entry.project.root().to_owned();
    let mut common = Lockdown { read: vec![root], ..Lockdown::default() };
    let mounts = parts.entry.project.mounts().iter().cloned();
    for granted in parts.iter().flat_map(|part| part.project.always()).chain(mounts) {
        let (list, source) = match granted.access {
            Access::ReadOnly => (&mut common.read, granted.source),
            Access::ReadWrite => (&mut common.write, granted.source),
        };
        if !list.contains(&source) {
            list.push(source);
        }
    }
    common
}

/// What their tasks could be granted. What of the project a task may write, and whether it
/// reaches a host, is known when the program is loaded.
fn most(root: &Path, common: &Lockdown) -> Lockdown {
    // Asked while the control groups can be read.
    workers::processors();
    let mut most = Lockdown { connect: true, ..common.clone() };
    most.write.push(root.to_owned());
    most
}

/// Lets a program that is started begin over in its turn.
pub(crate) fn never_started_over(command: &mut Command) {
    command.env_remove(AGAIN);
}

/// Says that this process has begun again.
const AGAIN: &str = "CAPSULE_STARTED_OVER";

/// Whether [`be_alone`] may still begin this program again.
pub(crate) fn may_start_over() -> bool {
    std::env::var_os(AGAIN).is_none()
}

/// Makes sure that this process has no other thread. The engine's compiler leaves some
/// behind, which no lock-down of ours reaches and no fork copies. It has just stored what
/// it made, so this program begins again, and does not need it.
pub(crate) fn be_alone() -> Result<(), Failure> {
    if Lockdown::can_narrow() {
        return Ok(());
    }
    let failed = |why: &str| {
        let message = format!("this process cannot lock itself down: {why}");
        Failure::new(ErrorCode::SystemFailure, message)
    };
    if !may_start_over() {
        return Err(failed("it has threads already"));
    }
    let error = Command::new("/proc/self/exe")
        .arg0(std::env::args_os().next().unwrap_or_default())
        .args(std::env::args_os().skip(1))
        .env(AGAIN, "1")
        .exec();
    Err(failed(&format!("it cannot start over: {error}")))
}

impl Locked {
    /// Loads a program on this thread, and takes away what none of its tasks declares.
    /// Gives the runtime to go on with.
    ///
    /// The outer error is Capsule's own, the inner one the program's.
    pub(crate) fn load(
        &self,
        load: impl Future<Output = Result<Workflow, Answer>>,
    ) -> Result<Result<(Runtime, Workflow), Answer>, Failure> {
        let runtime = thread()?;
        let workflow = match runtime.block_on(load) {
            Ok(workflow) => workflow,
            Err(answer) => return Ok(Err(answer)),
        };
        // Reading large files started threads. They end with their runtime.
        let runtime = match Lockdown::can_narrow() {
            true => runtime,
            false => {
                drop(runtime);
                thread()?
            }
        };
        let mut narrow = self.common.clone();
        for function in workflow.functions() {
            narrow.connect |= !function.hosts.is_empty();
            let written = function.files.iter().filter(|file| file.access == Access::ReadWrite);
            narrow.write.extend(written.map(|file| self.root.join(&file.path)));
        }
        self.tell("narrowed to what the tasks declare", &narrow.narrow()?);
        Ok(Ok((runtime, workflow)))
    }

    fn tell(&self, what: &str, report: &LockdownReport) {
        if self.is_verbose {
            tell(what, report);
        }
    }
}

/// Tells what was given up, and which wall is weaker than on other hosts.
pub(crate) fn tell(what: &str, report: &LockdownReport) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "capsule: {what} in {:.0?}", report.took);
    for line in &report.weaker {
        let _ = writeln!(stderr, "capsule: weaker: {line}");
    }
}

fn thread() -> Result<Runtime, Failure> {
    workers::own_thread()
        .map_err(|error| Failure::new(ErrorCode::OutOfResources, format!("no event loop: {error}")))
}
