//! A session: one sandbox that is kept, so that names live from one piece of code to
//! the next.
//!
//! ```text
//!   new ──evaluate──▶ live ⇄ evaluate (a value, or an exception)
//!    ▲                  │ trap, timeout, no fuel left, or given up half-way
//!    └────── reset ── lost
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use capsule_backend::guest::{
    Channel, Grant, Granted, Guest, GuestError, Guests, Meter, Outside, Pending, Source, Usage,
};
use capsule_spec::{EnvelopeError, ErrorCode, Execution, Failure, Function};
use serde_json::{Map, Value, json};

use crate::answer::{Answer, explain, requests};
use crate::output::Output;
use crate::value;
use crate::workflow::{DISK, DOWNLOAD, within};
use crate::{Backends, Language, declaration};

/// One session. Dropping it ends its sandbox.
pub struct Session {
    guests: Arc<dyn Guests>,
    function: Function,
    files: Vec<Granted>,
    environment: Vec<(String, String)>,
    language: Language,
    state: State,
}

enum State {
    New,
    Live(Live),
    Lost,
}

struct Live {
    guest: Box<dyn Guest>,
    exit: Arc<Exit>,
    /// Of earlier pieces of code.
    fuel: u64,
    requests: usize,
    /// Code that sets the environment, which the contract of guests gives to calls only.
    preamble: Option<String>,
}

impl Session {
    /// A new session; `options` are those of a task, but for files: it has `files`.
    ///
    /// # Errors
    /// When an option cannot be honoured.
    pub fn new(
        backends: &Backends,
        options: &Map<String, Value>,
        files: Vec<Granted>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, Failure> {
        let name = "session";
        let declared = json!([{ "name": name, "options": options, "file": "session", "line": 0 }]);
        let mut functions =
            declaration::functions(&declared.to_string(), &BTreeMap::new(), |_, _, _| None)?;
        let Some(function) = functions.remove(name) else {
            return Err(Failure::new(ErrorCode::InvalidDeclaration, "a session has no name"));
        };
        if !function.files.is_empty() || function.isolation != capsule_spec::Isolation::Wasm {
            let message = "a session has no allowed_files and no isolation";
            return Err(Failure::new(ErrorCode::InvalidDeclaration, message));
        }
        let variable = |name: &String| Some((name.clone(), environment.get(name)?.clone()));
        let environment = function.environment.iter().filter_map(variable).collect();
        Ok(Self {
            guests: backends.wasm.clone(),
            function,
            files,
            environment,
            language: Language::Python,
            state: State::New,
        })
    }

    /// The same session in another language: that of its guests.
    pub fn with_language(self, language: Language) -> Self {
        Self { language, ..self }
    }

    /// Runs a piece of code; the value of its last expression. `name` is the code's in
    /// tracebacks; may be empty.
    ///
    /// An exception leaves the session as it is. After anything else that ends the code,
    /// also after dropping this future, the session is lost, and says so until
    /// [`Session::reset`].
    pub async fn evaluate(&mut self, code: &str, name: &str, output: Output) -> Answer {
        // What is not put back is lost.
        let mut live = match std::mem::replace(&mut self.state, State::Lost) {
            State::Live(live) => live,
            State::Lost => return Answer { value: Err(lost()), execution: execution() },
            State::New => {
                let exit = Arc::new(Exit::default());
                match self.guests.open(exit.clone()) {
                    Ok(guest) => {
                        Live { guest, exit, fuel: 0, requests: 0, preamble: self.preamble() }
                    }
                    Err(failure) => {
                        self.state = State::New;
                        return Answer::refused("session", failure);
                    }
                }
            }
        };
        live.exit.print_to(Some(output));
        let grant = Grant {
            meter: Meter::new(self.function.compute.units()),
            ram: self.function.ram,
            disk: DISK,
            files: self.files.clone(),
            hosts: self.function.hosts.clone(),
            download: DOWNLOAD,
            environment: self.environment.clone(),
        };
        let started = Instant::now();
        let work = async {
            if let Some(preamble) = live.preamble.take() {
                live.guest.evaluate(&preamble, "<environment>", &grant).await?;
            }
            live.guest.evaluate(code, name, &grant).await
        };
        let result = within(Some(self.function.timeout), Box::pin(work)).await;
        let Usage { fuel, ram, requests: mut made } = live.guest.usage();
        let made_before = std::mem::replace(&mut live.requests, made.len());
        made.drain(..made_before.min(made.len()));
        let execution = Execution {
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            fuel_consumed: fuel.saturating_sub(live.fuel),
            ram_used: ram,
            host_requests: requests(made),
            output_truncated: live.exit.print_to(None).is_some_and(|output| output.is_truncated()),
            ..execution()
        };
        live.fuel = fuel;
        let result = result.and_then(|value| {
            value::of(&value).map_err(|error| {
                GuestError::Crashed(format!("its answer cannot be passed on: {error}"))
            })
        });
        let lives_on = matches!(result, Ok(_) | Err(GuestError::Raised { .. }));
        let value = result.map_err(|error| {
            let error = explain(&self.function, error);
            if lives_on { error } else { tell_loss(error) }
        });
        if lives_on {
            self.state = State::Live(live);
        }
        Answer { value, execution }
    }

    fn preamble(&self) -> Option<String> {
        let variables: Map<String, Value> =
            self.environment.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let variables = (!variables.is_empty()).then_some(Value::Object(variables))?;
        // JSON text is a literal in both languages when all values are text.
        Some(match self.language {
            Language::Python => format!("__import__('os').environ.update({variables})"),
            Language::JavaScript => format!("void Object.assign(process.env, {variables})"),
        })
    }

    /// Begins anew, with the same files.
    pub fn reset(&mut self) {
        self.state = State::New;
    }
}

fn execution() -> Execution {
    Execution { task_name: "session".to_owned(), ..Execution::default() }
}

const LOST: &str = "all that the session held in memory is lost; reset it to begin anew";

fn lost() -> EnvelopeError {
    EnvelopeError {
        error_type: "SessionLost".to_owned(),
        message: "the session was lost when its last code was ended".to_owned(),
        code: ErrorCode::Crashed,
        hint: Some(LOST.to_owned()),
        traceback: String::new(),
    }
}

fn tell_loss(error: EnvelopeError) -> EnvelopeError {
    let hint = match error.hint {
        Some(hint) => format!("{hint}; {LOST}"),
        None => LOST.to_owned(),
    };
    EnvelopeError { hint: Some(hint), ..error }
}

/// The way out of a session: it prints, and calls nothing.
#[derive(Default)]
struct Exit {
    output: Mutex<Option<Output>>,
}

impl Exit {
    fn print_to(&self, output: Option<Output>) -> Option<Output> {
        let mut place = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, output)
    }
}

impl Outside for Exit {
    fn source(&self, _: &str) -> Option<Source> {
        None
    }

    fn output(&self, channel: Channel, bytes: &[u8]) {
        if let Some(output) = &*self.output.lock().unwrap_or_else(PoisonError::into_inner) {
            output.write(channel, bytes);
        }
    }

    fn call(&self, function: &str, _: String) -> Pending<'static, Result<String, GuestError>> {
        Box::pin(std::future::ready(Err(GuestError::Raised {
            kind: "RuntimeError".to_owned(),
            message: format!("a session has no tasks to call, and none named {function:?}"),
            traceback: String::new(),
        })))
    }
}
