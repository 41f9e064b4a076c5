//! Programs made from text, and the right to run them.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use capsule_backend::{BackendError, Output};
use capsule_spec::{Access, ErrorCode, ExecutionId, GuestPath, HostPath, Mount, Outcome};
use capsule_wasm::Command;

/// A folder for programs. A run is measured as a whole process, so there is one at a time.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Place {
    pub(crate) fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self { folder: tempfile::tempdir().unwrap(), _turn: turn }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn file(&self, bytes: &[u8]) -> Command {
        let path = self.path("program.wasm");
        fs::write(&path, bytes).unwrap();
        let mut command = Command::new(path);
        command.limits.timeout = Duration::from_secs(20);
        command
    }

    pub(crate) fn program(&self, text: &str) -> Command {
        self.file(&wat::parse_str(text).unwrap())
    }

    /// A program of WASI preview 1 with these definitions.
    pub(crate) fn preview1(&self, definitions: &str) -> Command {
        self.program(&module(definitions))
    }

    pub(crate) fn pipe(&self, name: &str) -> PathBuf {
        let pipe = self.path(name);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, 0o600.into(), 0).unwrap();
        pipe
    }

    pub(crate) fn mount(&self, name: &str, guest: &str, access: Access) -> Mount {
        let source = self.path(name);
        fs::create_dir_all(&source).unwrap();
        Mount {
            source: HostPath::new(source.to_str().unwrap()).unwrap(),
            destination: GuestPath::new(guest).unwrap(),
            access,
        }
    }
}

/// A module with imports, two pages, "hello\n" at 1024, and `$print at length`.
pub(crate) fn module(definitions: &str) -> String {
    const IMPORTS: &[(&str, &str)] = &[
        ("proc_exit", "(param i32)"),
        ("fd_write", "(param i32 i32 i32 i32) (result i32)"),
        ("fd_read", "(param i32 i32 i32 i32) (result i32)"),
        ("fd_prestat_get", "(param i32 i32) (result i32)"),
        ("fd_readdir", "(param i32 i32 i32 i64 i32) (result i32)"),
        ("path_open", "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)"),
        ("path_symlink", "(param i32 i32 i32 i32 i32) (result i32)"),
        ("path_link", "(param i32 i32 i32 i32 i32 i32 i32) (result i32)"),
        ("path_rename", "(param i32 i32 i32 i32 i32 i32) (result i32)"),
        ("path_unlink_file", "(param i32 i32 i32) (result i32)"),
        ("path_create_directory", "(param i32 i32 i32) (result i32)"),
        ("path_filestat_set_times", "(param i32 i32 i32 i32 i64 i64 i32) (result i32)"),
        ("poll_oneoff", "(param i32 i32 i32 i32) (result i32)"),
        ("random_get", "(param i32 i32) (result i32)"),
        ("args_sizes_get", "(param i32 i32) (result i32)"),
        ("args_get", "(param i32 i32) (result i32)"),
        ("environ_sizes_get", "(param i32 i32) (result i32)"),
        ("environ_get", "(param i32 i32) (result i32)"),
        ("clock_time_get", "(param i32 i64 i32) (result i32)"),
        ("sock_accept", "(param i32 i32 i32) (result i32)"),
    ];
    let imports: String = IMPORTS
        .iter()
        .map(|(name, kind)| {
            format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} {kind}))\n")
        })
        .collect();
    format!(
        r#"(module {imports}
        (memory (export "memory") 2)
        (data (i32.const 1024) "hello\n")
        (func $print (param $at i32) (param $length i32)
            (i32.store (i32.const 0) (local.get $at))
            (i32.store (i32.const 4) (local.get $length))
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
        {definitions})"#
    )
}

/// A `_start` that does this.
pub(crate) fn start(code: &str) -> String {
    format!("(func (export \"_start\") {code})")
}

/// A `_start` that exits with what a call answers; the operands are `i32` unless they
/// end in `L`.
pub(crate) fn exit_with(call: &str) -> String {
    let mut words = call.split_whitespace();
    let name = words.next().unwrap();
    let operands: String = words
        .map(|word| match word.strip_suffix('L') {
            Some(long) => format!("(i64.const {long}) "),
            None => format!("(i32.const {word}) "),
        })
        .collect();
    start(&format!("(call $proc_exit (call ${name} {operands}))"))
}

/// Opens a path below descriptor 3, and exits with the error number.
pub(crate) fn opening(path: &str, flags: i32, rights: i32) -> String {
    let length = path.len();
    let call = format!("path_open 3 1 4096 {length} {flags} {rights}L {rights}L 0 16");
    format!("(data (i32.const 4096) \"{path}\") {}", exit_with(&call))
}

pub(crate) const READ: i32 = 0x02;
pub(crate) const WRITE: i32 = 0x40;
pub(crate) const CREATE: i32 = 1;
pub(crate) const TRUNCATE: i32 = 8;

// Error numbers of WASI preview 1.
pub(crate) const BADF: i32 = 8;
pub(crate) const LOOP: i32 = 32;
pub(crate) const NOENT: i32 = 44;
pub(crate) const PERM: i32 = 63;
pub(crate) const NOTCAPABLE: i32 = 76;

pub(crate) fn run(command: &Command) -> Outcome {
    command.run(ExecutionId::random(), Output::Captured, None, None).unwrap()
}

pub(crate) fn refused(command: &Command) -> BackendError {
    command.run(ExecutionId::random(), Output::Captured, None, None).unwrap_err()
}

pub(crate) fn code(outcome: &Outcome) -> Option<ErrorCode> {
    outcome.error.as_ref().map(|failure| failure.code)
}

/// A component that exports `wasi:cli/run`, of a core module that exports `run`.
pub(crate) fn component(definitions: &str) -> String {
    format!(
        "(component
            (core module $m {definitions})
            (core instance $i (instantiate $m))
            {RUNS})"
    )
}

/// Exports the core function `run` of the core instance `$i`.
pub(crate) const RUNS: &str = "
    (func $run (result (result)) (canon lift (core func $i \"run\")))
    (instance $commands (export \"run\" (func $run)))
    (export \"wasi:cli/run@0.2.0\" (instance $commands))";
