//! The WIT interface `capsule:guest/host`, answered.

use std::time::Duration;

use capsule_backend::guest::{Channel, GuestError};

use super::operations::{Answer, Event};
use super::state::State;
use bindings::capsule::guest::host::{Host, Module};
use bindings::capsule::guest::types;

/// What `wasmtime` makes of `guests/wit`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../guests/wit",
        world: "guest",
        imports: {
            "capsule:guest/host.wait": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: { "wasi": wasmtime_wasi::p2::bindings },
        require_store_data_send: true,
    });
}

impl types::Host for State {}

impl Host for State {
    fn source(&mut self, name: String) -> wasmtime::Result<Option<Module>> {
        let found = self.outside.source(&name);
        Ok(found.map(|source| Module {
            path: source.path,
            is_package: source.is_package,
            source: source.bytes,
        }))
    }

    fn emit(&mut self, channel: u8, bytes: Vec<u8>) -> wasmtime::Result<()> {
        let channel = if channel == 2 { Channel::Stderr } else { Channel::Stdout };
        self.outside.output(channel, &bytes);
        Ok(())
    }

    fn call(
        &mut self,
        task: String,
        arguments: String,
    ) -> wasmtime::Result<Result<u64, types::Failure>> {
        let call = self.outside.call(&task, arguments);
        let room = self.memory.room.clone();
        Ok(self.operations.begin(async move {
            let value = call.await.map_err(failure)?;
            Answer::within(room.as_ref(), value.into_bytes())
        }))
    }

    fn connect(
        &mut self,
        host: String,
        port: u16,
    ) -> wasmtime::Result<Result<u64, types::Failure>> {
        let work = self.network.connect(&host, port);
        Ok(work.and_then(|work| self.operations.begin(work)))
    }

    fn secure(
        &mut self,
        connection: u64,
        name: String,
        verify: bool,
    ) -> wasmtime::Result<Result<u64, types::Failure>> {
        let work = self.network.secure(connection, &name, verify);
        Ok(work.and_then(|work| self.operations.begin(work)))
    }

    fn send(
        &mut self,
        connection: u64,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<u64, types::Failure>> {
        let work = self.network.send(connection, bytes);
        Ok(work.and_then(|work| self.operations.begin(work)))
    }

    fn receive(
        &mut self,
        connection: u64,
        most: u32,
    ) -> wasmtime::Result<Result<u64, types::Failure>> {
        let work = self.network.receive(connection, most);
        Ok(work.and_then(|work| self.operations.begin(work)))
    }

    fn close(&mut self, connection: u64) -> wasmtime::Result<()> {
        self.network.close(connection);
        Ok(())
    }

    fn cancel(&mut self, operation: u64) -> wasmtime::Result<()> {
        self.operations.cancel(operation);
        Ok(())
    }

    async fn wait(
        &mut self,
        operations: Vec<u64>,
        most: Option<u64>,
    ) -> wasmtime::Result<Vec<types::Event>> {
        let _waiting = self.pulse.waiting();
        let most = most.map(Duration::from_nanos);
        let events = self.operations.wait(&operations, most).await;
        Ok(events.into_iter().map(types::Event::from).collect())
    }
}

impl From<Event> for types::Event {
    fn from(event: Event) -> Self {
        Self { id: event.id, outcome: event.outcome.map(|answer| answer.bytes) }
    }
}

/// How a caller sees the failure of a task that it called.
fn failure(error: GuestError) -> types::Failure {
    let (kind, message, detail) = match error {
        GuestError::Raised { kind, message, traceback } => (kind, message, traceback),
        GuestError::OutOfFuel => {
            ("FuelExhausted".to_owned(), "it used up its compute budget".to_owned(), String::new())
        }
        GuestError::TimedOut => {
            ("Timeout".to_owned(), "it ran longer than its timeout".to_owned(), String::new())
        }
        GuestError::Crashed(text) => ("Crashed".to_owned(), text, String::new()),
        GuestError::Failed(failure) => {
            let kind = match failure.code.blame() {
                capsule_spec::Blame::Policy => "Denied",
                _ => "Refused",
            };
            (kind.to_owned(), failure.message, failure.code.code().to_owned())
        }
    };
    types::Failure { kind, message, detail }
}
