//! One sandbox, from its making or adoption to its end: processes, limits, state.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capsule_backend::sandbox::{Program, SandboxUsage};
use capsule_init::resident::wire::{Broken, Kind, STRINGS};
use capsule_spec::{ErrorCode, Failure, HostRule, Network};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Mutex as Turn, OnceCell, watch};

use super::connection::Connection;
use super::group::{Grouping, Joining};
use super::making::leave_nothing;
use super::process::Handle;
use super::record::Record;
use super::{Shared, doors, errors, files, lock, sys};
use crate::apply::DOOR_PORT;
use crate::door::proxy_environment;
use crate::plan::Identity;
use crate::supervisor::Processor;
use crate::supervisor::door::{Door, Terms};

/// A version 1 group is joined so long after the first process was started: many
/// sandboxes are over by then.
const JOIN_AFTER: Duration = Duration::from_millis(10);
/// What the kernel may take to end every process of a sandbox.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// The same where somebody else removes the walls, who may have much to do.
const WALLS_WAIT: Duration = Duration::from_secs(60);
/// How long PID 1 may take to be gone when it has closed its connection.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) struct Resident {
    shared: Arc<Shared>,
    name: String,
    pub(super) connection: Arc<Connection>,
    pid: i32,
    pidfd: AsyncFd<OwnedFd>,
    grouping: Arc<Grouping>,
    joining: Option<Joining>,
    joins: AtomicBool,
    pub(super) record: Mutex<Record>,
    pub(super) ended: watch::Sender<bool>,
    /// Its record is, or is about to be, removed.
    is_gone: AtomicBool,
    /// One change of state at a time.
    turn: Turn<()>,
    /// The private file system.
    files: OnceCell<OwnedFd>,
    /// The root, once it was stopped.
    root: OnceCell<OwnedFd>,
    processor: Mutex<Processor>,
    door: Mutex<Option<Door>>,
    peak_seen: AtomicU64,
}

impl Resident {
    pub(super) fn assemble(
        shared: Arc<Shared>,
        name: &str,
        (pid, pidfd, socket): (i32, OwnedFd, OwnedFd),
        grouping: Arc<Grouping>,
        record: Record,
        joining: Option<Joining>,
    ) -> Result<Arc<Self>, Failure> {
        let failed = |error| errors::system("watch a sandbox", error);
        let resident = Arc::new(Self {
            connection: Connection::new(socket, grouping.clone()).map_err(failed)?,
            pidfd: sys::waitable(pidfd, Interest::READABLE).map_err(failed)?,
            shared: shared.clone(),
            name: name.to_owned(),
            pid,
            grouping,
            joining,
            joins: AtomicBool::new(false),
            record: Mutex::new(record),
            ended: watch::Sender::new(false),
            is_gone: AtomicBool::new(false),
            turn: Turn::new(()),
            files: OnceCell::new(),
            root: OnceCell::new(),
            processor: Mutex::default(),
            door: Mutex::default(),
            peak_seen: AtomicU64::new(0),
        });
        shared.living().insert(name.to_owned(), Arc::downgrade(&resident));
        // It holds the sandbox: dropping a handle ends nothing.
        tokio::spawn(resident.clone().attend());
        if resident.is_watched() {
            super::watch::begin(&shared);
        }
        Ok(resident)
    }

    /// Hears PID 1 until it is gone, and clears up after it.
    async fn attend(self: Arc<Self>) {
        self.connection.listen().await;
        if tokio::time::timeout(FAREWELL, self.pidfd.readable()).await.is_err() {
            // It lives, and does not speak to us any more: nobody can use it.
            self.kill();
            let _ = self.pidfd.readable().await;
        }
        sys::reap(self.pidfd.get_ref().as_fd());
        let cleared = {
            let sandbox = self.clone();
            tokio::task::spawn_blocking(move || {
                drop(lock(&sandbox.door).take());
                let user = {
                    let record = lock(&sandbox.record);
                    // While nobody can be writing it.
                    sandbox.is_gone.store(true, Ordering::Release);
                    record.outside_user
                };
                leave_nothing(&sandbox.shared, &sandbox.name, &sandbox.grouping, user);
            })
        };
        let _ = cleared.await;
        self.shared.living().remove(&self.name);
        self.ended.send_replace(true);
    }

    pub(super) fn kill(&self) {
        crate::sys::kill(self.pidfd.get_ref().as_fd(), libc::SIGKILL);
        let Some(walls) = self.shared.walls.clone() else {
            // A stopped process hears of it when it goes on.
            let _ = self.grouping.go();
            return;
        };
        // It is another user's process, and may be stopped.
        let name = self.name.clone();
        std::thread::spawn(move || walls.remove(&name));
    }

    pub(super) async fn finish(&self) -> Result<(), Failure> {
        self.kill();
        let most = if self.shared.walls.is_some() { WALLS_WAIT } else { LAST_WAIT };
        match tokio::time::timeout(most, self.await_end()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Failure::new(
                ErrorCode::SystemFailure,
                "the kernel has not ended every process of the sandbox yet",
            )),
        }
    }

    pub(super) async fn await_end(&self) {
        let mut receiver = self.ended.subscribe();
        let _ = receiver.wait_for(|ended| *ended).await;
    }

    // ---- Processes ----

    pub(super) async fn start(self: &Arc<Self>, program: &Program) -> Result<Arc<Handle>, Failure> {
        self.must_be_awake()?;
        let (words, bytes) = encode(program, &environment(&lock(&self.record), program))?;
        let answer = self.connection.ask(Kind::Spawn, &words, &bytes, None).await?;
        self.join_soon();
        match (answer.head.kind, answer.started) {
            (Kind::Process, Some(started)) => {
                Ok(Handle::new(started.claim(), self.connection.clone()))
            }
            (Kind::Refused, _) => {
                let [broken, errno, ..] = answer.head.words;
                let name = program.command.first().map(String::as_str).unwrap_or_default();
                let directory = &program.working_directory;
                Err(errors::start(name, directory, Broken::of(broken), errno as i32))
            }
            _ => Err(errors::system(
                "hold a process",
                std::io::Error::from_raw_os_error(libc::EMFILE),
            )),
        }
    }

    /// Asks PID 1 for all that it has.
    pub(super) async fn list_processes(&self) -> Result<(), Failure> {
        let mut answers = self.connection.question(Kind::List, &[], &[], None).await?;
        while answers.next().await?.head.kind == Kind::Process {}
        Ok(())
    }

    pub(super) fn must_be_awake(&self) -> Result<(), Failure> {
        if *self.ended.borrow() {
            return Err(errors::ended());
        }
        self.connection.must_be_awake()
    }

    // ---- Limits ----

    /// Joins its control group in the background, if it has yet to.
    fn join_soon(self: &Arc<Self>) {
        let Some(joining) = &self.joining else { return };
        if self.grouping.is_settled(&joining.layout) || self.joins.swap(true, Ordering::AcqRel) {
            return;
        }
        let sandbox = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(JOIN_AFTER).await;
            // What they hold by then is deducted.
            sandbox.private_files().await;
            let joined = {
                let sandbox = sandbox.clone();
                tokio::task::spawn_blocking(move || sandbox.join())
            };
            if !matches!(joined.await, Ok(Ok(()))) {
                // A limit that does not hold is no limit.
                sandbox.kill();
            }
        });
    }

    fn join(&self) -> Result<(), Failure> {
        let Some(joining) = &self.joining else { return Ok(()) };
        if let Some(places) = self.grouping.join(joining, self.pid, self.files.get())? {
            self.write_record(|record| record.groups = places)?;
        }
        Ok(())
    }

    fn write_record(&self, change: impl FnOnce(&mut Record)) -> Result<(), Failure> {
        let mut record = lock(&self.record);
        change(&mut record);
        if self.is_gone.load(Ordering::Acquire) {
            return Ok(());
        }
        self.shared.state.write(&self.name, &record).map_err(|error| {
            Failure::new(ErrorCode::StoreFailed, "the sandbox's record could not be written")
                .detail("reason", error.kind())
        })
    }

    /// Whether its memory must be added up from outside.
    pub(super) fn is_watched(&self) -> bool {
        lock(&self.record).adds_up_memory && !*self.ended.borrow()
    }

    /// Gets hold of the private files, which count where memory is added up.
    pub(super) async fn prepare_watch(&self) {
        if self.is_watched() {
            self.private_files().await;
        }
    }

    /// Looks once; above the limit every process is ended.
    pub(super) fn look_at_memory(&self) {
        let used = super::watch::memory(self.pid, self.files.get());
        self.peak_seen.fetch_max(used, Ordering::Relaxed);
        if used > lock(&self.record).memory_bytes {
            for process in lock(&self.connection.processes).values() {
                process.blame_memory();
            }
            self.connection.say(Kind::KillAll, &[]);
        }
    }

    /// The private file system: the root is of it.
    async fn private_files(&self) -> Option<&OwnedFd> {
        // In walls of somebody else the root is an image.
        let path = if self.shared.walls.is_some() { "/workspace" } else { "/" };
        let look = || files::look(&self.connection, path);
        self.files.get_or_try_init(look).await.ok()
    }

    pub(super) async fn measure(&self) -> SandboxUsage {
        let disk = self.private_files().await.and_then(|files| rustix::fs::fstatfs(files).ok());
        let disk = disk.map(|usage| (usage.f_blocks - usage.f_bfree) * usage.f_bsize as u64);
        let counted = self.grouping.processor_time();
        let processor = counted.unwrap_or_else(|| lock(&self.processor).look(self.pid));
        let grouped = self.grouping.memory();
        let memory = grouped.unwrap_or_else(|| super::watch::memory(self.pid, self.files.get()));
        self.peak_seen.fetch_max(memory, Ordering::Relaxed);
        let peak = self.grouping.peak_memory().unwrap_or(0);
        let ours = || crate::supervisor::members::of(self.pid).len() as u64;
        SandboxUsage {
            processor: Some(processor),
            memory: Some(memory),
            peak_memory: Some(peak.max(self.peak_seen.load(Ordering::Relaxed))),
            processes: Some(self.grouping.processes().unwrap_or_else(ours)),
            disk,
            io: None,
        }
    }

    pub(super) async fn stop_or_go(&self, frozen: bool) -> Result<(), Failure> {
        let _turn = self.turn.lock().await;
        if *self.ended.borrow() {
            return Err(errors::ended());
        }
        if frozen {
            // What is read of its files while it stands still is reached from there.
            let look = || files::look(&self.connection, "/");
            let _ = self.root.get_or_try_init(look).await;
        }
        let name = self.name.clone();
        let asked = self.shared.ask_walls(move |walls| walls.freeze(&name, frozen)).await;
        if let Some(result) = asked {
            result?;
            self.connection.is_paused.store(frozen, Ordering::Release);
            return self.write_record(|record| record.frozen = frozen);
        }
        let (grouping, init, identity) = (self.grouping.clone(), self.pid, self.identity());
        if frozen {
            let grouping = Arc::clone(&self.grouping);
            let made = tokio::task::spawn_blocking(move || grouping.make_freezer()).await;
            if let Some(place) = made.unwrap_or(None) {
                self.keep_freezer(place).await?;
            }
        }
        let by_group = tokio::task::spawn_blocking(move || match frozen {
            true => grouping.stop(init, &identity),
            false => grouping.go(),
        });
        match by_group.await.unwrap_or(None) {
            Some(result) => {
                if result.is_err() {
                    // Half of it stopped is neither.
                    let _ = self.grouping.go();
                }
                result.map_err(|error| errors::group(&error))?;
            }
            None => self.signal_all(if frozen { libc::SIGSTOP } else { libc::SIGCONT }).await?,
        }
        self.connection.is_paused.store(frozen, Ordering::Release);
        self.write_record(|record| record.frozen = frozen)
    }

    /// Tells PID 1, and the next server, what its processes will be stopped by. Before they
    /// are: this server may die in between, and nobody else would let them go on.
    async fn keep_freezer(&self, place: PathBuf) -> Result<(), Failure> {
        if lock(&self.record).freezer.as_ref() == Some(&place) {
            return Ok(());
        }
        // For the end of its lease.
        let file = std::fs::File::options().write(true).open(place.join("freezer.state"));
        let file = file.map_err(|error| errors::group(&error))?;
        self.connection.ask(Kind::KeepFreezer, &[], &[], Some(file.as_fd())).await?;
        self.write_record(|record| record.freezer = Some(place))
    }

    /// Its root, while it stands still.
    pub(super) fn stands_still(&self) -> Option<BorrowedFd<'_>> {
        let is_paused = self.connection.is_paused.load(Ordering::Acquire);
        self.root.get().filter(|_| is_paused).map(AsFd::as_fd)
    }

    /// Ends every process but PID 1.
    pub(super) async fn purge(&self) -> Result<(), Failure> {
        self.must_be_awake()?;
        self.connection.ask(Kind::KillAll, &[], &[], None).await.map(drop)
    }

    async fn signal_all(&self, signal: i32) -> Result<(), Failure> {
        let words = [u64::from(signal.unsigned_abs())];
        let answer = self.connection.ask(Kind::SignalAll, &words, &[], None).await?;
        match answer.errno() {
            0 => Ok(()),
            _ => Err(Failure::new(
                ErrorCode::SystemFailure,
                "the processes of the sandbox could not be signalled",
            )),
        }
    }

    fn identity(&self) -> Identity {
        let Record { inside_user, outside_user, outside_group, mapped_by_supervisor, .. } =
            *lock(&self.record);
        Identity { inside: inside_user, outside_user, outside_group, mapped_by_supervisor }
    }

    pub(super) async fn change_network(&self, network: &Network) -> Result<(), Failure> {
        let _turn = self.turn.lock().await;
        let shares_network = lock(&self.record).shares_network;
        let rules = match network {
            Network::Open if shares_network => return Ok(()),
            Network::Denied if !shares_network => Vec::new(),
            Network::Hosts(rules) if !shares_network => rules.clone(),
            Network::Open | Network::Denied | Network::Hosts(_) => {
                return Err(Failure::new(
                    ErrorCode::ConflictingOptions,
                    "whether a sandbox has the host's network is settled when it is made",
                )
                .hint("make another one"));
            }
        };
        self.must_be_awake()?;
        // First the old one goes, and with it its connections: no moment has two policies.
        let old = lock(&self.door).take();
        tokio::task::spawn_blocking(move || drop(old)).await.map_err(|_| errors::no_answer())?;
        self.write_record(|record| record.hosts.clear())?;
        if rules.is_empty() {
            return Ok(());
        }
        let terms = Terms {
            rules: rules.clone(),
            download: None,
            landlock: self.shared.host.landlock,
            identity: self.identity(),
        };
        let door = doors::open(&self.shared.doors, &self.connection, terms).await?;
        *lock(&self.door) = Some(door);
        self.write_record(|record| record.hosts = rules.iter().map(HostRule::to_string).collect())
    }
}

/// A rule that cannot be read lets nobody out.
pub(super) fn rules_of(record: &Record) -> Vec<HostRule> {
    record.hosts.iter().filter_map(|rule| rule.parse().ok()).collect()
}

/// A program as PID 1 is told of it: words and bytes of a Spawn.
pub(super) fn encode(
    program: &Program,
    environment: &BTreeMap<String, String>,
) -> Result<([u64; 5], Vec<u8>), Failure> {
    let invalid = |what: &str| Failure::new(ErrorCode::InvalidValue, what);
    if program.command.first().is_none_or(String::is_empty) {
        return Err(Failure::new(ErrorCode::MissingCommand, "no command was given"));
    }
    let count = program.command.len() + environment.len();
    if count > STRINGS {
        return Err(invalid("there are too many arguments and variables"));
    }
    if !program.working_directory.starts_with('/') {
        let what = "the working directory does not begin with /";
        return Err(Failure::new(ErrorCode::InvalidPath, what));
    }
    let variables = environment.iter().map(|(name, value)| format!("{name}={value}"));
    let texts = std::iter::once(program.working_directory.clone())
        .chain(program.command.iter().cloned())
        .chain(variables);
    let mut bytes = Vec::new();
    for text in texts {
        if text.contains('\0') {
            return Err(invalid("a NUL byte in the command, its directory or its variables"));
        }
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    let size = program.terminal;
    let words = [
        u64::from(size.is_some()),
        size.map_or(0, |size| u64::from(size.columns)),
        size.map_or(0, |size| u64::from(size.rows)),
        program.command.len() as u64,
        environment.len() as u64,
    ];
    Ok((words, bytes))
}

/// The recipe's, over a small clean base, and the program's over both.
pub(super) fn environment(record: &Record, program: &Program) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> = record
        .environment
        .iter()
        .filter_map(|variable| variable.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let rules: Vec<HostRule> = rules_of(record);
    if !rules.is_empty() {
        for (name, value) in proxy_environment(DOOR_PORT, &rules) {
            variables.entry(name.to_owned()).or_insert(value);
        }
    }
    variables.extend(program.environment.iter().map(|(name, value)| (name.clone(), value.clone())));
    variables
}
