//! One connection: a task of the host's that does what the guest asks for, in order.
//!
//! ```text
//!   dial ──▶ open ⇄ securing ──▶ closed
//!     └───────┴─────────┴──────▶ failed: every further operation gets the same failure
//! ```
//!
//! Bytes are read only when the guest asked for some, so a fast server waits in the
//! kernel. Dropping [`Connection`] ends the task.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use capsule_backend::address::Host;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, timeout};
use tokio_rustls::TlsConnector;

use super::super::interface::bindings::capsule::guest::types::Failure;
use super::super::operations::Answer;
use super::failure::{failure, from_io, gone};
use super::log::{Entry, Log};
use super::policy::Policy;
use super::unread::Unread;
use super::watch::Watch;
use super::{Lookup, dial, host_of, tls};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long what was sent may take to leave after the guest closed the connection.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a guest may take between the parts of a request's head before the parts are
/// let out one by one. Who speaks something else than HTTP waits that long, once.
const PATIENCE: Duration = Duration::from_millis(20);
/// TLS in TLS is what an HTTPS proxy needs; deeper is nonsense.
const MOST_LAYERS: u8 = 2;

pub(super) type Hold = OwnedSemaphorePermit;
pub(super) type Reply = oneshot::Sender<Result<Answer, Failure>>;

/// What a connection is made of.
pub(super) struct Wanted {
    pub(super) policy: Arc<Policy>,
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) log: Log,
    pub(super) entry: Option<Entry>,
    pub(super) lookup: Lookup,
    pub(super) lookups: Arc<Semaphore>,
}

/// What the guest asks for.
pub(super) enum Command {
    Secure {
        name: String,
        verify: bool,
        reply: Reply,
        hold: Hold,
    },
    /// No bytes: nothing more will be sent.
    Send {
        bytes: Vec<u8>,
        reply: Reply,
        hold: Hold,
    },
    Receive {
        most: usize,
        reply: Reply,
        hold: Hold,
    },
}

/// The guest's end.
pub(super) struct Connection {
    /// None once it is closed.
    commands: Option<mpsc::UnboundedSender<Command>>,
    task: AbortHandle,
}

impl Connection {
    /// Begins to make one; the answer tells when it is made.
    pub(super) fn begin(wanted: Wanted) -> (Self, oneshot::Receiver<Result<Answer, Failure>>) {
        let (commands, asked) = mpsc::unbounded_channel();
        let (reply, made) = oneshot::channel();
        let task = tokio::spawn(async move {
            let dialled = dial::dial(&wanted).await;
            let Wanted { policy, host, port, log, entry, .. } = wanted;
            let mut watch = Watch::new(policy.clone(), log, host, port, entry);
            match dialled {
                Ok(stream) => {
                    if reply.send(Ok(Answer::empty())).is_ok() {
                        Wire::new(Box::new(stream), asked, &mut watch, policy).serve().await;
                    }
                }
                Err(refusal) => {
                    if refusal.kind == "Denied" {
                        watch.refused();
                    }
                    // Nobody listens any more when the guest is gone.
                    let _ = reply.send(Err(refusal));
                }
            }
        });
        (Self { commands: Some(commands), task: task.abort_handle() }, made)
    }

    pub(super) fn command(
        &self,
        command: impl FnOnce(Reply) -> Command,
    ) -> Result<oneshot::Receiver<Result<Answer, Failure>>, Failure> {
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or_else(gone)?;
        commands.send(command(reply)).map_err(|_| gone())?;
        Ok(answer)
    }

    /// Operations end; what was sent still leaves, for a moment.
    pub(super) fn close(&mut self) {
        self.commands = None;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.commands.is_none()
    }

    pub(super) fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

type Stream = Box<dyn Duplex>;
type Handshake = Pin<Box<dyn Future<Output = Result<Stream, Failure>> + Send>>;

enum State {
    Open(Stream),
    Securing { handshake: Handshake, name: Host, reply: Reply, _hold: Hold },
    Failed(Failure),
}

struct Outgoing {
    bytes: Vec<u8>,
    at: usize,
    ends: bool,
    /// Absent for what was held back: its operation was answered already.
    reply: Option<(Reply, Hold)>,
}

struct Incoming {
    most: usize,
    reply: Reply,
    hold: Hold,
}

struct Wire<'a> {
    state: State,
    commands: mpsc::UnboundedReceiver<Command>,
    watch: &'a mut Watch,
    policy: Arc<Policy>,
    outbox: VecDeque<Outgoing>,
    inbox: VecDeque<Incoming>,
    /// TLS that begins when the outbox is empty.
    secure: Option<(Host, bool, Reply, Hold)>,
    unread: Arc<Unread>,
    /// Bytes that were received so far.
    received: u64,
    scratch: Vec<u8>,
    layers: u8,
    held: Option<Pin<Box<Sleep>>>,
    /// Sending failed; receiving may go on.
    broken: Option<Failure>,
    /// Receiving failed after bytes that were still good.
    ended: Option<Failure>,
}

impl<'a> Wire<'a> {
    fn new(
        stream: Stream,
        commands: mpsc::UnboundedReceiver<Command>,
        watch: &'a mut Watch,
        policy: Arc<Policy>,
    ) -> Self {
        Self {
            state: State::Open(stream),
            commands,
            watch,
            policy,
            outbox: VecDeque::new(),
            inbox: VecDeque::new(),
            secure: None,
            unread: Arc::default(),
            received: 0,
            scratch: Vec::new(),
            layers: 0,
            held: None,
            broken: None,
            ended: None,
        }
    }

    async fn serve(mut self) {
        poll_fn(|context| self.turn(context)).await;
        // The guest closed it: whoever still waits is told so by the dropped reply.
        self.inbox.clear();
        self.let_out();
        let farewell = async {
            if let State::Open(stream) = &mut self.state {
                for outgoing in &self.outbox {
                    stream.write_all(&outgoing.bytes[outgoing.at..]).await?;
                }
                stream.shutdown().await?;
            }
            io::Result::Ok(())
        };
        // If it does not get through, there is nobody left to tell.
        let _ = timeout(FAREWELL, farewell).await;
    }

    /// Does what can be done now; ready once the guest has closed the connection.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.commands.poll_recv(context) {
                Poll::Ready(Some(command)) => self.hear(command),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        loop {
            self.poll_held(context);
            self.begin_securing();
            let moved = self.poll_handshake(context).is_ready()
                | self.poll_write(context).is_ready()
                | self.poll_read(context).is_ready();
            if !moved {
                return Poll::Pending;
            }
        }
    }

    fn hear(&mut self, command: Command) {
        let is_served = matches!(command, Command::Receive { .. }) && !self.unread.is_empty();
        if let State::Failed(failure) = &self.state
            && !is_served
        {
            let (Command::Secure { reply, .. }
            | Command::Send { reply, .. }
            | Command::Receive { reply, .. }) = command;
            // As everywhere here: a reply that nobody waits for is no failure.
            let _ = reply.send(Err(failure.clone()));
            return;
        }
        match command {
            Command::Receive { most, reply, hold } => {
                self.inbox.push_back(Incoming { most, reply, hold });
            }
            Command::Send { bytes, reply, hold } => self.hear_send(bytes, reply, hold),
            Command::Secure { name, verify, reply, hold } => {
                match self.check_secure(&name) {
                    Ok(name) => {
                        self.let_out();
                        self.secure = Some((name, verify, reply, hold));
                    }
                    Err(refusal) => {
                        let _ = reply.send(Err(refusal));
                    }
                };
            }
        }
    }

    fn hear_send(&mut self, bytes: Vec<u8>, reply: Reply, hold: Hold) {
        let busy = self.secure.is_some() || matches!(self.state, State::Securing { .. });
        if busy {
            let _ = reply.send(Err(failure("Tls", "the TLS handshake is not over")));
            return;
        }
        if let Some(failure) = &self.broken {
            let _ = reply.send(Err(failure.clone()));
            return;
        }
        let ends = bytes.is_empty();
        if ends {
            self.let_out();
        }
        match self.watch.say(bytes) {
            Ok(bytes) => {
                if bytes.is_empty() && !ends {
                    // It is held back. To the guest it is in the kernel's buffer.
                    let _ = reply.send(Ok(Answer::empty()));
                } else {
                    let reply = Some((reply, hold));
                    self.outbox.push_back(Outgoing { bytes, at: 0, ends, reply });
                }
            }
            Err(refusal) => {
                let _ = reply.send(Err(refusal.clone()));
                self.fail(refusal);
            }
        }
    }

    fn check_secure(&self, name: &str) -> Result<Host, Failure> {
        let name = if name.is_empty() { Some(self.watch.host.clone()) } else { host_of(name) };
        let name = name.ok_or_else(|| failure("Tls", "the server's name is not a host name"))?;
        self.watch.may_secure(&name)?;
        if self.secure.is_some() || matches!(self.state, State::Securing { .. }) {
            return Err(failure("Tls", "the TLS handshake is not over"));
        }
        if self.layers == MOST_LAYERS {
            return Err(failure("Tls", "TLS is nested too deeply"));
        }
        if !self.unread.is_empty() {
            // Whoever stands in between could have put it there, to be taken as protected.
            return Err(failure("Tls", "the server spoke before the TLS handshake"));
        }
        Ok(name)
    }

    /// Gives up the connection.
    fn fail(&mut self, failure: Failure) {
        let replies = self.inbox.drain(..).map(|incoming| incoming.reply);
        let unsent = self.outbox.drain(..).filter_map(|outgoing| Some(outgoing.reply?.0));
        let secure = self.secure.take().map(|(_, _, reply, _)| reply);
        for reply in replies.chain(unsent).chain(secure) {
            let _ = reply.send(Err(failure.clone()));
        }
        self.held = None;
        self.state = State::Failed(failure);
    }

    /// Puts what the watch holds back on its way.
    fn let_out(&mut self) {
        let bytes = self.watch.release();
        if !bytes.is_empty() {
            self.outbox.push_back(Outgoing { bytes, at: 0, ends: false, reply: None });
        }
    }

    fn poll_held(&mut self, context: &mut Context<'_>) {
        if !self.watch.is_holding() || matches!(self.state, State::Failed(_)) {
            self.held = None;
            return;
        }
        let held = self
            .held
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + PATIENCE)));
        if held.as_mut().poll(context).is_ready() {
            self.held = None;
            self.let_out();
        }
    }

    fn begin_securing(&mut self) {
        if !self.outbox.is_empty() {
            return;
        }
        let Some((name, verify, reply, hold)) = self.secure.take() else { return };
        let server = match tls::server_name(&name) {
            Ok(server) => server,
            Err(failure) => {
                let _ = reply.send(Err(failure));
                return;
            }
        };
        let before = State::Failed(gone());
        let State::Open(stream) = std::mem::replace(&mut self.state, before) else { return };
        let host = name.clone();
        let handshake = Box::pin(async move {
            let shaken = async {
                let settings = tls::settings(verify).await?;
                let connected = TlsConnector::from(settings).connect(server, stream).await;
                let stream = connected.map_err(|error| tls::handshake_failure(&host, &error))?;
                Ok(Box::new(stream) as Stream)
            };
            match timeout(HANDSHAKE, shaken).await {
                Ok(result) => result,
                Err(_) => {
                    let message =
                        format!("the TLS handshake with {host} took more than 10 seconds");
                    Err(failure("TimedOut", message))
                }
            }
        });
        self.state = State::Securing { handshake, name, reply, _hold: hold };
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let State::Securing { handshake, .. } = &mut self.state else { return Poll::Pending };
        let result = ready!(handshake.as_mut().poll(context));
        let before = State::Failed(gone());
        let State::Securing { name, reply, .. } = std::mem::replace(&mut self.state, before) else {
            return Poll::Pending;
        };
        match result {
            Ok(stream) => {
                self.state = State::Open(stream);
                self.layers += 1;
                self.watch.secured(name);
                let _ = reply.send(Ok(Answer::empty()));
            }
            Err(failure) => {
                let _ = reply.send(Err(failure.clone()));
                self.fail(failure);
            }
        }
        Poll::Ready(())
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let State::Open(stream) = &mut self.state else { return Poll::Pending };
        let Some(front) = self.outbox.front_mut() else {
            // TLS may have records of its own to write.
            let _ = Pin::new(stream).poll_flush(context);
            return Poll::Pending;
        };
        let rest = &front.bytes[front.at..];
        let is_last = rest.is_empty();
        let result = match (rest, front.ends) {
            ([], true) => ready!(Pin::new(stream).poll_shutdown(context)),
            ([], false) => Ok(()),
            (rest, _) => ready!(Pin::new(stream).poll_write(context, rest)).and_then(|count| {
                front.at += count;
                if count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
            }),
        };
        match result {
            // What ends the stream is over once that has been said, not before.
            Ok(()) if front.at < front.bytes.len() || (front.ends && !is_last) => {}
            Ok(()) => {
                let sent = self.outbox.pop_front().and_then(|front| front.reply);
                if let Some((reply, _hold)) = sent {
                    let _ = reply.send(Ok(Answer::empty()));
                }
            }
            Err(error) => {
                let failure = from_io(&error);
                for (reply, _) in self.outbox.drain(..).filter_map(|outgoing| outgoing.reply) {
                    let _ = reply.send(Err(failure.clone()));
                }
                self.broken = Some(failure);
            }
        }
        Poll::Ready(())
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.inbox.front().is_some_and(|incoming| incoming.reply.is_closed()) {
            self.inbox.pop_front();
        }
        let Some(most) = self.inbox.front().map(|incoming| incoming.most) else {
            return Poll::Pending;
        };
        self.unread.tell(context.waker());
        if let Some((place, bytes)) = self.unread.take(most) {
            self.answer(place, bytes);
            return Poll::Ready(());
        }
        let State::Open(stream) = &mut self.state else { return Poll::Pending };
        if let Some(failure) = self.ended.take() {
            self.fail(failure);
            return Poll::Ready(());
        }
        // Held while it is read, so that the sum over all connections is exact.
        let mut allowance = self.policy.allowance();
        // One byte more than is allowed tells an end from too much.
        let most = most.min(usize::try_from(allowance.left).unwrap_or(most).max(1));
        if self.scratch.len() < most {
            self.scratch.resize(most, 0);
        }
        let mut buffer = ReadBuf::new(&mut self.scratch[..most]);
        let mut end = None;
        while buffer.remaining() > 0 {
            let before = buffer.filled().len();
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().len() > before => {}
                Poll::Pending if before == 0 => return Poll::Pending,
                Poll::Ready(Ok(())) | Poll::Pending => break,
                Poll::Ready(Err(error)) => {
                    // Servers often end TLS without saying so, as they end TCP.
                    end = (error.kind() != io::ErrorKind::UnexpectedEof).then(|| from_io(&error));
                    break;
                }
            }
        }
        let bytes = buffer.filled().to_vec();
        let whole = allowance.whole;
        let is_too_much = allowance.left < bytes.len() as u64;
        allowance.left = allowance.left.saturating_sub(bytes.len() as u64);
        drop(allowance);
        if is_too_much {
            let message = format!("more than {whole} bytes were received, which is the limit");
            self.fail(failure("TooLarge", message));
        } else if let (Some(failure), true) = (&end, bytes.is_empty()) {
            self.fail(failure.clone());
        } else {
            self.ended = end;
            self.watch.hear(&bytes);
            let place = self.received;
            self.received += bytes.len() as u64;
            self.answer(place, bytes);
        }
        Poll::Ready(())
    }

    fn answer(&mut self, place: u64, bytes: Vec<u8>) {
        let Some(Incoming { reply, hold, .. }) = self.inbox.pop_front() else { return };
        // If it was given up this moment, the bytes come back by themselves.
        let _ = reply.send(Ok(Answer::received(bytes, hold, self.unread.clone(), place)));
    }
}
