//! The table of hostile programs. Each lies in `programs/`, under its own name.

mod cache;
mod fuel;
mod internals;
mod leaks;
mod memory;
mod network;
mod output;
mod paths;
mod policy;

use super::attempt::Attempt;

/// An attempt: a program in Python, or in TypeScript.
macro_rules! program {
    ($name:literal, $family:ident, $tries:literal, $expect:expr) => {
        program!(@ Python, Wasm, ".py", $name, $family, $tries, $expect)
    };
    (TypeScript, $name:literal, $family:ident, $tries:literal, $expect:expr) => {
        program!(@ TypeScript, Wasm, ".ts", $name, $family, $tries, $expect)
    };
    (Node, $name:literal, $family:ident, $tries:literal, $expect:expr) => {
        program!(@ TypeScript, Node, ".ts", $name, $family, $tries, $expect)
    };
    (@ $language:ident, $place:ident, $ending:literal, $name:literal, $family:ident, $tries:literal, $expect:expr) => {
        crate::attack::wasm::attempt::Attempt {
            name: $name,
            family: crate::attack::Family::$family,
            tries: $tries,
            language: crate::attack::wasm::attempt::Language::$language,
            place: crate::attack::wasm::attempt::Place::$place,
            program: include_str!(concat!("../programs/", $name, $ending)),
            expect: $expect,
        }
    };
}
use program;

/// Every attempt, family by family.
pub(crate) fn all() -> impl Iterator<Item = &'static Attempt> + Clone {
    const FAMILIES: [&[Attempt]; 9] = [
        policy::ATTEMPTS,
        paths::ATTEMPTS,
        network::ATTEMPTS,
        fuel::ATTEMPTS,
        memory::ATTEMPTS,
        output::ATTEMPTS,
        cache::ATTEMPTS,
        leaks::ATTEMPTS,
        internals::ATTEMPTS,
    ];
    FAMILIES.into_iter().flatten()
}
