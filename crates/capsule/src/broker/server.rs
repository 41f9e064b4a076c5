//! The broker's life: hears the runner, runs calls, and ends with it.
//!
//! What a hostile runner may do here, and what it gets:
//! - a frame that is too long, no message, with a number that was never given or is in
//!   use, more calls or bytes than [`MOST_CALLS`] and [`MOST_BYTES`]: the end of all;
//! - a grant beyond the run's: that call is refused;
//! - answers that it does not give: the guest gets none; after [`PATIENCE`] a module is
//!   not there;
//! - frames that it does not read: its calls stand still, until it ends.

use std::collections::HashMap;
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use capsule_backend::guest::{
    Channel, Grant, GuestError, Guests, Meter, Outside, Pending, Source, Usage,
};
use capsule_spec::{ErrorCode, Failure};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use super::frame::{Frame, Outgoing};
use super::grant::{Bounds, Wanted};
use super::message::{Ask, Found, Tell, is_error};
use super::sys;

/// Calls that are under way: more than an engine makes at once.
const MOST_CALLS: usize = 1024;
/// Bytes of arguments under way.
const MOST_BYTES: usize = 256 << 20;
/// How long the runner may take to find a module.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often what a call has used is told.
const TICK: Duration = Duration::from_millis(25);
/// Jails are gone in milliseconds; this is for a host that does not get to it.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Serves a runner until it closes its end, or says what no runner says. When this
/// returns every jail is told to end.
pub(super) fn serve(socket: UnixStream, bounds: Bounds, guests: Arc<dyn Guests>) {
    let Ok(incoming) = socket.try_clone() else { return };
    let Ok(runtime) = Builder::new_multi_thread().enable_all().worker_threads(2).build() else {
        return;
    };
    let shared = Arc::new(Shared {
        guests,
        bounds,
        outgoing: Outgoing::new(socket),
        calls: Mutex::default(),
        modules: Mutex::default(),
        tasks: Mutex::default(),
        requests: AtomicU64::new(1),
        is_over: AtomicBool::new(false),
    });
    let mut incoming = BufReader::new(incoming);
    let mut last = 0;
    while let Ok(Some(frame)) = Frame::read(&mut incoming) {
        if shared.hear(runtime.handle(), frame, &mut last).is_err() {
            break;
        }
    }
    // Whoever writes to the runner or waits for its answers goes on at once.
    shared.is_over.store(true, Ordering::Release);
    let _ = incoming.get_ref().shutdown(std::net::Shutdown::Both);
    lock(&shared.modules).clear();
    lock(&shared.tasks).clear();
    // Every call is dropped, and with it its jail.
    runtime.shutdown_timeout(LAST_WAIT);
}

/// Waits until this is the only thread left: each jail has one, and cleans up in it.
pub(super) fn wait_alone() {
    let until = Instant::now() + LAST_WAIT;
    while sys::threads() > 1 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
}

struct Shared {
    guests: Arc<dyn Guests>,
    bounds: Bounds,
    outgoing: Outgoing<UnixStream>,
    calls: Mutex<HashMap<u64, Call>>,
    /// Modules and calls of tasks that the runner was asked for.
    modules: Mutex<HashMap<u64, mpsc::SyncSender<Option<Source>>>>,
    tasks: Mutex<HashMap<u64, oneshot::Sender<Result<String, GuestError>>>>,
    requests: AtomicU64,
    is_over: AtomicBool,
}

/// A call that is under way.
struct Call {
    handle: AbortHandle,
    meter: Arc<Meter>,
    bytes: usize,
}

/// The runner said what no runner says.
struct Nonsense;

impl Shared {
    fn hear(
        self: &Arc<Self>,
        runtime: &Handle,
        frame: Frame<Ask>,
        last: &mut u64,
    ) -> Result<(), Nonsense> {
        let Frame { head, body } = frame;
        match head {
            Ask::Call { call, function, grant } => {
                if call <= *last {
                    return Err(Nonsense);
                }
                *last = call;
                let arguments = String::from_utf8(body).map_err(|_| Nonsense)?;
                self.begin(runtime, call, function, arguments, grant)?;
            }
            Ask::Stop { call } => {
                // One that has just returned is not there.
                if let Some(call) = lock(&self.calls).remove(&call) {
                    call.handle.abort();
                }
            }
            Ask::Exhausted { call } => {
                if let Some(call) = lock(&self.calls).get(&call) {
                    call.meter.charge(call.meter.left());
                }
            }
            Ask::Source { request, found } => {
                self.was_asked(request)?;
                let waiting = lock(&self.modules).remove(&request);
                let source = found.map(|Found { path, is_package }| Source {
                    path,
                    is_package,
                    bytes: body,
                });
                // Nobody may wait any more, here and below.
                let _ = waiting.map(|waiting| waiting.try_send(source));
            }
            Ask::Called { request, error } => {
                self.was_asked(request)?;
                let waiting = lock(&self.tasks).remove(&request);
                let result = match error {
                    Some(ended) => Err(ended.into()),
                    None => Ok(String::from_utf8(body).map_err(|_| Nonsense)?),
                };
                let _ = waiting.map(|waiting| waiting.send(result));
            }
        }
        Ok(())
    }

    fn was_asked(&self, request: u64) -> Result<(), Nonsense> {
        if request < self.requests.load(Ordering::Acquire) { Ok(()) } else { Err(Nonsense) }
    }

    fn begin(
        self: &Arc<Self>,
        runtime: &Handle,
        call: u64,
        function: String,
        arguments: String,
        wanted: Wanted,
    ) -> Result<(), Nonsense> {
        let mut calls = lock(&self.calls);
        let bytes: usize = calls.values().map(|call| call.bytes).sum();
        if calls.len() >= MOST_CALLS || bytes + arguments.len() > MOST_BYTES {
            return Err(Nonsense);
        }
        let grant = match self.bounds.grant(wanted) {
            Ok(grant) => grant,
            Err(failure) => {
                drop(calls);
                self.returned(call, Usage::default(), Err(GuestError::Failed(failure)));
                return Ok(());
            }
        };
        let (bytes, meter) = (arguments.len(), grant.meter.clone());
        let shared = self.clone();
        let work = async move {
            let (usage, result) = shared.run(call, &function, &arguments, &grant).await;
            lock(&shared.calls).remove(&call);
            shared.returned(call, usage, result);
        };
        // While the table is held: the call cannot end before it is in it.
        let handle = runtime.spawn(work).abort_handle();
        calls.insert(call, Call { handle, meter, bytes });
        Ok(())
    }

    async fn run(
        self: &Arc<Self>,
        call: u64,
        function: &str,
        arguments: &str,
        grant: &Grant,
    ) -> (Usage, Result<String, GuestError>) {
        let outside = Arc::new(Through { shared: self.clone(), call });
        let mut guest = match self.guests.open(outside) {
            Ok(guest) => guest,
            Err(failure) => return (Usage::default(), Err(GuestError::Failed(failure))),
        };
        let result = {
            let mut work = guest.call(function, arguments, grant);
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut told = 0;
            std::future::poll_fn(|context| {
                while ticks.poll_tick(context).is_ready() {
                    let fuel = grant.meter.used();
                    if fuel != told {
                        told = fuel;
                        self.tell(&Tell::Spent { call, fuel }, &[]);
                    }
                }
                work.as_mut().poll(context)
            })
            .await
        };
        (guest.usage(), result)
    }

    fn returned(&self, call: u64, usage: Usage, result: Result<String, GuestError>) {
        let (error, value) = match result {
            Ok(value) => (None, value),
            Err(error) => (Some(error.into()), String::new()),
        };
        let head = Tell::Returned { call, usage: usage.into(), error };
        if !self.tell(&head, value.as_bytes()) {
            // It did not fit, or nobody is there to hear this either.
            let message = "the value that the task returned is larger than 64 MiB";
            let failure = Failure::new(ErrorCode::InvalidValue, message);
            let error = Some(GuestError::Failed(failure).into());
            self.tell(&Tell::Returned { call, usage: Usage::default().into(), error }, &[]);
        }
    }

    fn tell(&self, head: &Tell, body: &[u8]) -> bool {
        !self.is_over.load(Ordering::Acquire) && self.outgoing.write(head, body).is_ok()
    }

    fn request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::AcqRel)
    }
}

/// A jail's way out: back to the runner.
struct Through {
    shared: Arc<Shared>,
    call: u64,
}

impl Outside for Through {
    fn source(&self, module: &str) -> Option<Source> {
        let (answer, found) = mpsc::sync_channel(1);
        let request = self.shared.request();
        lock(&self.shared.modules).insert(request, answer);
        let head = Tell::Source { call: self.call, request, module: module.to_owned() };
        let asked = self.shared.tell(&head, &[]);
        // The answer comes by another thread: the one that reads. Other calls go on.
        let wait = || tokio::task::block_in_place(|| found.recv_timeout(PATIENCE).ok().flatten());
        let found = asked.then(wait).flatten();
        lock(&self.shared.modules).remove(&request);
        found
    }

    fn output(&self, channel: Channel, bytes: &[u8]) {
        let head = Tell::Output { call: self.call, is_error: is_error(channel) };
        for part in bytes.chunks(super::frame::MOST_BODY) {
            self.shared.tell(&head, part);
        }
    }

    fn call(
        &self,
        function: &str,
        arguments: String,
    ) -> Pending<'static, Result<String, GuestError>> {
        let (answer, result) = oneshot::channel();
        let request = self.shared.request();
        lock(&self.shared.tasks).insert(request, answer);
        let asked = Asked { shared: self.shared.clone(), call: self.call, request };
        let head = Tell::Call { call: self.call, request, function: function.to_owned() };
        if !self.shared.tell(&head, arguments.as_bytes()) {
            let failure = Failure::new(ErrorCode::InvalidValue, "the task could not be called")
                .hint("its arguments are at most 64 MiB");
            return Box::pin(std::future::ready(Err(GuestError::Failed(failure))));
        }
        Box::pin(Waiting { result, _asked: asked })
    }
}

/// The caller waits for a task.
struct Waiting {
    result: oneshot::Receiver<Result<String, GuestError>>,
    _asked: Asked,
}

impl Future for Waiting {
    type Output = Result<String, GuestError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        pin!(&mut self.result).poll(context).map(|result| {
            result.unwrap_or_else(|_| Err(GuestError::Crashed("the runner is gone".to_owned())))
        })
    }
}

/// A call of a task that the runner was asked for. When it is dropped, nobody waits.
struct Asked {
    shared: Arc<Shared>,
    call: u64,
    request: u64,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let (call, request) = (self.call, self.request);
        if lock(&self.shared.tasks).remove(&request).is_some() {
            self.shared.tell(&Tell::Cancel { call, request }, &[]);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
