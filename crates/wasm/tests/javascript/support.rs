//! Runs a piece of JavaScript in the guest that the binary carries.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use capsule_backend::guest::*;
use capsule_spec::ByteSize;
use capsule_wasm::{Language, Runtime};
use serde_json::Value;

use crate::guest::runtime;
pub(crate) use crate::guest::{NO_ARGUMENTS, block_on};

/// The runtime, once for all tests of this binary.
pub(crate) struct Sandbox(&'static Runtime);

/// A program, and what it did outside.
#[derive(Default)]
pub(crate) struct Program {
    source: String,
    pub(crate) printed: Mutex<Vec<u8>>,
    /// Calls of tasks, and what they are answered with: `null` if nothing is known.
    pub(crate) calls: Mutex<Vec<(String, String)>>,
    pub(crate) answers: BTreeMap<String, Result<String, GuestError>>,
}

impl Program {
    pub(crate) fn new(source: &str) -> Self {
        Self { source: source.to_owned(), ..Self::default() }
    }
}

impl Outside for Program {
    fn source(&self, module: &str) -> Option<Source> {
        module.is_empty().then(|| Source {
            path: "src/program.ts".to_owned(),
            is_package: false,
            bytes: self.source.clone().into_bytes(),
        })
    }

    fn output(&self, _: Channel, bytes: &[u8]) {
        self.printed.lock().unwrap().extend_from_slice(bytes);
    }

    fn call(&self, name: &str, given: String) -> Pending<'static, Result<String, GuestError>> {
        self.calls.lock().unwrap().push((name.to_owned(), given));
        let answer = self.answers.get(name).cloned().unwrap_or_else(|| Ok("null".to_owned()));
        Box::pin(async move {
            // A task that never ends, for those who give it up.
            if answer == Ok("never".to_owned()) {
                std::future::pending::<()>().await;
            }
            answer
        })
    }
}

impl Sandbox {
    /// Nothing if the binary carries no runtime; that is said, and counted.
    pub(crate) fn new() -> Option<Self> {
        runtime(Language::JavaScript).map(Self)
    }

    pub(crate) fn open(&self, program: Arc<Program>) -> Box<dyn Guest> {
        self.0.open(program).unwrap()
    }

    /// Calls `main` of a program that has this body.
    pub(crate) fn run(&self, body: &str, grant: &Grant) -> Result<String, GuestError> {
        self.call(&Arc::new(Program::new(&main(body))), grant)
    }

    pub(crate) fn call(&self, program: &Arc<Program>, grant: &Grant) -> Result<String, GuestError> {
        let mut guest = self.open(program.clone());
        block_on(guest.call("main", NO_ARGUMENTS, grant))
    }

    /// The value of a program that must not fail.
    #[track_caller]
    pub(crate) fn value(&self, body: &str) -> Value {
        self.value_with(body, &grant())
    }

    #[track_caller]
    pub(crate) fn value_with(&self, body: &str, grant: &Grant) -> Value {
        match self.run(body, grant) {
            Ok(text) => serde_json::from_str(&text).unwrap(),
            Err(GuestError::Raised { kind, message, traceback }) => {
                panic!("{kind}: {message}\n{traceback}")
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Kind and message of what the program throws.
    #[track_caller]
    pub(crate) fn thrown(&self, body: &str) -> (String, String) {
        match self.run(body, &grant()) {
            Err(GuestError::Raised { kind, message, .. }) => (kind, message),
            other => panic!("{other:?}"),
        }
    }
}

/// A program whose task `main` is this body of an async function.
pub(crate) fn main(body: &str) -> String {
    format!(
        "const {{ task, files, TaskError, DeniedError }} = require('@capsule-run/sdk');\n\
         task({{ name: 'main' }}, async (...args) => {{ {body}\n}});"
    )
}

pub(crate) fn grant() -> Grant {
    Grant {
        meter: Meter::new(1 << 50),
        ram: ByteSize::from_mib(256),
        disk: ByteSize::from_mib(64),
        files: Vec::new(),
        hosts: Vec::new(),
        download: ByteSize::from_mib(16),
        environment: Vec::new(),
    }
}
