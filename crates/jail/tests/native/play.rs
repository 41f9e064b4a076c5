//! The stage: a program, a grant, and an outside that remembers.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capsule_backend::guest::{
    Channel, Grant, Granted, GuestError, Guests, Meter, Outside, Pending, Source, Usage,
};
use capsule_jail::native::Native;
use capsule_spec::{Access, ByteSize};

/// No arguments.
pub(crate) const NOTHING: &str = r#"{"args":[],"kwargs":{}}"#;

/// A program and what it is given.
#[derive(Clone)]
pub(crate) struct Play {
    pub(crate) modules: Vec<(String, Source)>,
    pub(crate) grant: Grant,
    pub(crate) native: Native,
}

/// What came of a call.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) result: Result<String, GuestError>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) calls: Vec<(String, String)>,
    /// Names of modules that were asked for.
    pub(crate) asked: Vec<String>,
    pub(crate) usage: Usage,
}

impl Play {
    /// A program in the file `app/main.py`, with nothing granted but time and memory.
    pub(crate) fn new(program: &str) -> Self {
        let grant = Grant {
            meter: Meter::new(1_000_000_000_000),
            ram: ByteSize::from_mib(256),
            disk: ByteSize::from_mib(64),
            files: Vec::new(),
            hosts: Vec::new(),
            download: ByteSize::from_mib(64),
            environment: Vec::new(),
        };
        let play = Self { modules: Vec::new(), grant, native: Native::new(interpreter()) };
        play.module("", "app/main.py", program)
    }

    /// The same in Node, in the file `app/main.ts`: the body of a CommonJS module. None, and
    /// told, where there is no Node.
    pub(crate) fn node(program: &str) -> Option<Self> {
        let node =
            std::env::var_os("CAPSULE_TEST_NODE").map_or("/usr/bin/node".into(), PathBuf::from);
        if !node.exists() {
            crate::packages::skip("there is no Node");
            return None;
        }
        let mut play = Self::new("");
        play.modules.clear();
        play.native = Native::node(node);
        Some(play.module("", "app/main.ts", program))
    }

    pub(crate) fn module(mut self, name: &str, path: &str, text: &str) -> Self {
        let is_package = path.ends_with("/__init__.py");
        let source = Source { path: path.to_owned(), is_package, bytes: text.into() };
        self.modules.push((name.to_owned(), source));
        self
    }

    pub(crate) fn file(mut self, source: PathBuf, destination: &str, access: Access) -> Self {
        let source = source.canonicalize().unwrap();
        self.grant.files.push(Granted { source, destination: destination.to_owned(), access });
        self
    }

    /// Calls `main` without arguments.
    pub(crate) fn run(self) -> Seen {
        self.call("main", NOTHING)
    }

    pub(crate) fn call(self, function: &str, arguments: &str) -> Seen {
        runtime().block_on(async {
            let outside = self.outside();
            let mut guest = self.native.open(outside.clone()).unwrap();
            let result = guest.call(function, arguments, &self.grant).await;
            let said = outside.said.lock().unwrap();
            let text = |channel| {
                let parts = said.output.iter().filter(|(on, _)| *on == channel);
                let bytes: Vec<u8> = parts.flat_map(|(_, bytes)| bytes.clone()).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            };
            Seen {
                result,
                stdout: text(Channel::Stdout),
                stderr: text(Channel::Stderr),
                calls: said.calls.clone(),
                asked: said.asked.clone(),
                usage: guest.usage(),
            }
        })
    }

    pub(crate) fn outside(&self) -> Arc<Stage> {
        Arc::new(Stage { modules: self.modules.clone(), said: Mutex::default() })
    }
}

impl Seen {
    pub(crate) fn value(&self) -> &str {
        match &self.result {
            Ok(value) => value,
            Err(_) => panic!("{self:#?}"),
        }
    }

    /// Kind, message and traceback of the exception.
    pub(crate) fn raised(&self) -> (&str, &str, &str) {
        match &self.result {
            Err(GuestError::Raised { kind, message, traceback }) => (kind, message, traceback),
            _ => panic!("{self:#?}"),
        }
    }

    pub(crate) fn crashed(&self) -> &str {
        match &self.result {
            Err(GuestError::Crashed(text)) => text,
            _ => panic!("{self:#?}"),
        }
    }
}

/// The interpreter of the tests: the system's, so that nothing needs to be installed.
pub(crate) fn interpreter() -> PathBuf {
    std::env::var_os("CAPSULE_TEST_PYTHON").map_or("/usr/bin/python3".into(), PathBuf::from)
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// An outside that remembers.
pub(crate) struct Stage {
    modules: Vec<(String, Source)>,
    said: Mutex<Said>,
}

/// What it remembers.
#[derive(Default)]
struct Said {
    output: Vec<(Channel, Vec<u8>)>,
    calls: Vec<(String, String)>,
    asked: Vec<String>,
}

impl Stage {
    /// Whether the guest has printed anything.
    pub(crate) fn has_spoken(&self) -> bool {
        !self.said.lock().unwrap().output.is_empty()
    }
}

impl Outside for Stage {
    fn source(&self, module: &str) -> Option<Source> {
        self.said.lock().unwrap().asked.push(module.to_owned());
        self.modules.iter().find(|(name, _)| name == module).map(|(_, source)| source.clone())
    }

    fn output(&self, channel: Channel, bytes: &[u8]) {
        self.said.lock().unwrap().output.push((channel, bytes.to_owned()));
    }

    /// `echo` answers with its arguments, `slow` after a moment, `large` with what does
    /// not fit, `fail` and `deny` do so; `never` does not come back.
    fn call(
        &self,
        function: &str,
        arguments: String,
    ) -> Pending<'static, Result<String, GuestError>> {
        self.said.lock().unwrap().calls.push((function.to_owned(), arguments.clone()));
        let function = function.to_owned();
        Box::pin(async move {
            match function.as_str() {
                "echo" => Ok(arguments),
                "slow" => {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    Ok(arguments)
                }
                "large" => Ok(format!("\"{}\"", "x".repeat(65 << 20))),
                "heavy" => Ok(format!("\"{}\"", "x".repeat(8 << 20))),
                "fail" => Err(GuestError::Raised {
                    kind: "ValueError".to_owned(),
                    message: "no".to_owned(),
                    traceback: "its traceback".to_owned(),
                }),
                "deny" => Err(GuestError::Failed(capsule_spec::Failure::new(
                    capsule_spec::ErrorCode::DeniedHost,
                    "not allowed",
                ))),
                _ => std::future::pending().await,
            }
        })
    }
}

/// Somewhere outside where nothing is.
pub(crate) struct Nobody;

impl Outside for Nobody {
    fn source(&self, _: &str) -> Option<Source> {
        None
    }

    fn output(&self, _: Channel, _: &[u8]) {}

    fn call(&self, _: &str, _: String) -> Pending<'static, Result<String, GuestError>> {
        Box::pin(std::future::pending())
    }
}
