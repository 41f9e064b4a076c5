//! The other end of the process that bundles: starts the process, hears its answer, ends it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use crate::error::BundleError;
use crate::limits::{Allowance, MOST_OUTPUT, STACK};
use crate::order::{Compiled, Order};

/// How the process is started.
#[derive(Clone, Debug)]
pub(crate) struct Helper {
    /// The program that it is: `capsule-bundle`.
    pub(crate) program: PathBuf,
    pub(crate) allowance: Allowance,
}

/// A process that bundles. Dropped, it is killed.
pub(crate) struct Running {
    child: Child,
    /// Where its answer comes from.
    source: OwnedFd,
    started: Instant,
    allowance: Allowance,
    answer: Vec<u8>,
    said: Vec<u8>,
}

/// The script, its map, the trace, each escaped.
const MOST_ANSWER: usize = 4 * MOST_OUTPUT;
const MOST_SAID: usize = 16 << 10;
impl Helper {
    /// Starts bundling, beside whatever the caller does next. `text` is the program, if it
    /// is in no file.
    pub(crate) fn start(
        &self,
        root: OwnedFd,
        entry: &str,
        text: Option<&str>,
    ) -> Result<Running, BundleError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
        let Allowance { time, memory } = self.allowance;
        let seconds = (time.as_secs() * 2).max(1);
        let length = text.map(|text| text.len() as u64);
        let order = Order { entry: entry.to_owned(), text: length, threads, memory, seconds };
        let order =
            serde_json::to_string(&order).map_err(|error| BundleError::Start(error.into()))?;
        let channel = Channel::new(text.is_some()).map_err(BundleError::Start)?;
        let child = Command::new(&self.program)
            .arg(order)
            // Nothing of the caller's environment can steer the bundler, or is seen by it.
            .env_clear()
            // Threads that a library starts parse, too.
            .env("RUST_MIN_STACK", STACK.to_string())
            // Addresses are what it has a limit of. Its allocator reserves 1 GiB of them at a
            // time, unless it is told otherwise: in KiB.
            .env("MIMALLOC_ARENA_RESERVE", "65536")
            .stdin(root)
            .stdout(channel.theirs)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(BundleError::Start)?;
        let (started, allowance) = (Instant::now(), self.allowance);
        if let (Some(text), Some(writer)) = (text, channel.writer) {
            // One that ended before it heard all tells why in its answer, or by its end.
            let _ = writer
                .set_write_timeout(Some(time))
                .and_then(|()| (&writer).write_all(text.as_bytes()));
        }
        let source = channel.ours;
        Ok(Running { child, source, started, allowance, answer: Vec::new(), said: Vec::new() })
    }
}

/// What the process answers on, and is given the program's text on.
struct Channel {
    theirs: OwnedFd,
    ours: OwnedFd,
    /// The same as `ours`.
    writer: Option<UnixStream>,
}

impl Channel {
    fn new(is_both_ways: bool) -> io::Result<Self> {
        if !is_both_ways {
            let (ours, theirs) = std::io::pipe()?;
            return Ok(Self { theirs: theirs.into(), ours: ours.into(), writer: None });
        }
        let (ours, theirs) = UnixStream::pair()?;
        let writer = Some(ours.try_clone()?);
        Ok(Self { theirs: theirs.into(), ours: ours.into(), writer })
    }
}

impl Running {
    /// Waits for the answer. Takes no thread: a process that locks itself down has one.
    pub(crate) fn finish(mut self) -> Result<Compiled, BundleError> {
        // Who began this may have been busy for longer than bundling may take, with an answer
        // waiting in the pipe, or too large for it. The limit of processor time held all along.
        let Allowance { time, .. } = self.allowance;
        let until = (self.started + time).max(Instant::now() + time / 4);
        let is_whole = self.hear(until).map_err(BundleError::Start)?;
        // It has answered, or it never will.
        let ended = if is_whole { self.child.wait() } else { self.end() };
        let status = ended.map_err(BundleError::Start)?;
        if !is_whole && Instant::now() >= until {
            return Err(self.timed_out());
        }
        if !status.success() {
            return Err(self.verdict(status));
        }
        serde_json::from_slice(&self.answer)
            .map_err(|error| BundleError::Crashed { how: format!("its answer is none: {error}") })
    }

    /// Reads until both pipes are closed; false if there was no time left, or too much.
    fn hear(&mut self, until: Instant) -> io::Result<bool> {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        let mut answer = File::from(self.source.try_clone()?);
        let mut said = File::from(OwnedFd::from(self.child.stderr.take().ok_or_else(closed)?));
        let mut is_open = [true, true];
        while is_open != [false, false] {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let mut waited: Vec<PollFd<'_>> = Vec::with_capacity(2);
            let mut which = Vec::with_capacity(2);
            for (index, file) in [&answer, &said].into_iter().enumerate() {
                if is_open[index] {
                    waited.push(PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN));
                    which.push(index);
                }
            }
            let timeout =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut waited, Some(&timeout)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            let ready: Vec<usize> = which
                .into_iter()
                .zip(&waited)
                .filter(|(_, polled)| !polled.revents().is_empty())
                .map(|(index, _)| index)
                .collect();
            for index in ready {
                is_open[index] = match index {
                    0 => take(&mut answer, &mut self.answer, MOST_ANSWER)?,
                    _ => take(&mut said, &mut self.said, MOST_SAID)?,
                };
                if self.answer.len() >= MOST_ANSWER {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        let _ = self.child.kill();
        self.child.wait()
    }

    fn timed_out(&self) -> BundleError {
        BundleError::TimedOut { seconds: self.allowance.time.as_secs() }
    }

    fn verdict(&self, status: ExitStatus) -> BundleError {
        let said = String::from_utf8_lossy(&self.said);
        // What the standard library says before it ends the process. How that ends tells less:
        // locked down, it cannot send itself a signal, and ends by another than it means.
        if said.contains("memory allocation of") {
            return BundleError::Memory { bytes: self.allowance.memory };
        }
        let is_fault = said.is_empty() && status.signal() == Some(Signal::SEGV.as_raw());
        if said.contains("has overflowed its stack") || is_fault {
            return BundleError::TooDeep;
        }
        if matches!(status.signal(), Some(signal) if signal == Signal::XCPU.as_raw()) {
            return self.timed_out();
        }
        let last = crate::problem::visible(said.trim(), 300);
        BundleError::Crashed { how: format!("{status}; {last}") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Reads once; false at the end. What is over `most` is dropped.
fn take(from: &mut File, to: &mut Vec<u8>, most: usize) -> io::Result<bool> {
    let mut piece = [0; 64 << 10];
    let read = loop {
        match from.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // It ended before it heard the whole program.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break 0,
            other => break other?,
        }
    };
    let room = most.saturating_sub(to.len());
    to.extend_from_slice(&piece[..read.min(room)]);
    Ok(read > 0)
}
