//! What PID 1 remembers, in memory that it shares with the processes that it starts
//! for itself: keepers and workers. All fields are atomic, as between threads.
//!
//! ```text
//!            spawn             started             main ended            forgotten
//!  Free ─────────▶ Starting ─────────▶ Running ─────────────▶ Ended ───────────────▶ Free
//!                     │ failed                                   ▲
//!                     └──▶ Failed ──▶ Free                       └ found by PID 1 itself, if
//!                                                                  the guest killed the keeper
//! ```

use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

use super::sys::{self, Errno};
use super::wire::{JOBS, MESSAGE_BYTES, PROCESSES, STRINGS};

/// Where a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Free,
    Starting,
    Failed,
    Running,
    Ended,
}

impl State {
    const ALL: [Self; 5] = [Self::Free, Self::Starting, Self::Failed, Self::Running, Self::Ended];
}

/// How far the end of a tree is.
pub(super) mod tree {
    /// Nobody asked.
    pub(in super::super) const ALONE: u32 = 0;
    /// The keeper is to kill it.
    pub(in super::super) const ASKED: u32 = 1;
    /// None of it is left.
    pub(in super::super) const GONE: u32 = 2;
}

/// A process that was started from outside, with its keeper.
#[repr(C)]
pub(super) struct Slot {
    state: AtomicU32,
    pub(super) number: AtomicU64,
    /// The question that is answered once it has started.
    pub(super) serial: AtomicU64,
    /// The question that is answered once its tree is gone; 0 is none.
    pub(super) tree_serial: AtomicU64,
    pub(super) tree: AtomicU32,
    /// When to look whether the keeper gets hold of its tree, and when to stop hoping.
    pub(super) patience: AtomicU64,
    pub(super) last_patience: AtomicU64,
    /// How often the keeper has found somebody new to kill.
    pub(super) rounds: AtomicU64,
    /// 0 once it is gone.
    pub(super) keeper: AtomicI32,
    pub(super) main: AtomicI32,
    /// For the keeper to send, by bit: to the process, to its tree.
    pub(super) signals: AtomicU64,
    pub(super) tree_signals: AtomicU64,
    /// The outer ends of its streams, or its terminal.
    pub(super) streams: [AtomicI32; 3],
    /// The inner ends, while it starts.
    pub(super) inner: [AtomicI32; 3],
    pub(super) is_terminal: AtomicU32,
    pub(super) status: AtomicI32,
    pub(super) started: AtomicU64,
    pub(super) ended: AtomicU64,
    pub(super) processor: AtomicU64,
    /// `Broken` and errno of a start that failed.
    pub(super) broken: AtomicU64,
    pub(super) errno: AtomicI32,
    /// Nobody will ask any more: free once the keeper is gone.
    pub(super) forgotten: AtomicU32,
    /// Whether the server was told: of the start, of the end.
    pub(super) told_start: AtomicU32,
    pub(super) told_end: AtomicU32,
    /// Its message and its stacks.
    pub(super) area: AtomicUsize,
    pub(super) message_bytes: AtomicUsize,
}

impl Slot {
    pub(super) fn state(&self) -> State {
        let state = self.state.load(SeqCst) as usize;
        State::ALL.get(state).copied().unwrap_or(State::Free)
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u32, SeqCst);
    }

    /// Lets its streams go.
    pub(super) fn close_streams(&self) {
        for stream in &self.streams {
            sys::close(stream.swap(-1, SeqCst));
        }
    }

    /// Closes PID 1's own; their numbers stay, as the keeper reads them in its time.
    pub(super) fn close_inner(&self) {
        let inner = self.inner.each_ref().map(|fd| fd.load(SeqCst));
        let [first, ..] = inner;
        sys::close(first);
        // A terminal is there three times.
        for fd in inner {
            if fd != first {
                sys::close(fd);
            }
        }
    }
}

/// A look-up or change of files that a worker does.
#[repr(C)]
pub(super) struct Job {
    /// 0 is free.
    pub(super) serial: AtomicU64,
    pub(super) worker: AtomicI32,
    pub(super) answered: AtomicU32,
    pub(super) area: AtomicUsize,
    pub(super) message_bytes: AtomicUsize,
    /// A descriptor that came with the message.
    pub(super) fd: AtomicI32,
}

/// All of it.
#[repr(C)]
pub(super) struct Table {
    pub(super) slots: [Slot; PROCESSES],
    pub(super) jobs: [Job; JOBS],
    /// Readable when a keeper has something to tell.
    pub(super) event: AtomicI32,
    /// The server's connection; -1 is none.
    pub(super) connection: AtomicI32,
}

impl Table {
    /// Fresh memory is zero, which is a table without anything in it.
    pub(super) fn new() -> Result<&'static Self, Errno> {
        sys::table(size_of::<Self>())
    }

    pub(super) fn free_slot(&self) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.state() == State::Free)
    }

    pub(super) fn by_number(&self, number: u64) -> Option<&Slot> {
        let is_it = |slot: &&Slot| slot.number.load(SeqCst) == number;
        self.slots.iter().filter(|slot| slot.state() != State::Free).find(is_it)
    }
}

const POINTERS: usize = (STRINGS + 4) * 8;
const SCRATCH: usize = 32 * 1024;
const KEEPER_STACK: usize = 32 * 1024;
const START_STACK: usize = 32 * 1024;

/// Memory for one message and for what is done about it.
///
/// ```text
///  message │ pointers to its strings │ scratch │ a keeper's or worker's stack │ a start's stack
/// ```
#[derive(Clone, Copy)]
pub(super) struct Area(pub(super) usize);

impl Area {
    const BYTES: usize = MESSAGE_BYTES + POINTERS + SCRATCH + KEEPER_STACK + START_STACK;

    pub(super) fn new() -> Result<Self, Errno> {
        sys::map(Self::BYTES).map(Self)
    }

    pub(super) fn free(self) {
        if self.0 != 0 {
            sys::unmap(self.0, Self::BYTES);
        }
    }

    /// Gives back what a long message took.
    pub(super) fn shrink(self, used: usize) {
        const PAGE: usize = 4096;
        if used > PAGE {
            sys::empty(self.0, used.next_multiple_of(PAGE));
        }
    }

    pub(super) fn message(self) -> usize {
        self.0
    }

    pub(super) fn pointers(self) -> usize {
        self.0 + MESSAGE_BYTES
    }

    pub(super) fn scratch(self) -> (usize, usize) {
        (self.0 + MESSAGE_BYTES + POINTERS, SCRATCH)
    }

    pub(super) fn keeper_stack(self) -> usize {
        self.0 + MESSAGE_BYTES + POINTERS + SCRATCH + KEEPER_STACK
    }

    pub(super) fn start_stack(self) -> usize {
        self.keeper_stack() + START_STACK
    }
}
