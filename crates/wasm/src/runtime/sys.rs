//! Loads machine code from the cache.
#![allow(unsafe_code)]

use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

/// Maps compiled code.
pub(super) fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file is an entry of the private cache, which `Cache::entry` has just
    // checked: the user's alone, and by its hash what `prepare` wrote there.
    unsafe { Component::deserialize_file(engine, path) }
}
