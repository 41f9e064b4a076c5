//! A process of a worker that runs guests. Before the first of them it gives up all that
//! requests of its place could not be granted; so what it runs on is made ready before,
//! and never changes.

mod sessions;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use capsule_backend::guest::{Channel, Granted};
use capsule_engine::{
    Answer, Backends, Language, Output, Project, RunLimits, Silent, Sink, Workflow,
};
use capsule_spec::{ErrorCode, Failure};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::between::{Ask, Order, Program, Start, mounts};
use super::frame::{Front, Incoming, MOST_INSIDE, Outgoing};
use super::language::Written;
use super::request::{Piece, Reply, Request, needed};
use super::stdio::{Call, Caller};
use crate::script::Bundled;
use crate::wire::Runtimes;
use crate::{broker, lockdown, program, progress};
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
    project: Project,
    backends: Backends,
    requirements: Vec<String>,
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
        let mut project = order.open()?;
        let requirements = project.requirements()?;
        let mut backends = Runtimes::default().without_script(
            &mut project,
            order.has_native,
            &progress::Preparing,
        )?;
        backends.jail = broker::start(&project, backends.jail);
        lockdown::be_alone()?;
        Ok(Self { order, project, backends, requirements })
    }

    /// Locks this process down.
    fn enter(self) -> Result<Self, Failure> {
        let program = match &self.order.program {
            Program::File(Some(file)) if self.project.is_in_one_file() => {
                Some(self.order.caller.join(file))
            }
            _ => None,
        };
        lockdown::enter_for_good(&self.project, program, self.order.sessions.clone())?;
        Ok(self)
    }

    fn listen(self, caller: Caller, outgoing: Outgoing) -> ExitCode {
        let Ok(threads) = program::threads() else { return ExitCode::FAILURE };
        let worker = Arc::new(Worker {
            outgoing,
            handle: threads.handle().clone(),
            language: self.project.language(),
            always: self.project.always(),
            requirements: self.requirements,
            has_native: self.order.has_native,
            backends: self.backends,
            environment: RwLock::default(),
            underway: Mutex::default(),
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
    language: Language,
    requirements: Vec<String>,
    has_native: bool,
    /// What every sandbox sees: the packages.
    always: Vec<Granted>,
    backends: Backends,
    environment: RwLock<Arc<BTreeMap<String, String>>>,
    underway: Mutex<HashMap<u64, AbortHandle>>,
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
        let Ok(Ask { request, bundle, workspace }) = serde_json::from_slice(bytes) else { return };
        if request.op == "environment" {
            let mut place = self.environment.write().unwrap_or_else(PoisonError::into_inner);
            *place = Arc::new(request.variables);
            return;
        }
        let Some(id) = request.id else { return };
        let begun = match &*request.op {
            "run" => self.run(id, &request, bundle),
            "evaluate" => self.evaluate(id, &request, workspace),
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

    fn run(
        self: &Arc<Self>,
        id: u64,
        request: &Request<'_>,
        bundle: Option<Bundled>,
    ) -> Result<(), Failure> {
        let arguments = request.arguments()?;
        let mounts = mounts(&request.mounts)?;
        let place = PathBuf::from(request.cwd.as_deref().unwrap_or_default());
        let (file, source) = (request.file.clone(), request.source.clone());
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
            let answer = match opened.and_then(|project| worker.fit(project, bundle)) {
                Ok(project) => worker.call(id, project, &task, &arguments, &environment).await,
                Err(failure) => Answer::refused(&task, failure),
            };
            let answer = match &source {
                Some(source) => written.explain(source, answer),
                None => answer,
            };
            Reply::answer(id, answer)
        })
    }

    /// The project, if it is still one that this process was made ready for.
    fn fit(&self, mut project: Project, bundle: Option<Bundled>) -> Result<Project, Failure> {
        let is_same = project.language() == self.language
            && project.requirements()? == self.requirements
            && (self.has_native || !project.mentions("jail"));
        if !is_same {
            let message = "the program was changed while its run began";
            return Err(Failure::new(ErrorCode::RuntimeUnavailable, message).hint("run it again"));
        }
        for granted in &self.always {
            project.packages(granted.source.clone(), &granted.destination);
        }
        if let Some(bundle) = bundle {
            bundle.attach(&mut project);
        }
        Ok(project)
    }

    async fn call(
        self: &Arc<Self>,
        id: u64,
        project: Project,
        task: &str,
        arguments: &str,
        environment: &BTreeMap<String, String>,
    ) -> Answer {
        let limits = RunLimits::default();
        let output = Worker::output(self, id, &limits);
        let (backends, environment) = (self.backends.clone(), environment.clone());
        let silent = Box::new(Silent);
        match Workflow::load(project, backends, limits, environment, output, silent).await {
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
