//! The attempts, one file a family. Each is a const: what it tries, its bounds,
//! the hostile program, and the check from outside.

mod bombs;
mod calls;
mod disk;
mod door;
mod files;
mod host;
mod init;
mod kernel;
mod memory;
mod mounts;
mod neighbours;
mod network;
mod output;
mod privileges;
mod processes;
mod set_id;
mod supervisor;

use super::Attempt;

const FAMILIES: [&[Attempt]; 17] = [
    bombs::ATTEMPTS,
    processes::ATTEMPTS,
    init::ATTEMPTS,
    memory::ATTEMPTS,
    disk::ATTEMPTS,
    output::ATTEMPTS,
    files::ATTEMPTS,
    mounts::ATTEMPTS,
    host::ATTEMPTS,
    kernel::ATTEMPTS,
    calls::ATTEMPTS,
    privileges::ATTEMPTS,
    set_id::ATTEMPTS,
    network::ATTEMPTS,
    door::ATTEMPTS,
    neighbours::ATTEMPTS,
    supervisor::ATTEMPTS,
];

/// Every attempt, family by family.
pub(crate) fn all() -> impl Iterator<Item = &'static Attempt> + Clone {
    FAMILIES.into_iter().flatten()
}

/// The attempt of that name.
pub(crate) fn find(name: &str) -> Option<&'static Attempt> {
    all().find(|attempt| attempt.name == name)
}
