//! What one call uses, and what it says: the attendant of its run.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use capsule_backend::Observer;
use capsule_backend::guest::{Channel, Meter, Outside, Request, Usage};
use capsule_spec::{Event, Outcome};

use super::FUEL_PER_NANOSECOND;
use crate::supervisor::Attendant;

/// A guest that knocks at more doors than this is not listed further.
const MOST_REQUESTS: usize = 1000;

/// Bytes of the last errors that are kept.
const LAST_ERRORS: usize = 8 << 10;

/// What the host takes to read a frame and to answer it, and for each byte one more: so
/// that a guest cannot have the host work for it for nothing.
const FRAME_NANOSECONDS: u64 = 10_000;

/// The account of one call.
pub(super) struct Account {
    meter: Arc<Meter>,
    outside: Arc<dyn Outside>,
    stop: OwnedFd,
    /// For processor time, in fuel.
    fuel: AtomicU64,
    /// For what the host did for it, in fuel.
    served: AtomicU64,
    ram: AtomicU64,
    requests: Mutex<Vec<Request>>,
    /// The end of what it printed as errors.
    errors: Mutex<Vec<u8>>,
    is_exhausted: AtomicBool,
    is_deaf: AtomicBool,
}

impl Account {
    /// An account of a run that ends when `stop` hangs up.
    pub(super) fn new(meter: Arc<Meter>, outside: Arc<dyn Outside>, stop: OwnedFd) -> Self {
        Self {
            meter,
            outside,
            stop,
            fuel: AtomicU64::new(0),
            served: AtomicU64::new(0),
            ram: AtomicU64::new(0),
            requests: Mutex::default(),
            errors: Mutex::default(),
            is_exhausted: AtomicBool::new(false),
            is_deaf: AtomicBool::new(false),
        }
    }

    /// Passes no more output on: nobody wants it, and whoever took it may not be there.
    pub(super) fn fall_deaf(&self) {
        self.is_deaf.store(true, Ordering::Release);
    }

    /// Whether the run was ended because no fuel was left.
    pub(super) fn is_exhausted(&self) -> bool {
        self.is_exhausted.load(Ordering::Acquire)
    }

    /// The end of what it printed as errors, for what an interpreter says when it gives up.
    pub(super) fn last_errors(&self) -> String {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&errors).into_owned()
    }

    /// Charges the host's own work on a frame of so many bytes.
    pub(super) fn serve(&self, bytes: usize) {
        let nanoseconds = FRAME_NANOSECONDS.saturating_add(bytes as u64);
        let fuel = nanoseconds.saturating_mul(FUEL_PER_NANOSECOND);
        self.served.fetch_add(fuel, Ordering::AcqRel);
        self.meter.charge(fuel);
    }

    /// Settles what the whole run used.
    pub(super) fn settle(&self, outcome: &Outcome) {
        self.charge(outcome.metrics.user + outcome.metrics.kernel);
        self.ram.fetch_max(outcome.metrics.max_memory, Ordering::AcqRel);
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            fuel: self.fuel.load(Ordering::Acquire) + self.served.load(Ordering::Acquire),
            ram: self.ram.load(Ordering::Acquire),
            requests: self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Charges what is new of `time`, which only grows.
    fn charge(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let fuel = nanoseconds.saturating_mul(FUEL_PER_NANOSECOND);
        let before = self.fuel.fetch_max(fuel, Ordering::AcqRel);
        self.meter.charge(fuel.saturating_sub(before));
    }
}

impl Attendant for Account {
    fn stop(&self) -> BorrowedFd<'_> {
        self.stop.as_fd()
    }

    fn hear(&self, channel: Channel, bytes: &[u8]) {
        if channel == Channel::Stderr {
            let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
            errors.extend_from_slice(&bytes[bytes.len().saturating_sub(LAST_ERRORS)..]);
            let surplus = errors.len().saturating_sub(LAST_ERRORS);
            errors.drain(..surplus);
        }
        if !self.is_deaf.load(Ordering::Acquire) {
            self.outside.output(channel, bytes);
        }
    }

    fn spent(&self, time: Duration) -> Duration {
        self.charge(time);
        let left = self.meter.left();
        if left == 0 {
            self.is_exhausted.store(true, Ordering::Release);
            return Duration::ZERO;
        }
        Duration::from_nanos((left / FUEL_PER_NANOSECOND).max(1))
    }
}

/// Hears of connections.
pub(super) struct Doorkeeper(pub(super) Arc<Account>);

impl Observer for Doorkeeper {
    fn observe(&mut self, event: Event) {
        if let Event::Connection { host, allowed } = event {
            let mut requests = self.0.requests.lock().unwrap_or_else(PoisonError::into_inner);
            if requests.len() < MOST_REQUESTS {
                let method = "CONNECT".to_owned();
                requests.push(Request { method, url: host, status: None, allowed });
            }
        }
    }
}
