//! The front of a worker: what the caller speaks to. It runs no guests, and so keeps the
//! caller's rights: it finds programs, has scripts made, moves files of sessions, and
//! starts a process for each place that requests run in.
//!
//! ```text
//!                    look up, bundle          once for each place
//!   request ── hear ───▶ Place ───▶ Runners::find ───▶ Runner ═══▶ process, locked down
//!                                                        │ answers, looked at
//!   caller ◀─────────────────────────────────────────────┘
//! ```
//!
//! Who attacks: a process that guests have taken over. It may say anything: what is no
//! answer to a question of its own ends it, and an answer goes to no one but who asked.
//! When it ends, everybody who waits for it hears so.

mod place;
mod process;
mod runners;
mod sessions;
mod workspace;

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use capsule_engine::{Answer, Language};
use capsule_spec::{ErrorCode, Failure};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::between::{self, Ask, Made};
use super::frame::{self, Front as Next, Incoming, Outgoing};
use super::language::Written;
use super::request::{Hello, PROTOCOL, Reply, Request, needed};
use super::stdio::{Call, Caller};
use crate::program;
use place::{Place, Wanted};
use process::{Answers, Awaits, Open, Runner};
use runners::Runners;
use sessions::{Sessions, Work};

pub(super) use process::NAME;

/// Requests that run at one time; more of them wait.
const MOST_AT_ONCE: usize = 256;
/// Programs that are looked up at one time: each may take two processors for seconds.
const MOST_LOOKED_UP: usize = 4;

/// Serves until the caller is gone.
pub(crate) fn serve() -> anyhow::Result<ExitCode> {
    let caller = Caller::take()?;
    let threads = program::threads().map_err(|failure| anyhow::anyhow!(failure.message))?;
    let front = Arc::new(Front {
        outgoing: Outgoing::new(caller.output()?),
        handle: threads.handle().clone(),
        environment: RwLock::new(Arc::new(program::environment())),
        underway: Mutex::default(),
        tickets: AtomicU64::new(0),
        turns: Arc::new(Semaphore::new(MOST_AT_ONCE)),
        looking: Arc::new(Semaphore::new(MOST_LOOKED_UP)),
        runners: Runners::new()?,
        sessions: Sessions::default(),
    });
    let hello = Hello { version: env!("CARGO_PKG_VERSION"), protocol: PROTOCOL };
    Reply::Hello { hello }.send_to(&front.outgoing);
    // The first request finds it ready, or waits for it.
    let _ = front.runner(&Place::plain(Language::Python));
    let code = front.listen(caller);
    // Guests end where they are; what they used goes with their processes. Nobody is answered
    // any more, who is dropped half-way least of all.
    front.underway.lock().unwrap_or_else(PoisonError::into_inner).clear();
    threads.shutdown_background();
    front.end();
    code
}

struct Front {
    outgoing: Outgoing,
    handle: Handle,
    environment: RwLock<Arc<BTreeMap<String, String>>>,
    underway: Mutex<HashMap<u64, Stage>>,
    tickets: AtomicU64,
    turns: Arc<Semaphore>,
    /// Who looks up a program; a request that is cancelled meanwhile still does.
    looking: Arc<Semaphore>,
    runners: Runners,
    sessions: Sessions,
}

/// How far a request has come.
enum Stage {
    /// Nobody else knows of it yet. With a ticket: a number comes again as soon as it is
    /// answered, and whoever is late with the one before must not meet it.
    Here(u64, Option<AbortHandle>),
    /// It was passed on.
    There(Arc<Runner>),
}

impl Answers for Front {
    fn forget(&self, id: u64) -> bool {
        self.underway.lock().unwrap_or_else(PoisonError::into_inner).remove(&id).is_some()
    }

    fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }
}

impl Front {
    fn listen(self: &Arc<Self>, mut caller: Caller) -> anyhow::Result<ExitCode> {
        let mut incoming = Incoming::of(frame::MOST);
        loop {
            match caller.wait()? {
                Call::Gone => return Ok(ExitCode::SUCCESS),
                Call::Input if incoming.fill(&mut caller.input)? == 0 => {
                    let code =
                        if incoming.is_broken() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
                    return Ok(code);
                }
                Call::Input => {}
            }
            loop {
                match incoming.take() {
                    Next::Frame(bytes) => self.hear(bytes),
                    Next::Partial => break,
                    Next::TooLarge(length) => {
                        let message = format!(
                            "a frame of {length} bytes is over the limit of {}",
                            frame::MOST
                        );
                        self.refuse(None, Failure::new(ErrorCode::InvalidRequest, message));
                        return Ok(ExitCode::FAILURE);
                    }
                }
            }
        }
    }

    /// One frame. Never blocks: whoever writes requests must not have to read answers first.
    fn hear(self: &Arc<Self>, bytes: &[u8]) {
        let request: Request<'_> = match serde_json::from_slice(bytes) {
            Ok(request) => request,
            Err(error) => {
                let message = format!("the frame is no request: {error}");
                return self.refuse_soon(None, Failure::new(ErrorCode::InvalidRequest, message));
            }
        };
        if request.op == "environment" {
            let mut place = self.environment.write().unwrap_or_else(PoisonError::into_inner);
            *place = Arc::new(request.variables);
            let frame = between::environment(&place).unwrap_or_default();
            return self.runners.tell(&frame);
        }
        let Some(id) = request.id else {
            let message = "the request has no id";
            return self.refuse_soon(None, Failure::new(ErrorCode::InvalidRequest, message));
        };
        let begun = match &*request.op {
            "run" => self.run(id, &request, bytes),
            "evaluate" => self.evaluate(id, &request, bytes),
            "cancel" => {
                self.cancel(id);
                Ok(())
            }
            "reset" | "close" | "import" | "export" | "delete" => self.keep(id, &request, bytes),
            other => {
                let message = format!("there is no op {other:?}");
                Err(Failure::new(ErrorCode::UnknownOption, message))
            }
        };
        if let Err(failure) = begun {
            self.refuse_soon(Some(id), failure);
        }
    }

    fn run(self: &Arc<Self>, id: u64, request: &Request<'_>, bytes: &[u8]) -> Result<(), Failure> {
        request.arguments()?;
        let wanted = Wanted::of(request)?;
        let task = request.task.clone().unwrap_or_else(|| "main".to_owned());
        if wanted.is_plain()
            && let Ok(turn) = self.turns.clone().try_acquire_owned()
        {
            self.note(id)?;
            let place = Place::plain(Language::Python);
            let passed = self.pass_on(id, &place, task.clone(), bytes, held(Some(turn)));
            if let Err(failure) = passed {
                let front = self.clone();
                self.handle.spawn(async move {
                    front.answer(id, Answer::refused(&task, failure));
                });
            }
            return Ok(());
        }
        let bytes = bytes.to_vec();
        self.begin(id, async move |front| {
            let turn = front.turn().await;
            let looking = front.looking.clone().acquire_owned().await;
            let settled = tokio::task::spawn_blocking(move || {
                let _looking = looking;
                let place = wanted.settle();
                (wanted, place)
            });
            // What panics there is told of by who is dropped here.
            let Ok((wanted, place)) = settled.await else { return };
            let passed =
                place.and_then(|place| front.pass_on(id, &place, task.clone(), &bytes, held(turn)));
            if let Err(failure) = passed {
                front.answer(id, wanted.explain(Answer::refused(&task, failure)));
            }
        })
    }

    fn evaluate(
        self: &Arc<Self>,
        id: u64,
        request: &Request<'_>,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        needed(&request.code, "code")?;
        Written::of_code(request)?;
        between::mounts(&request.mounts)?;
        let task = "session";
        let place = Place::of_code(request);
        let line = request.session.clone().map(|name| (self.sessions.line_up(&name), name));
        let bytes = bytes.to_vec();
        self.begin(id, async move |front| {
            let passed = async {
                let place = place?;
                let Some((first, name)) = line else {
                    let turn = front.turn().await;
                    return front.pass_on(id, &place, task.to_owned(), &bytes, held(turn));
                };
                let first = first.await;
                let mut held = held(front.turn().await);
                held.push(Box::new(first));
                let session = front.sessions.find(&name, place)?;
                let runner = match session.runner() {
                    Ok(Some(runner)) => runner,
                    Ok(None) => front.runner(&session.place)?,
                    Err(lost) => return Err(lost.failure()),
                };
                session.settle(&runner);
                let workspace = Some(session.workspace.path().to_owned());
                let frame = Ask::frame(&bytes, &Made { workspace, ..Made::default() });
                held.push(Box::new(session));
                front.ask(
                    id,
                    &runner,
                    Open { awaits: Awaits::Envelope(task.to_owned()), _held: held },
                    sound(frame)?,
                )
            };
            if let Err(failure) = passed.await {
                front.answer(id, Answer::refused(task, failure));
            }
        })
    }

    /// What is done to a session, not in it.
    fn keep(self: &Arc<Self>, id: u64, request: &Request<'_>, bytes: &[u8]) -> Result<(), Failure> {
        let name = needed(&request.session, "session")?;
        let work = Work::of(request)?;
        Written::of_code(request)?;
        between::mounts(&request.mounts)?;
        let place = Place::of_code(request);
        let turn = self.sessions.line_up(&name);
        let bytes = bytes.to_vec();
        self.begin(id, async move |front| {
            let first = turn.await;
            let done = async {
                let session = match work {
                    Work::Close => front.sessions.close(&name),
                    _ => Some(front.sessions.find(&name, place?)?),
                };
                let Some(session) = session else { return Ok(true) };
                if matches!(work, Work::Reset | Work::Close) {
                    let Some(runner) = session.leave() else { return Ok(true) };
                    let held: Vec<Box<dyn Send>> = vec![Box::new(first), Box::new(session)];
                    let frame = sound(Ask::frame(&bytes, &Made::default()))?;
                    // Where the process has ended, the memory has too.
                    let open = Open { awaits: Awaits::Done, _held: held };
                    return Ok(front.ask(id, &runner, open, frame).is_err());
                }
                let moved = tokio::task::spawn_blocking(move || session.work(&work));
                let gone =
                    |_| Failure::new(ErrorCode::SystemFailure, "the file could not be moved");
                moved.await.map_err(gone)?.map(|()| true)
            };
            match done.await {
                Ok(true) if front.forget(id) => {
                    Reply::Done { id, done: true }.send_to(&front.outgoing);
                }
                Ok(_) => {}
                Err(failure) if front.forget(id) => front.refuse(Some(id), failure),
                Err(_) => {}
            }
        })
    }

    /// Lets a place's process do what is asked.
    fn pass_on(
        self: &Arc<Self>,
        id: u64,
        place: &Place,
        task: String,
        request: &[u8],
        held: Vec<Box<dyn Send>>,
    ) -> Result<(), Failure> {
        let runner = self.runner(place)?;
        let frame = sound(Ask::frame(request, &place.made))?;
        self.ask(id, &runner, Open { awaits: Awaits::Envelope(task), _held: held }, frame)
    }

    fn runner(self: &Arc<Self>, place: &Place) -> Result<Arc<Runner>, Failure> {
        let first = || {
            let variables = self.environment.read().unwrap_or_else(PoisonError::into_inner).clone();
            between::environment(&variables).unwrap_or_default()
        };
        self.runners.find(&place.key, &place.order, self, first)
    }

    fn ask(
        &self,
        id: u64,
        runner: &Arc<Runner>,
        open: Open,
        frame: Vec<u8>,
    ) -> Result<(), Failure> {
        // Held meanwhile, so that what cancels it comes before or after it.
        let mut underway = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stage) = underway.get_mut(&id) else { return Ok(()) };
        *stage = Stage::There(runner.clone());
        runner.ask(id, open, frame).map_err(|_| {
            Failure::new(ErrorCode::Crashed, "the process that runs the sandboxes has ended")
                .hint("ask again: the next request gets a new one")
        })
    }

    /// Lets `work` run beside everything else. It answers, or sees to it that others do.
    fn begin<W, F>(self: &Arc<Self>, id: u64, work: W) -> Result<(), Failure>
    where
        W: FnOnce(Arc<Self>) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let ticket = self.note(id)?;
        let unanswered = Unanswered { front: self.clone(), id, ticket };
        let work = work(self.clone());
        let task = self.handle.spawn(async move {
            let _unanswered = unanswered;
            work.await;
        });
        let mut underway = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
        // It may be further already, or over.
        if let Some(Stage::Here(own, handle)) = underway.get_mut(&id)
            && *own == ticket
        {
            *handle = Some(task.abort_handle());
        }
        Ok(())
    }

    fn note(&self, id: u64) -> Result<u64, Failure> {
        let mut underway = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
        if underway.contains_key(&id) {
            let message = format!("the id {id} is under way already");
            return Err(Failure::new(ErrorCode::InvalidRequest, message));
        }
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        underway.insert(id, Stage::Here(ticket, None));
        Ok(ticket)
    }

    /// Ends what was asked under this number. That it has ended already is no error: the
    /// answer was on its way.
    fn cancel(self: &Arc<Self>, id: u64) {
        let mut underway = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
        match underway.get(&id) {
            None => {}
            Some(Stage::There(runner)) => runner.say(between::cancel(id)),
            Some(Stage::Here(..)) => {
                if let Some(Stage::Here(_, Some(task))) = underway.remove(&id) {
                    task.abort();
                }
                drop(underway);
                let message = "it was cancelled";
                self.refuse_soon(Some(id), Failure::new(ErrorCode::Interrupted, message));
            }
        }
    }

    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.turns.clone().acquire_owned().await.ok()
    }

    /// Answers, unless somebody has.
    fn answer(&self, id: u64, answer: Answer) {
        if self.forget(id) {
            Reply::answer(id, answer).send_to(&self.outgoing);
        }
    }

    fn refuse(&self, id: Option<u64>, error: Failure) {
        Reply::Error { id, error }.send_to(&self.outgoing);
    }

    /// As [`Front::refuse`], for the thread that must not block.
    fn refuse_soon(self: &Arc<Self>, id: Option<u64>, error: Failure) {
        let front = self.clone();
        self.handle.spawn(async move { front.refuse(id, error) });
    }

    fn end(&self) {
        self.runners.end();
        self.sessions.remove_all();
    }
}

/// Answers for work that ended without a word: it panicked.
struct Unanswered {
    front: Arc<Front>,
    id: u64,
    ticket: u64,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let mut underway = self.front.underway.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(underway.get(&self.id), Some(Stage::Here(own, _)) if *own == self.ticket) {
            underway.remove(&self.id);
            drop(underway);
            let failure = Failure::new(
                ErrorCode::SystemFailure,
                "the worker failed; this is a fault of Capsule's",
            );
            self.front.refuse(Some(self.id), failure);
        }
    }
}

fn held(turn: Option<OwnedSemaphorePermit>) -> Vec<Box<dyn Send>> {
    vec![Box::new(turn)]
}

fn sound(frame: serde_json::Result<Vec<u8>>) -> Result<Vec<u8>, Failure> {
    match frame {
        Ok(frame) if frame.len() <= frame::MOST_INSIDE => Ok(frame),
        Ok(_) => Err(Failure::new(ErrorCode::InvalidRequest, "the program is too large")),
        Err(error) => Err(Failure::new(
            ErrorCode::InvalidRequest,
            format!("the request cannot be passed on: {error}"),
        )),
    }
}
