//! The vocabulary: an attempt, its family, its bounds, and what became of it.

use serde::Serialize;

use super::guest::Guest;
use super::stage::Stage;

/// One try to get through a wall.
pub(crate) struct Attempt {
    /// Unique, in words with dashes.
    pub(crate) name: &'static str,
    pub(crate) family: Family,
    /// What is tried, in one sentence without a final period.
    pub(crate) tries: &'static str,
    /// What its jails may use.
    pub(crate) bounds: Bounds,
    /// The hostile program. Runs inside, as the jail's command; with several
    /// parts to play, [`Guest::role`] says which one.
    pub(crate) guest: fn(&Guest),
    /// Sets the scene on the host, runs the jails, and judges by what the host
    /// shows. [`told`](super::stage::told) is enough where only the inside can see.
    pub(crate) outside: fn(&Stage<'_>) -> Verdict,
}

/// What an attempt aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Family {
    Processes,
    Init,
    Memory,
    Disk,
    Output,
    Files,
    Mounts,
    Host,
    Kernel,
    Calls,
    Privileges,
    Network,
    Door,
    Neighbours,
    Supervisor,
    Policy,
    Paths,
    Fuel,
    Cache,
    Leaks,
    Internals,
    Pages,
    Frames,
    Slow,
    Limits,
    Keys,
    Tenants,
}

impl Family {
    /// Every family, in the order of the report; those from `Policy` on are of tasks, from `Pages` on
    /// of a server.
    pub(crate) const ALL: [Self; 27] = [
        Self::Processes,
        Self::Init,
        Self::Memory,
        Self::Disk,
        Self::Output,
        Self::Files,
        Self::Mounts,
        Self::Host,
        Self::Kernel,
        Self::Calls,
        Self::Privileges,
        Self::Network,
        Self::Door,
        Self::Neighbours,
        Self::Supervisor,
        Self::Policy,
        Self::Paths,
        Self::Fuel,
        Self::Cache,
        Self::Leaks,
        Self::Internals,
        Self::Pages,
        Self::Frames,
        Self::Slow,
        Self::Limits,
        Self::Keys,
        Self::Tenants,
    ];

    /// A heading.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Processes => "processes: too many, too long, left behind",
            Self::Init => "init: PID 1 of the jail",
            Self::Memory => "memory: every way to hold more than the limit",
            Self::Disk => "disk: bytes, inodes, names, descriptors",
            Self::Output => "output: floods and forgeries",
            Self::Files => "files: what the host keeps to itself",
            Self::Mounts => "mounts: writing where it is not allowed, links and races",
            Self::Host => "host: settings, devices and facts of the machine",
            Self::Kernel => "kernel: namespaces and the mount tree",
            Self::Calls => "calls: parts of the kernel that no guest needs",
            Self::Privileges => "privileges: users, capabilities, set-id files",
            Self::Network => "network: carrying data away without a network",
            Self::Door => "door: carrying data past an allow-list",
            Self::Neighbours => "neighbours: two jails at the same time",
            Self::Supervisor => "supervisor: the process outside",
            Self::Policy => "policy: rights that were never granted",
            Self::Paths => "paths: files that were never granted",
            Self::Fuel => "fuel: more work, calls and time than allowed",
            Self::Cache => "cache: what a project ships for the host to use",
            Self::Leaks => "leaks: from one task to the next",
            Self::Internals => "internals: the runtime inside, and its ways out",
            Self::Pages => "pages: what a browser can be made to send",
            Self::Frames => "frames: oversized, broken, two in one",
            Self::Slow => "slow: who begins and never ends, who asks and never listens",
            Self::Limits => "limits: more than one may have",
            Self::Keys => "keys: none, guessed, revoked, stored",
            Self::Tenants => "tenants: what belongs to another key",
        }
    }
}

/// Limits of an attempt's jails: small, so that reaching them is quick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) timeout_ms: u64,
    pub(crate) memory_mib: u64,
    pub(crate) disk_mib: u64,
    pub(crate) output_kib: u64,
    pub(crate) pids: u64,
}

impl Bounds {
    /// 10 s, 64 MiB of memory, 8 MiB of disk, 64 KiB of output, 16 processes. The
    /// time is for emulated machines; nothing should ever need it.
    pub(crate) const USUAL: Self =
        Self { timeout_ms: 10_000, memory_mib: 64, disk_mib: 8, output_kib: 64, pids: 16 };
    /// Ends in a timeout that the attempt tries to outlive.
    pub(crate) const SHORT: Self = Self { timeout_ms: 400, ..Self::USUAL };
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "verdict", content = "evidence")]
pub(crate) enum Verdict {
    /// The wall held; how that was seen.
    Held(String),
    /// Something got through; what.
    Escaped(String),
    /// Nobody can tell; why. As bad as an escape: a test that did not test.
    Inconclusive(String),
    /// It cannot be tried here; why.
    Skipped(String),
}

impl Verdict {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Held(_) => "HELD",
            Self::Escaped(_) => "ESCAPED",
            Self::Inconclusive(_) => "INCONCLUSIVE",
            Self::Skipped(_) => "SKIPPED",
        }
    }

    pub(crate) fn evidence(&self) -> &str {
        match self {
            Self::Held(text)
            | Self::Escaped(text)
            | Self::Inconclusive(text)
            | Self::Skipped(text) => text,
        }
    }

    pub(crate) const fn is_failure(&self) -> bool {
        matches!(self, Self::Escaped(_) | Self::Inconclusive(_))
    }

    /// The worse of two; what both saw, when they are equal.
    pub(crate) fn and(self, other: Self) -> Self {
        let rank = |verdict: &Self| match verdict {
            Self::Escaped(_) => 3,
            Self::Inconclusive(_) => 2,
            Self::Skipped(_) => 1,
            Self::Held(_) => 0,
        };
        match rank(&self).cmp(&rank(&other)) {
            std::cmp::Ordering::Less => other,
            std::cmp::Ordering::Greater => self,
            std::cmp::Ordering::Equal if self.evidence().is_empty() => other,
            std::cmp::Ordering::Equal if other.evidence().is_empty() => self,
            std::cmp::Ordering::Equal => {
                let text = format!("{}; {}", self.evidence(), other.evidence());
                match self {
                    Self::Held(_) => Self::Held(text),
                    Self::Escaped(_) => Self::Escaped(text),
                    Self::Inconclusive(_) => Self::Inconclusive(text),
                    Self::Skipped(_) => Self::Skipped(text),
                }
            }
        }
    }

    /// Held if the host shows it, escaped if not.
    pub(crate) fn held_if(holds: bool, evidence: impl Into<String>) -> Self {
        if holds { Self::Held(evidence.into()) } else { Self::Escaped(evidence.into()) }
    }
}

/// An attempt and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) name: &'static str,
    pub(crate) family: Family,
    pub(crate) tries: &'static str,
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    pub(crate) took_ms: u64,
}
