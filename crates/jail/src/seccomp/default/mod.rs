//! Owns the Default profile: an allow-list under which compilers, interpreters and
//! package tools run unmodified. Known calls that are refused get EPERM; numbers in no
//! table, so newer than it, get ENOSYS, and the caller's fallback runs.
//!
//! Only a foreign architecture or the x32 numbering kills here (see `tree`).

mod denied;
mod files;
mod memory;
mod network;
mod processes;
mod time;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use super::rule::Group;

pub(super) static GROUPS: &[Group] = &[
    files::GROUP,
    memory::GROUP,
    processes::GROUP,
    time::GROUP,
    network::GROUP,
    denied::GROUP,
    #[cfg(target_arch = "x86_64")]
    x86_64::GROUP,
];
