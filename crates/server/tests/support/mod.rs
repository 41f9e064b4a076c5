//! Sandboxes without walls: processes of this machine in temporary folders, so that the
//! server is tested with real processes, files and terminals. Never part of a binary.

mod files;
mod process;
pub(crate) mod sys;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capsule_backend::Capabilities;
use capsule_backend::guest::Pending;
use capsule_backend::sandbox::{
    Change, Entry, Made, OpenMode, Process, Program, Recipe, Sandbox, SandboxFile, SandboxUsage,
    Sandboxes, Volumes,
};
use capsule_spec::{ByteSize, ErrorCode, Failure, Network, WallStatus};
use tokio::sync::watch;

use process::Plain;

/// All sandboxes, as long as the test lives: a server that dies leaves them. Dropped, it ends
/// them; what a whole process of tests has started ends with it.
#[derive(Default)]
pub(crate) struct Folders {
    all: Mutex<HashMap<String, Arc<Folder>>>,
    /// Whether none can be made.
    pub(crate) is_broken: AtomicBool,
    volumes: Mutex<HashMap<String, tempfile::TempDir>>,
}

/// One of them.
pub(crate) struct Folder {
    root: tempfile::TempDir,
    environment: Vec<(String, String)>,
    next: AtomicU64,
    processes: Mutex<Vec<Arc<Plain>>>,
    network: Mutex<Network>,
    has_ended: watch::Sender<bool>,
}

impl Folders {
    /// The network that a sandbox was told last.
    pub(crate) fn network(&self, name: &str) -> Network {
        self.all.lock().unwrap()[name].network.lock().unwrap().clone()
    }

    /// How many volumes there are.
    pub(crate) fn volume_count(&self) -> usize {
        self.volumes.lock().unwrap().len()
    }

    /// A volume that no server knows of.
    pub(crate) fn stray_volume(&self, name: &str) {
        let folder = tempfile::tempdir().unwrap();
        self.volumes.lock().unwrap().insert(name.to_owned(), folder);
    }

    /// The ids of those that live.
    pub(crate) fn names(&self) -> Vec<String> {
        self.all.lock().unwrap().keys().cloned().collect()
    }

    /// The ids of those that have not ended, in order.
    pub(crate) fn living(&self) -> Vec<String> {
        let all = self.all.lock().unwrap();
        let living = all.iter().filter(|(_, folder)| !*folder.has_ended.borrow());
        let mut names: Vec<String> = living.map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// A sandbox that no server knows of.
    pub(crate) fn stray(&self, name: &str) {
        self.all.lock().unwrap().insert(name.to_owned(), Arc::new(Folder::new(&[])));
    }

    /// Ends a sandbox behind the server's back.
    pub(crate) fn lose(&self, name: &str) {
        let folder = self.all.lock().unwrap().remove(name);
        folder.expect("it lives").stop();
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        self.all.lock().unwrap().values().for_each(|folder| folder.stop());
    }
}

impl Sandboxes for Folders {
    fn name(&self) -> &'static str {
        "folders"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { name: "folders", usable: Ok(()), facts: Vec::new(), walls: Vec::new() }
    }

    fn create<'a>(&'a self, name: &'a str, recipe: &'a Recipe) -> Pending<'a, Made> {
        if self.is_broken.load(Ordering::SeqCst) {
            let failure = Failure::new(ErrorCode::SetupFailed, "no folder can be made");
            return Box::pin(async move { Err(failure) });
        }
        let environment: Vec<_> = recipe.policy.environment.clone().into_iter().collect();
        let folder = Arc::new(Folder::new(&environment));
        *folder.network.lock().unwrap() = recipe.policy.network.clone();
        for one in &recipe.volumes {
            // Somebody inside finds it below the folder that stands for the root.
            let inside = folder.outside(one.destination.as_path().to_str().unwrap());
            let volumes = self.volumes.lock().unwrap();
            std::os::unix::fs::symlink(volumes[&one.volume].path(), inside).unwrap();
        }
        let before = self.all.lock().unwrap().insert(name.to_owned(), Arc::clone(&folder));
        assert!(before.is_none(), "names are unique");
        Box::pin(async move { Ok(folder as Arc<dyn Sandbox>) })
    }

    fn adopt<'a>(
        &'a self,
        name: &'a str,
    ) -> Pending<'a, Result<Option<Arc<dyn Sandbox>>, Failure>> {
        let found = self.all.lock().unwrap().get(name).cloned();
        let found = found.filter(|folder| !*folder.has_ended.borrow());
        Box::pin(async move { Ok(found.map(|folder| folder as Arc<dyn Sandbox>)) })
    }

    fn volumes(&self) -> Option<&dyn Volumes> {
        Some(self)
    }

    fn sweep<'a>(&'a self, keep: &'a [String]) -> Pending<'a, Result<usize, Failure>> {
        let mut swept = 0;
        self.all.lock().unwrap().retain(|name, folder| {
            let stays = keep.contains(name);
            if !stays {
                swept += usize::from(!*folder.has_ended.borrow());
                folder.stop();
            }
            stays
        });
        Box::pin(async move { Ok(swept) })
    }
}

/// Folders without a limit: that is tested where there is one.
impl Volumes for Folders {
    fn create<'a>(&'a self, name: &'a str, _: ByteSize) -> Pending<'a, Result<(), Failure>> {
        if self.is_broken.load(Ordering::SeqCst) {
            let failure = Failure::new(ErrorCode::VolumesUnavailable, "no volume can be made");
            return Box::pin(async move { Err(failure) });
        }
        self.stray_volume(name);
        Box::pin(async { Ok(()) })
    }

    fn used<'a>(&'a self, name: &'a str) -> Pending<'a, Result<u64, Failure>> {
        let path = self.volumes.lock().unwrap()[name].path().to_owned();
        Box::pin(async move {
            let files = std::fs::read_dir(path).unwrap().flatten();
            Ok(files.map(|file| file.metadata().unwrap().len()).sum())
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> Pending<'a, Result<(), Failure>> {
        self.volumes.lock().unwrap().remove(name);
        Box::pin(async { Ok(()) })
    }

    fn sweep<'a>(&'a self, keep: &'a [String]) -> Pending<'a, Result<usize, Failure>> {
        let mut volumes = self.volumes.lock().unwrap();
        let before = volumes.len();
        volumes.retain(|name, _| keep.contains(name));
        let swept = before - volumes.len();
        Box::pin(async move { Ok(swept) })
    }
}

impl Folder {
    fn new(environment: &[(String, String)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for name in ["workspace", "tmp"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        Self {
            root,
            environment: environment.to_vec(),
            next: AtomicU64::new(1),
            processes: Mutex::default(),
            network: Mutex::new(Network::Denied),
            has_ended: watch::Sender::new(false),
        }
    }

    /// A path inside, as one of the host; `..` stays inside.
    fn outside(&self, path: &str) -> PathBuf {
        // What the server's own commands write, they write to the host's /tmp.
        if path.starts_with("/tmp/.capsule-") && !path.contains("..") {
            return path.into();
        }
        // So is the working directory that they find.
        if path.starts_with(self.root.path().to_str().unwrap()) && !path.contains("..") {
            return path.into();
        }
        let mut parts = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        parts.iter().fold(self.root.path().to_owned(), |path, part| path.join(part))
    }

    fn stop(&self) {
        for process in self.processes.lock().unwrap().iter() {
            process.kill(libc::SIGKILL);
        }
        let _ = std::fs::remove_dir_all(self.root.path());
        self.has_ended.send_replace(true);
    }
}

impl Sandbox for Folder {
    fn weaker(&self) -> Vec<WallStatus> {
        Vec::new()
    }

    fn spawn<'a>(&'a self, program: &'a Program) -> Pending<'a, Result<Arc<dyn Process>, Failure>> {
        Box::pin(async move {
            if *self.has_ended.borrow() {
                return Err(Failure::new(ErrorCode::SandboxEnded, "the sandbox has ended"));
            }
            let folder = self.outside(&program.working_directory);
            if !folder.is_dir() {
                let message = format!("there is no directory {}", program.working_directory);
                return Err(Failure::new(ErrorCode::WorkdirMissing, message));
            }
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let started = Plain::start(number, program, &folder, &self.environment)?;
            self.processes.lock().unwrap().push(Arc::clone(&started));
            Ok(started as Arc<dyn Process>)
        })
    }

    fn processes(&self) -> Pending<'_, Result<Vec<Arc<dyn Process>>, Failure>> {
        let all = self.processes.lock().unwrap().clone();
        let alive = all.into_iter().filter(|process| !process.was_told());
        let alive: Vec<_> = alive.map(|process| process as Arc<dyn Process>).collect();
        Box::pin(async move { Ok(alive) })
    }

    fn open<'a>(
        &'a self,
        path: &'a str,
        mode: OpenMode,
    ) -> Pending<'a, Result<Box<dyn SandboxFile>, Failure>> {
        let outside = self.outside(path);
        Box::pin(async move { files::open(path, &outside, mode) })
    }

    fn list<'a>(&'a self, path: &'a str, limit: usize) -> Pending<'a, Result<Vec<Entry>, Failure>> {
        let outside = self.outside(path);
        Box::pin(async move { files::list(path, &outside, limit) })
    }

    fn stat<'a>(&'a self, path: &'a str) -> Pending<'a, Result<Entry, Failure>> {
        let outside = self.outside(path);
        Box::pin(async move { files::stat(path, &outside) })
    }

    fn change<'a>(&'a self, change: &'a Change) -> Pending<'a, Result<(), Failure>> {
        let outside = |path: &str| -> PathBuf { self.outside(path) };
        let changed = files::change(change, &outside);
        Box::pin(async move { changed })
    }

    fn kill_all(&self) -> Pending<'_, Result<(), Failure>> {
        for process in self.processes.lock().unwrap().iter() {
            process.kill(libc::SIGKILL);
        }
        Box::pin(async { Ok(()) })
    }

    fn freeze(&self, frozen: bool) -> Pending<'_, Result<(), Failure>> {
        let signal = if frozen { libc::SIGSTOP } else { libc::SIGCONT };
        for process in self.processes.lock().unwrap().iter() {
            process.kill(signal);
        }
        Box::pin(async { Ok(()) })
    }

    fn usage(&self) -> Pending<'_, Result<SandboxUsage, Failure>> {
        let running = self.processes.lock().unwrap().iter().filter(|one| !one.has_ended()).count();
        let usage = SandboxUsage { processes: Some(running as u64), ..SandboxUsage::default() };
        Box::pin(async move { Ok(usage) })
    }

    /// A folder has no network; it knows what it was told last. A name of its own fails, as
    /// a door can.
    fn set_network<'a>(&'a self, network: &'a Network) -> Pending<'a, Result<(), Failure>> {
        Box::pin(async move {
            let fails = matches!(network, Network::Hosts(rules)
                if rules.iter().any(|rule| rule.to_string() == "fails.example"));
            *self.network.lock().unwrap() = if fails { Network::Denied } else { network.clone() };
            match fails {
                true => Err(Failure::new(ErrorCode::DoorFailed, "the door cannot be opened")),
                false => Ok(()),
            }
        })
    }

    fn ended(&self) -> Pending<'_, ()> {
        let mut ended = self.has_ended.subscribe();
        Box::pin(async move {
            let _ = ended.wait_for(|ended| *ended).await;
        })
    }

    fn end(&self) -> Pending<'_, Result<(), Failure>> {
        self.stop();
        Box::pin(async {
            // As a real one does, it takes a moment.
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok(())
        })
    }
}

/// A recipe that says nothing.
pub(crate) fn recipe() -> Recipe {
    Recipe {
        root: capsule_backend::sandbox::Root::Host,
        limits: capsule_spec::Limits::default(),
        policy: capsule_spec::Policy::default(),
        require: Vec::new(),
        volumes: Vec::new(),
    }
}

fn failed(error: &std::io::Error, path: &str) -> Failure {
    use std::io::ErrorKind as K;
    let (code, message) = match error.kind() {
        K::NotFound => (ErrorCode::FileNotFound, format!("there is no {path}")),
        K::PermissionDenied => (ErrorCode::FileDenied, format!("{path} is not allowed")),
        K::IsADirectory => (ErrorCode::WrongFileKind, format!("{path} is a directory")),
        K::NotADirectory => (ErrorCode::WrongFileKind, format!("{path} is no directory")),
        K::AlreadyExists => (ErrorCode::FileInTheWay, format!("{path} is there already")),
        K::DirectoryNotEmpty => (ErrorCode::FileInTheWay, format!("{path} is not empty")),
        _ => (ErrorCode::SystemFailure, format!("{path}: {error}")),
    };
    Failure::new(code, message)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
