//! A process that outlives the request that started it.
//!
//! ```text
//!  backend's output ──▶ pump ──▶ ring ──▶ any number of readers, each at its place
//!                        ▲                  │
//!                        └── waits while a reader that is attached would lose something
//! ```
//!
//! With nobody attached the oldest output is let go. A reader that does not read is cut off
//! by its transport after a time, so it holds a process up no longer than that.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use capsule_backend::guest::Channel;
use capsule_backend::sandbox::{Ended, Process, Program, Reach, TerminalSize};
use capsule_spec::{ErrorCode, Failure};
use tokio::sync::watch;
use tokio::time::Instant;

use super::exec::spawn;
use super::sandbox::lock;
use super::{Asked, InUse, Live, Logged};
use crate::memory::Held;
use crate::model::{Piece, Ring, Screen, rfc3339};
use crate::request::Exit;
use crate::store::{ProcessRow, Store, milliseconds, time};

/// Bytes that are kept of a running process, and of one that has ended.
const KEPT: usize = 256 << 10;
const KEPT_AFTER: usize = 64 << 10;
/// Bytes that every process can keep, however much others do.
const FLOOR: usize = 4 << 10;
/// Most bytes that come from the backend at one time; kept free for attached readers.
const PIECE: u64 = 64 << 10;
/// Bytes that a reader gets at one time.
const MOST_READ: usize = 64 << 10;

/// What a process goes on without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlives {
    /// Whoever started it, and the server.
    Caller,
    /// Neither: it ends with whoever listens to it.
    Nobody,
}

/// A process and its output.
pub(crate) struct Running {
    pub(crate) number: u64,
    pub(crate) command: Vec<String>,
    pub(crate) started: SystemTime,
    pub(crate) terminal: bool,
    /// None once it has ended: the handle holds descriptors, and a place in the backend.
    process: Mutex<Option<Arc<dyn Process>>>,
    output: Mutex<Output>,
    /// Counts what was added, and the end.
    added: watch::Sender<u64>,
    /// Counts what was read.
    taken: watch::Sender<u64>,
    exit: watch::Sender<Option<Exit>>,
    timed_out: AtomicBool,
}

impl Output {
    /// Keeps output, as far as the server has memory for it; what it lets go is told as a gap.
    fn add(&mut self, channel: Channel, bytes: Vec<u8>) {
        if let Some(screen) = &mut self.screen {
            screen.write(&bytes);
        }
        let wanted = (self.ring.held() + bytes.len()).min(KEPT);
        let more = wanted.saturating_sub(FLOOR + self.for_ring());
        let has_room = self.held.grow(more);
        self.ring.expect(if has_room { KEPT } else { FLOOR + self.for_ring() });
        self.ring.push(channel, bytes);
    }

    fn for_ring(&self) -> usize {
        self.held.bytes() - self.for_screen
    }

    /// The end: the last part is kept.
    fn shrink(&mut self) {
        self.ring.limit(KEPT_AFTER);
        self.screen = None;
        self.for_screen = 0;
        let kept = self.ring.held().saturating_sub(FLOOR);
        self.held.shrink(self.held.bytes().saturating_sub(kept));
    }

    /// Begins a picture, or goes on with it in another size, if there is memory for it.
    fn resize(&mut self, size: TerminalSize) {
        let TerminalSize { columns, rows } = size;
        let cost = Screen::cost(columns, rows);
        self.held.shrink(std::mem::take(&mut self.for_screen));
        let old = self.screen.take();
        let Some(mut screen) = Screen::new(columns, rows).filter(|_| self.held.grow(cost)) else {
            return;
        };
        if let Some(mut old) = old {
            old.resize(columns, rows);
            screen = old;
        }
        self.for_screen = cost;
        self.screen = Some(screen);
    }
}

struct Output {
    ring: Ring,
    /// What the ring and the screen cost, beyond [`FLOOR`].
    held: Held,
    /// Of a terminal whose size is known.
    screen: Option<Screen>,
    for_screen: usize,
    readers: HashMap<u64, u64>,
    next_reader: u64,
    is_over: bool,
}

impl Running {
    /// Starts a process that is to stay.
    ///
    /// # Errors
    /// Too many of them, or the backend's failure.
    pub(crate) async fn start(
        used: &InUse,
        program: &Program,
        deadline: Option<Duration>,
        hook: Option<Hook>,
        outlives: Outlives,
        asked: Asked,
        most: usize,
    ) -> Result<Arc<Self>, Failure> {
        let (live, store) = (used.live(), asked.store.clone());
        if live.running() >= most {
            let message = format!("the sandbox has {most} processes running, which is the limit");
            return Err(Failure::new(ErrorCode::ServerLimit, message).detail("limit", most));
        }
        let spawned = spawn(used, program, asked).await?;
        let deadline = deadline.map(|deadline| SystemTime::now() + deadline);
        let row = ProcessRow {
            number: spawned.number(),
            command: program.command.clone(),
            started: milliseconds(SystemTime::now()),
            terminal: program.terminal.is_some(),
            deadline: deadline.map(milliseconds),
        };
        // What the next server finds and does not know has nobody left to listen to it.
        if outlives == Outlives::Caller {
            store.insert_process(live.id.clone(), row.clone()).await?;
        }
        if let Some(Hook { owner, url, secret }) = hook {
            let place = (live.id.clone(), row.number);
            if !store.insert_webhook(place, owner, url, secret).await? {
                store.remove_process(live.id.clone(), row.number).await?;
                let message = "too many webhooks wait to be sent";
                return Err(Failure::new(ErrorCode::ServerLimit, message));
            }
        }
        let (process, logged) = spawned.take();
        Ok(Self::keep(live, process, &row, program.terminal, store, Some(logged)))
    }

    /// Goes on with a process that an earlier server started, and with its line in the log.
    pub(super) fn adopt(
        live: &Arc<Live>,
        process: Arc<dyn Process>,
        row: &ProcessRow,
        store: Store,
        logged: Option<Logged>,
    ) {
        // Nobody remembers the size of its terminal.
        Self::keep(live, process, row, None, store, logged);
    }

    fn keep(
        live: &Arc<Live>,
        process: Arc<dyn Process>,
        row: &ProcessRow,
        terminal: Option<TerminalSize>,
        store: Store,
        logged: Option<Logged>,
    ) -> Arc<Self> {
        let mut output = Output {
            ring: Ring::new(KEPT),
            held: live.rings.hold(),
            screen: None,
            for_screen: 0,
            readers: HashMap::new(),
            next_reader: 0,
            is_over: false,
        };
        if let Some(size) = terminal {
            output.resize(size);
        }
        let running = Arc::new(Self {
            number: row.number,
            command: row.command.clone(),
            started: time(row.started),
            terminal: row.terminal,
            process: Mutex::new(Some(Arc::clone(&process))),
            output: Mutex::new(output),
            added: watch::Sender::new(0),
            taken: watch::Sender::new(0),
            exit: watch::Sender::new(None),
            timed_out: AtomicBool::new(false),
        });
        live.add_process(Arc::clone(&running));
        let deadline = row.deadline.map(|deadline| {
            let left = time(deadline).duration_since(SystemTime::now());
            Instant::now() + left.unwrap_or_default()
        });
        let place = live.id.clone();
        tokio::spawn(Arc::clone(&running).pump(process, place, deadline, store, logged));
        running
    }

    async fn pump(
        self: Arc<Self>,
        process: Arc<dyn Process>,
        sandbox: String,
        deadline: Option<Instant>,
        store: Store,
        mut logged: Option<Logged>,
    ) {
        {
            let drained = self.drain(&*process, &mut logged);
            tokio::pin!(drained);
            let over = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut drained => {}
                () = over => {
                    self.timed_out.store(true, Ordering::SeqCst);
                    // It may end in this moment, which is as well.
                    let _ = process.signal(libc::SIGKILL, Reach::Tree).await;
                    drained.await;
                }
            }
        }
        let ended = process.ended().await;
        drop(process);
        *lock(&self.process) = None;
        {
            let mut output = lock(&self.output);
            output.is_over = true;
            if output.readers.is_empty() {
                output.shrink();
            }
        }
        let timed_out = self.timed_out.load(Ordering::SeqCst);
        // Before anybody hears of the end, and looks for it in the log.
        logged.into_iter().for_each(|logged| logged.end(ended, timed_out));
        let exit = exit(ended, timed_out);
        self.exit.send_replace(Some(exit));
        self.added.send_modify(|count| *count += 1);
        let body = told(&sandbox, self.number, Some(exit));
        let _ = store.complete_webhook(sandbox.clone(), self.number, body).await;
        // What is not forgotten now is found to have ended by the next server.
        let _ = store.remove_process(sandbox, self.number).await;
    }

    async fn drain(&self, process: &dyn Process, logged: &mut Option<Logged>) {
        loop {
            self.room().await;
            let Some((channel, bytes)) = process.output().await else { return };
            logged.iter_mut().for_each(|logged| logged.push(channel, &bytes));
            lock(&self.output).add(channel, bytes);
            self.added.send_modify(|count| *count += 1);
        }
    }

    /// Answers when no attached reader would lose anything.
    async fn room(&self) {
        let mut taken = self.taken.subscribe();
        loop {
            let is_free = {
                let output = lock(&self.output);
                let slowest = output.readers.values().min().copied();
                slowest.is_none_or(|place| output.ring.end() + PIECE <= place + KEPT as u64)
            };
            if is_free || taken.changed().await.is_err() {
                return;
            }
        }
    }

    /// The backend's process, until it has ended.
    pub(crate) fn process(&self) -> Option<Arc<dyn Process>> {
        lock(&self.process).clone()
    }

    /// How it ended, if it did.
    pub(crate) fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Answers when it has ended.
    pub(crate) async fn ended(&self) -> Exit {
        let mut exits = self.exit.subscribe();
        loop {
            if let Some(exit) = *exits.borrow_and_update() {
                return exit;
            }
            // The sender lives in `self`, so this never fails.
            let _ = exits.changed().await;
        }
    }

    /// Its terminal has another size.
    pub(crate) fn resized(&self, size: TerminalSize) {
        let mut output = lock(&self.output);
        if self.terminal && !output.is_over {
            output.resize(size);
        }
    }

    /// What its terminal shows, for somebody who listens from then on; none if nobody knows,
    /// or it has ended: then what it wrote last says more.
    pub(crate) fn picture(self: &Arc<Self>) -> Option<(Vec<u8>, Attached)> {
        let mut output = lock(&self.output);
        let picture = output.screen.as_ref()?.picture()?;
        Some((picture, self.attach_to(&mut output, u64::MAX)))
    }

    /// Listens from a place on.
    pub(crate) fn attach(self: &Arc<Self>, from: u64) -> Attached {
        self.attach_to(&mut lock(&self.output), from)
    }

    fn attach_to(self: &Arc<Self>, output: &mut Output, from: u64) -> Attached {
        let place = from.min(output.ring.end());
        let reader = output.next_reader;
        output.next_reader += 1;
        // What is not kept cannot be waited for.
        let place_held = place.max(output.ring.start());
        output.readers.insert(reader, place_held);
        Attached { running: Arc::clone(self), reader, place, added: self.added.subscribe() }
    }
}

/// Where the end of a process is to be told.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub(crate) owner: String,
    pub(crate) url: String,
    pub(crate) secret: Option<String>,
}

/// What a webhook tells; without an exit, how the process ended is not known.
fn told(sandbox: &str, process: u64, exit: Option<Exit>) -> String {
    serde_json::json!({
        "event": "process.exited",
        "sandbox": sandbox,
        "process": process,
        "exit": exit,
        "time": rfc3339(SystemTime::now()),
    })
    .to_string()
}

/// What a webhook tells of a process that was lost with its sandbox.
pub(crate) fn lost(sandbox: &str, process: u64) -> String {
    told(sandbox, process, None)
}

/// How a process ended, on the wire.
fn exit(ended: Ended, timed_out: bool) -> Exit {
    Exit {
        exit_code: if timed_out { 124 } else { ended.exit_code },
        signal: ended.signal,
        timed_out,
        out_of_memory: ended.out_of_memory,
        duration_ms: u64::try_from(ended.duration.as_millis()).unwrap_or(u64::MAX),
    }
}

/// A reader of a process's output. While it lives, nothing is let go that it has not read.
pub(crate) struct Attached {
    running: Arc<Running>,
    reader: u64,
    place: u64,
    added: watch::Receiver<u64>,
}

/// What a reader hears.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    /// Output that is not kept any more.
    Gap { bytes: u64, next: u64 },
    /// Output of one stream.
    Output { channel: Channel, bytes: Vec<u8>, next: u64 },
    /// The end; nothing comes after it.
    Exit(Exit),
}

impl Attached {
    /// What comes next; nothing after the end.
    pub(crate) async fn next(&mut self) -> Vec<Heard> {
        loop {
            self.added.borrow_and_update();
            let (read, is_over) = {
                let mut output = lock(&self.running.output);
                let read = output.ring.read(self.place, MOST_READ);
                output.readers.insert(self.reader, read.next);
                (read, output.is_over)
            };
            let (mut place, gap) = (self.place + read.gap, read.gap);
            self.place = read.next;
            self.running.taken.send_modify(|count| *count += 1);
            let mut heard = Vec::new();
            if gap > 0 {
                heard.push(Heard::Gap { bytes: gap, next: place });
            }
            for Piece { channel, bytes } in read.pieces {
                place += bytes.len() as u64;
                heard.push(Heard::Output { channel, bytes, next: place });
            }
            if !heard.is_empty() {
                return heard;
            }
            if is_over && let Some(exit) = self.running.exit() {
                return vec![Heard::Exit(exit)];
            }
            if self.added.changed().await.is_err() {
                return Vec::new();
            }
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut output = lock(&self.running.output);
        output.readers.remove(&self.reader);
        if output.is_over && output.readers.is_empty() {
            output.shrink();
        }
        drop(output);
        self.running.taken.send_modify(|count| *count += 1);
    }
}
