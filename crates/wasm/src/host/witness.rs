//! The time and chance, and whether a guest asked for them.
//!
//! A memory that holds either is not what another run of the same code would leave.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{SeedableRng, TryRng};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, MonotonicClock, WallClock};

/// Sees whether a guest asks.
#[derive(Clone)]
pub(crate) struct Witness(Arc<Asked>);

struct Asked {
    /// For the time of day, or a number.
    anything: AtomicBool,
    /// For the clock that only runs.
    clock: AtomicBool,
    running: MonotonicClock,
    /// What the clock that only runs showed when this sandbox began, in nanoseconds.
    before: AtomicU64,
}

impl Default for Witness {
    fn default() -> Self {
        Self(Arc::new(Asked {
            anything: AtomicBool::new(false),
            clock: AtomicBool::new(false),
            running: MonotonicClock::new(),
            before: AtomicU64::new(0),
        }))
    }
}

impl Witness {
    /// Whether it has asked for the time of day, or a number.
    pub(crate) fn has_seen(&self) -> bool {
        self.0.anything.load(Ordering::Relaxed)
    }

    /// Whether it has asked for the clock that only runs.
    pub(crate) fn has_timed(&self) -> bool {
        self.0.clock.load(Ordering::Relaxed)
    }

    /// What the clock that only runs shows, in nanoseconds.
    pub(crate) fn clock(&self) -> u64 {
        self.0.running.now().saturating_add(self.0.before.load(Ordering::Relaxed))
    }

    /// Lets that clock go on from what another sandbox saw: its memory says when things
    /// began, and no clock shows less than that.
    pub(crate) fn go_on_from(&self, clock: u64) {
        self.0.before.store(clock, Ordering::Relaxed);
    }

    fn chance(&self) -> Chance {
        Chance { witness: self.clone(), generator: None }
    }

    fn sees(&self) {
        self.0.anything.store(true, Ordering::Relaxed);
    }

    /// Stands at every way by which WASI tells the time or gives numbers.
    pub(crate) fn stand_at(&self, builder: &mut WasiCtxBuilder) {
        builder
            .wall_clock(TimeOfDay { witness: self.clone(), clock: WallClock::new() })
            .monotonic_clock(self.clone())
            .secure_random(self.chance())
            .insecure_random(self.chance())
            // Given at once, so it cannot be seen. Nothing that is promised hangs on it.
            .insecure_random_seed(0);
    }
}

struct TimeOfDay {
    witness: Witness,
    clock: WallClock,
}

impl HostWallClock for TimeOfDay {
    fn resolution(&self) -> Duration {
        self.clock.resolution()
    }

    fn now(&self) -> Duration {
        self.witness.sees();
        self.clock.now()
    }
}

impl HostMonotonicClock for Witness {
    fn resolution(&self) -> u64 {
        self.0.running.resolution()
    }

    fn now(&self) -> u64 {
        self.0.clock.store(true, Ordering::Relaxed);
        self.clock()
    }
}

/// Random numbers, from a generator that the kernel seeds when it is first asked. The
/// kernel itself is too far away: WASI asks for each byte alone.
struct Chance {
    witness: Witness,
    generator: Option<StdRng>,
}

impl Chance {
    fn generator(&mut self) -> &mut StdRng {
        self.witness.sees();
        self.generator.get_or_insert_with(|| StdRng::from_rng(&mut rand::rng()))
    }
}

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.generator().try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.generator().try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.generator().try_fill_bytes(bytes)
    }
}
