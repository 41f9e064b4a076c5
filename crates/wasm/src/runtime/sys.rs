//! Loads machine code from the cache.
#![allow(unsafe_code)]

use std::path::Path;

use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// Maps the code of a component.
pub(crate) fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file is an entry of the private cache, which `Cache::entry` has just
    // checked: the user's alone, and by its hash what this program wrote there.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Takes the code of a component that was compiled just now.
pub(crate) fn take(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: only `prepare` calls this, with what the compiler of this process answered.
    unsafe { Component::deserialize(engine, code) }
}

/// Maps the code of a core module.
pub(crate) fn load_module(engine: &Engine, path: &Path) -> wasmtime::Result<Module> {
    // SAFETY: as above; what was written there is what this engine's compiler made.
    unsafe { Module::deserialize_file(engine, path) }
}
