//! The conversation with a PID 1: questions with numbers, answers in any order.

use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capsule_init::resident::wire::{HEAD_BYTES, Head, Kind, MESSAGE_BYTES, VERSION};
use capsule_spec::{ErrorCode, Failure};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Semaphore, mpsc};

use super::group::Grouping;
use super::process::Running;
use super::{errors, lock, sys};

/// How long PID 1, or a worker of its, may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Fewer than PID 1 has places for (`wire::JOBS`).
const JOBS: usize = 24;

/// An answer, or one of several.
pub(super) struct Answer {
    pub(super) head: Head,
    pub(super) fds: Vec<OwnedFd>,
    /// What a Spawn has started.
    pub(super) started: Option<Started>,
}

/// A process that was started for somebody. Dropped before it is claimed, which happens
/// when nobody waits for the answer any more, it is ended and forgotten.
pub(super) struct Started {
    running: Option<Arc<Running>>,
    connection: Arc<Connection>,
}

impl Started {
    pub(super) fn claim(mut self) -> Arc<Running> {
        self.running.take().expect("it is taken here only, and this ends the claim")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            const WHOLE_TREE: u64 = 1;
            running.abandon();
            let kill = libc::SIGKILL.unsigned_abs().into();
            self.connection.say(Kind::Signal, &[running.number(), kill, WHOLE_TREE]);
            self.connection.forget_if_over(running);
        }
    }
}

impl Answer {
    /// The errno of a `Done`; 0 is none.
    pub(super) fn errno(&self) -> i32 {
        self.head.words[0] as i32
    }
}

/// One that was asked.
struct Question {
    kind: Kind,
    answers: mpsc::UnboundedSender<Answer>,
}

pub(super) struct Connection {
    socket: AsyncFd<OwnedFd>,
    serial: AtomicU64,
    waiting: Mutex<HashMap<u64, Question>>,
    pub(super) processes: Mutex<HashMap<u64, Arc<Running>>>,
    jobs: Semaphore,
    grouping: Arc<Grouping>,
    /// Nobody inside is to be waited for.
    pub(super) is_paused: AtomicBool,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd, grouping: Arc<Grouping>) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            socket: sys::waitable(socket, Interest::READABLE | Interest::WRITABLE)?,
            serial: AtomicU64::new(1),
            waiting: Mutex::default(),
            processes: Mutex::default(),
            jobs: Semaphore::new(JOBS),
            grouping,
            is_paused: AtomicBool::new(false),
        }))
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }

    pub(super) fn must_be_awake(&self) -> Result<(), Failure> {
        if self.is_paused.load(Ordering::Acquire) {
            return Err(Failure::new(ErrorCode::WrongState, "the sandbox is paused")
                .hint("resume it first"));
        }
        Ok(())
    }

    /// Finds out whether the other side is of this layout.
    pub(super) async fn greet(&self) -> Result<(), Failure> {
        let answer = self.ask(Kind::Hello, &[VERSION], &[], None).await?;
        if answer.errno() == 0 && answer.head.words[1] == VERSION {
            return Ok(());
        }
        Err(Failure::new(ErrorCode::SystemFailure, "the sandbox was made by another version")
            .hint("end it and make it anew"))
    }

    /// One question, one answer.
    pub(super) async fn ask(
        &self,
        kind: Kind,
        words: &[u64],
        bytes: &[u8],
        fd: Option<BorrowedFd<'_>>,
    ) -> Result<Answer, Failure> {
        let mut answers = self.question(kind, words, bytes, fd).await?;
        answers.next().await
    }

    /// A question that a worker answers; not too many at a time.
    pub(super) async fn ask_worker(
        &self,
        kind: Kind,
        words: &[u64],
        bytes: &[u8],
        fd: Option<BorrowedFd<'_>>,
    ) -> Result<Answer, Failure> {
        let _place = self.jobs.acquire().await.map_err(|_| errors::ended())?;
        self.ask(kind, words, bytes, fd).await
    }

    /// Asks; the answers come one by one.
    pub(super) async fn question(
        &self,
        kind: Kind,
        words: &[u64],
        bytes: &[u8],
        fd: Option<BorrowedFd<'_>>,
    ) -> Result<Answers<'_>, Failure> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.waiting).insert(serial, Question { kind, answers: sender });
        // From here on it is forgotten when this future is dropped.
        let mut answers = Answers { connection: self, serial, receiver, is_owed: false };
        let head = Head::new(kind, serial, words).encode();
        loop {
            match send(self.socket(), &head, bytes, fd) {
                Ok(()) => {
                    answers.is_owed = kind == Kind::Spawn;
                    return Ok(answers);
                }
                Err(Errno::AGAIN) => {
                    let ready = self.socket.writable().await;
                    ready.map_err(|_| errors::ended())?.clear_ready();
                }
                Err(Errno::MSGSIZE) => return Err(too_large()),
                Err(_) => return Err(errors::ended()),
            }
        }
    }

    /// Says something that is not answered. What cannot be said at once is said by a task.
    pub(super) fn say(self: &Arc<Self>, kind: Kind, words: &[u64]) {
        let head = Head::new(kind, 0, words).encode();
        if send(self.socket(), &head, &[], None) == Err(Errno::AGAIN) {
            let connection = self.clone();
            tokio::spawn(async move {
                while send(connection.socket(), &head, &[], None) == Err(Errno::AGAIN) {
                    match connection.socket.writable().await {
                        Ok(mut ready) => ready.clear_ready(),
                        Err(_) => return,
                    }
                }
            });
        }
    }

    /// Hears PID 1 until it is gone.
    pub(super) async fn listen(self: &Arc<Self>) {
        loop {
            let Ok(mut ready) = self.socket.readable().await else { break };
            match receive(self.socket()) {
                Ok(Some(answer)) => self.dispatch(answer),
                Ok(None) => break,
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        // Who waits hears that nobody will answer.
        lock(&self.waiting).clear();
        for process in lock(&self.processes).values() {
            process.lose();
        }
    }

    fn dispatch(self: &Arc<Self>, mut answer: Answer) {
        let head = answer.head;
        let mut told = None;
        match head.kind {
            Kind::Process => {
                told = self.note_process(&head, std::mem::take(&mut answer.fds));
            }
            Kind::Ended => {
                let process = lock(&self.processes).get(&head.words[0]).cloned();
                if let Some(process) = process {
                    process.note_memory_kills(self.grouping.memory_kills());
                    process.end(&head);
                    self.forget_if_over(&process);
                }
                return;
            }
            _ => {}
        }
        let mut waiting = lock(&self.waiting);
        let Some(question) = waiting.get(&head.serial) else { return };
        if question.kind == Kind::Spawn {
            let connection = self.clone();
            answer.started = told.map(|running| Started { running: Some(running), connection });
        }
        let unheard = question.answers.send(answer);
        if unheard.is_err() {
            waiting.remove(&head.serial);
        }
        // It may have something to say, and not while this is locked.
        drop(waiting);
        drop(unheard);
    }

    /// A process that PID 1 tells about: known, or new.
    fn note_process(&self, head: &Head, fds: Vec<OwnedFd>) -> Option<Arc<Running>> {
        let number = head.words[0];
        let mut processes = lock(&self.processes);
        if let Some(known) = processes.get(&number) {
            return Some(known.clone());
        }
        let running = Arc::new(Running::new(head, fds, self.grouping.memory_kills()).ok()?);
        processes.insert(number, running.clone());
        Some(running)
    }

    pub(super) fn forget(self: &Arc<Self>, number: u64) {
        if lock(&self.processes).remove(&number).is_some() {
            self.say(Kind::Forget, &[number]);
        }
    }

    /// Forgets a process that nobody wanted, once it has ended.
    fn forget_if_over(self: &Arc<Self>, running: &Running) {
        if running.is_abandoned() && !running.is_running() {
            self.forget(running.number());
        }
    }
}

pub(super) fn too_large() -> Failure {
    Failure::new(
        ErrorCode::InvalidValue,
        format!("command, variables and paths are more than {} KiB together", MESSAGE_BYTES / 1024),
    )
    .hint("pass large data through a file or standard input")
}

/// The answers to a question, which is forgotten with them.
pub(super) struct Answers<'a> {
    connection: &'a Connection,
    serial: u64,
    receiver: mpsc::UnboundedReceiver<Answer>,
    /// Something may have been started for it, which must not be lost with it.
    is_owed: bool,
}

impl Answers<'_> {
    pub(super) async fn next(&mut self) -> Result<Answer, Failure> {
        match tokio::time::timeout(PATIENCE, self.receiver.recv()).await {
            Ok(Some(answer)) => {
                self.is_owed = false;
                Ok(answer)
            }
            Ok(None) => Err(errors::ended()),
            Err(_) => Err(errors::no_answer()),
        }
    }
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        if !self.is_owed {
            lock(&self.connection.waiting).remove(&self.serial);
        }
    }
}

fn send(
    socket: BorrowedFd<'_>,
    head: &[u8],
    bytes: &[u8],
    fd: Option<BorrowedFd<'_>>,
) -> rustix::io::Result<()> {
    if head.len() + bytes.len() > MESSAGE_BYTES {
        return Err(Errno::MSGSIZE);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.as_ref().map(std::slice::from_ref);
    if let Some(fds) = fds {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &[IoSlice::new(head), IoSlice::new(bytes)], &mut control, flags).map(drop)
}

/// The next message; none when the other side is gone or says what nobody understands.
fn receive(socket: BorrowedFd<'_>) -> rustix::io::Result<Option<Answer>> {
    let mut bytes = [0u8; HEAD_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    let length = recvmsg(socket, &mut buffers, &mut ancillary, flags)?.bytes;
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    let head = Head::decode(&bytes[..length]).map(|(head, _)| head);
    Ok(head.map(|head| Answer { head, fds, started: None }))
}
