//! Standard output and error: kept or passed on, up to a limit.
//!
//! The reader of a stream that is passed on may be slow, or stand still. The program
//! then waits, and its deadline holds: the writing is done on another thread.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use capsule_backend::BackendError;
use capsule_spec::Captured;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use tokio::io::AsyncWrite;
use tokio::task::JoinHandle;
use wasmtime_wasi::cli::StdoutStream;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Bytes that a program may write at once.
const CHUNK: usize = 64 << 10;

/// After its end a program's last bytes have at least this long.
const GRACE: Duration = Duration::from_secs(1);

/// Where one stream of a program goes.
pub(super) struct Sink {
    limit: u64,
    to: Option<Descriptor>,
    state: Mutex<Taken>,
    settled: Condvar,
}

/// A descriptor of the caller's.
pub(super) struct Descriptor {
    fd: OwnedFd,
    is_terminal: bool,
    /// Held while one piece is written: pieces do not mix.
    turn: Mutex<()>,
}

#[derive(Default)]
struct Taken {
    bytes: u64,
    kept: Vec<u8>,
    is_truncated: bool,
    in_flight: usize,
    lost: Option<Errno>,
}

impl Descriptor {
    pub(super) fn duplicate(stream: &(impl AsFd + IsTerminal)) -> Result<Self, BackendError> {
        let fd = rustix::io::fcntl_dupfd_cloexec(stream, 3)
            .map_err(|error| super::system("use the standard streams", &error.to_string()))?;
        Ok(Self { fd, is_terminal: stream.is_terminal(), turn: Mutex::new(()) })
    }

    fn write(&self, mut bytes: &[u8]) -> Result<(), Errno> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        while !bytes.is_empty() {
            match rustix::io::write(&self.fd, bytes) {
                Ok(0) => return Err(Errno::IO),
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut ready = [PollFd::new(&self.fd, PollFlags::OUT)];
                    let _ = rustix::event::poll(&mut ready, None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Sink {
    /// Keeps what it gets, or passes it on.
    pub(super) fn new(limit: u64, to: Option<Descriptor>) -> Arc<Self> {
        Arc::new(Self { limit, to, state: Mutex::default(), settled: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part of `bytes` that the limit lets through.
    fn admit(&self, taken: &mut Taken, mut bytes: Bytes) -> Bytes {
        let left = usize::try_from(self.limit - taken.bytes).unwrap_or(usize::MAX);
        if bytes.len() > left {
            taken.is_truncated = true;
            bytes.truncate(left);
        }
        taken.bytes += bytes.len() as u64;
        bytes
    }

    /// Takes bytes; what is still to be done is done elsewhere.
    fn take(self: &Arc<Self>, bytes: Bytes) -> Option<JoinHandle<()>> {
        let mut taken = self.lock();
        let bytes = self.admit(&mut taken, bytes);
        if bytes.is_empty() {
            return None;
        }
        if self.to.is_none() {
            taken.kept.extend_from_slice(&bytes);
            return None;
        }
        taken.in_flight += 1;
        drop(taken);
        let sink = self.clone();
        Some(tokio::task::spawn_blocking(move || {
            let written = sink.to.as_ref().map_or(Ok(()), |to| to.write(&bytes));
            let mut taken = sink.lock();
            taken.lost = taken.lost.or(written.err());
            taken.in_flight -= 1;
            sink.settled.notify_all();
        }))
    }

    /// What was kept, and whether some of the output was lost. Waits for what is under
    /// way, at most until the deadline or a moment longer.
    pub(super) fn finish(&self, deadline: Instant) -> (Captured, Option<Errno>) {
        let patience = match deadline.saturating_duration_since(Instant::now()) {
            // The reader had the whole run.
            Duration::ZERO => Duration::ZERO,
            left => left.max(GRACE),
        };
        let taken = self.lock();
        let (mut taken, waited) = self
            .settled
            .wait_timeout_while(taken, patience, |taken| taken.in_flight > 0)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && taken.in_flight > 0 {
            taken.lost = taken.lost.or(Some(Errno::TIMEDOUT));
        }
        let captured =
            Captured { bytes: std::mem::take(&mut taken.kept), truncated: taken.is_truncated };
        (captured, taken.lost)
    }
}

/// The caller's stream, as the program sees it.
#[derive(Clone)]
pub(super) struct Stream(Arc<Sink>);

impl Stream {
    pub(super) fn new(sink: &Arc<Sink>) -> Self {
        Self(sink.clone())
    }
}

impl wasmtime_wasi::cli::IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        self.0.to.as_ref().is_some_and(|to| to.is_terminal)
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Refused)
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Writer { sink: self.0.clone(), writing: None })
    }
}

struct Writer {
    sink: Arc<Sink>,
    writing: Option<JoinHandle<()>>,
}

impl Writer {
    fn is_writing(&self) -> bool {
        self.writing.as_ref().is_some_and(|writing| !writing.is_finished())
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        if let Some(writing) = &mut self.writing {
            let _ = writing.await;
            self.writing = None;
        }
    }
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if self.is_writing() || bytes.len() > CHUNK {
            return Err(StreamError::trap("it wrote more than it was permitted to"));
        }
        if self.sink.lock().lost.is_some() {
            return Err(StreamError::Closed);
        }
        self.writing = self.sink.take(bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        if self.is_writing() {
            return Ok(0);
        }
        match self.sink.lock().lost {
            Some(_) => Err(StreamError::Closed),
            None => Ok(CHUNK),
        }
    }
}

/// The stream of an interface (preview 3) that no program is given.
struct Refused;

impl AsyncWrite for Refused {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        std::task::Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_flush(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
