//! The loop of a run: moves streams, keeps time, passes signals on, until PID 1 is gone.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use capsule_backend::{BackendError, Observer};
use capsule_init::{Ended, REPORT_BYTES, Report};
use capsule_spec::{Captured, ErrorCode, Event, Wall, WallState};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::time::Timespec;

use super::door::{Door, Terms};
use super::ending::{Ending, Reason};
use super::processor::{self, Processor};
use super::spawn::Jail;
use super::streams::{Progress, Waiting};
use super::{Grouping, Joining, members, system_error};
use crate::door::{Verdict, VisitBook};
use crate::plan::Plan;
use crate::sys::{self, Usage};

/// A version 1 group is joined once a run has lived this long: most commands
/// that need no limit are over by then.
const JOIN_AFTER: Duration = Duration::from_millis(10);
/// How often memory is added up where no group counts it.
const MEMORY_TICK: Duration = Duration::from_millis(20);
/// How long a command may take to end after the caller's signal.
const SIGNAL_GRACE: Duration = Duration::from_secs(2);
/// A repeat within this time is the same wish: timeout(1) signals a process and its group.
const SAME_SIGNAL: Duration = Duration::from_millis(200);
/// How long a slow reader may take for what is left when the run is over and so is its time.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Everything that is known when a run is over.
pub(super) struct End {
    pub(super) failed: Option<(u16, u16, i32)>,
    pub(super) ended: Option<Ended>,
    pub(super) usage: Usage,
    pub(super) io: Option<(u64, u64)>,
    pub(super) wall: Duration,
    pub(super) reason: Option<Reason>,
    pub(super) stdout: Captured,
    pub(super) stderr: Captured,
    pub(super) peak_seen: u64,
    pub(super) visits: VisitBook,
    /// Why output did not reach the caller, if some did not.
    pub(super) lost: Option<Errno>,
    /// The door ended before the command did.
    pub(super) door_died: bool,
    pub(super) notes: Vec<String>,
}

struct Watch<'a> {
    jail: Jail,
    plan: &'a Plan,
    observer: &'a mut dyn Observer,
    deadline: Option<Instant>,
    door: Option<Door>,
    /// The jail's private file system, where its use must be added up.
    files: Option<OwnedFd>,
    ending: Option<Ending>,
    /// The caller's signal, and when the command's grace is over.
    interrupted: Option<(i32, Option<Instant>)>,
    next_tick: Option<Instant>,
    /// When to look at the processor time, if somebody wants to know.
    account_at: Option<Instant>,
    processor: Processor,
    failed: Option<(u16, u16, i32)>,
    ended: Option<Ended>,
    gone: bool,
    peak_seen: u64,
}

/// Lets the jail go, and watches it to its end.
pub(super) fn until_end(
    mut jail: Jail,
    plan: &Plan,
    group: &mut Grouping<'_>,
    observer: &mut dyn Observer,
) -> Result<End, BackendError> {
    if group.state() == Joining::BeforeStart {
        group.join(plan, jail.pid, None)?;
    }
    jail.release(plan)?;
    let started = jail.started;
    let counts_memory = plan
        .walls
        .iter()
        .any(|status| status.wall == Wall::Memory && !matches!(status.state, WallState::Full));
    let mut watch = Watch {
        plan,
        observer,
        deadline: started.checked_add(plan.limits.timeout),
        door: None,
        files: None,
        ending: None,
        interrupted: None,
        next_tick: counts_memory.then(|| started + MEMORY_TICK / 4),
        account_at: jail.attendant.is_some().then_some(started),
        processor: Processor::default(),
        failed: None,
        ended: None,
        gone: false,
        peak_seen: 0,
        jail,
    };
    let mut join_at = (group.state() == Joining::Later).then(|| started + JOIN_AFTER);
    loop {
        watch.wait(join_at)?;
        if watch.is_over() {
            break;
        }
        if join_at.is_some_and(|at| Instant::now() >= at) {
            join_at = None;
            if !watch.gone
                && watch.ended.is_none()
                && let Some(reason) = group.join(plan, watch.jail.pid, watch.files.as_ref())?
            {
                watch.end(reason);
            }
        }
        watch.account(group);
        watch.keep_time();
    }
    watch.finish()
}

/// What a ready descriptor stands for.
#[derive(Clone, Copy)]
enum Source {
    Control,
    Init,
    Signals,
    Stdin,
    Stdout,
    Stderr,
    Door,
    Stop,
}

impl Watch<'_> {
    fn is_over(&self) -> bool {
        self.gone && self.jail.stdout.has_ended() && self.jail.stderr.has_ended()
    }

    /// Sleeps until something happens, and deals with it.
    fn wait(&mut self, join_at: Option<Instant>) -> Result<(), BackendError> {
        let mut sources: [Option<Source>; 8] = [None; 8];
        let mut ready: [bool; 8] = [false; 8];
        {
            let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(8);
            let mut add = |source, fd: BorrowedFd<'_>, flags| {
                sources[fds.len()] = Some(source);
                fds.push(PollFd::from_borrowed_fd(sys::borrow(fd.as_raw_fd()), flags));
            };
            if !self.gone {
                // It hangs up a little before PID 1 is gone, and would wake us for nothing.
                if self.ended.is_none() {
                    add(Source::Control, self.jail.control.as_fd(), PollFlags::IN);
                }
                add(Source::Init, self.jail.pidfd.as_fd(), PollFlags::IN);
                if let Some(Some(waiting)) =
                    self.jail.stdin.as_ref().map(super::streams::Feed::waits_for)
                {
                    let (fd, flags) = interest(&waiting);
                    add(Source::Stdin, fd, flags);
                }
            }
            if let (Some(attendant), false, None) = (&self.jail.attendant, self.gone, &self.ending)
            {
                add(Source::Stop, attendant.stop(), PollFlags::IN);
            }
            if let Some(signals) = &self.jail.signals {
                add(Source::Signals, signals.as_fd(), PollFlags::IN);
            }
            for (source, stream) in
                [(Source::Stdout, &self.jail.stdout), (Source::Stderr, &self.jail.stderr)]
            {
                if let Some(waiting) = stream.waits_for() {
                    let (fd, flags) = interest(&waiting);
                    add(source, fd, flags);
                }
            }
            if let Some(log) = self.door.as_ref().and_then(Door::log) {
                add(Source::Door, log, PollFlags::IN);
            }
            let timeout = self.next_action(join_at).map(|at| {
                let left = at.saturating_duration_since(Instant::now());
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
            });
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(system_error("wait for the jail", &error.into())),
            }
            for (ready, fd) in ready.iter_mut().zip(&fds) {
                *ready = !fd.revents().is_empty();
            }
        }
        for (source, ready) in sources.into_iter().zip(ready) {
            if let (Some(source), true) = (source, ready) {
                self.handle(source)?;
            }
        }
        // Before PID 1 is gone: its own end, with all its mounts, takes as long again.
        if self.gone || self.ended.is_some() {
            self.drain();
        }
        Ok(())
    }

    fn next_action(&self, join_at: Option<Instant>) -> Option<Instant> {
        let deadline = match (&self.ending, self.gone) {
            (None, false) => self.deadline,
            (_, true) => self.deadline.map(|at| at + LAST_WORDS),
            (Some(_), false) => None,
        };
        let ending = self.ending.as_ref().and_then(Ending::next_action);
        let interrupted = self.interrupted.and_then(|(_, at)| at);
        [deadline, join_at, self.next_tick, self.account_at, ending, interrupted]
            .into_iter()
            .flatten()
            .min()
    }

    fn handle(&mut self, source: Source) -> Result<(), BackendError> {
        match source {
            Source::Control => {
                self.receive()?;
            }
            Source::Init => {
                // What was reported before the end comes first.
                while self.receive()? {}
                self.gone = true;
                self.next_tick = None;
                self.account_at = None;
                self.interrupted = self.interrupted.map(|(signal, _)| (signal, None));
            }
            Source::Signals => self.pass_signals(),
            Source::Stdin => {
                if let Some(feed) = &mut self.jail.stdin {
                    feed.advance();
                }
            }
            Source::Stdout | Source::Stderr => self.move_stream(source),
            Source::Door => self.hear_door(),
            Source::Stop => self.end(Reason::Stopped),
        }
        Ok(())
    }

    /// Takes one report; says whether there was one.
    fn receive(&mut self) -> Result<bool, BackendError> {
        let mut bytes = [0u8; REPORT_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let control = &self.jail.control;
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let length = match recvmsg(control, &mut buffers, &mut ancillary, flags) {
            Ok(received) => received.bytes,
            Err(_) => 0,
        };
        let mut descriptor: Option<OwnedFd> = None;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(mut fds) = message {
                descriptor = fds.next();
            }
        }
        match Report::decode(&bytes[..length]) {
            None => return Ok(false),
            Some(Report::Failed { step, item, errno }) => self.failed = Some((step, item, errno)),
            Some(Report::Ended(ended)) => {
                self.ended = Some(ended);
                self.next_tick = None;
            }
            Some(Report::Files) => self.files = descriptor,
            // Only one that lives on says so.
            Some(Report::Ready) => return Ok(false),
            Some(Report::Door) => {
                if let Some(listener) = descriptor {
                    self.door = Some(Door::open(&Terms::of(self.plan), listener)?);
                }
            }
        }
        Ok(true)
    }

    /// The command hears the caller's signals; if it does not end, it is ended.
    fn pass_signals(&mut self) {
        let Some(signals) = &self.jail.signals else { return };
        while let Some(signal) = sys::next_signal(signals.as_fd()) {
            let ends = matches!(signal, libc::SIGINT | libc::SIGTERM | libc::SIGHUP);
            let now = Instant::now();
            if ends && self.gone {
                // All that is left to do is to wait for a slow reader.
                self.interrupted = Some((signal, None));
                self.jail.stdout.give_up();
                self.jail.stderr.give_up();
                return;
            }
            if let (true, Some((_, Some(ends_at)))) = (ends, self.interrupted) {
                if ends_at > now + (SIGNAL_GRACE - SAME_SIGNAL) {
                    continue;
                }
                self.end(Reason::Interrupted(signal));
                return;
            }
            if ends {
                self.interrupted = Some((signal, now.checked_add(SIGNAL_GRACE)));
            }
            sys::kill(self.jail.pidfd.as_fd(), signal);
            self.observer.observe(Event::SignalForwarded { signal });
        }
    }

    fn move_stream(&mut self, source: Source) {
        let stream = match source {
            Source::Stderr => &mut self.jail.stderr,
            _ => &mut self.jail.stdout,
        };
        if stream.advance() == Progress::Lost {
            self.end(Reason::OutputLost);
        }
    }

    fn hear_door(&mut self) {
        let Some(door) = &mut self.door else { return };
        for visit in door.read() {
            let host = format!("{}:{}", visit.host, visit.port);
            let allowed = visit.verdict == Verdict::Opened;
            if allowed || visit.verdict.is_denial() {
                self.observer.observe(Event::Connection { host, allowed });
            }
        }
    }

    /// Tells who attends how much processor time was used, and ends the run when
    /// none is left.
    fn account(&mut self, group: &Grouping<'_>) {
        let now = Instant::now();
        let Some(attendant) = &self.jail.attendant else { return };
        if self.gone || self.account_at.is_none_or(|at| now < at) {
            return;
        }
        let counted = group.processor_time().unwrap_or_default();
        let used = self.processor.look(self.jail.pid).max(counted);
        let left = attendant.spent(used);
        self.account_at = Some(now + processor::next_look(left));
        if left.is_zero() {
            self.account_at = None;
            self.end(Reason::Processor);
        }
    }

    /// Does what is due by the clock.
    fn keep_time(&mut self) {
        let now = Instant::now();
        if self.gone {
            if self.deadline.is_some_and(|at| now >= at + LAST_WORDS) {
                self.jail.stdout.give_up();
                self.jail.stderr.give_up();
            }
            return;
        }
        if self.deadline.is_some_and(|at| now >= at) {
            self.end(Reason::Deadline);
        }
        if let Some((signal, Some(at))) = self.interrupted
            && now >= at
        {
            self.end(Reason::Interrupted(signal));
        }
        if self.next_tick.is_some_and(|at| now >= at) {
            let used = members::memory(self.jail.pid, self.files.as_ref());
            self.peak_seen = self.peak_seen.max(used);
            self.next_tick = Some(now + MEMORY_TICK);
            if used > self.plan.limits.memory.bytes() {
                self.end(Reason::Memory(used));
            }
        }
        if let Some(ending) = &mut self.ending {
            ending.advance(self.jail.pidfd.as_fd());
        }
    }

    /// The first reason stands.
    fn end(&mut self, reason: Reason) {
        if self.ending.is_some() || self.gone {
            return;
        }
        let code = match reason {
            Reason::Deadline => Some(ErrorCode::TimedOut),
            Reason::Memory(_) => Some(ErrorCode::MemoryLimit),
            Reason::Processes => Some(ErrorCode::ProcessLimit),
            Reason::Interrupted(_) | Reason::OutputLost | Reason::Stopped | Reason::Processor => {
                None
            }
        };
        // First the deed: an observer may take its time.
        self.ending = Some(Ending::begin(reason, self.jail.pidfd.as_fd()));
        if let Some(code) = code {
            self.observer.observe(Event::LimitReached { code });
        }
        self.interrupted = self.interrupted.map(|(signal, _)| (signal, None));
    }

    /// Every guest is dead: what is in the pipes is all there will be, even if
    /// somebody outside still holds their other ends.
    fn drain(&mut self) {
        for stream in [&mut self.jail.stdout, &mut self.jail.stderr] {
            // Not for ever: somebody outside may fill the pipe as fast as we read.
            for _ in 0..64 {
                match stream.advance() {
                    Progress::Open => {}
                    Progress::Waiting => {
                        if let Some(Waiting::Source(_)) = stream.waits_for() {
                            stream.close();
                        }
                        break;
                    }
                    Progress::Ended | Progress::Lost => break,
                }
            }
        }
    }

    fn finish(mut self) -> Result<End, BackendError> {
        self.hear_door();
        let door_died = self.door.as_ref().is_some_and(Door::has_died);
        let io = self.ended.and_then(|ended| ended.io).or_else(|| io_counters(self.jail.pid));
        let (_, usage) =
            sys::reap(self.jail.pid).map_err(|error| system_error("reap the jail", &error))?;
        // Reaped: the number may belong to somebody else by now.
        self.jail.pid = 0;
        let wall = match self.ended {
            Some(ended) => Duration::from_nanos(ended.ended.saturating_sub(ended.started)),
            None => self.jail.started.elapsed(),
        };
        let visits = self.door.take().map(Door::close).unwrap_or_default();
        Ok(End {
            failed: self.failed,
            ended: self.ended,
            usage,
            io,
            wall,
            reason: self
                .ending
                .map(|ending| ending.reason)
                .or_else(|| self.interrupted.map(|(signal, _)| Reason::Interrupted(signal))),
            peak_seen: self.peak_seen,
            visits,
            door_died,
            notes: std::mem::take(&mut self.jail.notes),
            lost: self.jail.stdout.lost().or(self.jail.stderr.lost()),
            stdout: self.jail.take_stdout(),
            stderr: self.jail.take_stderr(),
        })
    }
}

fn interest<'a>(waiting: &Waiting<'a>) -> (BorrowedFd<'a>, PollFlags) {
    match waiting {
        Waiting::Source(fd) => (*fd, PollFlags::IN),
        Waiting::Sink(fd) => (*fd, PollFlags::OUT),
    }
}

/// The counters of a PID 1 that was killed before it could report, where the
/// caller may read them.
fn io_counters(pid: i32) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let counter = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse::<u64>().ok()
    };
    Some((counter("rchar:")?, counter("wchar:")?))
}
