//! Runs a piece of Python in the guest that the binary carries.

use std::path::Path;
use std::sync::{Arc, Mutex};

use capsule_backend::guest::*;
use capsule_spec::{Access, ByteSize};
use capsule_wasm::{Language, Runtime};

use crate::guest::runtime;
pub(crate) use crate::guest::{NO_ARGUMENTS, block_on};

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

impl Sandbox {
    /// Nothing if the binary carries no runtime; that is said, and counted.
    pub(crate) fn new() -> Option<Self> {
        runtime(Language::Python).map(Self)
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
