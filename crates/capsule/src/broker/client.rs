//! The runner's side: guests that live behind the broker.
//!
//! The broker is trusted here: it has more rights than this process.

use std::collections::HashMap;
use std::io::BufReader;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use capsule_backend::guest::{Declared, Grant, Guest, GuestError, Guests, Outside, Pending, Usage};
use capsule_spec::{ErrorCode, Failure};
use rustix::process::Pid;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{AbortHandle, JoinSet};

use super::frame::{Frame, Outgoing};
use super::grant::Wanted;
use super::message::{Ask, Found, Tell, channel as output_channel};
use super::sys;

/// Messages for a call that it did not look at yet; then the broker waits.
const MOST_WAITING: usize = 1024;
/// How long this process waits for the broker when it ends: it has its jails to end.
const LAST_WAIT: Duration = Duration::from_secs(6);

/// A broker's process. Dropping it ends it, and waits for that.
pub(super) struct Broker {
    link: Arc<Link>,
    process: Pid,
}

impl Broker {
    pub(super) fn new(socket: UnixStream, process: Pid) -> Self {
        Self { link: Link::new(socket), process }
    }
}

impl Guests for Broker {
    fn open(&self, outside: Arc<dyn Outside>) -> Result<Box<dyn Guest>, Failure> {
        self.link.open(outside)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.link.hang_up();
        let until = Instant::now() + LAST_WAIT;
        while !sys::has_ended(self.process) && Instant::now() < until {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// The connection to a broker.
pub(super) struct Link {
    socket: UnixStream,
    /// Frames for the broker; the thread that writes them is started with the first
    /// guest, when this process has threads anyway.
    outgoing: OnceLock<mpsc::Sender<(Ask, Vec<u8>)>>,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    last: u64,
    /// None once the broker is gone.
    open: Option<HashMap<u64, Sender<Frame<Tell>>>>,
}

impl Link {
    pub(super) fn new(socket: UnixStream) -> Arc<Self> {
        let calls = Calls { last: 0, open: Some(HashMap::new()) };
        Arc::new(Self { socket, outgoing: OnceLock::new(), calls: Mutex::new(calls) })
    }

    pub(super) fn open(
        self: &Arc<Self>,
        outside: Arc<dyn Outside>,
    ) -> Result<Box<dyn Guest>, Failure> {
        let started = lock(&self.calls);
        if self.outgoing.get().is_none() {
            let outgoing = self.start().map_err(|error| {
                Failure::new(ErrorCode::OutOfResources, format!("no broker for jails: {error}"))
            })?;
            let _ = self.outgoing.set(outgoing);
        }
        drop(started);
        Ok(Box::new(Brokered { link: self.clone(), outside, usage: Usage::default() }))
    }

    /// Closes the connection: the broker ends.
    pub(super) fn hang_up(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Starts the two threads that move frames: engines have many runtimes, and a
    /// socket belongs to one.
    fn start(self: &Arc<Self>) -> std::io::Result<mpsc::Sender<(Ask, Vec<u8>)>> {
        let (outgoing, frames) = mpsc::channel::<(Ask, Vec<u8>)>();
        let to = Outgoing::new(self.socket.try_clone()?);
        let link = Arc::downgrade(self);
        let write = move || {
            for (head, body) in frames {
                if let Err(error) = to.write(&head, &body)
                    && let Some(link) = link.upgrade()
                {
                    link.lost(&head, &error);
                }
            }
        };
        let mut from = BufReader::new(self.socket.try_clone()?);
        let link = Arc::downgrade(self);
        let read = move || {
            while let Ok(Some(frame)) = Frame::<Tell>::read(&mut from) {
                let Some(link) = link.upgrade() else { return };
                link.deliver(frame);
            }
            // Everybody who waits hears that nobody is there any more.
            if let Some(link) = link.upgrade() {
                lock(&link.calls).open = None;
            }
        };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        thread("broker-write").spawn(write)?;
        thread("broker-read").spawn(read)?;
        Ok(outgoing)
    }

    fn deliver(&self, frame: Frame<Tell>) {
        let call = frame.head.call();
        let waiting = lock(&self.calls).open.as_ref().and_then(|open| open.get(&call).cloned());
        // One that was dropped hears nothing more.
        if let Some(waiting) = waiting {
            let _ = waiting.blocking_send(frame);
        }
    }

    /// A frame was too large, or the broker is gone, which the reader tells.
    fn lost(&self, head: &Ask, error: &std::io::Error) {
        if error.kind() != std::io::ErrorKind::FileTooLarge {
            return;
        }
        match head {
            Ask::Call { call, .. } => {
                let message = "the arguments of a task are larger than 64 MiB";
                let failure = Failure::new(ErrorCode::InvalidValue, message);
                let error = Some(GuestError::Failed(failure).into());
                let head = Tell::Returned { call: *call, usage: Usage::default().into(), error };
                self.deliver(Frame { head, body: Vec::new() });
            }
            Ask::Called { request, .. } => {
                let message = "the value that the task returned is larger than 64 MiB";
                let failure = Failure::new(ErrorCode::InvalidValue, message);
                let error = Some(GuestError::Failed(failure).into());
                self.say(Ask::Called { request: *request, error }, Vec::new());
            }
            Ask::Source { request, .. } => {
                self.say(Ask::Source { request: *request, found: None }, Vec::new());
            }
            Ask::Stop { .. } | Ask::Exhausted { .. } => {}
        }
    }

    fn say(&self, head: Ask, body: Vec<u8>) {
        if let Some(outgoing) = self.outgoing.get() {
            // Without a writer there is no broker, which the reader tells.
            let _ = outgoing.send((head, body));
        }
    }

    fn begin(
        self: &Arc<Self>,
        function: &str,
        arguments: &str,
        grant: &Grant,
    ) -> Result<Begun, GuestError> {
        let mut calls = lock(&self.calls);
        let call = calls.last + 1;
        let Some(open) = &mut calls.open else { return Err(gone()) };
        let (sender, heard) = channel(MOST_WAITING);
        open.insert(call, sender);
        calls.last = call;
        // Numbers go out in order, as they are made under this lock.
        let head = Ask::Call { call, function: function.to_owned(), grant: Wanted::new(grant) };
        self.say(head, arguments.as_bytes().to_vec());
        Ok(Begun { link: self.clone(), call, heard, has_returned: false })
    }
}

fn gone() -> GuestError {
    let message = "the broker that builds jails is gone";
    GuestError::Failed(Failure::new(ErrorCode::RuntimeUnavailable, message))
}

/// A call that is under way. Dropping it ends it.
struct Begun {
    link: Arc<Link>,
    call: u64,
    heard: Receiver<Frame<Tell>>,
    has_returned: bool,
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(open) = &mut lock(&self.link.calls).open {
            open.remove(&self.call);
        }
        if !self.has_returned {
            self.link.say(Ask::Stop { call: self.call }, Vec::new());
        }
    }
}

/// A guest behind the broker.
struct Brokered {
    link: Arc<Link>,
    outside: Arc<dyn Outside>,
    usage: Usage,
}

impl Guest for Brokered {
    fn declare<'a>(&'a mut self, _: &'a Grant) -> Pending<'a, Result<Declared, GuestError>> {
        Box::pin(async { Err(unsupported("a program declares its tasks in WebAssembly")) })
    }

    fn call<'a>(
        &'a mut self,
        function: &'a str,
        arguments: &'a str,
        grant: &'a Grant,
    ) -> Pending<'a, Result<String, GuestError>> {
        Box::pin(async move {
            let begun = self.link.begin(function, arguments, grant)?;
            let mut conversation = Conversation {
                begun,
                outside: &*self.outside,
                usage: &mut self.usage,
                grant,
                tasks: JoinSet::new(),
                handles: HashMap::new(),
            };
            std::future::poll_fn(|context| conversation.poll(context)).await
        })
    }

    fn evaluate<'a>(
        &'a mut self,
        _: &'a str,
        _: &'a str,
        _: &'a Grant,
    ) -> Pending<'a, Result<String, GuestError>> {
        Box::pin(async { Err(unsupported("a session runs in WebAssembly")) })
    }

    fn usage(&self) -> Usage {
        self.usage.clone()
    }
}

fn unsupported(message: &str) -> GuestError {
    let failure = Failure::new(ErrorCode::ConflictingOptions, message);
    GuestError::Failed(failure.hint("leave out isolation=\"jail\""))
}

/// What goes on between a call and its end.
struct Conversation<'a> {
    begun: Begun,
    outside: &'a dyn Outside,
    usage: &'a mut Usage,
    grant: &'a Grant,
    /// Tasks that the guest has called.
    tasks: JoinSet<(u64, Result<String, GuestError>)>,
    handles: HashMap<u64, AbortHandle>,
}

impl Conversation<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<String, GuestError>> {
        while let Poll::Ready(Some(ended)) = self.tasks.poll_join_next(context) {
            // One that was cancelled is waited for by nobody; one that panicked is lost.
            if let Ok((request, result)) = ended {
                self.handles.remove(&request);
                let (error, body) = match result {
                    Ok(value) => (None, value.into_bytes()),
                    Err(error) => (Some(error.into()), Vec::new()),
                };
                self.begun.link.say(Ask::Called { request, error }, body);
            }
        }
        loop {
            match std::task::ready!(self.begun.heard.poll_recv(context)) {
                None => return Poll::Ready(Err(gone())),
                Some(frame) => {
                    if let Some(result) = self.hear(frame) {
                        return Poll::Ready(result);
                    }
                }
            }
            if !self.tasks.is_empty() {
                // A task that was called in this turn has not been looked at.
                context.waker().wake_by_ref();
            }
        }
    }

    fn hear(&mut self, frame: Frame<Tell>) -> Option<Result<String, GuestError>> {
        let Frame { head, body } = frame;
        let link = &self.begun.link;
        match head {
            Tell::Returned { usage, error, .. } => {
                self.begun.has_returned = true;
                let usage = Usage::from(usage);
                self.spent(usage.fuel);
                *self.usage = usage;
                return Some(match error {
                    Some(ended) => Err(ended.into()),
                    None => String::from_utf8(body)
                        .map_err(|_| GuestError::Crashed("its answer is no text".to_owned())),
                });
            }
            Tell::Spent { fuel, .. } => self.spent(fuel),
            Tell::Source { request, module, .. } => {
                let (found, body) = match self.outside.source(&module) {
                    Some(source) => {
                        let found = Found { path: source.path, is_package: source.is_package };
                        (Some(found), source.bytes)
                    }
                    None => (None, Vec::new()),
                };
                link.say(Ask::Source { request, found }, body);
            }
            Tell::Output { is_error, .. } => self.outside.output(output_channel(is_error), &body),
            Tell::Call { request, function, .. } => {
                let arguments = String::from_utf8_lossy(&body).into_owned();
                let call = self.outside.call(&function, arguments);
                let handle = self.tasks.spawn(async move { (request, call.await) });
                self.handles.insert(request, handle);
            }
            Tell::Cancel { request, .. } => {
                if let Some(handle) = self.handles.remove(&request) {
                    handle.abort();
                }
            }
        }
        None
    }

    /// Charges what is new of `fuel`, which only grows.
    fn spent(&mut self, fuel: u64) {
        self.grant.meter.charge(fuel.saturating_sub(self.usage.fuel));
        self.usage.fuel = self.usage.fuel.max(fuel);
        if self.grant.meter.left() == 0 {
            self.begun.link.say(Ask::Exhausted { call: self.begun.call }, Vec::new());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
