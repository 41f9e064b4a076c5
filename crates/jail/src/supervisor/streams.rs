//! The command's output on its way out, and its input on its way in.
//!
//! Nothing here blocks: a reader that stops reading must not stop the clock.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use capsule_backend::guest::Channel;
use capsule_spec::Captured;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use super::Attendant;

/// As much as a pipe holds by default.
const CHUNK: usize = 64 * 1024;

/// Appends one chunk to `bytes` and says how long it was. Not by way of an array: the
/// stack pages of one cost more than everything else that is done for a silent command.
fn read_chunk(source: BorrowedFd<'_>, bytes: &mut Vec<u8>) -> Result<usize, Errno> {
    // Most commands write little, so the first chunk is a small one.
    bytes.reserve(if bytes.capacity() == 0 { PAGE } else { CHUNK });
    rustix::io::read(source, rustix::buffer::spare_capacity(bytes))
}

/// One output stream of the command.
pub(super) struct Stream {
    /// `None` once it has ended.
    source: Option<OwnedFd>,
    sink: Sink,
    /// Why output of the command did not reach the caller, if some did not.
    lost: Option<Errno>,
}

/// What became of a stream after some bytes moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More may come.
    Open,
    /// Nothing can be moved now: wait for the source, or for the sink.
    Waiting,
    /// Every writer is gone.
    Ended,
    /// The sink takes nothing more: its reader is gone, or its disk is full.
    Lost,
}

pub(super) enum Sink {
    Captured {
        bytes: Vec<u8>,
        cap: u64,
        truncated: bool,
    },
    Inherited {
        target: Outlet,
        left: u64,
        truncated: bool,
        kind: Target,
        pending: Vec<u8>,
    },
    /// Who attends hears it, and bounds it.
    Told {
        attendant: Arc<dyn Attendant>,
        channel: Channel,
        chunk: Vec<u8>,
    },
}

/// The caller's own descriptor, or one of our own for the same thing.
pub(super) enum Outlet {
    Borrowed(BorrowedFd<'static>),
    Owned(OwnedFd),
}

impl AsFd for Outlet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Borrowed(fd) => *fd,
            Self::Owned(fd) => fd.as_fd(),
        }
    }
}

/// How bytes can be written without blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// splice(2) with SPLICE_F_NONBLOCK, whatever the flags of the pipe. A write of a
    /// page fits when it polls writable (pipe(7), PIPE_BUF).
    Pipe,
    /// send(2) with MSG_DONTWAIT.
    Socket,
    /// A file on disk never blocks for long.
    File,
    /// A terminal, opened anew without blocking: a stopped one may poll writable and
    /// still not take a page. The flag on the caller's own descriptor is not ours to set.
    Other,
}

const PAGE: usize = 4096;

impl Sink {
    pub(super) fn captured(cap: u64) -> Self {
        Self::Captured { bytes: Vec::new(), cap, truncated: false }
    }

    pub(super) fn told(attendant: Arc<dyn Attendant>, channel: Channel) -> Self {
        Self::Told { attendant, channel, chunk: vec![0; CHUNK] }
    }

    pub(super) fn inherited(target: BorrowedFd<'static>, cap: u64) -> Self {
        let kind = match fstat(target).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Fifo) => Target::Pipe,
            Ok(FileType::Socket) => Target::Socket,
            Ok(FileType::RegularFile) => Target::File,
            _ => Target::Other,
        };
        let target = match kind {
            Target::Other => reopened(target).map_or(Outlet::Borrowed(target), Outlet::Owned),
            _ => Outlet::Borrowed(target),
        };
        Self::Inherited { target, left: cap, truncated: false, kind, pending: Vec::new() }
    }
}

fn reopened(target: BorrowedFd<'_>) -> Option<OwnedFd> {
    use rustix::fs::{Mode, OFlags, open};
    let path = format!("/proc/self/fd/{}", target.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    open(path.as_str(), flags, Mode::empty()).ok()
}

impl Stream {
    pub(super) fn new(source: OwnedFd, sink: Sink) -> Self {
        Self { source: Some(source), sink, lost: None }
    }

    /// What to wait for: the source, or the sink while it is full.
    pub(super) fn waits_for(&self) -> Option<Waiting<'_>> {
        let source = self.source.as_ref()?;
        match &self.sink {
            Sink::Inherited { target, pending, .. } if !pending.is_empty() => {
                Some(Waiting::Sink(target.as_fd()))
            }
            _ => Some(Waiting::Source(source.as_fd())),
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.source.is_none()
    }

    /// Moves what can be moved without blocking, but no more than a few chunks, so
    /// that one stream cannot starve the other or the clock.
    pub(super) fn advance(&mut self) -> Progress {
        for _ in 0..4 {
            match self.step() {
                Progress::Open => {}
                other => return other,
            }
        }
        Progress::Open
    }

    /// Stops reading: what else comes is nobody's.
    pub(super) fn close(&mut self) {
        self.source = None;
    }

    /// Stops although the caller has not taken everything.
    pub(super) fn give_up(&mut self) {
        if self.source.take().is_some() {
            self.lost = Some(Errno::TIMEDOUT);
        }
    }

    /// Why output of the command did not reach the caller, if some did not.
    pub(super) fn lost(&self) -> Option<Errno> {
        self.lost
    }

    fn step(&mut self) -> Progress {
        let Some(source) = &self.source else { return Progress::Ended };
        let progress = match &mut self.sink {
            Sink::Captured { bytes, cap, truncated } => capture(source, bytes, *cap, truncated),
            Sink::Told { attendant, channel, chunk } => tell(source, &**attendant, *channel, chunk),
            Sink::Inherited { target, left, truncated, kind, pending } => {
                match pass(source, target.as_fd(), left, truncated, *kind, pending) {
                    Ok(progress) => progress,
                    Err(errno) => {
                        self.lost = Some(errno);
                        Progress::Lost
                    }
                }
            }
        };
        if matches!(progress, Progress::Ended | Progress::Lost) {
            self.source = None;
        }
        progress
    }

    /// What was kept; empty for a stream that passed through.
    pub(super) fn take_captured(&mut self) -> Captured {
        match &mut self.sink {
            Sink::Captured { bytes, truncated, .. } => {
                Captured { bytes: std::mem::take(bytes), truncated: *truncated }
            }
            Sink::Inherited { truncated, .. } => {
                Captured { bytes: Vec::new(), truncated: *truncated }
            }
            Sink::Told { .. } => Captured { bytes: Vec::new(), truncated: false },
        }
    }
}

/// What a stream waits for.
pub(super) enum Waiting<'a> {
    Source(BorrowedFd<'a>),
    Sink(BorrowedFd<'a>),
}

fn capture(source: &OwnedFd, bytes: &mut Vec<u8>, cap: u64, truncated: &mut bool) -> Progress {
    match read_chunk(source.as_fd(), bytes) {
        Ok(0) => Progress::Ended,
        Ok(_) => {
            let cap = usize::try_from(cap).unwrap_or(usize::MAX);
            *truncated |= bytes.len() > cap;
            bytes.truncate(cap);
            Progress::Open
        }
        Err(Errno::INTR) => Progress::Open,
        Err(Errno::AGAIN) => Progress::Waiting,
        Err(_) => Progress::Ended,
    }
}

fn tell(
    source: &OwnedFd,
    attendant: &dyn Attendant,
    channel: Channel,
    chunk: &mut [u8],
) -> Progress {
    match rustix::io::read(source, &mut *chunk) {
        Ok(0) => Progress::Ended,
        Ok(length) => {
            attendant.hear(channel, &chunk[..length]);
            Progress::Open
        }
        Err(Errno::INTR) => Progress::Open,
        Err(Errno::AGAIN) => Progress::Waiting,
        Err(_) => Progress::Ended,
    }
}

/// Moves one chunk to the caller; an error means that it takes nothing more.
fn pass(
    source: &OwnedFd,
    target: BorrowedFd<'_>,
    left: &mut u64,
    truncated: &mut bool,
    kind: Target,
    pending: &mut Vec<u8>,
) -> Result<Progress, Errno> {
    if !pending.is_empty() {
        return flush(target, kind, pending);
    }
    if kind == Target::Pipe && *left > 0 {
        use rustix::pipe::{SpliceFlags, splice};
        let length = CHUNK.min(usize::try_from(*left).unwrap_or(CHUNK));
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match splice(source, None, target, None, length, flags) {
            Ok(0) => return Ok(Progress::Ended),
            Ok(moved) => {
                *left -= moved as u64;
                return Ok(Progress::Open);
            }
            Err(Errno::PIPE) => return Err(Errno::PIPE),
            // Either the source is empty or the target is full: reading tells which.
            Err(_) => {}
        }
    }
    match read_chunk(source.as_fd(), pending) {
        Ok(0) => Ok(Progress::Ended),
        Ok(length) => {
            let kept = length.min(usize::try_from(*left).unwrap_or(usize::MAX));
            *truncated |= kept < length;
            *left -= kept as u64;
            pending.truncate(kept);
            if kept == 0 {
                return Ok(Progress::Open);
            }
            flush(target, kind, pending)
        }
        Err(Errno::INTR) => Ok(Progress::Open),
        Err(Errno::AGAIN) => Ok(Progress::Waiting),
        Err(_) => Ok(Progress::Ended),
    }
}

/// Writes what the target takes now.
fn flush(target: BorrowedFd<'_>, kind: Target, pending: &mut Vec<u8>) -> Result<Progress, Errno> {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::net::{SendFlags, send};
    while !pending.is_empty() {
        let length = if kind == Target::File { pending.len() } else { pending.len().min(PAGE) };
        if matches!(kind, Target::Pipe | Target::Other) {
            let mut ready = [PollFd::from_borrowed_fd(target, PollFlags::OUT)];
            let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
            if !matches!(poll(&mut ready, Some(&now)), Ok(1..)) {
                return Ok(Progress::Waiting);
            }
        }
        let written = match kind {
            Target::Socket => {
                send(target, &pending[..length], SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            }
            _ => rustix::io::write(target, &pending[..length]),
        };
        match written {
            Ok(written) => drop(pending.drain(..written)),
            Err(Errno::AGAIN) => return Ok(Progress::Waiting),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(Progress::Open)
}

/// The caller's standard input on its way to the command.
///
/// It is copied rather than handed over: a descriptor can be opened again through
/// /proc with more rights than it was given with, and a terminal can be written to.
pub(super) struct Feed {
    target: Option<OwnedFd>,
    pending: Vec<u8>,
    source_ended: bool,
}

impl Feed {
    pub(super) fn new(target: OwnedFd) -> Self {
        Self { target: Some(target), pending: Vec::new(), source_ended: false }
    }

    /// What to wait for: input, or room for it.
    pub(super) fn waits_for(&self) -> Option<Waiting<'_>> {
        let target = self.target.as_ref()?;
        if self.pending.is_empty() {
            Some(Waiting::Source(rustix::stdio::stdin()))
        } else {
            Some(Waiting::Sink(target.as_fd()))
        }
    }

    /// Moves one chunk. Call it only when [`Feed::waits_for`] is ready.
    pub(super) fn advance(&mut self) {
        if self.pending.is_empty() && !self.source_ended {
            match read_chunk(rustix::stdio::stdin(), &mut self.pending) {
                Ok(length) => self.source_ended = length == 0,
                Err(Errno::INTR | Errno::AGAIN) => return,
                Err(_) => self.source_ended = true,
            }
        }
        if let (Some(target), false) = (&self.target, self.pending.is_empty()) {
            match rustix::io::write(target, &self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(Errno::AGAIN | Errno::INTR) => return,
                // The command does not read any more.
                Err(_) => self.target = None,
            }
        }
        if self.source_ended && self.pending.is_empty() {
            self.target = None;
        }
    }
}
