//! A process of a worker that runs guests. Before the first of them it gives up all that
//! requests of its place could not be granted; so what it runs on is made ready before,
//! and never changes.

mod fit;
mod sessions;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use capsule_backend::guest::Channel;
use capsule_engine::{
    Answer, Backends, Output, Part, Parts, Project, RunLimits, Silent, Sink, Workflow,
};
use capsule_spec::{ErrorCode, Failure};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::between::{Ask, Made, Order, Program, Start, mounts};
use super::frame::{Front, Incoming, MOST_INSIDE, Outgoing};
use super::language::Written;
use super::request::{Piece, Reply, Request, needed};
use super::stdio::{Call, Caller};
use crate::wire::Runtimes;
use crate::{lockdown, program, progress};
use fit::{Fit, changed};
use sessions::Sessions;

/// Serves until the front is gone.
pub(super) fn serve(order: &OsStr) -> ExitCode {
    // What may begin this program again comes before anything is read.
    let prepared = Prepared::of(order);
    let Ok(caller) = Caller::take() else { return ExitCode::FAILURE };
    let Ok(output) = caller.output() else { return ExitCode::FAILURE };
    let outgoing = Outgoing::new(output);
    match prepared.and_then(|prepared| prepared.enter()) {
        Ok(prepared) => {
            start(&outgoing, &Start::Ready(true));
            prepared.listen(caller, outgoing)
        }
        Err(failure) => {
            start(&outgoing, &Start::Failed(failure));
            ExitCode::FAILURE
        }
    }
}

fn start(outgoing: &Outgoing, start: &Start) {
    outgoing.pass_on(&serde_json::to_vec(start).unwrap_or_default());
}

/// All that this process will ever run guests with.
struct Prepared {
    order: Order,
    parts: Parts,
    made: Vec<Fit>,
}

impl Prepared {
    fn of(order: &OsStr) -> Result<Self, Failure> {
        // It ends with the thread that started it: a front that is killed cannot clean up.
        let _ =
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        let unreadable =
            || Failure::new(ErrorCode::InvalidRequest, "this is a process of a worker only");
        let order: Order = order
            .to_str()
            .and_then(|order| serde_json::from_str(order).ok())
            .ok_or_else(unreadable)?;
        let project = order.open()?;
        let runtimes = Runtimes::default();
        let ready = |name: String, mut project: Project, has_native| {
            let progress = &progress::Preparing;
            let backends = runtimes.without_script(&mut project, has_native, progress)?;
            Ok(Part { name, project, backends })
        };
        let others = project.others()?.into_iter().map(|(name, project)| {
            let has_native = *order.others.get(&name).ok_or_else(changed)?;
            ready(name, project, has_native)
        });
        let others = others.collect::<Result<_, Failure>>()?;
        let entry = ready(project.name().to_owned(), project, order.has_native)?;
        let mut parts = Parts { entry, others };
        program::start_brokers(&mut parts);
        lockdown::be_alone()?;
        let is_native = |name: &str| order.others.get(name).copied().unwrap_or_default();
        let mut made = vec![Fit::of(&parts.entry, order.has_native)?];
        for part in &parts.others {
            made.push(Fit::of(part, is_native(&part.name))?);
        }
        Ok(Self { order, parts, made })
    }

    /// Locks this process down.
    fn enter(self) -> Result<Self, Failure> {
        let program = match &self.order.program {
            Program::File(Some(file)) if self.parts.entry.project.is_in_one_file() => {
                Some(self.order.caller.join(file))
            }
            _ => None,
        };
        lockdown::enter_for_good(&self.parts, program, self.order.sessions.clone())?;
        Ok(self)
    }

    fn listen(self, caller: Caller, outgoing: Outgoing) -> ExitCode {
        let Ok(threads) = program::threads() else { return ExitCode::FAILURE };
        let worker = Arc::new(Worker {
            outgoing,
            handle: threads.handle().clone(),
            backends: self.parts.entry.backends,
            made: self.made,
            environment: RwLock::default(),
            underway: Mutex::default(),
            tickets: AtomicU64::new(0),
            sessions: Sessions::default(),
        });
        let code = worker.clone().listen(caller);
        // Guests end where they are; what they used goes with the process. Nobody is answered
        // any more, who is dropped half-way least of all.
        worker.underway.lock().unwrap_or_else(PoisonError::into_inner).clear();
        threads.shutdown_background();
        code.unwrap_or(ExitCode::FAILURE)
    }
}

struct Worker {
    outgoing: Outgoing,
    handle: Handle,
    /// What runs sessions.
    backends: Backends,
    /// What runs programs: first those that are named, then the others that they may call.
    made: Vec<Fit>,
    environment: RwLock<Arc<BTreeMap<String, String>>>,
    /// By number, with a ticket: a number comes again as soon as it is answered, and whoever
    /// is late with the one before must not meet it.
    underway: Mutex<HashMap<u64, (u64, AbortHandle)>>,
    tickets: AtomicU64,
    sessions: Sessions,
}

impl Worker {
    fn listen(self: Arc<Self>, mut caller: Caller) -> anyhow::Result<ExitCode> {
        let mut incoming = Incoming::of(MOST_INSIDE);
        loop {
            match caller.wait()? {
                Call::Gone => return Ok(ExitCode::SUCCESS),
                Call::Input if incoming.fill(&mut caller.input)? == 0 => {
                    return Ok(ExitCode::SUCCESS);
                }
                Call::Input => {}
            }
            loop {
                match incoming.take() {
                    Front::Frame(bytes) => self.hear(bytes),
                    Front::Partial => break,
                    Front::TooLarge(_) => return Ok(ExitCode::FAILURE),
                }
            }
        }
    }

    /// One frame. Never blocks: what is asked later may be to end what runs.
    fn hear(self: &Arc<Self>, bytes: &[u8]) {
        // The front has read it before.
        let Ok(Ask { request, made }) = serde_json::from_slice(bytes) else { return };
        if request.op == "environment" {
            let mut place = self.environment.write().unwrap_or_else(PoisonError::into_inner);
            *place = Arc::new(request.variables);
            return;
        }
        let Some(id) = request.id else { return };
        let begun = match &*request.op {
            "run" => self.run(id, &request, made),
            "evaluate" => self.evaluate(id, &request, made.workspace),
            "cancel" => {
                self.cancel(id);
                Ok(())
            }
            _ => self.keep(id, &request),
        };
        if let Err(failure) = begun {
            self.refuse_soon(Some(id), failure);
        }
    }

    fn run(self: &Arc<Self>, id: u64, request: &Request<'_>, made: Made) -> Result<(), Failure> {
        let arguments = request.arguments()?;
        let mounts = mounts(&request.mounts)?;
        let place = PathBuf::from(request.cwd.as_deref().unwrap_or_default());
        let (file, source) = (made.file.or(request.file.clone()), request.source.clone());
        let written = Written::of_source(request)?;
        let task = request.task.clone().unwrap_or_else(|| "main".to_owned());
        let environment = self.environment();
        self.begin(id, async move |worker| {
            let opened = match &source {
                Some(source) => {
                    let Written { language, name } = &written;
                    let text = source.clone().into_bytes();
                    program::mounted(Project::of_text(&place, name, *language, text), &mounts)
                }
                None => program::open(&place, file.as_deref(), &mounts),
            };
            let answer =
                match opened.and_then(|project| fit::parts(&worker.made, project, made.bundles)) {
                    Ok(parts) => worker.call(id, parts, &task, &arguments, &environment).await,
                    Err(failure) => Answer::refused(&task, failure),
                };
            let answer = match &source {
                Some(source) => written.explain(source, answer),
                None => answer,
            };
            Reply::answer(id, answer)
        })
    }

    async fn call(
        self: &Arc<Self>,
        id: u64,
        parts: Parts,
        task: &str,
        arguments: &str,
        environment: &BTreeMap<String, String>,
    ) -> Answer {
        let limits = RunLimits::default();
        let output = Worker::output(self, id, &limits);
        let silent = Box::new(Silent);
        match Workflow::load(parts, limits, environment.clone(), output, silent).await {
            Ok(workflow) => workflow.call(task, arguments).await,
            Err(answer) => answer,
        }
    }

    fn evaluate(
        self: &Arc<Self>,
        id: u64,
        request: &Request<'_>,
        workspace: Option<PathBuf>,
    ) -> Result<(), Failure> {
        let code = needed(&request.code, "code")?;
        let Written { language, name } = Written::of_code(request)?;
        let session = request.session.clone();
        let options = request.options.clone();
        let mounts = mounts(&request.mounts)?;
        let place = PathBuf::from(request.cwd.as_deref().unwrap_or_default());
        let environment = self.environment();
        self.begin(id, async move |worker| {
            let wanted = sessions::Wanted {
                language,
                options: &options,
                mounts: &mounts,
                place: &place,
                workspace,
                environment: &environment,
            };
            let session = match worker.sessions.find(session.as_deref(), &worker.backends, &wanted)
            {
                Ok(session) => session,
                Err(failure) => return Reply::answer(id, Answer::refused("session", failure)),
            };
            let output = Worker::output(&worker, id, &RunLimits::default());
            let answer = session.lock().await.evaluate(&code, &name, output).await;
            Reply::answer(id, answer)
        })
    }

    /// A session is reset or closed: its memory is given up.
    fn keep(self: &Arc<Self>, id: u64, request: &Request<'_>) -> Result<(), Failure> {
        self.sessions.remove(&needed(&request.session, "session")?);
        self.begin(id, async move |_| Reply::Done { id, done: true })
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
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let unanswered = Unanswered { worker: self.clone(), id, ticket };
        let work = work(self.clone());
        let task = self.handle.spawn(async move {
            let unanswered = unanswered;
            let reply = work.await;
            if unanswered.worker.forget(id, ticket) {
                unanswered.worker.send(&reply);
            }
        });
        underway.insert(id, (ticket, task.abort_handle()));
        Ok(())
    }

    /// Ends what was asked under this number. That it has ended already is no error: the
    /// answer was on its way.
    fn cancel(self: &Arc<Self>, id: u64) {
        let task = self.underway.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some((_, task)) = task {
            task.abort();
            let message = "it was cancelled";
            self.refuse_soon(Some(id), Failure::new(ErrorCode::Interrupted, message));
        }
    }

    /// Whether nobody has answered yet; from here on somebody has.
    fn forget(&self, id: u64, ticket: u64) -> bool {
        let mut underway = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
        let is_its_own = underway.get(&id).is_some_and(|(own, _)| *own == ticket);
        is_its_own && underway.remove(&id).is_some()
    }

    fn environment(&self) -> Arc<BTreeMap<String, String>> {
        self.environment.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn output(worker: &Arc<Self>, id: u64, limits: &RunLimits) -> Output {
        Output::new(Box::new(Pieces { worker: worker.clone(), id }), limits.output)
    }

    fn send(&self, reply: &Reply<'_>) {
        reply.send_to(&self.outgoing);
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

/// Answers for work that ended without a word: it panicked.
struct Unanswered {
    worker: Arc<Worker>,
    id: u64,
    ticket: u64,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if self.worker.forget(self.id, self.ticket) {
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
