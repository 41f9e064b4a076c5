//! The settings of wasmtime, in one place: code that was compiled with other
//! settings is not loaded.

use std::sync::Arc;

use wasmtime::{Config, Engine, OptLevel};

use crate::memory::{Pool, Stacks};

/// Fuel units between two moments at which a running guest lets others run, and its
/// deadline be looked at: a fifth of a millisecond.
pub(crate) const FUEL_SLICE: u64 = 2_000_000;

/// What compiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The one that asks for it.
    One,
    /// One for each processor. They stay for as long as the process does.
    All,
}

/// An engine that compiles guests.
pub(crate) fn compiler(threads: Threads) -> wasmtime::Result<Engine> {
    let mut settings = settings();
    settings.parallel_compilation(threads == Threads::All);
    Engine::new(&settings)
}

/// An engine whose guests' memories and stacks come from pools.
pub(crate) fn runner(pool: &Pool, stacks: Stacks) -> wasmtime::Result<Engine> {
    let mut settings = settings();
    settings.with_host_memory(Arc::new(pool.clone())).with_host_stack(Arc::new(stacks));
    Engine::new(&settings)
}

fn settings() -> Config {
    let mut config = Config::new();
    config
        // Fuel bounds work, and is the same in every run of the same program; it also
        // is what interrupts a loop. Epochs on top would cost a quarter more.
        .consume_fuel(true)
        .cranelift_opt_level(OptLevel::Speed)
        // NaN bits may differ between processors; nothing else of a guest does.
        .cranelift_nan_canonicalization(true)
        // Python recurses on this stack, and on one of its own, whose end it sees. This one
        // is so large that the other ends first, but for the deepest of towers.
        .max_wasm_stack(32 << 20)
        .async_stack_size(34 << 20)
        // Traces of wasm frames help nobody: guests bring tracebacks of their own.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .native_unwind_info(false)
        .wasm_memory64(false);
    config
}
