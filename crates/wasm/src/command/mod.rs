//! A program in WebAssembly, run once as a command: arguments, streams, an exit code.
//!
//! Owns: everything between the file of a program that nobody has read and an
//! [`Outcome`]. Refuses to know: command lines, and what a run of tasks is.
//!
//! ```text
//!   Command ──open──▶ Ready ──run──▶ End ──verdict──▶ Outcome
//!     │  program   read, bounded; compiled, or found in the cache
//!     │  files     the mounts, opened without following links
//!     │  streams   the caller's descriptors, duplicated
//!     ▼
//!   Ready: nothing of the host is opened from here on, but what is below the mounts;
//!     │    so the process gives up everything else ([`Seal`])
//! ```
//!
//! Who attacks, and what meets them:
//! - the file itself, by its size or by what compiling it costs: `program` bounds the
//!   bytes, and [`watch`] the time and the memory;
//! - the program, by not ending: fuel makes it stop every millisecond and [`guest`] look
//!   at the clock; host functions do nothing for it once its time is over; if it is
//!   stuck all the same, [`watch`] answers without it;
//! - the program, by taking memory, tables, instances, output: [`state`], [`streams`];
//! - the program, by reaching for what it was not given: it is given only what
//!   [`Ready::open`] lists.

mod files;
mod guest;
mod program;
mod state;
mod streams;
mod sys;
mod usage;
mod verdict;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use capsule_backend::{BackendError, Output};
use capsule_spec::{ByteSize, ErrorCode, ExecutionId, Failure, Fuel, Mount, Outcome, Stdin};
use wasmtime::Engine;
use wasmtime_wasi::WasiCtxBuilder;

use program::Code;
use state::State;
use streams::{Descriptor, Sink, Stream};

/// A program to be run, and what it may do. By default: nothing but compute.
#[derive(Clone, Debug)]
pub struct Command {
    /// The file: a core module that imports `wasi_snapshot_preview1`, or a component
    /// that exports `wasi:cli/run`.
    pub program: PathBuf,
    /// Its arguments, without its own name.
    pub arguments: Vec<String>,
    /// Its environment: all of it.
    pub environment: Vec<(String, String)>,
    /// Folders of the host that it sees.
    pub mounts: Vec<Mount>,
    /// What it reads.
    pub stdin: Stdin,
    /// How much it may use.
    pub limits: CommandLimits,
}

/// Limits of a [`Command`].
#[derive(Clone, Debug)]
pub struct CommandLimits {
    /// Wall time, from its start. Default 30 s.
    pub timeout: Duration,
    /// All its linear memories and tables together. Default 256 MiB.
    pub memory: ByteSize,
    /// Bytes of standard output, and again of standard error. Default 1 MiB.
    pub max_output: ByteSize,
    /// Work, in fuel. Default: what the timeout allows.
    pub fuel: Option<Fuel>,
    /// Time to compile it, when it is not in the cache. Default 60 s.
    pub compile_timeout: Duration,
}

impl Default for CommandLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            memory: ByteSize::from_mib(256),
            max_output: ByteSize::from_mib(1),
            fuel: None,
            compile_timeout: Duration::from_secs(60),
        }
    }
}

/// What a process gives up before the program's first instruction.
pub trait Seal {
    /// Whether the process may begin again in [`Seal::close`] if it has threads: compiling
    /// may leave some behind then.
    fn may_start_over(&self) -> bool;

    /// Gives it up. Everything that the run needs is open, but for files below the mounts.
    ///
    /// # Errors
    /// When it cannot be given up; then the program does not run.
    fn close(&self) -> Result<(), Failure>;
}

impl Command {
    /// A program without arguments and rights, under the default limits.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            mounts: Vec::new(),
            stdin: Stdin::Empty,
            limits: CommandLimits::default(),
        }
    }

    /// Runs it to its end. `cache` is a private folder for compiled programs; without
    /// one, each run compiles. Without a `seal` the process keeps all that it can do.
    ///
    /// Meant for a process that runs one program: time and memory are measured of the
    /// whole process, and a program that is stuck in the compiler or in a call of the
    /// host is left behind on its thread, which ends with the process.
    ///
    /// # Errors
    /// [`BackendError`] when the program cannot be read, is not a program, or does not
    /// get what it must have.
    pub fn run(
        &self,
        id: ExecutionId,
        output: Output,
        cache: Option<&Path>,
        seal: Option<&dyn Seal>,
    ) -> Result<Outcome, BackendError> {
        let may_leave_threads = seal.is_none_or(|seal| seal.may_start_over());
        let ready = Ready::open(self, output, cache, may_leave_threads)?;
        if let Some(seal) = seal {
            seal.close().map_err(program::refused)?;
        }
        ready.run(self, id)
    }
}

/// Everything that a run needs, opened.
struct Ready {
    engine: Engine,
    code: Code,
    state: State,
    stdout: Arc<Sink>,
    stderr: Arc<Sink>,
    runtime: tokio::runtime::Runtime,
    counters: usage::Counters,
}

impl Ready {
    fn open(
        command: &Command,
        output: Output,
        cache: Option<&Path>,
        may_leave_threads: bool,
    ) -> Result<Self, BackendError> {
        let counters = usage::Counters::open();
        let limits = &command.limits;
        let patience = limits.compile_timeout;
        let (engine, code) =
            program::load(&command.program, cache, patience, may_leave_threads, &counters)?;
        let (to_stdout, to_stderr) = match output {
            Output::Captured => (None, None),
            Output::Inherited => (
                Some(Descriptor::duplicate(&std::io::stdout())?),
                Some(Descriptor::duplicate(&std::io::stderr())?),
            ),
        };
        let stdout = Sink::new(limits.max_output.bytes(), to_stdout);
        let stderr = Sink::new(limits.max_output.bytes(), to_stderr);

        // No socket, no clock but the host's, no variable, no file beside these.
        let mut wasi = WasiCtxBuilder::new();
        wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        wasi.max_random_size(MOST_RANDOM);
        wasi.arg(command.program.file_name().unwrap_or_default().to_string_lossy());
        wasi.args(&command.arguments);
        wasi.envs(&command.environment);
        wasi.stdout(Stream::new(&stdout)).stderr(Stream::new(&stderr));
        if command.stdin == Stdin::Inherited {
            wasi.stdin(wasmtime_wasi::cli::stdin());
        }
        for mount in &command.mounts {
            files::mount(&mut wasi, mount)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(MOST_BLOCKED)
            .build()
            .map_err(|error| system("start the event loop", &error.to_string()))?;
        let state = State::new(wasi.build_p1(), limits.memory.bytes());
        Ok(Self { engine, code, state, stdout, stderr, runtime, counters })
    }

    fn run(self, command: &Command, id: ExecutionId) -> Result<Outcome, BackendError> {
        let started = SystemTime::now();
        let clock = Instant::now();
        let deadline = clock + command.limits.timeout;
        let memory = self.state.memory.seen();
        let before = self.counters.read();
        // What the memory of the program may come to, and as much again as the host may
        // need for it: its instances, its descriptors, its paths.
        let most = command.limits.memory.bytes().saturating_add(MOST_OVERHEAD);
        let fuel = command.limits.fuel.map_or(u64::MAX, Fuel::units);
        let Self { engine, code, mut state, runtime, .. } = self;
        state.deadline = deadline;
        let watched = watch::watch("guest", deadline, most, &self.counters, move || {
            let end = guest::run(&runtime, &engine, &code, state, fuel);
            // Its threads may sit in a call of the kernel that never returns.
            runtime.shutdown_background();
            end
        })
        .map_err(|error| system("start a thread", &error.to_string()))?;
        let (stdout, lost) = self.stdout.finish(deadline);
        let (stderr, lost_too) = self.stderr.finish(deadline);
        let used = self.counters.read().since(&before);
        Ok(verdict::outcome(verdict::Seen {
            id,
            limits: &command.limits,
            watched,
            stdout,
            stderr,
            lost: lost.or(lost_too),
            memory: memory.get(),
            used,
            wall: clock.elapsed(),
            started,
        }))
    }
}

/// Random bytes in one call: a program that wants more calls again.
const MOST_RANDOM: u64 = 4 << 20;

/// Threads that files are read and written on.
const MOST_BLOCKED: usize = 16;

/// What a run may take beside the memory of the program.
const MOST_OVERHEAD: u64 = 256 << 20;

/// Capsule's own failure.
fn system(what: &str, why: &str) -> BackendError {
    BackendError {
        failure: Failure::new(ErrorCode::SystemFailure, format!("could not {what}")),
        internal: format!("could not {what}: {why}"),
    }
}
