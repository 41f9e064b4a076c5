//! The program, from its instantiation to its end.

use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use wasmtime::component;
use wasmtime::{Caller, Engine, Linker, Module, Store, Trap};
use wasmtime_wasi::{I32Exit, p1, p2};

use super::program::Code;
use super::state::State;
use crate::runtime::FUEL_SLICE;

/// How a program ended.
#[derive(Debug)]
pub(super) enum How {
    /// By itself.
    Exited(i32),
    /// Its time was over.
    OutOfTime,
    /// Its fuel was used up.
    OutOfFuel,
    /// It crashed. The text is for people, and may hold the program's words.
    Crashed(String),
    /// It never started: it wants what there is not.
    Unfit(String),
}

/// How it ended, and what it burnt.
#[derive(Debug)]
pub(super) struct End {
    pub(super) how: How,
    pub(super) fuel: u64,
}

/// Runs it.
pub(super) fn run(
    runtime: &tokio::runtime::Runtime,
    engine: &Engine,
    code: &Code,
    state: State,
    fuel: u64,
) -> End {
    let deadline = state.deadline;
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory);
    let metered = store
        .set_fuel(fuel)
        .and_then(|()| store.fuel_async_yield_interval(Some(FUEL_SLICE)))
        .map_err(|error| How::Unfit(error.to_string()));
    let how = match metered {
        Err(how) => how,
        Ok(()) => runtime.block_on(within(deadline, async {
            match code {
                Code::Module(module) => run_module(&mut store, module).await,
                Code::Component(component) => run_component(&mut store, component).await,
            }
        })),
    };
    let burnt = fuel.saturating_sub(store.get_fuel().unwrap_or(0));
    End { how, fuel: burnt }
}

/// Every slice of fuel it is asked to go on, and then the clock is looked at; when it
/// waits for the host, a timer looks.
async fn within(deadline: Instant, work: impl Future<Output = Result<(), How>>) -> How {
    let mut work = pin!(work);
    let mut timer = pin!(tokio::time::sleep_until(deadline.into()));
    std::future::poll_fn(|context| {
        if Instant::now() >= deadline || timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(How::OutOfTime);
        }
        work.as_mut().poll(context).map(|ended| match ended {
            Ok(()) => How::Exited(0),
            // Past the deadline its calls do nothing, so whatever happens is due to that.
            Err(_) if Instant::now() >= deadline => How::OutOfTime,
            Err(how) => how,
        })
    })
    .await
}

async fn run_module(store: &mut Store<State>, module: &Module) -> Result<(), How> {
    let linker = preview1(store.engine()).map_err(|error| How::Unfit(root(&error)))?;
    if let Some(import) =
        module.imports().find(|import| linker.get_by_import(&mut *store, import).is_none())
    {
        return Err(How::Unfit(format!(
            "it imports {}.{}, which WASI preview 1 does not have",
            import.module(),
            import.name()
        )));
    }
    if module.get_export("_start").and_then(|start| start.func().cloned()).is_none() {
        return Err(How::Unfit("it exports no function _start, so it is not a command".into()));
    }
    let instance = linker.instantiate_async(&mut *store, module).await.map_err(unfit)?;
    let start = instance
        .get_typed_func::<(), ()>(&mut *store, "_start")
        .map_err(|error| How::Unfit(root(&error)))?;
    start.call_async(&mut *store, ()).await.map_err(crashed)
}

fn preview1(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, State::wasi)?;
    // The one that is there refuses exit codes that a process may well have.
    linker.allow_shadowing(true);
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "proc_exit",
        |_: Caller<'_, State>, code: i32| -> wasmtime::Result<()> { Err(I32Exit(code).into()) },
    )?;
    Ok(linker)
}

async fn run_component(
    store: &mut Store<State>,
    program: &component::Component,
) -> Result<(), How> {
    let unfit_now = |error: wasmtime::Error| How::Unfit(root(&error));
    let mut linker = component::Linker::<State>::new(store.engine());
    p2::add_to_linker_async(&mut linker).map_err(unfit_now)?;
    // What it exports and imports is checked here, before anything of it runs.
    let fitting = linker
        .instantiate_pre(program)
        // Its outermost words name the import; the root does not.
        .map_err(|error| How::Unfit(error.to_string()))?;
    let command = p2::bindings::CommandPre::new(fitting)
        .map_err(|_| How::Unfit("it does not export wasi:cli/run of preview 2".into()))?;
    let command = command.instantiate_async(&mut *store).await.map_err(unfit)?;
    let result = command.wasi_cli_run().call_run(&mut *store).await.map_err(crashed)?;
    result.map_err(|()| How::Exited(1))
}

/// Instantiation fails because something runs and crashes, or before that.
fn unfit(error: wasmtime::Error) -> How {
    if error.is::<Trap>() || error.is::<I32Exit>() {
        return crashed(error);
    }
    How::Unfit(root(&error))
}

fn crashed(error: wasmtime::Error) -> How {
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return match code {
            0..=255 => How::Exited(*code),
            _ => How::Crashed(format!("it exited with {code}, which is no exit code")),
        };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => How::OutOfFuel,
        Some(Trap::StackOverflow) => How::Crashed("it recursed too deeply".to_owned()),
        Some(trap) => How::Crashed(trap.to_string()),
        None => How::Crashed(root(&error)),
    }
}

fn root(error: &wasmtime::Error) -> String {
    error.root_cause().to_string()
}
