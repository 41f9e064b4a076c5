//! The two processes of Capsule's own in a distant sandbox: the relay, which is PID 1, and the
//! resident, which it starts.
//!
//! ```text
//!  standard input ── thread ──▶ frames ──▶ this loop ──▶ a task for each question (session.rs)
//!  standard output ◀── thread ◀── frames ◀──────────────────┘
//! ```
//!
//! Nobody tells the relay that a server has gone: the stream is the engine's and stays open. So
//! a server says something now and then, and a lease is counted in ticks without a word. Ticks
//! and not time: an engine may have stopped the whole sandbox meanwhile.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use capsule_init::resident::{Entrance, Settings, act_for};
use capsule_init::{REPORT_BYTES, Report};
use capsule_spec::{ErrorCode, Failure, SeccompProfile};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::sync::mpsc;

use super::super::connection::Connection;
use super::super::enclosed::{ORDER_BYTES, Order};
use super::super::group::Grouping;
use super::super::{build, errors};
use super::USER;
use super::frames::{Decoder, Frame};
use super::session::{Outlets, Session};
use super::words::{Ask, Tell, Terms, VERSION};
use crate::sys;

/// How often within a lease it is looked whether a server has said something.
const TICKS: u32 = 16;
/// Before the first server has said how long a lease is.
const FIRST_LEASE: Duration = Duration::from_secs(60);
/// Frames that wait to be written or dealt with.
const QUEUE: usize = 64;
/// Threads for work on files.
const THREADS: usize = 8;
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// The life of the PID 1 of a distant sandbox. Answers only when it cannot begin. `role` is the
/// argument that makes this program call [`relayed`].
pub fn relay(role: &str) -> io::Error {
    match begin(role) {
        Ok((stream, resident)) => serve(stream, resident),
        Err(error) => error,
    }
}

/// The ends that the server is behind.
struct Stream {
    input: File,
    output: File,
}

/// The resident, which waits for its order.
struct Waiting {
    number: i32,
    connection: OwnedFd,
    control: OwnedFd,
}

fn begin(role: &str) -> io::Result<(Stream, Waiting)> {
    if std::process::id() != 1 || sys::effective_user() != 0 {
        return Err(io::Error::other("this is for the first process of a container"));
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    sys::close_all_but(&[])?;
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    sys::forget_streams()?;
    // What a jail's PID 1 limits here are objects of the host's kernel, which is out of reach.
    rustix::thread::set_no_new_privs(true)?;
    let pair =
        || socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let ((connection, its_connection), (control, its_control)) = (pair()?, pair()?);
    // What it does besides is to end, and then this process does, too.
    let child = Command::new("/proc/self/exe")
        .arg(role)
        .env_clear()
        .stdin(Stdio::from(its_connection))
        .stdout(Stdio::from(its_control))
        .stderr(Stdio::null())
        .spawn()?;
    act_for(USER)?;
    // A change of user makes it so anew on some kernels, and not on others.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // No thread is older than the change of user: it would have kept what that gave up.
    let number = i32::try_from(child.id()).unwrap_or_default();
    std::thread::Builder::new().spawn(move || reap(number))?;
    Ok((Stream { input, output }, Waiting { number, connection, control }))
}

/// Reaps what others have left to PID 1, until the resident is gone, and with it all.
fn reap(resident: i32) {
    loop {
        match rustix::process::wait(rustix::process::WaitOptions::empty()) {
            Ok(Some((pid, _))) if pid.as_raw_nonzero().get() != resident => {}
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Ok(Some(_)) | Err(_) => std::process::exit(1),
        }
    }
}

/// The life of the resident of a distant sandbox: PID 1 of a jail, but for its number. Answers
/// only when it cannot begin.
pub fn relayed() -> io::Error {
    match begin_resident() {
        Ok(settings) => capsule_init::resident::run(settings),
        Err(error) => error,
    }
}

#[inline(never)]
fn begin_resident() -> io::Result<Settings> {
    if std::os::unix::process::parent_id() != 1 || sys::effective_user() != 0 {
        return Err(io::Error::other("this is for a process of a container"));
    }
    let connection = io::stdin().as_fd().try_clone_to_owned()?;
    let control = io::stdout().as_fd().try_clone_to_owned()?;
    sys::forget_streams()?;
    let mut keep = [connection.as_raw_fd(), control.as_raw_fd()];
    keep.sort_unstable();
    sys::close_all_but(&keep)?;
    // What programs leave behind becomes this one's child, or else PID 1's.
    let _ = rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1));
    act_for(USER)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let mut bytes = [0u8; ORDER_BYTES];
    let (_, length) = rustix::net::recv(&connection, &mut bytes[..], RecvFlags::empty())?;
    let order = (length == ORDER_BYTES).then(|| Order::decode(&bytes)).flatten();
    let Some(order) = order else { return Err(io::ErrorKind::InvalidData.into()) };
    let (seal, confine) = build::filters(order.seccomp);
    let settings = Settings {
        entrance: Entrance::Connection(connection.as_raw_fd()),
        control: control.as_raw_fd(),
        lease: order.lease,
        open_files: order.open_files,
        user: Some(USER),
        seal,
        confine,
    };
    // They live as long as this process.
    std::mem::forget((connection, control));
    Ok(settings)
}

/// What the loop hears.
enum Heard {
    Frame(Frame),
    Tick,
}

fn serve(stream: Stream, resident: Waiting) -> io::Error {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(THREADS)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(live(stream, resident)),
        Err(error) => error,
    }
}

async fn live(stream: Stream, resident: Waiting) -> io::Error {
    let (tell, mut heard) = mpsc::channel(QUEUE);
    let (out, to_write) = mpsc::channel(QUEUE);
    let frames = tell.clone();
    let read = std::thread::Builder::new().spawn(move || read(stream.input, &frames));
    let write = std::thread::Builder::new().spawn(move || write(stream.output, to_write));
    if let Err(error) = read.and(write) {
        return error;
    }
    let mut relay = Relay { out, waiting: Some(resident), outlets: None, session: None };
    let mut lease = FIRST_LEASE;
    let mut ticking = tick(&tell, lease);
    let mut silent = 0;
    while let Some(heard) = heard.recv().await {
        let frame = match heard {
            Heard::Frame(frame) => frame,
            Heard::Tick if silent >= TICKS => break,
            Heard::Tick => {
                silent += 1;
                continue;
            }
        };
        let Ok(ask) = serde_json::from_slice(&frame.words) else { continue };
        if let Ask::Greet { terms, .. } = &ask {
            lease = Duration::from_millis(terms.lease);
            ticking.abort();
            ticking = tick(&tell, lease);
        }
        if relay.hear(&frame, ask).await {
            silent = 0;
        }
    }
    io::Error::other("no server came back")
}

fn tick(tell: &mpsc::Sender<Heard>, lease: Duration) -> tokio::task::JoinHandle<()> {
    let tell = tell.clone();
    let pause = (lease / TICKS).max(Duration::from_millis(1));
    tokio::spawn(async move {
        while tell.send(Heard::Tick).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
    })
}

/// Reads frames until there is nobody who could send one.
fn read(mut input: File, frames: &mpsc::Sender<Heard>) {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; PIECE];
    loop {
        match input.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The engine has closed it: nobody can ever come.
            Ok(0) | Err(_) => std::process::exit(1),
            Ok(length) => decoder.take(&buffer[..length], &mut |frame| {
                let _ = frames.blocking_send(Heard::Frame(frame));
            }),
        }
    }
}

fn write(mut output: File, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.blocking_recv() {
        if output.write_all(&frame).is_err() {
            std::process::exit(1);
        }
    }
}

struct Relay {
    out: mpsc::Sender<Vec<u8>>,
    /// The resident, until the first server has given its terms.
    waiting: Option<Waiting>,
    /// The processes, once there can be any.
    outlets: Option<Arc<Outlets>>,
    session: Option<Session>,
}

impl Relay {
    /// Deals with one message. Says whether it was one of the server's.
    async fn hear(&mut self, frame: &Frame, ask: Ask) -> bool {
        if let Ask::Greet { version, terms } = ask {
            self.greet(frame, version, &terms).await;
            return true;
        }
        let session = self.session.as_ref().filter(|one| one.conversation() == frame.conversation);
        if let Some(session) = session {
            session.hear(frame.serial, ask, &frame.bytes).await;
        }
        session.is_some()
    }

    async fn greet(&mut self, frame: &Frame, version: u64, terms: &Terms) {
        // All that the last one had open is closed.
        self.session = None;
        let begun = match (&self.outlets, self.waiting.take()) {
            _ if version != VERSION => Err(Failure::new(
                ErrorCode::SystemFailure,
                "the sandbox was made by another version",
            )
            .hint("end it and make it anew")),
            (Some(outlets), _) => Ok(outlets.clone()),
            (None, Some(waiting)) => start(waiting, terms).await,
            (None, None) => Err(errors::ended()),
        };
        let session =
            |outlets: Arc<Outlets>| Session::new(frame.conversation, self.out.clone(), outlets);
        match begun {
            Ok(outlets) => {
                self.outlets = Some(outlets.clone());
                let session = session(outlets);
                session.answer(frame.serial, Tell::Welcome { version: VERSION }, Vec::new()).await;
                self.session = Some(session);
            }
            Err(failure) => {
                let words = serde_json::to_vec(&Tell::Failed(failure)).unwrap_or_default();
                let (conversation, serial) = (frame.conversation, frame.serial);
                let frame = Frame { conversation, serial, words, bytes: Vec::new() };
                let _ = self.out.send(frame.encode()).await;
            }
        }
    }
}

/// Gives the resident its terms, and waits until it is ready.
async fn start(waiting: Waiting, terms: &Terms) -> Result<Arc<Outlets>, Failure> {
    let seccomp = match terms.is_strict {
        true => SeccompProfile::Strict,
        false => SeccompProfile::Default,
    };
    // It ends with the relay, at once.
    let order = Order { lease: 0, open_files: terms.open_files, seccomp };
    let failed = |error: rustix::io::Errno| errors::system("start the sandbox", error);
    rustix::net::send(&waiting.connection, &order.encode(), SendFlags::NOSIGNAL).map_err(failed)?;
    let control = waiting.control;
    let ready = tokio::task::spawn_blocking(move || {
        let mut bytes = [0u8; REPORT_BYTES];
        let received = rustix::net::recv(&control, &mut bytes[..], RecvFlags::empty());
        received.map(|(_, length)| Report::decode(&bytes[..length]))
    });
    match ready.await.map_err(|_| errors::ended())?.map_err(failed)? {
        Some(Report::Ready) => {}
        Some(Report::Failed { errno, .. }) => {
            let error = io::Error::from_raw_os_error(errno);
            return Err(errors::system("start the sandbox's first process", error));
        }
        Some(_) | None => return Err(errors::ended()),
    }
    rustix::io::ioctl_fionbio(&waiting.connection, true).map_err(failed)?;
    let connection = Connection::new(waiting.connection, Arc::new(Grouping::of(None)))
        .map_err(|error| errors::system("reach the sandbox", error))?;
    let listening = connection.clone();
    tokio::spawn(async move {
        listening.listen().await;
        // Without it nothing can be done, and nothing of it is to be left.
        std::process::exit(1);
    });
    connection.greet().await?;
    let outlets = Outlets::new(connection, waiting.number);
    tokio::spawn(outlets.clone().watch_processes(terms.processes));
    Ok(outlets)
}
