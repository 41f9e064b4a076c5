//! A process that runs what another process asks for, for as long as that one lives.
//!
//! Owns: the protocol (see [`request`]), which requests are under way, and the sessions.
//! Refuses to know: what a sandbox is; runs and sessions are the engine's.
//!
//! ```text
//!   standard input ──▶ main thread: frames ──▶ a task each ──▶ standard output
//!                          │ end of input, parent gone, nobody reads
//!                          ▼
//!                       everything ends
//! ```

mod frame;
mod language;
mod request;
mod sessions;
mod stdio;
mod workspace;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use capsule_backend::guest::Channel;
use capsule_engine::{
    Answer, Backends, Language, MountOption, Output, Project, RunLimits, Silent, Sink, Workflow,
};
use capsule_spec::{ErrorCode, Failure};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::AbortHandle;

use crate::wire::Runtimes;
use crate::{program, progress};
use frame::{Front, Incoming, Outgoing};
use language::Written;
use request::{Hello, PROTOCOL, Piece, Reply, Request, needed};
use sessions::Sessions;
use stdio::{Call, Caller};

/// Requests that run at one time; more of them wait.
const MOST_AT_ONCE: usize = 256;
/// Programs that are made ready at one time: each may take two processors for seconds.
const MOST_BUNDLING: usize = 4;

/// Serves until the caller is gone.
pub(crate) fn serve() -> anyhow::Result<ExitCode> {
    let caller = Caller::take()?;
    let threads = program::threads().map_err(|failure| anyhow::anyhow!(failure.message))?;
    let worker = Arc::new(Worker {
        outgoing: Outgoing::new(caller.output()?),
        handle: threads.handle().clone(),
        runtimes: Arc::default(),
        backends: [const { OnceCell::const_new() }; 2],
        bundling: Arc::new(Semaphore::new(MOST_BUNDLING)),
        environment: RwLock::new(Arc::new(program::environment())),
        underway: Mutex::default(),
        turns: Semaphore::new(MOST_AT_ONCE),
        sessions: Sessions::default(),
    });
    worker.send(&Reply::Hello {
        hello: Hello { version: env!("CARGO_PKG_VERSION"), protocol: PROTOCOL },
    });
    // The first request finds it ready, or waits for it.
    let early = worker.clone();
    threads.spawn(async move { early.backends(Language::Python).await.map(drop) });
    let code = worker.clone().listen(caller);
    // Guests end where they are; what they used goes with the process.
    threads.shutdown_background();
    worker.sessions.remove_all();
    code
}

struct Worker {
    outgoing: Outgoing,
    handle: Handle,
    runtimes: Arc<Runtimes>,
    /// For programs and sessions without packages, by language.
    backends: [OnceCell<Backends>; 2],
    /// Who prepares a program; a request that is cancelled meanwhile still does.
    bundling: Arc<Semaphore>,
    environment: RwLock<Arc<BTreeMap<String, String>>>,
    underway: Mutex<HashMap<u64, AbortHandle>>,
    turns: Semaphore,
    sessions: Sessions,
}

impl Worker {
    fn listen(self: Arc<Self>, mut caller: Caller) -> anyhow::Result<ExitCode> {
        let mut incoming = Incoming::default();
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
                    Front::Frame(bytes) => self.hear(bytes),
                    Front::Partial => break,
                    Front::TooLarge(length) => {
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
            return;
        }
        let Some(id) = request.id else {
            let message = "the request has no id";
            return self.refuse_soon(None, Failure::new(ErrorCode::InvalidRequest, message));
        };
        let begun = match &*request.op {
            "run" => self.run(id, &request),
            "evaluate" => self.evaluate(id, &request),
            "cancel" => {
                self.cancel(id);
                Ok(())
            }
            "reset" | "close" | "import" | "export" | "delete" => self.keep(id, &request),
            other => {
                let message = format!("there is no op {other:?}");
                Err(Failure::new(ErrorCode::UnknownOption, message))
            }
        };
        if let Err(failure) = begun {
            self.refuse_soon(Some(id), failure);
        }
    }

    fn run(self: &Arc<Self>, id: u64, request: &Request<'_>) -> Result<(), Failure> {
        let arguments = request.arguments()?;
        let mounts = mounts(request)?;
        let place = PathBuf::from(request.cwd.as_deref().unwrap_or_default());
        let (file, source) = (request.file.clone(), request.source.clone());
        let written = Written::of_source(request)?;
        let task = request.task.clone().unwrap_or_else(|| "main".to_owned());
        let environment = self.environment();
        self.begin(id, async move |worker| {
            let _turn = worker.turns.acquire().await;
            let opened = match &source {
                Some(_) if file.is_some() => {
                    let message = "a run has a file or a source, not both";
                    Err(Failure::new(ErrorCode::ConflictingOptions, message))
                }
                Some(source) => {
                    let Written { language, name } = &written;
                    let text = source.clone().into_bytes();
                    program::mounted(Project::of_text(&place, name, *language, text), &mounts)
                }
                None => program::open(&place, file.as_deref(), &mounts),
            };
            let prepared = match opened {
                Ok(project) => worker.backends_of(project).await,
                Err(failure) => Err(failure),
            };
            let (project, backends) = match prepared {
                Ok(prepared) => prepared,
                Err(failure) => {
                    let answer = Answer::refused(&task, failure);
                    return Reply::answer(id, explained(&written, source.as_deref(), answer));
                }
            };
            let limits = RunLimits::default();
            let output = Worker::output(&worker, id, &limits);
            let environment = (*environment).clone();
            let answer = match Workflow::load(
                project,
                backends,
                limits,
                environment,
                output,
                Box::new(Silent),
            )
            .await
            {
                Ok(workflow) => workflow.call(&task, &arguments).await,
                Err(answer) => answer,
            };
            Reply::answer(id, explained(&written, source.as_deref(), answer))
        })
    }

    fn evaluate(self: &Arc<Self>, id: u64, request: &Request<'_>) -> Result<(), Failure> {
        let code = needed(&request.code, "code")?;
        let Written { language, name } = Written::of_code(request)?;
        let session = request.session.clone();
        let options = request.options.clone();
        let mounts = mounts(request)?;
        let place = PathBuf::from(request.cwd.as_deref().unwrap_or_default());
        let environment = self.environment();
        let turn = session.as_deref().map(|name| self.sessions.line_up(name));
        self.begin(id, async move |worker| {
            let _first = match turn {
                Some(turn) => Some(turn.await),
                None => None,
            };
            let _turn = worker.turns.acquire().await;
            let found = match worker.backends(language).await {
                Ok(backends) => {
                    let wanted = sessions::Wanted {
                        language,
                        options: &options,
                        mounts: &mounts,
                        place: &place,
                        environment: &environment,
                    };
                    worker.sessions.find(session.as_deref(), backends, &wanted)
                }
                Err(failure) => Err(failure),
            };
            let session = match found {
                Ok(session) => session,
                Err(failure) => return Reply::answer(id, Answer::refused("session", failure)),
            };
            let output = Worker::output(&worker, id, &RunLimits::default());
            let answer = session.evaluate(&code, &name, output).await;
            Reply::answer(id, answer)
        })
    }

    /// What is done to a session, not in it.
    fn keep(self: &Arc<Self>, id: u64, request: &Request<'_>) -> Result<(), Failure> {
        let session = needed(&request.session, "session")?;
        let work = sessions::Work::of(request)?;
        let Written { language, .. } = Written::of_code(request)?;
        let options = request.options.clone();
        let mounts = mounts(request)?;
        let place = PathBuf::from(request.cwd.as_deref().unwrap_or_default());
        let environment = self.environment();
        let turn = self.sessions.line_up(&session);
        self.begin(id, async move |worker| {
            let _first = turn.await;
            let done = match worker.backends(language).await {
                Ok(backends) => {
                    let wanted = sessions::Wanted {
                        language,
                        options: &options,
                        mounts: &mounts,
                        place: &place,
                        environment: &environment,
                    };
                    worker.sessions.keep(&session, work, backends, &wanted).await
                }
                Err(failure) => Err(failure),
            };
            match done {
                Ok(()) => Reply::Done { id, done: true },
                Err(error) => Reply::Error { id: Some(id), error },
            }
        })
    }

    /// Lets `work` run beside everything else, and sends its reply.
    fn begin<W, F>(self: &Arc<Self>, id: u64, work: W) -> Result<(), Failure>
    where
        W: FnOnce(Arc<Self>) -> F,
        F: Future<Output = Reply<'static>> + Send + 'static,
    {
        // Held until it is noted, so that it cannot end before.
        let mut underway = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
        if underway.contains_key(&id) {
            let message = format!("the id {id} is under way already");
            return Err(Failure::new(ErrorCode::InvalidRequest, message));
        }
        let unanswered = Unanswered { worker: self.clone(), id };
        let work = work(self.clone());
        let task = self.handle.spawn(async move {
            let unanswered = unanswered;
            let reply = work.await;
            if unanswered.worker.forget(id) {
                unanswered.worker.send(&reply);
            }
        });
        underway.insert(id, task.abort_handle());
        Ok(())
    }

    /// Ends what was asked under this number. That it has ended already is no error: the
    /// answer was on its way.
    fn cancel(self: &Arc<Self>, id: u64) {
        let task = self.underway.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(task) = task {
            task.abort();
            let message = "it was cancelled";
            self.refuse_soon(Some(id), Failure::new(ErrorCode::Interrupted, message));
        }
    }

    /// Whether nobody has answered yet; from here on somebody has.
    fn forget(&self, id: u64) -> bool {
        self.underway.lock().unwrap_or_else(PoisonError::into_inner).remove(&id).is_some()
    }

    async fn backends(&self, language: Language) -> Result<&Backends, Failure> {
        let (place, name) = match language {
            Language::Python => (&self.backends[0], "nothing.py"),
            Language::JavaScript => (&self.backends[1], "nothing.js"),
        };
        let prepare = || async {
            let nothing = Project::of_text(&PathBuf::new(), name, language, Vec::new());
            Ok(self.prepare(nothing).await?.1)
        };
        place.get_or_try_init(prepare).await
    }

    async fn backends_of(&self, project: Project) -> Result<(Project, Backends), Failure> {
        // Most programs have no packages: nothing is looked up then.
        let is_plain = project.language() == Language::Python && !project.mentions("jail");
        if is_plain && project.requirements()?.is_empty() {
            return Ok((project, self.backends(Language::Python).await?.clone()));
        }
        self.prepare(project).await
    }

    async fn prepare(&self, mut project: Project) -> Result<(Project, Backends), Failure> {
        let runtimes = self.runtimes.clone();
        let turn = self.bundling.clone().acquire_owned().await;
        let prepared = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let backends = runtimes.of(&mut project, &progress::Preparing)?;
            Ok((project, backends))
        });
        let gone =
            |_| Failure::new(ErrorCode::RuntimeUnavailable, "the runtime could not be prepared");
        prepared.await.map_err(gone)?
    }

    fn environment(&self) -> Arc<BTreeMap<String, String>> {
        self.environment.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn output(worker: &Arc<Self>, id: u64, limits: &RunLimits) -> Output {
        Output::new(Box::new(Pieces { worker: worker.clone(), id }), limits.output)
    }

    fn send(&self, reply: &Reply<'_>) {
        let write = |frame: &mut Vec<u8>| {
            serde_json::to_writer(frame, reply).expect("a reply is JSON, and memory takes all");
        };
        if !self.outgoing.send(write)
            && let Reply::Envelope { id, .. } = reply
        {
            let message = format!("the answer is larger than {} bytes", frame::MOST);
            let failure =
                Failure::new(ErrorCode::OutputLimit, message).hint("write large results to a file");
            self.send(&Reply::answer(*id, Answer::refused("main", failure)));
        }
    }

    fn refuse(&self, id: Option<u64>, error: Failure) {
        self.send(&Reply::Error { id, error });
    }

    /// As [`Worker::refuse`], for the thread that must not block.
    fn refuse_soon(self: &Arc<Self>, id: Option<u64>, error: Failure) {
        let worker = self.clone();
        self.handle.spawn(async move { worker.refuse(id, error) });
    }
}

/// The answer of a program that may be text.
fn explained(written: &Written, source: Option<&str>, answer: Answer) -> Answer {
    match source {
        Some(source) => written.explain(source, answer),
        None => answer,
    }
}

fn mounts(request: &Request<'_>) -> Result<Vec<MountOption>, Failure> {
    let read = |text: &String| {
        text.parse()
            .map_err(|error| Failure::new(ErrorCode::InvalidValue, format!("mounts: {error}")))
    };
    request.mounts.iter().map(read).collect()
}

/// Answers for work that ended without a word: it panicked.
struct Unanswered {
    worker: Arc<Worker>,
    id: u64,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if self.worker.forget(self.id) {
            let failure = Failure::new(
                ErrorCode::SystemFailure,
                "the worker failed; this is a fault of Capsule's",
            );
            self.worker.refuse(Some(self.id), failure);
        }
    }
}

/// What a run prints, as frames.
struct Pieces {
    worker: Arc<Worker>,
    id: u64,
}

impl Sink for Pieces {
    fn write(&self, channel: Channel, bytes: &[u8]) {
        self.worker.send(&Reply::Output { id: self.id, output: Piece::new(channel, bytes) });
    }
}
