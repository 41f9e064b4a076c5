//! Owns the jail's seccomp filter: which system calls a guest may make, and why.
//!
//! The rules are data (`default`, `strict`, `checks`), `tree` compiles them, `sys` loads
//! the result. When to load is the jail's decision: last, after `no_new_privs` and
//! Landlock, because nearly everything else the jail does is refused afterwards.
//!
//! A filter sees numbers and register values. It cannot follow a pointer, so it knows no
//! path, no address and no flags kept in memory; calls whose decision lies there are
//! refused or left to mounts, Landlock and the network namespace.

mod checks;
mod default;
mod init;
mod lockdown;
mod numbers;
mod rule;
mod strict;
mod sys;
mod tree;

#[cfg(test)]
mod tests;

pub use rule::{Action, Call, Case, Check, Condition, Group, Half, Rule, Test, Verdict};
pub use sys::load;
pub(crate) use sys::load_for_all_threads;
use tree::Compiled;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the rule tables were checked on x86_64 and aarch64 only");

pub use capsule_spec::SeccompProfile as Profile;

/// The filter as the kernel wants it. It was compiled with this program.
pub fn program(profile: Profile) -> &'static [libc::sock_filter] {
    match profile {
        Profile::Default => &DEFAULT,
        Profile::Strict => &STRICT,
    }
}

/// The filter of PID 1, once the command is on its way.
pub(crate) fn init_program() -> &'static [libc::sock_filter] {
    &INIT
}

/// How far a process that runs guests itself is locked down (`crate::lockdown`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Its tasks may be granted hosts.
    Connected,
    /// No task is granted a host.
    Alone,
    /// From the first to the second: refuses sockets, says nothing of other calls.
    Seal,
}

impl Lockdown {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Connected, Self::Alone, Self::Seal];

    /// The rules under their titles.
    pub fn groups(self) -> &'static [Group] {
        match self {
            Self::Connected => lockdown::CONNECTED,
            Self::Alone => lockdown::ALONE,
            Self::Seal => lockdown::SEAL,
        }
    }

    /// What a number that no rule names gets.
    pub const fn unknown(self) -> Verdict {
        match self {
            Self::Connected | Self::Alone => Verdict::Errno(libc::ENOSYS as u16),
            Self::Seal => Verdict::Allow,
        }
    }

    pub(crate) fn program(self) -> &'static [libc::sock_filter] {
        match self {
            Self::Connected => &CONNECTED,
            Self::Alone => &ALONE,
            Self::Seal => &SEAL,
        }
    }
}

const CONNECTED_COMPILED: Compiled =
    tree::compile(lockdown::CONNECTED, Lockdown::Connected.unknown());
const ALONE_COMPILED: Compiled = tree::compile(lockdown::ALONE, Lockdown::Alone.unknown());
const SEAL_COMPILED: Compiled = tree::compile(lockdown::SEAL, Lockdown::Seal.unknown());
static CONNECTED: [libc::sock_filter; CONNECTED_COMPILED.len()] = CONNECTED_COMPILED.trimmed();
static ALONE: [libc::sock_filter; ALONE_COMPILED.len()] = ALONE_COMPILED.trimmed();
static SEAL: [libc::sock_filter; SEAL_COMPILED.len()] = SEAL_COMPILED.trimmed();

const DEFAULT_COMPILED: Compiled = tree::compile(default::GROUPS, unknown(Profile::Default));
const STRICT_COMPILED: Compiled = tree::compile(strict::GROUPS, unknown(Profile::Strict));
const INIT_COMPILED: Compiled = tree::compile(init::GROUPS, Verdict::KillProcess);
static DEFAULT: [libc::sock_filter; DEFAULT_COMPILED.len()] = DEFAULT_COMPILED.trimmed();
static STRICT: [libc::sock_filter; STRICT_COMPILED.len()] = STRICT_COMPILED.trimmed();
static INIT: [libc::sock_filter; INIT_COMPILED.len()] = INIT_COMPILED.trimmed();

/// Every rule with its reason, in reading order. A call is in at most one of them.
pub fn rules(profile: Profile) -> impl Iterator<Item = &'static Rule> {
    groups(profile).iter().flat_map(|group| group.rules)
}

/// The rules under their titles.
pub fn groups(profile: Profile) -> &'static [Group] {
    match profile {
        Profile::Default => default::GROUPS,
        Profile::Strict => strict::GROUPS,
    }
}

/// What a number that no rule names gets.
pub const fn unknown(profile: Profile) -> Verdict {
    match profile {
        // Newer than the tables: what an older kernel would say, so fallbacks run.
        Profile::Default => Verdict::Errno(libc::ENOSYS as u16),
        Profile::Strict => Verdict::KillProcess,
    }
}
