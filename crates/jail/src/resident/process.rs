//! A process that was started in a sandbox, as its server sees it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use capsule_backend::guest::{Channel, Pending};
use capsule_backend::sandbox::{Ended, Process, Reach, TerminalSize};
use capsule_init::resident::wire::{Head, Kind};
use capsule_spec::{ErrorCode, Failure};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Mutex as Turn, watch};

use super::connection::Connection;
use super::{errors, lock, sys};

/// The most of one piece of output.
const PIECE: usize = 64 * 1024;
/// What the last words of a process on a terminal need to come through the line discipline.
const LAST_WORDS: Duration = Duration::from_millis(30);

/// What is known of a process, for all who have a handle.
pub(super) struct Running {
    number: u64,
    is_terminal: bool,
    input: Mutex<Option<Arc<AsyncFd<OwnedFd>>>>,
    output: Turn<Output>,
    /// One tree is killed once at a time.
    killing: Turn<()>,
    ended: watch::Sender<Option<Ended>>,
    /// How many processes the kernel had killed for memory when this one came.
    memory_kills: u64,
    memory_ran_out: AtomicBool,
    /// Its end was told to somebody.
    told: AtomicBool,
    /// Nobody wants it.
    is_abandoned: AtomicBool,
}

struct Output {
    streams: [Option<AsyncFd<OwnedFd>>; 2],
    /// Who is looked at first, so that a loud one does not drown the other.
    turn: usize,
}

impl Running {
    /// From what PID 1 tells.
    pub(super) fn new(head: &Head, fds: Vec<OwnedFd>, memory_kills: u64) -> io::Result<Self> {
        let [number, _, _, _, _, flags] = head.words;
        let is_terminal = flags & 1 != 0;
        let mut fds = fds.into_iter();
        let (mut input, mut streams) = (None, [None, None]);
        if is_terminal {
            if let Some(terminal) = fds.next() {
                input = Some(sys::waitable(terminal.try_clone()?, Interest::WRITABLE)?);
                streams[0] = Some(sys::waitable(terminal, Interest::READABLE)?);
            }
        } else {
            if flags & 2 != 0 {
                let fd = fds.next().ok_or(io::ErrorKind::InvalidData)?;
                input = Some(sys::waitable(fd, Interest::WRITABLE)?);
            }
            for (stream, fd) in streams.iter_mut().zip(fds) {
                *stream = Some(sys::waitable(fd, Interest::READABLE)?);
            }
        }
        let running = Self {
            number,
            is_terminal,
            input: Mutex::new(input.map(Arc::new)),
            output: Turn::new(Output { streams, turn: 0 }),
            killing: Turn::new(()),
            ended: watch::Sender::new(None),
            memory_kills,
            memory_ran_out: AtomicBool::new(false),
            told: AtomicBool::new(false),
            is_abandoned: AtomicBool::new(false),
        };
        if head.words[1] != 0 {
            running.end(head);
        }
        Ok(running)
    }

    /// Its end, from what PID 1 tells.
    pub(super) fn end(&self, head: &Head) {
        let [_, _, status, duration, processor, _] = head.words;
        let status = status as i32;
        let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
        self.settle(Ended {
            exit_code: signal.map_or(libc::WEXITSTATUS(status), |signal| 128 + signal),
            signal,
            duration: Duration::from_nanos(duration),
            processor: Duration::from_nanos(processor),
            out_of_memory: self.memory_ran_out.load(Ordering::Relaxed),
        });
    }

    /// The sandbox is gone, and the process with it.
    pub(super) fn lose(&self) {
        self.settle(Ended {
            exit_code: 128 + libc::SIGKILL,
            signal: Some(libc::SIGKILL),
            duration: Duration::ZERO,
            processor: Duration::ZERO,
            out_of_memory: self.memory_ran_out.load(Ordering::Relaxed),
        });
    }

    fn settle(&self, ended: Ended) {
        self.ended.send_if_modified(|known| {
            let is_new = known.is_none();
            if is_new {
                *known = Some(ended);
            }
            is_new
        });
    }

    /// The memory limit ended something; what ends from now on is put down to it.
    pub(super) fn blame_memory(&self) {
        self.memory_ran_out.store(true, Ordering::Relaxed);
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    pub(super) fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Release);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::Acquire)
    }

    /// As [`Running::blame_memory`], if the kernel has killed any since this one came.
    pub(super) fn note_memory_kills(&self, count: u64) {
        if count > self.memory_kills {
            self.blame_memory();
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.ended.borrow().is_none()
    }

    async fn await_end(&self) -> Ended {
        let mut receiver = self.ended.subscribe();
        let ended = receiver.wait_for(Option::is_some).await;
        ended
            .ok()
            .and_then(|ended| *ended)
            .expect("the sender lives in self, and some was waited for")
    }

    async fn next_output(&self) -> Option<(Channel, Vec<u8>)> {
        let mut output = self.output.lock().await;
        loop {
            // Known before the streams are looked at: what they hold then is all of it.
            let has_ended = !self.is_running();
            match output.read() {
                Read::Piece(channel, bytes) => return Some((channel, bytes)),
                Read::Closed => return None,
                Read::Nothing if has_ended && !self.is_terminal => {
                    // Others may hold them; they write to nobody.
                    output.streams = [None, None];
                    return None;
                }
                Read::Nothing if has_ended => {
                    if tokio::time::timeout(LAST_WORDS, output.readable()).await.is_err() {
                        output.streams = [None, None];
                        return None;
                    }
                }
                Read::Nothing => {
                    first_of(output.readable(), self.await_end()).await;
                }
            }
        }
    }
}

/// Waits for one of two; what the first one answered, if it was the first.
pub(super) async fn first_of<T, U>(
    one: impl Future<Output = T>,
    other: impl Future<Output = U>,
) -> Option<T> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    std::future::poll_fn(|context| {
        if let Poll::Ready(answer) = one.as_mut().poll(context) {
            return Poll::Ready(Some(answer));
        }
        other.as_mut().poll(context).map(|_| None)
    })
    .await
}

enum Read {
    Piece(Channel, Vec<u8>),
    Nothing,
    Closed,
}

impl Output {
    /// Reads without waiting, whatever the reactor has heard so far.
    fn read(&mut self) -> Read {
        const CHANNELS: [Channel; 2] = [Channel::Stdout, Channel::Stderr];
        self.turn ^= 1;
        for index in [self.turn, self.turn ^ 1] {
            let Some(stream) = &self.streams[index] else { continue };
            let mut bytes = Vec::with_capacity(PIECE);
            match rustix::io::read(stream.get_ref(), rustix::buffer::spare_capacity(&mut bytes)) {
                Ok(1..) => {
                    bytes.shrink_to_fit();
                    return Read::Piece(CHANNELS[index], bytes);
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                // A terminal that nobody has open any more answers EIO.
                Ok(_) | Err(_) => self.streams[index] = None,
            }
        }
        if self.streams.iter().all(Option::is_none) { Read::Closed } else { Read::Nothing }
    }

    /// Waits until there may be something to read.
    async fn readable(&mut self) {
        std::future::poll_fn(|context| {
            for stream in self.streams.iter().flatten() {
                if let Poll::Ready(ready) = stream.poll_read_ready(context) {
                    if let Ok(mut ready) = ready {
                        // It is read next, and if nothing is there, waited for anew.
                        ready.clear_ready();
                    }
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        })
        .await;
    }
}

/// A handle. When the last word was told and nobody holds one any more, PID 1 forgets.
pub(super) struct Handle {
    running: Arc<Running>,
    connection: Arc<Connection>,
}

impl Handle {
    pub(super) fn new(running: Arc<Running>, connection: Arc<Connection>) -> Arc<Self> {
        Arc::new(Self { running, connection })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.running.told.load(Ordering::Acquire) {
            self.connection.forget(self.running.number);
        }
    }
}

impl Process for Handle {
    fn number(&self) -> u64 {
        self.running.number
    }

    fn output(&self) -> Pending<'_, Option<(Channel, Vec<u8>)>> {
        Box::pin(self.running.next_output())
    }

    fn input<'a>(&'a self, bytes: &'a [u8]) -> Pending<'a, Result<(), Failure>> {
        Box::pin(async move {
            let input = lock(&self.running.input).clone();
            let Some(input) = input else {
                return Err(Failure::new(ErrorCode::ProcessEnded, "the input is closed"));
            };
            let mut rest = bytes;
            while !rest.is_empty() {
                match rustix::io::write(input.get_ref(), rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => {
                        let writable = async {
                            input.writable().await.map(|mut ready| ready.clear_ready()).is_ok()
                        };
                        if first_of(writable, self.running.await_end()).await != Some(true) {
                            return Ok(());
                        }
                    }
                    // Nobody reads any more.
                    Err(_) => return Ok(()),
                }
            }
            Ok(())
        })
    }

    fn close_input(&self) {
        if !self.running.is_terminal && lock(&self.running.input).take().is_some() {
            self.connection.say(Kind::CloseInput, &[self.running.number]);
        }
    }

    fn signal(&self, signal: i32, reach: Reach) -> Pending<'_, Result<(), Failure>> {
        Box::pin(async move {
            let number = u64::from(signal.unsigned_abs());
            if !(1..=64).contains(&signal) {
                let what = format!("{signal} is not the number of a signal");
                return Err(Failure::new(ErrorCode::InvalidValue, what));
            }
            self.connection.must_be_awake()?;
            let whole_tree = reach == Reach::Tree;
            let _turn = match whole_tree {
                true => Some(self.running.killing.lock().await),
                false => None,
            };
            let words = [self.running.number, number, u64::from(whole_tree)];
            let answer = self.connection.ask(Kind::Signal, &words, &[], None).await?;
            match answer.errno() {
                0 => Ok(()),
                _ => Err(errors::process_ended()),
            }
        })
    }

    fn resize(&self, size: TerminalSize) -> Pending<'_, Result<(), Failure>> {
        Box::pin(async move {
            if !self.running.is_terminal {
                let what = "the process has no terminal";
                return Err(Failure::new(ErrorCode::InvalidValue, what));
            }
            let input = lock(&self.running.input).clone().ok_or_else(errors::process_ended)?;
            sys::resize(input.get_ref().as_fd(), size.columns, size.rows)
                .map_err(|_| errors::process_ended())
        })
    }

    fn ended(&self) -> Pending<'_, Ended> {
        Box::pin(async move {
            let ended = self.running.await_end().await;
            self.running.told.store(true, Ordering::Release);
            ended
        })
    }
}
