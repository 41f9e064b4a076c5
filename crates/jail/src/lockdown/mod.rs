//! The second wall round guests in WebAssembly: the process that runs them gives up what
//! it does not need, before any of their code runs. A bug of the engine that hands this
//! process to a guest then gives it no more than the run's own grants.
//!
//! Owns: what is given up, in which order, and the report of what could not be. Refuses
//! to know: programs, tasks, engines.
//!
//! Who attacks: machine code of a guest's choosing inside this process, on any thread,
//! with every descriptor that is open here. It wants to start programs, open files
//! outside the grants, reach other processes, sockets and the kernel's rarer parts, and
//! to make new machine code.
//!
//! What is not held back: the files that the run may grant, hosts while some task may
//! reach some, the processor, memory, and what standard streams are connected to.

mod descriptors;
mod network;
mod report;
mod steps;
mod sys;

use std::path::{Path, PathBuf};
use std::time::Instant;

use capsule_spec::{ErrorCode, Failure};
use rustix::thread::CapabilitySet;

pub use report::{LockdownReport, try_out};

use crate::landlock::Rules;
use crate::seccomp;
use crate::sys::landlock_version;
use steps::Step;

/// What a process goes on to need.
///
/// Defaults: nothing.
#[derive(Clone, Debug, Default)]
pub struct Lockdown {
    /// Files and folders to read; absolute. What is not there is left out.
    pub read: Vec<PathBuf>,
    /// Files and folders to read and write; absolute.
    pub write: Vec<PathBuf>,
    /// Whether hosts may be reached, by TCP. Then the resolver's files and the
    /// certificates of the system can be read too.
    pub connect: bool,
}

impl Lockdown {
    /// Locks this process down, for good. Descriptors that it inherited, but for the
    /// standard streams, are closed.
    ///
    /// # Errors
    /// When it has more than one thread: walls of a thread do not hold for those that
    /// run already. When the kernel has a wall and does not build it. What the kernel
    /// does not have is in the report.
    pub fn apply(&self) -> Result<LockdownReport, Failure> {
        let started = Instant::now();
        if !sys::is_single_threaded() {
            return Err(Failure::new(
                ErrorCode::SystemFailure,
                "this process cannot lock itself down: it has threads already",
            ));
        }
        let landlock = landlock_version();
        let kept = self.kept_capability(landlock);
        let mut report =
            LockdownReport::of(landlock, kept.as_ref().map(|(_, path)| path.as_path()));
        let kept = kept.map_or(CapabilitySet::empty(), |(kept, _)| kept);
        let files = self.rules(landlock);
        let filter = match self.connect {
            true => seccomp::Lockdown::Connected,
            false => seccomp::Lockdown::Alone,
        };
        steps::take(
            &[
                // First: nothing that the caller had open may be in reach of what follows.
                Step::needed("close inherited descriptors", &descriptors::close_inherited),
                // No core dump, which a handler of the host would read as root.
                Step::needed("forbid dumps", &steps::forbid_dumps),
                // While there is still a right to change all sets.
                Step::needed("drop capabilities", &|| steps::drop_capabilities(kept)),
                // Landlock and seccomp demand it of the unprivileged.
                Step::needed("forbid new privileges", &steps::forbid_privileges),
                // Opens every granted path, so not after the filter.
                Step::wall("landlock", &|| files.enforce()),
                Step::wall("seccomp", &|| seccomp::load_for_all_threads(filter.program())),
            ],
            &mut report,
        )?;
        report.took = started.elapsed();
        Ok(report)
    }

    /// Whether [`Lockdown::narrow`] reaches all of this process: it has one thread.
    pub fn can_narrow() -> bool {
        sys::threads() == Some(1)
    }

    /// Takes away more, from a process that is locked down: whatever this does not
    /// name. It gives nothing back.
    ///
    /// # Errors
    /// As [`Lockdown::apply`]. More than one thread is no error here but a weakness:
    /// files stay as they were.
    pub fn narrow(&self) -> Result<LockdownReport, Failure> {
        let started = Instant::now();
        let mut report = LockdownReport::default();
        let files = self.rules(landlock_version());
        let seal = || match self.connect {
            true => Ok(()),
            false => seccomp::load_for_all_threads(seccomp::Lockdown::Seal.program()),
        };
        let narrow = || files.enforce();
        let mut steps = vec![Step::wall("seccomp", &seal)];
        if Self::can_narrow() {
            steps.insert(0, Step::wall("landlock", &narrow));
        } else {
            report.weaker.push(
                "files: threads ran already, so all that the run may grant stays open".to_owned(),
            );
        }
        steps::take(&steps, &mut report)?;
        report.took = started.elapsed();
        Ok(report)
    }

    fn rules(&self, version: u32) -> Rules {
        let paths = |all: &'static [&'static str]| all.iter().map(Path::new);
        let (files, folders, named) = match self.connect {
            true => (&network::FILES[..], &network::FOLDERS[..], network::named_by_the_caller()),
            false => Default::default(),
        };
        let read = self.read.iter().chain(&named).map(PathBuf::as_path).chain(paths(folders));
        let write = self.write.iter().map(PathBuf::as_path);
        Rules::granting(version, paths(files), read, write, self.connect)
    }

    /// Root reaches files of other users by CAP_DAC_OVERRIDE alone, and a program in a
    /// container usually lies in a folder of somebody outside. So root keeps it where a
    /// grant is another user's, as far as Landlock bounds it to the grants.
    fn kept_capability(&self, landlock: u32) -> Option<(CapabilitySet, PathBuf)> {
        const KEPT: CapabilitySet = CapabilitySet::DAC_OVERRIDE;
        let user = crate::sys::effective_user();
        if user != 0 || landlock == 0 {
            return None;
        }
        let is_foreign = |path: &&PathBuf| {
            rustix::fs::stat(path.as_path()).is_ok_and(|stat| stat.st_uid != user)
        };
        let foreign = self.read.iter().chain(&self.write).find(is_foreign)?;
        let own = rustix::thread::capabilities(None).ok()?;
        own.effective.contains(KEPT).then(|| (KEPT, foreign.clone()))
    }
}
