//! The time and chance, and whether a guest asked for them.
//!
//! A memory that holds either is not what another run of the same code would leave.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand_core::TryRng;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, MonotonicClock, WallClock};

/// Sees whether a guest asks.
#[derive(Clone, Default)]
pub(crate) struct Witness(Arc<AtomicBool>);

impl Witness {
    /// Whether it has asked.
    pub(crate) fn has_seen(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn sees(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Stands at every way by which WASI tells the time or gives numbers.
    pub(crate) fn stand_at(&self, builder: &mut WasiCtxBuilder) {
        builder
            .wall_clock(Clock { witness: self.clone(), clock: WallClock::new() })
            .monotonic_clock(Clock { witness: self.clone(), clock: MonotonicClock::new() })
            .secure_random(Chance(self.clone()))
            .insecure_random(Chance(self.clone()))
            // Given at once, so it cannot be seen. Nothing that is promised hangs on it.
            .insecure_random_seed(0);
    }
}

struct Clock<C> {
    witness: Witness,
    clock: C,
}

impl HostWallClock for Clock<WallClock> {
    fn resolution(&self) -> Duration {
        self.clock.resolution()
    }

    fn now(&self) -> Duration {
        self.witness.sees();
        self.clock.now()
    }
}

impl HostMonotonicClock for Clock<MonotonicClock> {
    fn resolution(&self) -> u64 {
        self.clock.resolution()
    }

    fn now(&self) -> u64 {
        self.witness.sees();
        self.clock.now()
    }
}

/// The kernel's random numbers (getrandom(2)).
struct Chance(Witness);

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.sees();
        // The pool was filled long before a guest runs, so this does not fail.
        getrandom::fill(bytes).expect("the kernel gives random numbers");
        Ok(())
    }
}
