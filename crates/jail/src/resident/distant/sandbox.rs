//! A distant sandbox, from its making or adoption to its end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use capsule_backend::sandbox::{Made, Program, Recipe, Sandbox, SandboxUsage};
use capsule_init::resident::wire::{Broken, HEAD_BYTES, MESSAGE_BYTES};
use capsule_spec::{ErrorCode, Failure, HostRule, Network, SeccompProfile};
use tokio::sync::{Mutex as Turn, oneshot, watch};

use super::super::connection::too_large;
use super::super::group::Grouping;
use super::super::making::{name_is_taken, put_down, record_of};
use super::super::record::Record;
use super::super::sandbox::{encode, environment, rules_of};
use super::super::walls::{Walls, Wire};
use super::super::{Shared, errors, lock, state};
use super::doors::{self, FarDoor};
use super::held::HeldDistant;
use super::line::Line;
use super::process::{Far, FarHandle};
use super::words::{Ask, Known, Tell, Terms};
use crate::plan::Identity;
use crate::supervisor::{Processor, door};

/// How long who builds walls may take to remove them.
const LAST_WAIT: Duration = Duration::from_secs(120);
/// How often it is looked whether the memory is above its limit.
const LOOK: Duration = Duration::from_millis(50);
/// How long gVisor may take to give back the memory of what was ended, and how much more may be
/// wanted meanwhile: nobody is to blame for what another one has left.
const GIVES_BACK: Duration = Duration::from_secs(2);
const MEANWHILE: u64 = 8 << 20;

pub(in super::super) struct Distant {
    shared: Arc<Shared>,
    walls: Arc<dyn Walls>,
    name: String,
    pub(super) line: Arc<Line>,
    grouping: Grouping,
    pub(super) record: Mutex<Record>,
    pub(super) processes: Mutex<HashMap<u64, Arc<Far>>>,
    is_paused: AtomicBool,
    /// One change of state at a time.
    turn: Turn<()>,
    door: Mutex<Option<FarDoor>>,
    ended: watch::Sender<bool>,
    /// Its record is, or is about to be, removed.
    is_gone: AtomicBool,
    peak_seen: AtomicU64,
    processor: Mutex<Processor>,
}

/// Walls that nobody holds yet. Dropped, they are removed.
struct Built {
    shared: Arc<Shared>,
    walls: Arc<dyn Walls>,
    name: String,
    is_claimed: bool,
}

impl Drop for Built {
    fn drop(&mut self) {
        if !self.is_claimed {
            let _ = self.walls.remove(&self.name);
            let _ = self.shared.state.remove(&self.name);
        }
    }
}

/// A sandbox whose maker may give up yet. Dropped, it ends.
struct Unclaimed(Option<Arc<Distant>>);

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(distant) = &self.0 {
            distant.line.close();
        }
    }
}

/// A process that was started for somebody. Dropped before it is claimed, it is ended.
struct Claim {
    far: Option<Arc<Far>>,
    distant: Arc<Distant>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(far) = self.far.take() else { return };
        let distant = self.distant.clone();
        tokio::spawn(async move {
            let (process, signal) = (far.number, libc::SIGKILL);
            let kill = Ask::Signal { process, signal, tree: true };
            let _ = distant.line.ask(&kill, Vec::new()).await;
            far.await_end().await;
            distant.forget(process);
        });
    }
}

impl Distant {
    pub(in super::super) fn find(shared: &Shared, name: &str) -> Option<Arc<Self>> {
        lock(&shared.distant).get(name).and_then(Weak::upgrade)
    }

    pub(in super::super) async fn create(
        shared: &Arc<Shared>,
        walls: Arc<dyn Walls>,
        name: &str,
        recipe: &Recipe,
    ) -> Made {
        if !state::is_name(name) {
            let what = format!("{name:?} is not a name for a sandbox");
            return Err(Failure::new(ErrorCode::InvalidValue, what)
                .hint("letters, digits and \"-\", at most 64"));
        }
        let reserved = shared.reserve(name)?;
        if Self::find(shared, name).is_some() || shared.state.read(name).is_some() {
            return Err(name_is_taken(name));
        }
        let work = {
            let (shared, recipe, name) = (shared.clone(), recipe.clone(), name.to_owned());
            // The thread keeps the name, also when nobody waits for it any more.
            move || (build(&shared, walls, name, &recipe), reserved)
        };
        let (built, _reserved) =
            tokio::task::spawn_blocking(work).await.map_err(|_| errors::no_answer())?;
        let (built, wire, record, grouping) = built?;
        let unclaimed = Self::assemble(built, wire, record, grouping)?;
        let distant = unclaimed.0.clone().expect("it was just put there");
        let (limits, lease) = (&recipe.limits, lease_of(shared));
        let is_strict = recipe.policy.seccomp == SeccompProfile::Strict;
        let (open_files, processes) = (limits.open_files.into(), limits.max_pids.into());
        distant.line.greet(&Terms { lease, open_files, processes, is_strict }).await?;
        let own_memory = distant.grouping.memory().unwrap_or(0);
        // None would be one that was not measured yet.
        let own_memory = own_memory.saturating_sub(distant.grouping.cached()).max(1);
        distant.write_record(|record| record.own_memory = own_memory)?;
        if let Network::Hosts(_) = &recipe.policy.network {
            distant.change_network(&recipe.policy.network).await?;
        }
        Ok(unclaimed.claim())
    }

    /// One that an earlier server made; `None` if it is not there any more.
    pub(in super::super) async fn adopt(
        shared: &Arc<Shared>,
        walls: Arc<dyn Walls>,
        name: &str,
    ) -> Result<Option<Arc<dyn Sandbox>>, Failure> {
        if !state::is_name(name) {
            return Ok(None);
        }
        if let Some(living) = Self::find(shared, name) {
            return Ok(Some(Arc::new(HeldDistant(living))));
        }
        let record = shared.state.read(name);
        let attached = {
            let (walls, name) = (walls.clone(), name.to_owned());
            tokio::task::spawn_blocking(move || walls.attach(&name)).await
        };
        let wire = attached.map_err(|_| errors::no_answer())??;
        let (Some(record), Some(wire)) = (record, wire) else {
            put_down(shared, name).await?;
            return Ok(None);
        };
        let rules = rules_of(&record);
        let grouping = Grouping::take_over(&record.groups, None);
        let is_paused = record.frozen;
        let built =
            Built { shared: shared.clone(), walls, name: name.to_owned(), is_claimed: false };
        let unclaimed = Self::assemble(built, wire, record, grouping)?;
        let distant = unclaimed.0.clone().expect("it was just put there");
        distant.is_paused.store(is_paused, Ordering::Release);
        // What it goes by was said by the first server.
        let lease = lease_of(shared);
        let terms = Terms { lease, open_files: 0, processes: 0, is_strict: false };
        distant.line.greet(&terms).await?;
        match distant.line.ask(&Ask::Processes, Vec::new()).await? {
            (Tell::Processes(known), _) => known.into_iter().for_each(|one| {
                distant.note(one);
            }),
            _ => return Err(errors::no_answer()),
        }
        if !rules.is_empty() {
            // The old one ended with its server. Without a new one nothing is let out.
            let _ = distant.open_door(&rules).await;
        }
        Ok(Some(unclaimed.claim()))
    }

    fn assemble(
        mut built: Built,
        wire: Wire,
        record: Record,
        grouping: Grouping,
    ) -> Result<Unclaimed, Failure> {
        let line = Line::open(wire).map_err(|error| errors::system("reach a sandbox", error))?;
        let distant = Arc::new(Self {
            shared: built.shared.clone(),
            walls: built.walls.clone(),
            name: built.name.clone(),
            line,
            grouping,
            record: Mutex::new(record),
            processes: Mutex::default(),
            is_paused: AtomicBool::new(false),
            turn: Turn::new(()),
            door: Mutex::default(),
            ended: watch::Sender::new(false),
            is_gone: AtomicBool::new(false),
            peak_seen: AtomicU64::new(0),
            processor: Mutex::default(),
        });
        built.is_claimed = true;
        lock(&built.shared.distant).insert(built.name.clone(), Arc::downgrade(&distant));
        // They hold the sandbox: dropping a handle ends nothing.
        tokio::spawn(distant.clone().attend());
        tokio::spawn(distant.clone().watch_memory());
        Ok(Unclaimed(Some(distant)))
    }

    /// Waits for its end, and clears up after it.
    async fn attend(self: Arc<Self>) {
        self.line.await_end().await;
        // Whether it ended or only fell silent: nobody can use it any more.
        drop(lock(&self.door).take());
        let sandbox = self.clone();
        let cleared = tokio::task::spawn_blocking(move || {
            // What fails is found by who looks for orphans.
            let _ = sandbox.walls.remove(&sandbox.name);
            // The runtime may be at these still, or have given them up.
            sandbox.grouping.remove();
            // While nobody can be writing it.
            let _record = lock(&sandbox.record);
            sandbox.is_gone.store(true, Ordering::Release);
            let _ = sandbox.shared.state.remove(&sandbox.name);
        });
        let _ = cleared.await;
        lock(&self.shared.distant).remove(&self.name);
        self.ended.send_replace(true);
    }

    pub(in super::super) async fn finish(&self) -> Result<(), Failure> {
        self.line.close();
        match tokio::time::timeout(LAST_WAIT, self.await_end()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Failure::new(
                ErrorCode::SystemFailure,
                "the engine has not ended the sandbox yet",
            )),
        }
    }

    pub(super) async fn await_end(&self) {
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    pub(super) fn must_live(&self) -> Result<(), Failure> {
        if *self.ended.borrow() { Err(errors::ended()) } else { Ok(()) }
    }

    pub(super) fn must_be_awake(&self) -> Result<(), Failure> {
        self.must_live()?;
        if self.is_paused.load(Ordering::Acquire) {
            return Err(Failure::new(ErrorCode::WrongState, "the sandbox is paused")
                .hint("resume it first"));
        }
        Ok(())
    }

    fn write_record(&self, change: impl FnOnce(&mut Record)) -> Result<(), Failure> {
        let mut record = lock(&self.record);
        change(&mut record);
        if self.is_gone.load(Ordering::Acquire) {
            return Ok(());
        }
        write(&self.shared, &self.name, &record)
    }

    // ---- Processes ----

    fn note(&self, known: Known) -> Arc<Far> {
        let mut processes = lock(&self.processes);
        processes.entry(known.number).or_insert_with(|| Far::new(known, &self.line)).clone()
    }

    pub(super) fn forget(&self, process: u64) {
        if lock(&self.processes).remove(&process).is_some() {
            self.line.say(Ask::Forget { process });
        }
    }

    pub(super) async fn start(
        self: &Arc<Self>,
        program: &Program,
    ) -> Result<Arc<FarHandle>, Failure> {
        self.must_be_awake()?;
        let (words, bytes) = encode(program, &environment(&lock(&self.record), program))?;
        if HEAD_BYTES + bytes.len() > MESSAGE_BYTES {
            return Err(too_large());
        }
        let [.., arguments, variables] = words;
        let ask = Ask::Spawn {
            terminal: program.terminal,
            arguments: arguments as usize,
            variables: variables as usize,
        };
        let (tell, told) = oneshot::channel();
        let distant = self.clone();
        // Whoever gives up meanwhile leaves a claim that is dropped, and no process.
        tokio::spawn(async move {
            let started = match distant.line.ask(&ask, bytes).await {
                Ok((Tell::Process(known), _)) => {
                    Ok(Claim { far: Some(distant.note(known)), distant: distant.clone() })
                }
                Ok((Tell::Refused { broken, errno }, _)) => Err(Ok((broken, errno))),
                Ok(_) => Err(Err(errors::no_answer())),
                Err(failure) => Err(Err(failure)),
            };
            let _ = tell.send(started);
        });
        match told.await.map_err(|_| errors::ended())? {
            Ok(mut claim) => {
                let far = claim.far.take().expect("it is taken here only, and this ends the claim");
                Ok(FarHandle::new(far, self.clone()))
            }
            Err(Ok((broken, errno))) => {
                let name = program.command.first().map(String::as_str).unwrap_or_default();
                let directory = &program.working_directory;
                Err(errors::start(name, directory, Broken::of(broken), errno))
            }
            Err(Err(failure)) => Err(failure),
        }
    }

    // ---- Limits ----

    /// The engine's limit is that of the whole sandbox, its kernel included, and ends all of it.
    /// So it is a little wider, and what is above the sandbox's own limit is ended here: all
    /// processes, and no file.
    async fn watch_memory(self: Arc<Self>) {
        let mut ended = self.ended.subscribe();
        let over = std::pin::pin!(ended.wait_for(|ended| *ended));
        let mut over = over;
        // When all was ended, and the least that was used since.
        let mut ended_all: Option<(Instant, u64)> = None;
        while super::super::process::first_of(tokio::time::sleep(LOOK), &mut over).await.is_some() {
            let most = lock(&self.record).memory_bytes;
            // Mostly this is enough, and what is cached takes the kernel longer to tell.
            if self.memory_used() <= most {
                ended_all = None;
                continue;
            }
            let held = self.memory_held();
            if held <= most {
                continue;
            }
            if let Some((when, least)) = &mut ended_all {
                *least = held.min(*least);
                if when.elapsed() < GIVES_BACK && held - *least < MEANWHILE {
                    continue;
                }
            }
            for process in lock(&self.processes).values() {
                process.blame_memory();
            }
            let _ = self.line.ask(&Ask::KillAll, Vec::new()).await;
            ended_all = Some((Instant::now(), u64::MAX));
        }
    }

    /// Without copies of files: the kernel gives them up before a limit of its own is met, too.
    fn memory_held(&self) -> u64 {
        self.memory_used().saturating_sub(self.grouping.cached())
    }

    fn memory_used(&self) -> u64 {
        let own = lock(&self.record).own_memory;
        // Before that was measured nothing of the sandbox's can run.
        let all = if own == 0 { 0 } else { self.grouping.memory().unwrap_or(0) };
        let used = all.saturating_sub(own);
        self.peak_seen.fetch_max(used, Ordering::Relaxed);
        used
    }

    pub(super) async fn measure(self: &Arc<Self>) -> Result<SandboxUsage, Failure> {
        self.must_live()?;
        let (processes, disk) = match self.line.ask(&Ask::Usage, Vec::new()).await? {
            (Tell::Usage { processes, disk }, _) => (processes, disk),
            _ => return Err(errors::no_answer()),
        };
        let memory = self.memory_held();
        let pid = lock(&self.record).pid;
        let counted = self.grouping.processor_time();
        let processor = counted.unwrap_or_else(|| lock(&self.processor).look(pid));
        Ok(SandboxUsage {
            processor: Some(processor),
            memory: Some(memory),
            peak_memory: Some(self.peak_seen.load(Ordering::Relaxed)),
            processes: Some(processes),
            disk,
            io: None,
        })
    }

    /// By signals: an engine that stops the sandbox stops the relay, too, and then no file can be
    /// read.
    pub(super) async fn stop_or_go(&self, frozen: bool) -> Result<(), Failure> {
        let _turn = self.turn.lock().await;
        self.must_live()?;
        let signal = if frozen { libc::SIGSTOP } else { libc::SIGCONT };
        match self.line.ask(&Ask::SignalAll { signal }, Vec::new()).await? {
            (Tell::Done, _) => {}
            _ => {
                return Err(Failure::new(
                    ErrorCode::SystemFailure,
                    "the processes of the sandbox could not be signalled",
                ));
            }
        }
        self.is_paused.store(frozen, Ordering::Release);
        self.write_record(|record| record.frozen = frozen)
    }

    // ---- The network ----

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
            // Said when it is closed inside, as well.
            return self.line.ask(&Ask::CloseDoor, Vec::new()).await.map(drop);
        }
        self.open_door(&rules).await?;
        self.write_record(|record| record.hosts = rules.iter().map(HostRule::to_string).collect())
    }

    async fn open_door(&self, rules: &[HostRule]) -> Result<(), Failure> {
        let failed = |error| errors::system("open the network door", error);
        let way = self.shared.state.open_door(&self.name).map_err(failed)?;
        let terms = door::Terms {
            rules: rules.to_vec(),
            download: None,
            landlock: self.shared.host.landlock,
            identity: self.identity(),
        };
        let door = doors::open(&self.shared.doors, &self.line, terms, way).await?;
        *lock(&self.door) = Some(door);
        Ok(())
    }

    fn identity(&self) -> Identity {
        let Record { inside_user, outside_user, outside_group, mapped_by_supervisor, .. } =
            *lock(&self.record);
        Identity { inside: inside_user, outside_user, outside_group, mapped_by_supervisor }
    }
}

impl Unclaimed {
    fn claim(mut self) -> Arc<dyn Sandbox> {
        let distant = self.0.take().expect("it is taken here only, and this ends the waiting");
        Arc::new(HeldDistant(distant))
    }
}

/// Milliseconds.
fn lease_of(shared: &Shared) -> u64 {
    u64::try_from(shared.lease.as_millis()).unwrap_or(u64::MAX)
}

fn write(shared: &Shared, name: &str, record: &Record) -> Result<(), Failure> {
    shared.state.write(name, record).map_err(|error| {
        Failure::new(ErrorCode::StoreFailed, "the sandbox's record could not be written")
            .detail("reason", error.kind())
    })
}

type Parts = (Built, Wire, Record, Grouping);

/// Blocks.
fn build(
    shared: &Arc<Shared>,
    walls: Arc<dyn Walls>,
    name: String,
    recipe: &Recipe,
) -> Result<Parts, Failure> {
    let built = Built { shared: shared.clone(), walls, name, is_claimed: false };
    let enclosure = built.walls.build(&built.name, recipe, None)?;
    let (grouping, groups) = Grouping::of_process(enclosure.pid);
    let record = record_of(&enclosure, recipe, groups);
    // Before it can outlive this server.
    write(shared, &built.name, &record)?;
    let wire = built.walls.attach(&built.name)?.ok_or_else(errors::ended)?;
    Ok((built, wire, record, grouping))
}
