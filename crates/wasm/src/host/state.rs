//! What the host keeps for one guest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use capsule_backend::guest::{Grant, Outside, Room, Taken};
use capsule_spec::Failure;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::files::{Files, MOST_RESOURCES, View};
use super::network::Network;
use super::operations::Operations;
use super::witness::Witness;

/// The store's data.
pub(crate) struct State {
    wasi: WasiCtx,
    pub(crate) witness: Witness,
    table: ResourceTable,
    files: Files,
    pub(crate) memory: MemoryLimit,
    pub(crate) network: Network,
    pub(crate) operations: Operations,
    pub(crate) outside: Arc<dyn Outside>,
    pub(crate) pulse: Pulse,
}

impl State {
    pub(crate) fn new(outside: Arc<dyn Outside>, pulse: Pulse) -> Self {
        // No argument, no variable, no file, no socket; streams that go nowhere.
        let witness = Witness::default();
        let mut wasi = WasiCtxBuilder::new();
        witness.stand_at(&mut wasi);
        let wasi = wasi.build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MOST_RESOURCES);
        Self {
            wasi,
            witness,
            table,
            files: Files::new(pulse.clone()),
            memory: MemoryLimit::default(),
            network: Network::new(),
            operations: Operations::new(),
            outside,
            pulse,
        }
    }

    /// A call begins, and lasts until the next one: what it may touch.
    ///
    /// # Errors
    /// When something cannot be granted; the call must not happen then.
    pub(crate) fn grant(&mut self, grant: &Grant) -> Result<(), Failure> {
        self.memory
            .grant(usize::try_from(grant.ram.bytes()).unwrap_or(usize::MAX), grant.meter.room());
        self.network.grant(grant);
        self.files.grant(grant)
    }

    /// Takes back what a program may not use while it is loaded.
    pub(crate) fn deny(&mut self) {
        self.network.deny();
    }

    /// Whether the guest looked for a file or a host that a grant could have given it.
    pub(crate) fn looked_for_rights(&self) -> bool {
        self.files.looked() || self.network.was_refused()
    }

    /// Whether its memory may hold what another run of the same code would not: the time,
    /// a random number. An engine may ask for the clock that only runs, and tell whether its
    /// program did: a program that makes it lie finds an old time in its own memory.
    pub(crate) fn asked(&self, was_timed: Option<bool>) -> bool {
        self.witness.has_seen() || was_timed.unwrap_or_else(|| self.witness.has_timed())
    }

    /// How often the guest's libraries asked for the root, if the guest holds no other
    /// handle and waits for nothing: then its memory is all there is to it.
    pub(crate) fn roots_alone(&self) -> Option<usize> {
        let is_idle = self.table.is_empty() && self.operations.is_idle() && self.network.is_idle();
        self.files.roots_alone().filter(|_| is_idle)
    }

    pub(crate) fn files(&mut self) -> View<'_> {
        View { files: &mut self.files, table: &mut self.table }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Bounds linear memory, and remembers its peak.
///
/// An interpreter that is refused memory raises an exception, and needs some memory for
/// that: for the traceback, for the handler, and in places where it could only abort. So
/// after a refusal of the least that can be asked for, some steps are granted: at most
/// [`RESERVE`] above the limit.
#[derive(Debug, Default)]
pub(crate) struct MemoryLimit {
    /// Bytes that memory may grow to. What a guest starts with does not count as growth.
    pub(crate) most: usize,
    /// The most it has had.
    pub(crate) peak: usize,
    /// Whether it wanted more in this call than it may have.
    pub(crate) was_refused: bool,
    /// What it has grown by, of what its run has.
    taken: Option<Taken>,
    /// Where answers of the tasks that it called lie, until it has heard them.
    pub(crate) room: Option<Arc<Room>>,
    /// Bytes of an answer that are on their way into it.
    answer: usize,
    /// Steps above the limit that it may still take.
    steps: u32,
    /// Whether the last that it asked for was refused.
    is_refused: bool,
    /// Whether it was refused a step in this call.
    is_full: bool,
}

/// What a guest may have above its limit, to tell that it has met it.
const RESERVE: usize = 4 << 20;
/// The least that memory grows by: who is refused it has none.
const STEP: usize = 64 << 10;
/// Steps that follow a refusal.
const STEPS: u32 = 4;

/// The guest's memory cannot take what the host has for it.
#[derive(Debug, thiserror::Error)]
#[error("there was no memory left for an answer of the host's")]
struct NoPlace;

impl MemoryLimit {
    fn grant(&mut self, most: usize, room: &Arc<Room>) {
        self.most = most;
        self.was_refused = false;
        self.room = Some(room.clone());
        (self.steps, self.is_refused, self.is_full) = (0, false, false);
        // A sandbox that was loaded before its call belongs to the same run.
        if !self.taken.as_ref().is_some_and(|taken| taken.is_of(room)) {
            self.taken = Room::take(room, 0);
        }
    }

    /// An answer of so many bytes goes into the guest; with 0 it has arrived. While it is
    /// under way nobody is there to whom a refusal could be told.
    pub(crate) fn expect(&mut self, bytes: usize) {
        self.answer = bytes;
    }

    /// Whether a trap comes from memory that the guest did not get.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.is_refused || self.is_full
    }

    fn may_exceed(&mut self, growth: usize, desired: usize) -> bool {
        let is_step = growth <= STEP && self.steps > 0;
        let granted = (is_step || self.answer > 0) && desired <= self.most.saturating_add(RESERVE);
        self.steps = self.steps.saturating_sub(u32::from(is_step));
        granted
    }
}

impl MemoryLimit {
    /// The memory begins with so much, which may be more than the guest's own image;
    /// false if its run has no room for it.
    #[must_use]
    pub(crate) fn begins_with(&mut self, length: usize) -> bool {
        let more = length.saturating_sub(self.peak);
        self.peak = self.peak.max(length);
        self.taken.as_mut().is_none_or(|taken| taken.more(more))
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // At instantiation the current size is 0: that much every guest has.
        let growth = desired.saturating_sub(current);
        let granted = current == 0
            || (desired <= self.most || self.may_exceed(growth, desired))
                && self.taken.as_mut().is_none_or(|taken| taken.more(growth));
        let answer = std::mem::take(&mut self.answer);
        self.is_refused = !granted;
        self.was_refused |= !granted;
        if granted {
            self.peak = self.peak.max(desired);
            return Ok(true);
        }
        if growth <= STEP {
            (self.steps, self.is_full) = (STEPS, true);
        }
        // Where there is no memory, an answer would be written over something else.
        if (1..=growth).contains(&answer) { Err(NoPlace.into()) } else { Ok(false) }
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        const MOST: usize = 100_000;
        Ok(current == 0 || desired <= MOST)
    }
}

/// Whether the guest waits for its host. When it stops for a moment and does not
/// wait, it has burnt a slice of fuel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse(Arc<AtomicBool>);

impl Pulse {
    /// It waits until the answer is dropped.
    pub(crate) fn waiting(&self) -> Waiting {
        self.0.store(true, Ordering::Relaxed);
        Waiting(self.clone())
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct Waiting(Pulse);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use capsule_backend::guest::{Channel, GuestError, Meter, Pending, Source};
    use capsule_spec::ByteSize;

    use super::*;

    struct Nowhere;

    impl Outside for Nowhere {
        fn source(&self, _: &str) -> Option<Source> {
            None
        }

        fn output(&self, _: Channel, _: &[u8]) {}

        fn call(&self, _: &str, _: String) -> Pending<'static, Result<String, GuestError>> {
            Box::pin(std::future::pending())
        }
    }

    const LIMIT: usize = 64 << 20;

    fn limit() -> MemoryLimit {
        let mut memory = MemoryLimit::default();
        memory.grant(LIMIT, Meter::new(0).room());
        memory
    }

    /// Asks for steps until one is refused: how many it got.
    fn steps(memory: &mut MemoryLimit, size: &mut usize) -> usize {
        let mut count = 0;
        while memory.memory_growing(*size, *size + STEP, None).unwrap() {
            *size += STEP;
            count += 1;
        }
        count
    }

    #[test]
    fn a_refusal_of_little_leaves_a_little_and_never_more_than_the_reserve() {
        let (mut memory, mut size) = (limit(), LIMIT - STEP);
        assert_eq!(steps(&mut memory, &mut size), 1);
        assert!(memory.is_exhausted());
        assert_eq!(steps(&mut memory, &mut size), STEPS as usize);
        // Much at once is refused all the same.
        assert!(!memory.memory_growing(size, size + STEP + 1, None).unwrap());
        let all: usize = (0..1000).map(|_| steps(&mut memory, &mut size)).sum();
        assert_eq!(size, LIMIT + RESERVE);
        assert_eq!((all + STEPS as usize) * STEP, RESERVE);
        assert_eq!(memory.peak, LIMIT + RESERVE);
    }

    #[test]
    fn a_refusal_of_much_is_no_exhaustion_once_something_was_granted() {
        let mut memory = limit();
        assert!(!memory.memory_growing(STEP, LIMIT * 2, None).unwrap());
        assert!(memory.is_exhausted());
        assert!(memory.memory_growing(STEP, 2 * STEP, None).unwrap());
        assert!(!memory.is_exhausted());
    }

    #[test]
    fn an_answer_has_a_place_or_the_guest_ends() {
        let mut memory = limit();
        memory.expect(1 << 20);
        assert!(memory.memory_growing(LIMIT, LIMIT + (1 << 20) + STEP, None).unwrap());
        let size = LIMIT + (1 << 20) + STEP;
        memory.expect(RESERVE);
        let growth = RESERVE + STEP;
        assert!(memory.memory_growing(size, size + growth, None).is_err());
        // What arrived is no answer any more.
        memory.expect(RESERVE);
        memory.expect(0);
        assert!(!memory.memory_growing(size, size + growth, None).unwrap());
    }

    #[tokio::test]
    async fn memory_is_not_all_there_is_to_a_guest_with_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut state = State::new(Arc::new(Nowhere), Pulse::default());
        let grant = Grant {
            meter: Meter::new(0),
            ram: ByteSize::from_mib(1),
            disk: ByteSize::from_mib(1),
            files: Vec::new(),
            hosts: vec!["127.0.0.1".parse().unwrap()],
            download: ByteSize::from_mib(1),
            environment: Vec::new(),
        };
        state.grant(&grant).unwrap();
        assert_eq!(state.roots_alone(), Some(0));
        let answer = state.network.connect("127.0.0.1", port).unwrap().await.unwrap();
        assert_eq!(state.roots_alone(), None);
        state.network.close(u64::from_le_bytes(answer.into_bytes().try_into().unwrap()));
        assert_eq!(state.roots_alone(), Some(0));
    }
}
