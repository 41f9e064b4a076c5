//! A loaded program, and the calls of its tasks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use capsule_backend::guest::{
    Channel, Grant, Guest, GuestError, Guests, Meter, Outside, Pending, Room, Source, Usage,
};
use capsule_spec::{ByteSize, ErrorCode, Execution, Failure, Fuel, Function, Isolation, nearest};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use crate::answer::{Answer, explain, requests, to_caller};
use crate::declaration;
use crate::event::{CallId, Observer, TaskEvent};
use crate::limits::RunLimits;
use crate::output::{Held, Output};
use crate::programs::{Asked, Loaded, Programs};
use crate::project::Project;
use crate::value::{self, Bytes};
use crate::workers;

/// What runs the tasks.
#[derive(Clone)]
pub struct Backends {
    /// Tasks in WebAssembly; every program is loaded there first.
    pub wasm: Arc<dyn Guests>,
    /// Tasks with `isolation="jail"`.
    pub jail: Result<Arc<dyn Guests>, Failure>,
    /// Programs that were loaded in WebAssembly before.
    pub programs: Arc<Programs>,
}

/// A program that has been loaded once, without rights: what its tasks may do is
/// settled.
#[derive(Clone)]
pub struct Workflow {
    shared: Arc<Shared>,
}

struct Shared {
    project: Project,
    functions: OnceLock<BTreeMap<String, Function>>,
    backends: Backends,
    limits: RunLimits,
    observer: Box<dyn Observer>,
    output: Output,
    environment: BTreeMap<String, String>,
    levels: Vec<Semaphore>,
    calls: AtomicUsize,
    ids: AtomicU64,
    /// Bytes of arguments that calls hold, while they wait and run.
    given: Arc<Bytes>,
    /// Memory of all its sandboxes.
    room: Arc<Room>,
    /// The sandbox in which the program was loaded, if the first call can go on there.
    first: Mutex<Option<Opened>>,
    /// What opens others in which it is loaded.
    loaded: OnceLock<Loaded>,
}

/// A sandbox and its way out.
struct Opened {
    guest: Box<dyn Guest>,
    exit: Arc<Exit>,
}

/// No task has a longer name.
const LONGEST_NAME: usize = 800;
/// Private files of a sandbox.
pub const DISK: ByteSize = ByteSize::from_mib(256);
/// What a sandbox may receive from the network in all.
pub const DOWNLOAD: ByteSize = ByteSize::from_mib(4096);
/// Loading a program may take this long, and use this much.
const LOAD_TIMEOUT: Duration = Duration::from_secs(30);

impl Workflow {
    /// Loads a program and learns what it declares. `environment` is what tasks may ask for.
    ///
    /// # Errors
    /// The program cannot be loaded, or declares what cannot be honoured.
    pub async fn load(
        project: Project,
        backends: Backends,
        limits: RunLimits,
        environment: BTreeMap<String, String>,
        output: Output,
        observer: Box<dyn Observer>,
    ) -> Result<Self, Answer> {
        let levels = (0..=limits.depth).map(|_| Semaphore::new(limits.parallel)).collect();
        let shared = Arc::new(Shared {
            project,
            functions: OnceLock::new(),
            backends,
            limits,
            observer,
            output,
            environment,
            levels,
            calls: AtomicUsize::new(0),
            ids: AtomicU64::new(1),
            given: Arc::new(Bytes::new(limits.arguments)),
            room: Room::new(limits.memory),
            first: Mutex::new(None),
            loaded: OnceLock::new(),
        });
        shared.declare().await?;
        Ok(Self { shared })
    }

    /// The names of its tasks, in order.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.shared.functions().values()
    }

    /// Calls a task with arguments `{"args": […], "kwargs": {…}}`.
    pub async fn call(&self, function: &str, arguments: &str) -> Answer {
        let frame = Frame { parent: None, depth: 0, meter: None };
        self.shared.clone().call(function.to_owned(), arguments.to_owned(), frame).await
    }
}

/// Where a call comes from.
#[derive(Clone)]
struct Frame {
    parent: Option<CallId>,
    depth: usize,
    meter: Option<Arc<Meter>>,
}

impl Shared {
    fn functions(&self) -> &BTreeMap<String, Function> {
        static NONE: BTreeMap<String, Function> = BTreeMap::new();
        self.functions.get().unwrap_or(&NONE)
    }

    async fn declare(self: &Arc<Self>) -> Result<(), Answer> {
        let refused = |failure| Answer::refused("main", failure);
        let own = self.project.source("");
        let source = |name: &str| self.project.source(name);
        let known = own.as_ref().and_then(|own| self.backends.programs.find(own, source));
        if let Some(loaded) = known {
            self.settle(&loaded.functions).map_err(refused)?;
            let _ = self.loaded.set(loaded);
            return Ok(());
        }
        let exit = Arc::new(Exit::new(self, Held::hold()));
        let bounds = Grant {
            environment: Vec::new(),
            ..self.bare_grant(Meter::within(Fuel::LOW.units(), &self.room), Function::RAM)
        };
        let mut guest = self.backends.wasm.open(exit.clone()).map_err(refused)?;
        let started = Instant::now();
        let declared = within(Some(LOAD_TIMEOUT), guest.declare(&bounds)).await;
        let declared = declared.map_err(|error| {
            // What it printed may say why.
            for (channel, bytes) in exit.held.release() {
                self.output.write(channel, &bytes);
            }
            self.not_loaded(self.placed(error), &guest.usage(), started.elapsed())
        })?;
        self.settle(&declared.functions).map_err(refused)?;
        if declared.is_pure {
            let mut save = || {
                let (guests, output) = (guest.save()?, exit.held.copy());
                Some(Loaded { guests, output, functions: declared.functions.clone() })
            };
            // A program with one task will hardly call another.
            if self.functions().len() > 1
                && let Some(loaded) = save()
            {
                let _ = self.loaded.set(loaded);
            }
            if let Some(own) = own {
                let save = || self.loaded.get().cloned().or_else(save);
                self.backends.programs.note(own, exit.asked(), save);
            }
            let first = Opened { guest, exit };
            *self.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(first);
        }
        Ok(())
    }

    /// From here on it is settled what the tasks may do.
    fn settle(&self, declared: &str) -> Result<(), Failure> {
        let place = |file: &str, line, column| self.project.place(file, line, column);
        let defaults = &self.project.settings.defaults;
        let functions = declaration::functions(declared, defaults, place)?;
        let _ = self.functions.set(functions);
        Ok(())
    }

    fn not_loaded(&self, error: GuestError, usage: &Usage, took: Duration) -> Answer {
        let function = loading();
        let mut error = explain(&function, error);
        error.hint = error.hint.or_else(|| {
            Some(
                "a program is first loaded without any right, to learn what its tasks may do; \
             what needs files, hosts or variables belongs into a task"
                    .to_owned(),
            )
            .filter(|_| {
                matches!(
                    error.error_type.as_str(),
                    "KeyError" | "DeniedError" | "FileNotFoundError" | "PermissionError"
                )
            })
        });
        let execution = Execution {
            task_name: "main".to_owned(),
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            fuel_consumed: usage.fuel,
            ram_used: usage.ram,
            host_requests: requests(usage.requests.clone()),
            ..Execution::default()
        };
        Answer { value: Err(error), execution }
    }

    /// A guest's error, with the user's places.
    fn placed(&self, error: GuestError) -> GuestError {
        match error {
            GuestError::Raised { kind, message, traceback } => {
                GuestError::Raised { kind, message, traceback: self.project.trace(traceback) }
            }
            other => other,
        }
    }

    fn bare_grant(&self, meter: Arc<Meter>, ram: ByteSize) -> Grant {
        Grant {
            meter,
            ram,
            disk: DISK,
            files: self.project.always(),
            hosts: Vec::new(),
            download: DOWNLOAD,
            environment: Vec::new(),
        }
    }

    fn grant(&self, function: &Function, meter: Arc<Meter>) -> Result<Grant, Failure> {
        let variable = |name: &String| Some((name.clone(), self.environment.get(name)?.clone()));
        Ok(Grant {
            files: self.project.files(function)?,
            hosts: function.hosts.clone(),
            environment: function.environment.iter().filter_map(variable).collect(),
            ..self.bare_grant(meter, function.ram)
        })
    }

    /// Calls a task: waits for its turn, then makes as many attempts as it may have.
    async fn call(self: Arc<Self>, name: String, arguments: String, frame: Frame) -> Answer {
        let Some(function) = self.functions().get(&name).cloned() else {
            return Answer::refused(&name, self.unknown(&name));
        };
        let call = CallId(self.ids.fetch_add(1, Ordering::Relaxed));
        self.observer.observe(TaskEvent::Called { call, parent: frame.parent, task: name.clone() });
        let started = Instant::now();
        // A failed call's later attempts use the same budget.
        let meter = match &frame.meter {
            Some(above) => Meter::below(above, function.compute.units()),
            None => Meter::within(function.compute.units(), &self.room),
        };
        let mut execution = Execution { task_name: name.clone(), ..Execution::default() };
        let value =
            self.attempts(&function, &arguments, &frame, call, &meter, &mut execution).await;
        let took = started.elapsed();
        execution.duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        execution.fuel_consumed = meter.used();
        execution.output_truncated = frame.depth == 0 && self.output.is_truncated();
        let value = value.map_err(|error| explain(&function, error));
        let error = value.as_ref().err().map(|error| (error.error_type.clone(), error.code));
        self.observer.observe(TaskEvent::Ended { call, error, took, fuel: meter.used() });
        Answer { value, execution }
    }

    async fn attempts(
        self: &Arc<Self>,
        function: &Function,
        arguments: &str,
        frame: &Frame,
        call: CallId,
        meter: &Arc<Meter>,
        execution: &mut Execution,
    ) -> Result<Box<RawValue>, GuestError> {
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
            let grant = self.grant(function, meter.clone()).map_err(GuestError::Failed)?;
            let result = self.attempt(function, arguments, frame, call, &grant, execution).await;
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
        function: &Function,
        arguments: &str,
        frame: &Frame,
        call: CallId,
        grant: &Grant,
        execution: &mut Execution,
    ) -> Result<Box<RawValue>, GuestError> {
        let inside =
            Frame { parent: Some(call), depth: frame.depth + 1, meter: Some(grant.meter.clone()) };
        let Opened { mut guest, exit } =
            self.guest(function.isolation).map_err(GuestError::Failed)?;
        // What loading burnt belongs to the call that goes on in the same sandbox.
        grant.meter.charge(guest.usage().fuel);
        exit.enter(inside);
        for (channel, bytes) in exit.held.release() {
            self.output.write(channel, &bytes);
        }
        let result =
            within(Some(function.timeout), guest.call(&function.name, arguments, grant)).await;
        let usage = guest.usage();
        execution.ram_used = execution.ram_used.max(usage.ram);
        execution.host_requests.extend(requests(usage.requests));
        // A guest's answer is text until it is known to be JSON.
        value::of(&result.map_err(|error| self.placed(error))?).map_err(|error| {
            GuestError::Crashed(format!("its answer cannot be passed on: {error}"))
        })
    }

    fn guest(self: &Arc<Self>, isolation: Isolation) -> Result<Opened, Failure> {
        let (guests, held) = match (isolation, self.loaded.get()) {
            (Isolation::Jail, _) => {
                (self.backends.jail.as_ref().map_err(Clone::clone)?, Held::default())
            }
            (_, loaded) => {
                let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(first) = first {
                    return Ok(first);
                }
                match loaded {
                    Some(loaded) => (&loaded.guests, Held::again(&loaded.output)),
                    None => (&self.backends.wasm, Held::default()),
                }
            }
        };
        let exit = Arc::new(Exit::new(self, held));
        Ok(Opened { guest: guests.open(exit.clone())?, exit })
    }

    fn unknown(&self, name: &str) -> Failure {
        let names = || self.functions().keys().map(String::as_str);
        let failure =
            Failure::new(ErrorCode::UnknownFunction, format!("the program has no task {name:?}"));
        let listed =
            names().take(20).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        failure.hint(match nearest(name, names()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!(
                "it declares {listed}; every task must be declared when the program is loaded"
            ),
        })
    }
}

/// The way out of one sandbox.
struct Exit {
    /// Weak, because the workflow may hold the sandbox.
    workflow: Weak<Shared>,
    held: Held,
    /// Set when a call begins; a program that only declares calls nothing.
    frame: OnceLock<Frame>,
    /// Modules that were looked for before that.
    asked: Mutex<Asked>,
}

impl Exit {
    fn new(workflow: &Arc<Shared>, held: Held) -> Self {
        let (workflow, asked) = (Arc::downgrade(workflow), Mutex::default());
        Self { workflow, held, frame: OnceLock::new(), asked }
    }

    /// Modules that the program looked for while it was loaded.
    fn asked(&self) -> Asked {
        std::mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn enter(&self, frame: Frame) {
        let _ = self.frame.set(frame);
    }
}

impl Outside for Exit {
    fn source(&self, module: &str) -> Option<Source> {
        let found = self.workflow.upgrade()?.project.source(module);
        if self.frame.get().is_none() {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.add(module, found.as_ref());
        }
        found
    }

    fn output(&self, channel: Channel, bytes: &[u8]) {
        if let Some(workflow) = self.workflow.upgrade()
            && !self.held.keep(channel, bytes)
        {
            workflow.output.write(channel, bytes);
        }
    }

    fn call(
        &self,
        function: &str,
        arguments: String,
    ) -> Pending<'static, Result<String, GuestError>> {
        let (Some(frame), Some(workflow)) = (self.frame.get().cloned(), self.workflow.upgrade())
        else {
            return Box::pin(std::future::ready(Err(GuestError::Raised {
                kind: "RuntimeError".to_owned(),
                message: format!(
                    "task {function:?} was called while the program was being loaded; call it inside a task"
                ),
                traceback: String::new(),
            })));
        };
        let held = if function.len() > LONGEST_NAME {
            Err(Failure::new(
                ErrorCode::UnknownFunction,
                "the program has no task with a name that long",
            ))
        } else {
            Bytes::hold(&workflow.given, arguments.len()).ok_or_else(|| {
                let message = format!(
                    "the arguments of calls under way take more than {} bytes",
                    workflow.limits.arguments
                );
                Failure::new(ErrorCode::CallLimit, message)
            })
        };
        let held = match held {
            Ok(held) => held,
            Err(failure) => return Box::pin(std::future::ready(Err(GuestError::Failed(failure)))),
        };
        let call = workflow.call(function.to_owned(), arguments, frame);
        let call = async move {
            let _held = held;
            call.await
        };
        Box::pin(async move {
            match workers::elsewhere(call).await.value {
                Ok(value) => Ok(value.get().to_owned()),
                Err(error) => Err(to_caller(error)),
            }
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

/// What stands for a task while a program is loaded.
fn loading() -> Function {
    Function {
        name: "main".to_owned(),
        compute: Fuel::LOW,
        ram: Function::RAM,
        timeout: LOAD_TIMEOUT,
        max_retries: 0,
        files: Vec::new(),
        hosts: Vec::new(),
        environment: Vec::new(),
        isolation: Isolation::Wasm,
    }
}
