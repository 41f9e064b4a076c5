//! Loaded programs, and the calls of their tasks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use capsule_backend::guest::{Grant, GuestError, Guests, Meter, Pending, Room};
use capsule_spec::{ByteSize, ErrorCode, Execution, Failure, Function, nearest};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use crate::answer::{Answer, explain, requests};
use crate::event::{CallId, Observer, TaskEvent};
use crate::limits::RunLimits;
use crate::output::Output;
use crate::parts::Parts;
use crate::program::{LOAD_TIMEOUT, Opened, Program};
use crate::programs::{Programs, Shelf};
use crate::settings::is_name;
use crate::value::{self, Bytes};

/// What runs the tasks.
#[derive(Clone)]
pub struct Backends {
    /// Tasks in WebAssembly; every program is loaded there first.
    pub wasm: Arc<dyn Guests>,
    /// Tasks with `isolation="jail"`.
    pub jail: Result<Arc<dyn Guests>, Failure>,
    /// Programs that were loaded in WebAssembly before.
    pub programs: Arc<Programs>,
    /// Where the program is kept from one process to the next, if anywhere.
    pub shelf: Option<Arc<dyn Shelf>>,
}

/// A program, and those that it may call, loaded once without rights: what their tasks may
/// do is settled.
#[derive(Clone)]
pub struct Workflow {
    shared: Arc<Shared>,
}

/// What all calls of a run share.
pub(crate) struct Shared {
    /// The first is the one that was named.
    programs: Vec<Program>,
    pub(crate) limits: RunLimits,
    observer: Box<dyn Observer>,
    pub(crate) output: Output,
    environment: BTreeMap<String, String>,
    levels: Vec<Semaphore>,
    calls: AtomicUsize,
    ids: AtomicU64,
    /// Bytes of arguments that calls hold, while they wait and run.
    pub(crate) given: Arc<Bytes>,
    /// Memory of all its sandboxes.
    pub(crate) room: Arc<Room>,
}

/// A task that is called: whose it is, what it is called there, what it may do.
#[derive(Clone, Copy)]
struct Target<'a> {
    program: &'a Program,
    task: &'a str,
    function: &'a Function,
}

/// Private files of a sandbox.
pub const DISK: ByteSize = ByteSize::from_mib(256);
/// What a sandbox may receive from the network in all.
pub const DOWNLOAD: ByteSize = ByteSize::from_mib(4096);

impl Workflow {
    /// Loads a program and those that it may call, and learns what they declare.
    /// `environment` is what tasks may ask for.
    ///
    /// # Errors
    /// A program cannot be loaded, or declares what cannot be honoured.
    pub async fn load(
        parts: Parts,
        limits: RunLimits,
        environment: BTreeMap<String, String>,
        output: Output,
        observer: Box<dyn Observer>,
    ) -> Result<Self, Answer> {
        let number = |(index, part)| Program::new(index, part);
        let programs = parts.into_list().into_iter().enumerate().map(number).collect();
        let levels = (0..=limits.depth).map(|_| Semaphore::new(limits.parallel)).collect();
        let shared = Arc::new(Shared {
            programs,
            limits,
            observer,
            output,
            environment,
            levels,
            calls: AtomicUsize::new(0),
            ids: AtomicU64::new(1),
            given: Arc::new(Bytes::new(limits.arguments)),
            room: Room::new(limits.memory),
        });
        shared.declare().await?;
        Ok(Self { shared })
    }

    /// The tasks of all its programs.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.shared.programs.iter().flat_map(|program| program.functions().values())
    }

    /// Calls a task, `TASK` or `PROGRAM:TASK`, with arguments `{"args": […], "kwargs": {…}}`.
    pub async fn call(&self, function: &str, arguments: &str) -> Answer {
        let frame = Frame { parent: None, depth: 0, meter: None };
        self.shared.clone().call(0, function.to_owned(), arguments.to_owned(), frame).await
    }
}

/// Where a call comes from.
#[derive(Clone)]
pub(crate) struct Frame {
    parent: Option<CallId>,
    depth: usize,
    meter: Option<Arc<Meter>>,
}

impl Shared {
    /// One of its programs, by its number.
    pub(crate) fn program(&self, index: usize) -> Option<&Program> {
        self.programs.get(index)
    }

    /// One of its programs, by the name that `capsule.toml` gives it.
    pub(crate) fn named(&self, name: &str) -> Option<&Program> {
        self.programs.iter().find(|program| program.name == name && !name.is_empty())
    }

    /// Loads all programs, without rights. What their tasks may do is settled then, for all
    /// of them; and what one says that it calls of another is there.
    async fn declare(self: &Arc<Self>) -> Result<(), Answer> {
        let deadline = Instant::now() + LOAD_TIMEOUT;
        for program in &self.programs {
            program.declare(self, deadline).await?;
        }
        for program in &self.programs {
            for used in program.uses() {
                self.find(program, &used.name)
                    .map_err(|failure| Answer::refused("main", used.locate(failure)))?;
            }
        }
        Ok(())
    }

    /// The task that a program means: one of its own, or `PROGRAM:TASK`. Its program, its
    /// name there, and what it may do.
    fn find<'a>(
        &'a self,
        from: &'a Program,
        name: &str,
    ) -> Result<(&'a Program, &'a str, &'a Function), Failure> {
        let of = |program: &'a Program, task: &str| {
            let (task, function) = program.functions().get_key_value(task)?;
            Some((program, task.as_str(), function))
        };
        if let Some(own) = of(from, name) {
            return Ok(own);
        }
        let Some((program, task)) = name.split_once(':') else { return Err(from.unknown(name)) };
        match self.named(program) {
            Some(other) => of(other, task).ok_or_else(|| other.unknown(task)),
            None if is_name(program) => Err(self.unknown(program)),
            None => Err(from.unknown(name)),
        }
    }

    /// That there is no program of this name.
    fn unknown(&self, name: &str) -> Failure {
        let message = format!("capsule.toml names no program {name:?}");
        let names = self.programs.iter().map(|program| program.name.as_str());
        Failure::new(ErrorCode::UnknownFunction, message).hint(match nearest(name, names) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("name it there, below [programs]: {name} = \"FILE\""),
        })
    }

    /// Calls a task that program number `from` means by a name: waits for its turn, then
    /// makes as many attempts as it may have.
    pub(crate) async fn call(
        self: Arc<Self>,
        from: usize,
        name: String,
        arguments: String,
        frame: Frame,
    ) -> Answer {
        let Some(from) = self.program(from) else {
            let message = "the run has no such program";
            return Answer::refused(&name, Failure::new(ErrorCode::SystemFailure, message));
        };
        let target = match self.find(from, &name) {
            Ok((program, task, function)) => Target { program, task, function },
            Err(failure) => return Answer::refused(&name, failure),
        };
        let function = target.function;
        let name = function.name.clone();
        let call = CallId(self.ids.fetch_add(1, Ordering::Relaxed));
        self.observer.observe(TaskEvent::Called { call, parent: frame.parent, task: name.clone() });
        let started = Instant::now();
        // A failed call's later attempts use the same budget.
        let meter = match &frame.meter {
            Some(above) => Meter::below(above, function.compute.units()),
            None => Meter::within(function.compute.units(), &self.room),
        };
        let mut execution = Execution { task_name: name.clone(), ..Execution::default() };
        let value = self.attempts(&target, &arguments, &frame, call, &meter, &mut execution).await;
        let took = started.elapsed();
        execution.duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        execution.fuel_consumed = meter.used();
        execution.output_truncated = frame.depth == 0 && self.output.is_truncated();
        let value = value.map_err(|error| explain(function, error));
        let error = value.as_ref().err().map(|error| (error.error_type.clone(), error.code));
        self.observer.observe(TaskEvent::Ended { call, error, took, fuel: meter.used() });
        Answer { value, execution }
    }

    async fn attempts(
        self: &Arc<Self>,
        target: &Target<'_>,
        arguments: &str,
        frame: &Frame,
        call: CallId,
        meter: &Arc<Meter>,
        execution: &mut Execution,
    ) -> Result<Box<RawValue>, GuestError> {
        let Target { program, function, .. } = *target;
        if frame.depth > self.limits.depth {
            let message = format!("tasks are nested more than {} deep", self.limits.depth);
            return Err(GuestError::Failed(Failure::new(ErrorCode::CallLimit, message)));
        }
        let _turn = self.levels[frame.depth].acquire().await;
        let mut attempt = 1;
        loop {
            if self.calls.fetch_add(1, Ordering::Relaxed) >= self.limits.calls {
                let message =
                    format!("the run made more than {} calls of tasks", self.limits.calls);
                return Err(GuestError::Failed(Failure::new(ErrorCode::CallLimit, message)));
            }
            self.observer.observe(TaskEvent::Started { call, attempt });
            let grant = program
                .grant(function, &self.environment, meter.clone())
                .map_err(GuestError::Failed)?;
            let result = self.attempt(target, arguments, frame, call, &grant, execution).await;
            match result {
                Err(error) if attempt <= function.max_retries && can_help(&error) => {
                    let after = back_off(attempt);
                    let reason = explain(function, error);
                    let reason = format!("{}: {}", reason.error_type, reason.message);
                    self.observer.observe(TaskEvent::Retrying { call, reason, after });
                    tokio::time::sleep(after).await;
                    execution.retries += 1;
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        target: &Target<'_>,
        arguments: &str,
        frame: &Frame,
        call: CallId,
        grant: &Grant,
        execution: &mut Execution,
    ) -> Result<Box<RawValue>, GuestError> {
        let Target { program, task, function } = *target;
        let inside =
            Frame { parent: Some(call), depth: frame.depth + 1, meter: Some(grant.meter.clone()) };
        let Opened { mut guest, exit } =
            program.guest(self, function.isolation).map_err(GuestError::Failed)?;
        // What loading burnt belongs to the call that goes on in the same sandbox.
        grant.meter.charge(guest.usage().fuel);
        exit.enter(inside);
        for (channel, bytes) in exit.held.release() {
            self.output.write(channel, &bytes);
        }
        let result = within(Some(function.timeout), guest.call(task, arguments, grant)).await;
        let usage = guest.usage();
        execution.ram_used = execution.ram_used.max(usage.ram);
        execution.host_requests.extend(requests(usage.requests));
        // A guest's answer is text until it is known to be JSON.
        value::of(&result.map_err(|error| program.placed(error))?).map_err(|error| {
            GuestError::Crashed(format!("its answer cannot be passed on: {error}"))
        })
    }
}

/// Ends `work` at its deadline, also when it never stops for breath: guests are
/// polled every slice of fuel, and the clock is looked at each time.
pub(crate) async fn within<T>(
    most: Option<Duration>,
    work: Pending<'_, Result<T, GuestError>>,
) -> Result<T, GuestError> {
    let Some(until) = most.and_then(|most| Instant::now().checked_add(most)) else {
        return work.await;
    };
    let mut work = work;
    let mut timer = std::pin::pin!(tokio::time::sleep_until(until.into()));
    std::future::poll_fn(|context| {
        if let Poll::Ready(result) = work.as_mut().poll(context) {
            return Poll::Ready(result);
        }
        if Instant::now() >= until || timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(GuestError::TimedOut));
        }
        Poll::Pending
    })
    .await
}

/// Whether another attempt could end otherwise.
fn can_help(error: &GuestError) -> bool {
    match error {
        GuestError::Raised { kind, .. } => kind != "DeniedError",
        GuestError::TimedOut | GuestError::Crashed(_) => true,
        // No guest ends as a task that it called.
        GuestError::Task { .. } => false,
        // The same program burns the same fuel, and needs the same memory.
        GuestError::OutOfFuel | GuestError::OutOfMemory => false,
        GuestError::Failed(failure) => failure.code.retryable(),
    }
}

/// 100 ms, doubled each time, at most 10 s.
fn back_off(attempt: u32) -> Duration {
    Duration::from_millis(100 << (attempt - 1).min(10)).min(Duration::from_secs(10))
}
