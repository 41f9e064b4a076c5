//! Moves bytes between guest and origin, both ways at once, until one side's
//! message or both connections end. Knows nothing of what the bytes mean: a
//! [`Filter`] per direction does.
//!
//! A lane either reads (nothing pending) or writes (something pending), never
//! both: that is the whole of flow control, and bounds memory to one buffer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::body::Body;
use super::head::HeadError;
use super::sys;

/// What is read at once, and so about the most that a lane holds.
pub(super) const BUFFER_BYTES: usize = 32 * 1024;

/// Decides what of the bytes from one side goes to the other.
pub(super) trait Filter {
    /// Called with fresh bytes while the message is not over. Appends to `out`
    /// what may go on, and returns how many bytes it used; fewer than all only if
    /// the message is over. The rest is handed back to the caller of the relay.
    fn pass(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault>;

    /// Whether all that belongs to the message has been seen.
    fn is_over(&self) -> bool;

    /// Called once, when the source has ended before the message is over.
    fn source_ended(&mut self) -> Result<(), Fault>;

    /// When the filter stops waiting for what it needs to decide.
    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// Why a relay stopped early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A connection broke, or ended in the middle of a message.
    SinkOrSourceGone,
    Idle,
    /// The guest's body is not what its head promised.
    BadBody,
    BadAnswer(HeadError),
    LongAnswerHead,
    BadAnswerBody,
    /// The ClientHello names a server that the guest may not talk to.
    ServerName,
    /// All that the guest may receive has come.
    Received,
}

/// Counts what comes from origins, over all connections of a door.
#[derive(Clone, Copy)]
pub(super) struct Meter<'m> {
    pub count: &'m AtomicU64,
    pub most: u64,
}

impl Meter<'_> {
    fn add(self, length: usize) -> Result<(), Fault> {
        let length = length as u64;
        let before = self.count.fetch_add(length, Ordering::Relaxed);
        if before.saturating_add(length) > self.most { Err(Fault::Received) } else { Ok(()) }
    }
}

/// One direction.
pub(super) struct Lane<'f> {
    filter: &'f mut dyn Filter,
    meter: Option<Meter<'f>>,
    pending: Vec<u8>,
    sent: usize,
    /// Bytes that came after the end of the message.
    pub surplus: Vec<u8>,
    /// Bytes written to the sink.
    pub moved: u64,
    is_shut: bool,
}

/// When a relay is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// A tunnel: each end is passed on by itself, so either side may go silent
    /// while the other still talks.
    BothEnd,
    /// An exchange: an answer may come before the whole request was read.
    AnswerEnds,
}

impl<'f> Lane<'f> {
    /// A lane that first sends `opening`, which the filter does not see.
    pub(super) fn new(filter: &'f mut dyn Filter, opening: Vec<u8>) -> Self {
        let (surplus, meter) = (Vec::new(), None);
        Self { filter, meter, pending: opening, sent: 0, surplus, moved: 0, is_shut: false }
    }

    /// Counts what is read, and ends the relay above the limit.
    pub(super) fn metered(self, meter: Meter<'f>) -> Self {
        Self { meter: Some(meter), ..self }
    }

    /// Gives the lane bytes that were read before it was made.
    pub(super) fn feed(&mut self, input: &[u8]) -> Result<(), Fault> {
        if self.filter.is_over() || input.is_empty() {
            self.surplus.extend_from_slice(input);
            return Ok(());
        }
        let used = self.filter.pass(input, &mut self.pending)?;
        self.surplus.extend_from_slice(&input[used..]);
        Ok(())
    }

    fn has_pending(&self) -> bool {
        self.sent < self.pending.len()
    }

    fn is_reading(&self) -> bool {
        !self.has_pending() && !self.filter.is_over()
    }

    pub(super) fn is_done(&self) -> bool {
        !self.has_pending() && self.filter.is_over()
    }

    /// Moves what can be moved without waiting. True if anything moved.
    fn advance(
        &mut self,
        mut source: &TcpStream,
        sink: &TcpStream,
        scratch: &mut [u8],
    ) -> Result<bool, Fault> {
        if !self.is_reading() {
            return self.write(sink);
        }
        match source.read(scratch) {
            Ok(0) => self.filter.source_ended()?,
            Ok(count) => {
                self.meter.map_or(Ok(()), |meter| meter.add(count))?;
                self.feed(&scratch[..count])?;
                self.write(sink)?;
            }
            Err(error) if is_retry(&error) => return Ok(false),
            Err(_) => return Err(Fault::SinkOrSourceGone),
        }
        Ok(true)
    }

    fn write(&mut self, mut sink: &TcpStream) -> Result<bool, Fault> {
        let mut moved = false;
        while self.has_pending() {
            match sink.write(&self.pending[self.sent..]) {
                Ok(0) => return Err(Fault::SinkOrSourceGone),
                Ok(count) => {
                    self.sent += count;
                    self.moved += count as u64;
                    moved = true;
                }
                Err(error) if is_retry(&error) => return Ok(moved),
                Err(_) => return Err(Fault::SinkOrSourceGone),
            }
        }
        self.pending.clear();
        self.sent = 0;
        Ok(moved)
    }
}

fn is_retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Runs both lanes. Both sockets must be non-blocking. After an error, and after
/// `AnswerEnds` with the request unfinished, the connections are of no more use.
pub(super) fn relay(
    guest: &TcpStream,
    origin: &TcpStream,
    up: &mut Lane<'_>,
    down: &mut Lane<'_>,
    until: Until,
    idle: Duration,
) -> Result<(), Fault> {
    let mut scratch = vec![0; BUFFER_BYTES];
    let mut last_move = Instant::now();
    // What the lanes were opened with goes out before the first wait.
    up.write(origin)?;
    down.write(guest)?;
    loop {
        match until {
            Until::AnswerEnds if down.is_done() => return Ok(()),
            Until::BothEnd => {
                shut_if_done(up, origin);
                shut_if_done(down, guest);
                if up.is_done() && down.is_done() {
                    return Ok(());
                }
            }
            Until::AnswerEnds => {}
        }
        let deadline = [Some(last_move + idle), up.filter.deadline(), down.filter.deadline()];
        let deadline = deadline.into_iter().flatten().min().unwrap_or(last_move + idle);
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [interest(guest, up, down), interest(origin, down, up)];
        let is_ready = sys::poll(&mut fds, left).map_err(|_| Fault::SinkOrSourceGone)?;
        if !is_ready {
            if Instant::now() < deadline {
                continue;
            }
            let is_filter = last_move + idle > deadline;
            return Err(if is_filter { Fault::ServerName } else { Fault::Idle });
        }
        let [guest_events, origin_events] = fds.map(|fd| fd.revents);
        // Told about a socket that was only watched: it broke.
        if fds.iter().any(|fd| fd.events == 0 && fd.revents != 0) {
            return Err(Fault::SinkOrSourceGone);
        }
        let mut moved = false;
        if (up.is_reading() && guest_events != 0) || (up.has_pending() && origin_events != 0) {
            moved |= up.advance(guest, origin, &mut scratch)?;
        }
        if (down.is_reading() && origin_events != 0) || (down.has_pending() && guest_events != 0) {
            moved |= down.advance(origin, guest, &mut scratch)?;
        }
        if moved {
            last_move = Instant::now();
        }
    }
}

/// What to wait for on a socket that is the source of one lane and the sink of
/// the other. A sink of a lane that reads is watched for its end, with no events:
/// poll always reports a broken connection. A source that may not be read yet is
/// left out, as its hang-up would be reported again and again.
fn interest(socket: &TcpStream, from: &Lane<'_>, to: &Lane<'_>) -> libc::pollfd {
    let mut events = 0;
    if from.is_reading() {
        events |= libc::POLLIN;
    }
    if to.has_pending() {
        events |= libc::POLLOUT;
    }
    let is_watched = events != 0 || (to.is_reading() && !from.has_pending());
    let fd = if is_watched { socket.as_raw_fd() } else { -1 };
    libc::pollfd { fd, events, revents: 0 }
}

fn shut_if_done(lane: &mut Lane<'_>, sink: &TcpStream) {
    if lane.is_done() && !lane.is_shut {
        lane.is_shut = true;
        // Fails only if the sink is gone, which the next read of it tells.
        let _ = sink.shutdown(Shutdown::Write);
    }
}

/// Lets everything through: a tunnel's way down.
#[derive(Default)]
pub(super) struct Open {
    is_over: bool,
}

impl Filter for Open {
    fn pass(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        out.extend_from_slice(input);
        Ok(input.len())
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn source_ended(&mut self) -> Result<(), Fault> {
        self.is_over = true;
        Ok(())
    }
}

/// A request's way up.
impl Filter for Body {
    fn pass(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let used = self.take(input).map_err(|_| Fault::BadBody)?;
        out.extend_from_slice(&input[..used]);
        Ok(used)
    }

    fn is_over(&self) -> bool {
        Body::is_over(self)
    }

    fn source_ended(&mut self) -> Result<(), Fault> {
        Body::source_ended(self).map_err(|_| Fault::SinkOrSourceGone)
    }
}
