//! Functions of programs in CPython or Node, each call in a jail of its own: there packages
//! with native code work, and all that the interpreters have.
//!
//! Owns: the interpreter and what it needs mounted, the protocol with the guest, the
//! life of one call. Refuses to know: walls (the plan has them), retries, deadlines.
//!
//! ```text
//!  call ──▶ thread: plan, jail, watch ─────────────────────────▶ Outcome
//!    │        │ interpreter, bootstrap, descriptor 3               ▲ stop: all is killed
//!    │        ▼                                                    │
//!    └──▶ conversation: start ▶ hello ▶ (source, call ⇄ answer)* ▶ done or failed
//!                                               │ dropped, nonsense, silence, out of fuel
//!                                               └──────────────────┘
//! ```
//!
//! The guest is hostile: whatever comes out of descriptor 3 is bounded, parsed into
//! types, and otherwise the end of it. It can lie about nothing but its own answer.

mod account;
mod bundle;
mod calls;
mod conversation;
mod frames;
mod interpreter;
mod node;
mod python;
mod running;
mod slot;
mod task;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use capsule_backend::guest::{Declared, Grant, Guest, GuestError, Guests, Outside, Pending, Usage};
use capsule_spec::{ErrorCode, Failure, Outcome};

use account::Account;
use bundle::Order;
use conversation::{Conversation, Word};
use interpreter::{Interpreter, Language};
use running::Running;

/// Units of fuel that a nanosecond of processor time costs. A WebAssembly guest burns
/// about as many in it (`capsule_spec::Fuel`), though it gets less done.
pub const FUEL_PER_NANOSECOND: u64 = 10;

/// How V8 ends when the heap is full: SIGABRT.
const ABORT: &str = "6";

/// How long an interpreter may take to end after the task's answer: exit handlers,
/// open files, threads that nobody stopped.
const WIND_UP: Duration = Duration::from_secs(1);

/// CPython or Node, in a jail for each call.
///
/// Defaults: no packages but the interpreter's own, no further mounts.
///
/// How it differs from a WebAssembly guest:
/// - [`Grant::meter`]: processor time of all processes is charged as fuel, at
///   [`FUEL_PER_NANOSECOND`], the interpreter's start included, and 10 us for each
///   message to the host. It is looked at every
///   5 to 50 ms, so a budget may be overrun by as much on each processor; and where no
///   control group counts it, time of processes that live shorter and that nobody
///   waits for is not seen. A deadline holds for all of them.
/// - [`Grant::ram`] bounds all processes and private files together. Whoever uses more
///   is killed, so the error `MemoryError` has no traceback.
/// - [`Grant::disk`] is `/tmp`, `/workspace` and `/dev/shm` together.
/// - A file granted at `/` is at `/project`, and the program starts there instead of `/`.
/// - Processes that the program forks cannot import modules of the program that were
///   not loaded before, nor call tasks.
/// - In Node, variables are set when the interpreter has started, so that none of them
///   decides how; and a heap that is full ends it, as too much memory does.
#[derive(Clone, Debug)]
pub struct Native {
    setup: Arc<Setup>,
}

/// What all calls share.
#[derive(Clone, Debug)]
struct Setup {
    language: Language,
    path: PathBuf,
    mounts: Vec<PathBuf>,
    packages: Option<PathBuf>,
    /// Folders of packages for Node: where they are, and where they are seen.
    modules: Vec<(PathBuf, String)>,
    interpreter: OnceLock<Result<Interpreter, Failure>>,
}

impl Setup {
    /// The interpreter, which is run once to be asked where it lives.
    fn interpreter(&self) -> Result<&Interpreter, Failure> {
        let found = self.interpreter.get_or_init(|| self.language.find(&self.path));
        found.as_ref().map_err(Clone::clone)
    }
}

impl Native {
    /// Functions run in `interpreter`: a `python3` of the host, a virtual environment's.
    /// What it needs outside the system directories is mounted read-only.
    #[must_use]
    pub fn new(interpreter: PathBuf) -> Self {
        Self::of(Language::Python, interpreter)
    }

    /// Functions of programs in JavaScript run in `interpreter`: a `node` of the host, 20 or
    /// newer. A program is the body of one CommonJS module.
    #[must_use]
    pub fn node(interpreter: PathBuf) -> Self {
        Self::of(Language::JavaScript, interpreter)
    }

    fn of(language: Language, path: PathBuf) -> Self {
        let setup = Setup {
            language,
            path,
            mounts: Vec::new(),
            packages: None,
            modules: Vec::new(),
            interpreter: OnceLock::new(),
        };
        Self { setup: Arc::new(setup) }
    }

    /// Looks for the interpreter; else the first call does.
    ///
    /// # Errors
    /// When there is none that can be used.
    pub fn check(&self) -> Result<(), Failure> {
        self.setup.interpreter().map(drop)
    }

    /// Mounts more of the host's folders, read-only, where they are.
    #[must_use]
    pub fn with_mounts(mut self, mounts: Vec<PathBuf>) -> Self {
        Arc::make_mut(&mut self.setup).mounts = mounts;
        self
    }

    /// Packages for the program, as `pip install --target` lays them out for this
    /// interpreter: mounted read-only at `/packages`, whatever a grant has there, and
    /// found before the interpreter's own.
    #[must_use]
    pub fn with_packages(mut self, packages: Option<PathBuf>) -> Self {
        Arc::make_mut(&mut self.setup).packages = packages;
        self
    }

    /// Mounts folders of packages read-only, as npm lays them out, at the paths beside them,
    /// `/node_modules` and the like: packages with native code are loaded from there.
    #[must_use]
    pub fn with_modules(mut self, modules: Vec<(PathBuf, String)>) -> Self {
        Arc::make_mut(&mut self.setup).modules = modules;
        self
    }
}

impl Guests for Native {
    fn open(&self, outside: Arc<dyn Outside>) -> Result<Box<dyn Guest>, Failure> {
        Ok(Box::new(NativeGuest { setup: self.setup.clone(), outside, account: None }))
    }
}

struct NativeGuest {
    setup: Arc<Setup>,
    outside: Arc<dyn Outside>,
    /// Of the last call.
    account: Option<Arc<Account>>,
}

impl Guest for NativeGuest {
    fn declare<'a>(&'a mut self, _: &'a Grant) -> Pending<'a, Result<Declared, GuestError>> {
        Box::pin(async { Err(unsupported("a program declares its tasks in WebAssembly")) })
    }

    fn call<'a>(
        &'a mut self,
        function: &'a str,
        arguments: &'a str,
        grant: &'a Grant,
    ) -> Pending<'a, Result<String, GuestError>> {
        Box::pin(self.run(function, arguments, grant))
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
        self.account.as_ref().map(|account| account.usage()).unwrap_or_default()
    }
}

impl NativeGuest {
    async fn run(
        &mut self,
        function: &str,
        arguments: &str,
        grant: &Grant,
    ) -> Result<String, GuestError> {
        if grant.meter.left() == 0 {
            return Err(GuestError::OutOfFuel);
        }
        let program = self.outside.source("").ok_or_else(|| {
            GuestError::Failed(Failure::new(ErrorCode::InvalidValue, "there is no program"))
        })?;
        let language = self.setup.language;
        let order = Order {
            language,
            program: &program,
            packages: task::packages(&self.setup, grant),
            environment: (language == Language::JavaScript).then_some(&grant.environment),
            task: function,
            arguments,
        };
        let start = bundle::start(&order).map_err(GuestError::Failed)?;
        let slot = slot::take().await.map_err(GuestError::Failed)?;
        let (mut running, stream) =
            Running::start(&self.setup, &self.outside, grant, slot).map_err(GuestError::Failed)?;
        self.account = Some(running.account().clone());
        let account = running.account().clone();
        let mut conversation = Conversation::new(stream, self.outside.clone(), account, start);
        let word = running.unless_ended(std::future::poll_fn(|context| conversation.poll(context)));
        let word = match word.await {
            Some(word) => word,
            // What it said with its last breath is still in the socket.
            None => conversation.last_word(),
        };
        let has_greeted = conversation.has_greeted();
        // Nobody hears the answers to what it asked any more.
        drop(conversation);
        let patience = if matches!(word, Word::Nonsense(_)) { Duration::ZERO } else { WIND_UP };
        let end = running.end_within(patience).await;
        match word {
            Word::Said(answer) => answer,
            Word::Nonsense(text) => Err(GuestError::Crashed(text)),
            Word::Silence if running.account().is_exhausted() => Err(GuestError::OutOfFuel),
            Word::Silence
                if language == Language::JavaScript
                    && end.as_ref().is_ok_and(is_aborted)
                    && node::is_out_of_memory(&running.account().last_errors()) =>
            {
                Err(no_memory(grant))
            }
            Word::Silence => Err(silent(end, has_greeted, grant)),
        }
    }
}

/// Why an interpreter ended without an answer.
fn silent(end: Result<Outcome, Failure>, has_greeted: bool, grant: &Grant) -> GuestError {
    let outcome = match end {
        Ok(outcome) => outcome,
        Err(failure) => return GuestError::Failed(failure),
    };
    let exited = || {
        let code = outcome.exit_code.unwrap_or_default();
        GuestError::Crashed(format!("its process exited with {code} before the task returned"))
    };
    let Some(failure) = &outcome.error else { return exited() };
    match failure.code {
        ErrorCode::MemoryLimit => no_memory(grant),
        _ if !has_greeted => GuestError::Failed(Failure {
            message: format!("the interpreter did not start: {}", failure.message),
            ..failure.clone()
        }),
        // It was ended by us, for nothing else than its silence.
        ErrorCode::Interrupted => {
            GuestError::Crashed("it closed its channel to the host".to_owned())
        }
        ErrorCode::NonZeroExit => exited(),
        _ => GuestError::Crashed(failure.message.clone()),
    }
}

fn no_memory(grant: &Grant) -> GuestError {
    GuestError::Raised {
        kind: "MemoryError".to_owned(),
        message: format!("it used more memory than {}", grant.ram),
        traceback: String::new(),
    }
}

fn is_aborted(outcome: &Outcome) -> bool {
    let signal = outcome.error.as_ref().and_then(|failure| failure.details.get("signal"));
    signal.is_some_and(|number| *number == ABORT)
}

fn unsupported(message: &str) -> GuestError {
    let failure = Failure::new(ErrorCode::ConflictingOptions, message);
    GuestError::Failed(failure.hint("leave out isolation=\"jail\""))
}
