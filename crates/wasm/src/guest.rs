//! A program in a sandbox, in Python or JavaScript: one store, one instance.
//!
//! ```text
//!   open ──▶ new ──read──▶ read ──declare──▶ loaded ──call──▶ (begin ⇄ advance) ──▶ value
//!              └──────declare, call───────────▲
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use capsule_backend::guest::{
    Declared, Grant, Guest, GuestError, Guests, Meter, Outside, Pending, Usage,
};
use capsule_spec::{ErrorCode, Failure, Fuel};
use serde::Deserialize;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Store, Trap};

use crate::host::bindings::capsule::guest::types::{self, Step};
use crate::host::bindings::{Guest as Instance, GuestPre as Module};
use crate::host::{self, Event, MOST_ROOTS, State, bindings};
use crate::layer::Packages;
use crate::memory::{Held, Image, Overlay, Pages, Pool, Recycling, Stacks, starting};
use crate::runtime::{self, FUEL_SLICE, Prepared};

/// A prepared guest, loaded into this process.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    guest: Module<State>,
    pool: Pool,
    roots: u32,
    /// What names its code and its image; empty if they are of no file.
    name: Arc<str>,
}

impl Runtime {
    /// Loads it. At most `most_idle` used memories are kept for later guests.
    ///
    /// # Errors
    /// When its files cannot be mapped or are not what they should be.
    pub fn new(prepared: &Prepared, most_idle: usize) -> wasmtime::Result<Self> {
        let code = |engine: &Engine| prepared.component(engine);
        let runtime = Self::of(prepared.image()?, code, prepared.roots(), most_idle)?;
        Ok(Self { name: prepared.name().into(), ..runtime })
    }

    pub(crate) fn of(
        image: Image,
        code: impl FnOnce(&Engine) -> wasmtime::Result<Component>,
        roots: u32,
        most_idle: usize,
    ) -> wasmtime::Result<Self> {
        let pool = Pool::new(image, most_idle)?;
        let engine = runtime::runner(&pool, Stacks::new(most_idle))?;
        let component = code(&engine)?;
        let mut linker = Linker::<State>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        host::link_files(&mut linker)?;
        bindings::capsule::guest::host::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        let guest = Module::new(linker.instantiate_pre(&component)?)?;
        Ok(Self { engine, guest, pool, roots, name: Arc::from("") })
    }

    /// How used memories are made new on this host.
    pub fn recycling(&self) -> Recycling {
        self.pool.recycling()
    }
}

impl Guests for Runtime {
    fn open(&self, outside: Arc<dyn Outside>) -> Result<Box<dyn Guest>, Failure> {
        Ok(Box::new(self.guest(outside)?))
    }

    fn name(&self) -> Option<String> {
        (!self.name.is_empty()).then(|| self.name.to_string())
    }

    fn restore(&self, stored: &File) -> Option<Arc<dyn Guests>> {
        let mut head = [0; HEAD];
        stored.read_exact_at(&mut head, 0).ok()?;
        let (numbers, _) = head.as_chunks::<8>();
        let [roots, fuel, clock, is_loaded] = numbers else { return None };
        let roots = u32::try_from(u64::from_le_bytes(*roots)).ok()?;
        let (fuel, clock) = (u64::from_le_bytes(*fuel), u64::from_le_bytes(*clock));
        // More than these no program can have come to while it was loaded.
        if roots as usize > MOST_ROOTS || fuel > Fuel::LOW.units() || clock > LONGEST_CLOCK {
            return None;
        }
        let is_loaded = u64::from_le_bytes(*is_loaded) != 0;
        let overlay = Arc::new(self.pool.stored(stored, HEAD)?);
        let memory = Arc::new(Kept { overlay, roots, fuel, clock, is_loaded });
        Some(Arc::new(Begun { runtime: self.clone(), memory }))
    }
}

/// What stands before a memory that is stored: handles of the root, fuel, a clock, and whether
/// the program is loaded.
const HEAD: usize = 4 * size_of::<u64>();
/// An hour, in nanoseconds.
const LONGEST_CLOCK: u64 = 3_600_000_000_000;

/// A runtime and a memory in which a program is read or loaded.
struct Begun {
    runtime: Runtime,
    memory: Arc<Kept>,
}

/// What a guest was when its program was read or loaded.
struct Kept {
    overlay: Arc<Overlay>,
    /// Handles of the root that the memory believes to hold.
    roots: u32,
    /// What that burnt.
    fuel: u64,
    /// What the clock that only runs showed.
    clock: u64,
    is_loaded: bool,
}

impl Guests for Begun {
    fn open(&self, outside: Arc<dyn Outside>) -> Result<Box<dyn Guest>, Failure> {
        let mut guest = self.runtime.guest(outside)?;
        guest.store.data_mut().witness.go_on_from(self.memory.clock);
        guest.fuel = self.memory.fuel;
        guest.is_loaded = self.memory.is_loaded;
        guest.kept = Some(self.memory.clone());
        Ok(Box::new(guest))
    }

    fn store(&self) -> Option<Vec<u8>> {
        let Kept { overlay, roots, fuel, clock, is_loaded } = &*self.memory;
        let head = [u64::from(*roots), *fuel, *clock, u64::from(*is_loaded)].map(u64::to_le_bytes);
        Some(overlay.write(head.as_flattened()))
    }
}

impl Runtime {
    pub(crate) fn guest(&self, outside: Arc<dyn Outside>) -> Result<WasmGuest, Failure> {
        let pulse = crate::host::Pulse::default();
        let mut store = Store::new(&self.engine, State::new(outside, pulse.clone()));
        store.limiter(|state| &mut state.memory);
        store.fuel_async_yield_interval(Some(FUEL_SLICE)).map_err(broken)?;
        Ok(WasmGuest {
            store,
            runtime: self.clone(),
            instance: None,
            memory: None,
            kept: None,
            pulse,
            is_loaded: false,
            was_timed: None,
            fuel: 0,
        })
    }
}

pub(crate) struct WasmGuest {
    store: Store<State>,
    runtime: Runtime,
    instance: Option<Instance>,
    memory: Option<Held>,
    /// What it begins with.
    kept: Option<Arc<Kept>>,
    pulse: crate::host::Pulse,
    is_loaded: bool,
    /// What the guest says of the clock that only runs, if it said anything.
    was_timed: Option<bool>,
    /// Burnt in calls that are over.
    fuel: u64,
}

/// What `load` answers.
#[derive(Deserialize)]
struct Declaration<'a> {
    #[serde(borrow)]
    tasks: &'a serde_json::value::RawValue,
    #[serde(borrow)]
    uses: &'a serde_json::value::RawValue,
    pure: bool,
    /// Whether the program looked at the clock that only runs, if the guest knows.
    timed: Option<bool>,
}

impl Guest for WasmGuest {
    fn read<'a>(&'a mut self, bounds: &'a Grant) -> Pending<'a, Result<(), GuestError>> {
        Box::pin(self.metered(bounds, async |this: &mut Self| {
            this.store.data_mut().deny();
            // Nothing of the program asks for the time when nothing of it runs.
            this.was_timed = Some(false);
            let (instance, store) = this.instance().await?;
            let result = instance.call_read_program(store).await;
            this.answered(result)
        }))
    }

    fn declare<'a>(&'a mut self, bounds: &'a Grant) -> Pending<'a, Result<Declared, GuestError>> {
        Box::pin(self.metered(bounds, async |this: &mut Self| {
            this.store.data_mut().deny();
            let text = this.load(None).await?;
            let loaded: Declaration<'_> = serde_json::from_str(&text).map_err(|_| nonsense())?;
            let is_pure = loaded.pure && !this.store.data().looked_for_rights();
            let (functions, uses) = (loaded.tasks.get().to_owned(), loaded.uses.get().to_owned());
            this.was_timed = loaded.timed;
            Ok(Declared { functions, uses, is_pure })
        }))
    }

    fn call<'a>(
        &'a mut self,
        function: &'a str,
        arguments: &'a str,
        grant: &'a Grant,
    ) -> Pending<'a, Result<String, GuestError>> {
        self.forget_if_over(grant);
        Box::pin(self.metered(grant, async move |this: &mut Self| {
            if !this.is_loaded {
                this.load(Some(&grant.environment)).await?;
            }
            this.run(function, arguments, &grant.environment).await
        }))
    }

    fn evaluate<'a>(
        &'a mut self,
        code: &'a str,
        name: &'a str,
        grant: &'a Grant,
    ) -> Pending<'a, Result<String, GuestError>> {
        Box::pin(self.metered(grant, async move |this: &mut Self| {
            let (instance, store) = this.instance().await?;
            let result = instance.call_evaluate(store, code, name).await;
            this.answered(result)
        }))
    }

    fn save(&mut self) -> Option<Arc<dyn Guests>> {
        let asked = self.store.data().asked(self.was_timed);
        let roots = self.roots_alone().filter(|_| !asked)?;
        let overlay = Arc::new(self.memory.as_ref()?.overlay()?);
        let roots = u32::try_from(roots).ok()?;
        let clock = self.store.data().witness.clock();
        let (fuel, is_loaded) = (self.fuel, self.is_loaded);
        let memory = Arc::new(Kept { overlay, roots, fuel, clock, is_loaded });
        Some(Arc::new(Begun { runtime: self.runtime.clone(), memory }))
    }

    fn usage(&self) -> Usage {
        let state = self.store.data();
        Usage { fuel: self.fuel, ram: state.memory.peak as u64, requests: state.network.requests() }
    }
}

impl WasmGuest {
    /// Runs `work` under the limits of a grant, and charges what it burnt.
    async fn metered<T>(
        &mut self,
        grant: &Grant,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, GuestError>,
    ) -> Result<T, GuestError> {
        self.store.data_mut().grant(grant).map_err(GuestError::Failed)?;
        let given = grant.meter.left();
        self.store.set_fuel(given).map_err(|error| GuestError::Failed(broken(error)))?;
        let mut account = Account { guest: self, meter: &grant.meter, given, charged: 0 };
        let pulse = account.guest.pulse.clone();
        let result = {
            let Account { guest, meter, charged, .. } = &mut account;
            let mut work = pin!(work(guest));
            std::future::poll_fn(|context| match work.as_mut().poll(context) {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending if pulse.is_waiting() => Poll::Pending,
                Poll::Pending => {
                    *charged += FUEL_SLICE;
                    meter.charge(FUEL_SLICE);
                    match meter.left() {
                        0 => Poll::Ready(Err(GuestError::OutOfFuel)),
                        _ => Poll::Pending,
                    }
                }
            })
            .await
        };
        drop(account);
        result
    }

    async fn instance(&mut self) -> Result<(&Instance, &mut Store<State>), GuestError> {
        if self.instance.is_none() {
            let overlay = self.kept.as_ref().map(|kept| kept.overlay.clone());
            let length = overlay.as_ref().map(|overlay| overlay.length());
            let fuel = self.store.get_fuel().map_err(|error| self.crashed(error))?;
            let make = self.runtime.guest.instantiate_async(&mut self.store);
            let (instance, memory) = starting(overlay, make).await;
            let instance = instance.map_err(|error| self.crashed(error))?;
            self.memory = memory;
            if length.is_some_and(|length| !self.store.data_mut().memory.begins_with(length)) {
                let message = "the run has no memory left for another sandbox";
                let failure = Failure::new(ErrorCode::MemoryLimit, message);
                return Err(GuestError::Failed(failure));
            }
            let roots = self.kept.as_ref().map_or(self.runtime.roots, |kept| kept.roots);
            if roots > 0 {
                let woken = instance.call_wake(&mut self.store, roots).await;
                woken.map_err(|error| self.crashed(error))?;
            }
            // A task costs the same, whether its program was loaded here or before.
            self.store.set_fuel(fuel).map_err(|error| self.crashed(error))?;
            self.instance = Some(instance);
        }
        let instance = self.instance.as_ref().expect("made above");
        Ok((instance, &mut self.store))
    }

    /// Imports modules: those that could not be, and why.
    pub(crate) async fn absorb(
        &mut self,
        packages: &Packages,
        grant: &Grant,
    ) -> Result<Vec<(String, String)>, GuestError> {
        self.metered(grant, async move |this: &mut Self| {
            let (instance, store) = this.instance().await?;
            let result = instance.call_absorb(store, &packages.modules, &packages.native).await;
            this.answered(result)
        })
        .await
    }

    /// A program that took more memory than its task may have is loaded within the limit
    /// of the task, where that fails as it should.
    fn forget_if_over(&mut self, grant: &Grant) {
        let most = usize::try_from(grant.ram.bytes()).unwrap_or(usize::MAX);
        let begins_over = |kept: &Arc<Kept>| {
            let length = kept.overlay.length();
            length > self.runtime.pool.length() && length > most
        };
        if self.instance.is_none() && self.kept.as_ref().is_some_and(begins_over) {
            self.kept = None;
            self.is_loaded = false;
            self.fuel = 0;
        }
    }

    /// What its memory holds.
    pub(crate) fn memory(&self) -> std::io::Result<Vec<u8>> {
        self.memory.as_ref().ok_or(std::io::ErrorKind::NotFound)?.copy()
    }

    /// The pages of its memory that it wrote.
    pub(crate) fn written(&self) -> Option<Vec<Pages>> {
        self.memory.as_ref()?.written()
    }

    /// See [`State::roots_alone`].
    pub(crate) fn roots_alone(&self) -> Option<usize> {
        self.store.data().roots_alone()
    }

    async fn load(
        &mut self,
        environment: Option<&[(String, String)]>,
    ) -> Result<String, GuestError> {
        self.is_loaded = true;
        let (instance, store) = self.instance().await?;
        let result = instance.call_load(store, environment).await;
        self.answered(result)
    }

    async fn run(
        &mut self,
        function: &str,
        arguments: &str,
        environment: &[(String, String)],
    ) -> Result<String, GuestError> {
        let (instance, store) = self.instance().await?;
        let result = instance.call_begin(store, function, arguments, environment).await;
        let mut step = self.answered(result)?;
        loop {
            let most = match step {
                Step::Done(value) => return Ok(value),
                Step::Waiting(most) => most.map(Duration::from_nanos),
            };
            // Between two steps nothing of the guest is on a stack.
            let events = self.events(most).await;
            let events: Vec<types::Event> = events.into_iter().map(types::Event::from).collect();
            let (instance, store) = self.instance().await?;
            let result = instance.call_advance(store, &events).await;
            step = self.answered(result)?;
        }
    }

    fn answered<T>(
        &self,
        result: wasmtime::Result<Result<T, types::Failure>>,
    ) -> Result<T, GuestError> {
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(failure)) => Err(GuestError::Raised {
                kind: failure.kind,
                message: failure.message,
                traceback: failure.detail,
            }),
            Err(error) => Err(self.crashed(error)),
        }
    }

    fn crashed(&self, error: wasmtime::Error) -> GuestError {
        let trap = error.downcast_ref::<Trap>();
        if trap == Some(&Trap::OutOfFuel) {
            return GuestError::OutOfFuel;
        }
        // Some parts of an interpreter can do nothing but end when they get no memory.
        let memory = &self.store.data().memory;
        let is_unreachable = trap == Some(&Trap::UnreachableCodeReached);
        if memory.is_exhausted() || is_unreachable && memory.was_refused {
            return GuestError::OutOfMemory;
        }
        match trap {
            Some(Trap::StackOverflow) => GuestError::Crashed("it recursed too deeply".to_owned()),
            Some(trap) => GuestError::Crashed(trap.to_string()),
            None => GuestError::Crashed(format!("{error:#}")),
        }
    }

    async fn events(&mut self, most: Option<Duration>) -> Vec<Event> {
        let _waiting = self.pulse.waiting();
        let operations = &mut self.store.data_mut().operations;
        if most.is_none() && operations.is_idle() {
            // It waits for nothing; it may say so itself.
            return Vec::new();
        }
        operations.wait(&[], most).await
    }
}

/// Settles what a call burnt, also when it is dropped half-way.
struct Account<'a> {
    guest: &'a mut WasmGuest,
    meter: &'a Meter,
    given: u64,
    charged: u64,
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        let left = self.guest.store.get_fuel().unwrap_or(0);
        let burnt = self.given.saturating_sub(left);
        self.guest.fuel += burnt;
        if burnt >= self.charged {
            self.meter.charge(burnt - self.charged);
        } else {
            self.meter.refund(self.charged - burnt);
        }
    }
}

fn nonsense() -> GuestError {
    GuestError::Crashed("it answered with something else than was asked".to_owned())
}

fn broken(error: wasmtime::Error) -> Failure {
    Failure::new(ErrorCode::SystemFailure, format!("the sandbox could not be built: {error:#}"))
}
