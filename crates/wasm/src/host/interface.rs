//! The WIT interface `capsule:guest/host`, answered.

use std::time::Duration;

use capsule_backend::guest::{Channel, GuestError, Told};

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
        self.memory.expect(found.as_ref().map_or(0, |source| source.bytes.len()));
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

    fn emit_latin(&mut self, channel: u8, bytes: String) -> wasmtime::Result<()> {
        self.emit(channel, from_latin(&bytes)?)
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

    fn send_latin(
        &mut self,
        connection: u64,
        bytes: String,
    ) -> wasmtime::Result<Result<u64, types::Failure>> {
        self.send(connection, from_latin(&bytes)?)
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
        // Who says this has heard all that came before.
        self.memory.expect(0);
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
        let size = |event: &Event| match &event.outcome {
            Ok(answer) => answer.size(),
            Err(failure) => failure.message.len() + failure.detail.len(),
        };
        self.memory.expect(events.iter().map(size).sum());
        Ok(events.into_iter().map(types::Event::from).collect())
    }
}

impl From<Event> for types::Event {
    fn from(event: Event) -> Self {
        Self { id: event.id, outcome: event.outcome.map(Answer::into_bytes) }
    }
}

/// The bytes whose numbers these characters have.
fn from_latin(text: &str) -> wasmtime::Result<Vec<u8>> {
    let bytes = text.chars().map(u8::try_from).collect::<Result<_, _>>();
    bytes.map_err(|_| wasmtime::format_err!("a character is no byte"))
}

/// How a caller sees the failure of a task that it called.
fn failure(error: GuestError) -> types::Failure {
    let Told { kind, message, detail } = error.told();
    types::Failure { kind, message, detail }
}
