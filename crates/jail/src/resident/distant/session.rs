//! A conversation with one server, in a distant sandbox: what it asks, done here.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capsule_backend::sandbox::{Entry, Notices, Process, Reach, SandboxFile};
use capsule_init::resident::wire::Kind;
use capsule_spec::{ErrorCode, Failure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex as Turn, mpsc, watch};
use tokio::task::JoinSet;

use super::super::connection::Connection;
use super::super::notices::Watching;
use super::super::process::{Handle, first_of};
use super::super::{errors, files, lock};
use super::count;
use super::frames::Frame;
use super::words::{Ask, ENTRIES, Known, Stream, Tell};

/// The most questions that are being dealt with.
const QUESTIONS: usize = 1024;
/// The most that is held open for a server.
const HANDLES: usize = 1024;
/// How often processes are counted.
const LOOK: Duration = Duration::from_millis(50);
/// The most bytes of one answer to [`Ask::Hear`].
const PIECE: usize = 64 << 10;

type Answer = Result<(Tell, Vec<u8>), Failure>;

/// The processes of the sandbox, for one server after the other.
pub(super) struct Outlets {
    connection: Arc<Connection>,
    /// The number of the resident.
    resident: i32,
    open: Mutex<HashMap<u64, Arc<Outlet>>>,
    /// Something was started since it was last looked how many there are.
    has_started: AtomicBool,
}

/// A process, and what was read of its output and is not known to have been heard.
struct Outlet {
    handle: Arc<Handle>,
    last: Turn<Last>,
}

#[derive(Default)]
struct Last {
    number: u64,
    piece: Option<(Stream, Vec<u8>)>,
}

impl Outlets {
    pub(super) fn new(connection: Arc<Connection>, resident: i32) -> Arc<Self> {
        let (open, has_started) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { connection, resident, open, has_started })
    }

    fn of(&self, number: u64) -> Result<Arc<Outlet>, Failure> {
        let running = lock(&self.connection.processes).get(&number).cloned();
        let running = running.ok_or_else(errors::process_ended)?;
        Ok(match lock(&self.open).entry(number) {
            Place::Occupied(there) => there.get().clone(),
            Place::Vacant(place) => {
                let handle = Handle::new(running, self.connection.clone());
                place.insert(Arc::new(Outlet { handle, last: Turn::default() })).clone()
            }
        })
    }

    /// What a limit of the kernel does elsewhere: this one counts no processes. Above the limit
    /// all are ended, as nobody knows whose fault it is.
    pub(super) async fn watch_processes(self: Arc<Self>, most: u64) {
        let mut is_empty = true;
        loop {
            tokio::time::sleep(LOOK).await;
            let has_started = self.has_started.swap(false, Ordering::AcqRel);
            // Who was left behind by programs that are over can grow as well: only where there
            // is nobody, and nobody came, there is nothing to look at.
            if is_empty && !has_started && lock(&self.connection.processes).is_empty() {
                continue;
            }
            is_empty = count::all() <= count::OWN;
            if count::is_above(most, self.resident) {
                let _ = self.connection.ask(Kind::KillAll, &[], &[], None).await;
            }
        }
    }

    fn known(&self) -> Vec<Known> {
        let running = lock(&self.connection.processes);
        let known = |(number, running): (&u64, &Arc<super::super::process::Running>)| Known {
            number: *number,
            is_terminal: running.is_terminal(),
        };
        running.iter().map(known).collect()
    }

    fn forget(&self, number: u64) {
        lock(&self.open).remove(&number);
        self.connection.forget(number);
    }
}

impl Outlet {
    /// The piece after the one that was heard: the last one once more, if its answer was lost.
    async fn piece(&self, heard: u64) -> (Tell, Vec<u8>) {
        let mut last = self.last.lock().await;
        if last.number == heard || last.piece.is_none() {
            last.piece = None;
            let Some((channel, bytes)) = self.handle.output().await else {
                return (Tell::Piece(None), Vec::new());
            };
            last.number = heard.wrapping_add(1);
            last.piece = Some((channel.into(), bytes));
        }
        match &last.piece {
            Some((stream, bytes)) => (Tell::Piece(Some((last.number, *stream))), bytes.clone()),
            None => (Tell::Piece(None), Vec::new()),
        }
    }
}

/// A file that one question at a time is about; none once it was finished.
type OpenFile = Arc<Turn<Option<Box<dyn SandboxFile>>>>;

enum Held {
    File(OpenFile),
    List(Vec<Entry>),
    Watch(Arc<Turn<Watching>>),
    Visitor(Arc<Visitor>),
}

struct Visitor {
    hears: Turn<OwnedReadHalf>,
    says: Turn<OwnedWriteHalf>,
}

/// The listener of the door, and how those who wait at it hear that it is closed.
struct Door {
    listener: Arc<TcpListener>,
    closed: watch::Sender<bool>,
}

/// What one server has open.
struct Open {
    outlets: Arc<Outlets>,
    held: Mutex<HashMap<u64, Held>>,
    next: AtomicU64,
    door: Mutex<Option<Door>>,
    /// Dropped with the session, which nobody says anything to.
    ended: watch::Sender<bool>,
}

/// Dropped, all that is being done for it stops.
pub(super) struct Session {
    conversation: u64,
    out: mpsc::Sender<Vec<u8>>,
    open: Arc<Open>,
    tasks: Mutex<JoinSet<()>>,
}

impl Session {
    pub(super) fn new(
        conversation: u64,
        out: mpsc::Sender<Vec<u8>>,
        outlets: Arc<Outlets>,
    ) -> Self {
        let open = Open {
            outlets,
            held: Mutex::default(),
            next: AtomicU64::new(1),
            door: Mutex::default(),
            ended: watch::Sender::new(false),
        };
        Self { conversation, out, open: Arc::new(open), tasks: Mutex::default() }
    }

    pub(super) fn conversation(&self) -> u64 {
        self.conversation
    }

    /// Begins to do what is asked; does not wait for it.
    pub(super) async fn hear(&self, serial: u64, ask: Ask, bytes: &[u8]) {
        let is_busy = {
            let mut tasks = lock(&self.tasks);
            while tasks.try_join_next().is_some() {}
            tasks.len() >= QUESTIONS
        };
        if is_busy {
            let failure = Failure::new(ErrorCode::ServerLimit, "the sandbox is asked too much");
            return self.answer(serial, Tell::Failed(failure), Vec::new()).await;
        }
        let (open, out, bytes) = (self.open.clone(), self.out.clone(), bytes.to_vec());
        let conversation = self.conversation;
        lock(&self.tasks).spawn(async move {
            let is_told = !matches!(
                ask,
                Ask::Alive | Ask::CloseInput { .. } | Ask::Forget { .. } | Ask::Close { .. }
            );
            let answered = open.perform(ask, bytes).await;
            if is_told {
                let (tell, bytes) = answered.unwrap_or_else(|it| (Tell::Failed(it), Vec::new()));
                send(&out, (conversation, serial), &tell, bytes).await;
            }
        });
    }

    pub(super) async fn answer(&self, serial: u64, tell: Tell, bytes: Vec<u8>) {
        send(&self.out, (self.conversation, serial), &tell, bytes).await;
    }
}

async fn send(
    out: &mpsc::Sender<Vec<u8>>,
    (conversation, serial): (u64, u64),
    tell: &Tell,
    bytes: Vec<u8>,
) {
    let Ok(words) = serde_json::to_vec(tell) else { return };
    let _ = out.send(Frame { conversation, serial, words, bytes }.encode()).await;
}

fn done() -> Answer {
    Ok((Tell::Done, Vec::new()))
}

/// What a number that nobody gave out is answered.
fn nothing_held() -> Failure {
    Failure::new(ErrorCode::SystemFailure, "nothing of this number is open in the sandbox")
}

impl Open {
    fn connection(&self) -> &Arc<Connection> {
        &self.outlets.connection
    }

    fn hold(&self, held: Held, entry: Option<Entry>) -> Answer {
        let mut all = lock(&self.held);
        if all.len() >= HANDLES {
            let what = "the sandbox has too much open for the server";
            return Err(Failure::new(ErrorCode::ServerLimit, what));
        }
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        all.insert(handle, held);
        Ok((Tell::Opened { handle, entry }, Vec::new()))
    }

    async fn perform(&self, ask: Ask, bytes: Vec<u8>) -> Answer {
        match ask {
            Ask::Greet { .. } | Ask::Alive => done(),
            Ask::Processes => Ok((Tell::Processes(self.outlets.known()), Vec::new())),
            Ask::Spawn { terminal, arguments, variables } => {
                let size = terminal.map_or((0, 0), |size| (size.columns, size.rows));
                let words = [
                    u64::from(terminal.is_some()),
                    size.0.into(),
                    size.1.into(),
                    arguments as u64,
                    variables as u64,
                ];
                self.spawn(&words, &bytes).await
            }
            Ask::Output { process, heard } => Ok(self.outlets.of(process)?.piece(heard).await),
            Ask::Input { process } => {
                self.outlets.of(process)?.handle.input(&bytes).await?;
                done()
            }
            Ask::CloseInput { process } => {
                self.outlets.of(process)?.handle.close_input();
                done()
            }
            Ask::Signal { process, signal, tree } => {
                let reach = if tree { Reach::Tree } else { Reach::Process };
                self.outlets.of(process)?.handle.signal(signal, reach).await?;
                done()
            }
            Ask::Resize { process, size } => {
                self.outlets.of(process)?.handle.resize(size).await?;
                done()
            }
            Ask::Wait { process } => {
                let ended = self.outlets.of(process)?.handle.ended().await;
                Ok((Tell::Ended(ended), Vec::new()))
            }
            Ask::Forget { process } => {
                self.outlets.forget(process);
                done()
            }
            Ask::KillAll => {
                self.connection().ask(Kind::KillAll, &[], &[], None).await?;
                done()
            }
            Ask::SignalAll { signal } => {
                let words = [u64::from(signal.unsigned_abs())];
                match self.connection().ask(Kind::SignalAll, &words, &[], None).await?.errno() {
                    0 => done(),
                    errno => Ok((Tell::Refused { broken: 0, errno }, Vec::new())),
                }
            }
            Ask::Usage => self.usage().await,
            Ask::OpenDoor { port } => self.open_door(port).await,
            Ask::CloseDoor => {
                self.close_door();
                done()
            }
            Ask::Accept => self.accept().await,
            Ask::Hear { visitor } => {
                let visitor = self.visitor(visitor)?;
                let mut piece = vec![0; PIECE];
                // What breaks off has ended.
                let length = visitor.hears.lock().await.read(&mut piece).await.unwrap_or(0);
                piece.truncate(length);
                Ok((Tell::Bytes, piece))
            }
            Ask::Say { visitor } => {
                let visitor = self.visitor(visitor)?;
                visitor.says.lock().await.write_all(&bytes).await.map_err(|_| nothing_held())?;
                done()
            }
            Ask::Hush { visitor } => {
                let _ = self.visitor(visitor)?.says.lock().await.shutdown().await;
                done()
            }
            of_files => self.perform_on_files(of_files, bytes).await,
        }
    }

    async fn perform_on_files(&self, ask: Ask, bytes: Vec<u8>) -> Answer {
        let connection = self.connection();
        match ask {
            Ask::Open { path, mode } => {
                let file = files::open(connection, &path, mode).await?;
                let entry = file.entry();
                self.hold(Held::File(Arc::new(Turn::new(Some(file)))), Some(entry))
            }
            Ask::Read { file, most } => {
                let file = self.file(file)?;
                let mut file = file.lock().await;
                let file = file.as_mut().ok_or_else(nothing_held)?;
                let most = most.min(super::words::BYTES);
                Ok((Tell::Bytes, file.read(most).await?))
            }
            Ask::Skip { file, bytes } => {
                let file = self.file(file)?;
                let mut file = file.lock().await;
                file.as_mut().ok_or_else(nothing_held)?.skip(bytes).await?;
                done()
            }
            Ask::Write { file } => {
                let file = self.file(file)?;
                let mut file = file.lock().await;
                file.as_mut().ok_or_else(nothing_held)?.write(&bytes).await?;
                done()
            }
            Ask::Finish { file: handle } => {
                let file = self.file(handle)?.lock().await.take().ok_or_else(nothing_held)?;
                lock(&self.held).remove(&handle);
                file.finish().await?;
                done()
            }
            Ask::Close { handle } => {
                drop(lock(&self.held).remove(&handle));
                done()
            }
            Ask::List { path, limit } => {
                let entries = files::list(connection, &path, limit).await?;
                self.hold(Held::List(entries), None)
            }
            Ask::Entries { list } => match lock(&self.held).get_mut(&list) {
                Some(Held::List(entries)) => {
                    let rest = entries.len().saturating_sub(ENTRIES);
                    Ok((Tell::Entries(entries.split_off(rest)), Vec::new()))
                }
                _ => Err(nothing_held()),
            },
            Ask::Stat { path } => {
                let entry = files::stat(connection, &path).await?;
                Ok((Tell::Entries(vec![entry]), Vec::new()))
            }
            Ask::Change { change } => {
                files::change(connection, &change).await?;
                done()
            }
            Ask::Watch { path, recursive } => {
                let ended = self.ended.subscribe();
                let watching = Watching::begin(connection, ended, &path, recursive).await?;
                self.hold(Held::Watch(Arc::new(Turn::new(watching))), None)
            }
            Ask::Notices { watch } => {
                let watching = match lock(&self.held).get(&watch) {
                    Some(Held::Watch(watching)) => watching.clone(),
                    _ => return Err(nothing_held()),
                };
                let notices = watching.lock().await.next().await;
                Ok((Tell::Notices(notices), Vec::new()))
            }
            _ => Err(nothing_held()),
        }
    }

    async fn spawn(&self, words: &[u64], bytes: &[u8]) -> Answer {
        let answer = self.connection().ask(Kind::Spawn, words, bytes, None).await;
        self.outlets.has_started.store(true, Ordering::Release);
        let answer = answer?;
        match (answer.head.kind, answer.started) {
            (Kind::Process, Some(started)) => {
                let running = started.claim();
                let (number, is_terminal) = (running.number(), running.is_terminal());
                Ok((Tell::Process(Known { number, is_terminal }), Vec::new()))
            }
            (Kind::Refused, _) => {
                let [broken, errno, ..] = answer.head.words;
                Ok((Tell::Refused { broken, errno: errno as i32 }, Vec::new()))
            }
            _ => Err(errors::ended()),
        }
    }

    async fn usage(&self) -> Answer {
        // All but this process.
        let processes = count::all().saturating_sub(1);
        let files = files::look(self.connection(), "/workspace").await;
        let usage = files.ok().and_then(|files| rustix::fs::fstatfs(files).ok());
        let disk = usage.map(|usage| (usage.f_blocks - usage.f_bfree) * usage.f_bsize as u64);
        Ok((Tell::Usage { processes, disk }, Vec::new()))
    }

    fn file(&self, handle: u64) -> Result<OpenFile, Failure> {
        match lock(&self.held).get(&handle) {
            Some(Held::File(file)) => Ok(file.clone()),
            _ => Err(nothing_held()),
        }
    }

    // ---- The door ----

    async fn open_door(&self, port: u16) -> Answer {
        let asked = self.connection().ask(Kind::OpenDoor, &[u64::from(port)], &[], None).await?;
        let errno = asked.errno();
        let Some(listener) = asked.fds.into_iter().next() else {
            return Ok((Tell::Refused { broken: 0, errno }, Vec::new()));
        };
        let failed = |error| errors::system("open the door", error);
        let listener = std::net::TcpListener::from(listener as OwnedFd);
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = Arc::new(TcpListener::from_std(listener).map_err(failed)?);
        *lock(&self.door) = Some(Door { listener, closed: watch::Sender::new(false) });
        done()
    }

    fn close_door(&self) {
        if let Some(door) = lock(&self.door).take() {
            door.closed.send_replace(true);
        }
        lock(&self.held).retain(|_, held| !matches!(held, Held::Visitor(_)));
    }

    async fn accept(&self) -> Answer {
        let (listener, mut closed) = match &*lock(&self.door) {
            Some(door) => (door.listener.clone(), door.closed.subscribe()),
            None => return Err(nothing_held()),
        };
        match first_of(listener.accept(), closed.changed()).await {
            Some(Ok((visitor, _))) => {
                let (hears, says) = visitor.into_split();
                let visitor = Visitor { hears: Turn::new(hears), says: Turn::new(says) };
                self.hold(Held::Visitor(Arc::new(visitor)), None)
            }
            _ => Err(nothing_held()),
        }
    }

    fn visitor(&self, handle: u64) -> Result<Arc<Visitor>, Failure> {
        match lock(&self.held).get(&handle) {
            Some(Held::Visitor(visitor)) => Ok(visitor.clone()),
            _ => Err(nothing_held()),
        }
    }
}
