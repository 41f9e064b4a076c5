//! Runs a piece of Python in the guest that the binary carries.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use capsule_backend::guest::*;
use capsule_spec::{Access, ByteSize};
use capsule_wasm::{Language, PrepareError, Progress, Runtime, Stage};

/// The runtime, once for all tests of this binary.
pub(crate) struct Sandbox(&'static Runtime);

/// What a program is given.
pub(crate) struct Program {
    pub(crate) source: String,
    pub(crate) printed: Mutex<Vec<u8>>,
}

impl Outside for Program {
    fn source(&self, module: &str) -> Option<Source> {
        module.is_empty().then(|| Source {
            path: "program.py".to_owned(),
            is_package: false,
            bytes: self.source.clone().into_bytes(),
        })
    }

    fn output(&self, _: Channel, bytes: &[u8]) {
        self.printed.lock().unwrap().extend_from_slice(bytes);
    }

    fn call(&self, _: &str, _: String) -> Pending<'static, Result<String, GuestError>> {
        Box::pin(async { Ok("null".to_owned()) })
    }
}

struct Quiet;

impl Progress for Quiet {
    fn stage(&self, _: Stage) {}
}

impl Sandbox {
    /// Nothing if the binary carries no runtime; that is said, and counted.
    pub(crate) fn new() -> Option<Self> {
        static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
        let runtime = RUNTIME.get_or_init(|| {
            let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("runtimes");
            match Language::Python.prepare(&cache, &Quiet) {
                Ok(prepared) => Some(Runtime::new(&prepared, 4).unwrap()),
                Err(PrepareError::NotCarried { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        });
        if runtime.is_none() {
            skip("built without the Python runtime (CAPSULE_RUNTIMES)");
        }
        runtime.as_ref().map(Self)
    }

    pub(crate) fn open(&self, source: &str) -> Box<dyn Guest> {
        let program = Program { source: source.to_owned(), printed: Mutex::default() };
        self.0.open(Arc::new(program)).unwrap()
    }

    /// Calls `main` of a program that was granted `files`; the JSON text that it returned.
    pub(crate) fn run(&self, files: &[Granted], source: &str) -> Result<String, GuestError> {
        self.call(&grant(files), source)
    }

    pub(crate) fn call(&self, grant: &Grant, source: &str) -> Result<String, GuestError> {
        let mut guest = self.open(source);
        block_on(guest.call("main", NO_ARGUMENTS, grant))
    }

    /// As `run`, for a program that must not fail.
    #[track_caller]
    pub(crate) fn value(&self, files: &[Granted], source: &str) -> String {
        match self.run(files, source) {
            Ok(value) => value,
            Err(GuestError::Raised { kind, message, traceback }) => {
                panic!("{kind}: {message}\n{traceback}")
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

pub(crate) const NO_ARGUMENTS: &str = r#"{"args":[],"kwargs":{}}"#;

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(120), future).await })
        .expect("it ends in time")
}

pub(crate) fn grant(files: &[Granted]) -> Grant {
    Grant {
        meter: Meter::new(1 << 50),
        ram: ByteSize::from_mib(512),
        disk: ByteSize::from_mib(64),
        files: files.to_vec(),
        hosts: Vec::new(),
        download: ByteSize::from_mib(1),
        environment: Vec::new(),
    }
}

pub(crate) fn granted(source: &Path, destination: &str, access: Access) -> Granted {
    Granted { source: source.to_owned(), destination: destination.to_owned(), access }
}

/// Says that a test was left out, as `scripts/test.sh` expects it.
pub(crate) fn skip(reason: &str) {
    use std::io::Write;
    let thread = std::thread::current();
    let line = format!("{}: {reason}\n", thread.name().unwrap_or("a test"));
    assert!(std::env::var_os("CAPSULE_NO_SKIP").is_none(), "may not be skipped: {line}");
    let _ = write!(std::io::stderr(), "skipped: {line}");
    if let Some(log) = std::env::var_os("CAPSULE_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
}

/// A program whose `main` is `body`, with two ways to say what must fail.
pub(crate) fn program(body: &str) -> String {
    format!(
        r#"
import errno, os

def raises(kind, act):
    try:
        act()
    except kind:
        return
    raise AssertionError(f"no {{kind.__name__}}")

def denied(number, act):
    try:
        act()
    except OSError as error:
        assert error.errno == number, f"{{error}} instead of {{errno.errorcode[number]}}"
        return
    raise AssertionError(f"no {{errno.errorcode[number]}}")

def full(number, act):
    "As denied; in the middle of a stream libc knows EIO only."
    try:
        act()
    except OSError as error:
        assert error.errno in (number, errno.EIO), f"{{error}} instead of {{errno.errorcode[number]}}"
        return
    raise AssertionError(f"no {{errno.errorcode[number]}}")

BODY = {body:?}

def main():
    exec(compile(BODY, "body", "exec"), globals())
"#
    )
}
