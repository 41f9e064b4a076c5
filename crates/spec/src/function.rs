//! A function of a program, with all that bounds it.

use std::time::Duration;

use serde::Serialize;

use crate::{Access, ByteSize, HostRule, Isolation};

/// How much work a function may do, in units of fuel: one for about each WebAssembly
/// instruction, exactly the same in every run of the same program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Fuel(u64);

impl Fuel {
    /// Light work: 10^11. A processor of 2020 burns 10^10 in about a second, so this is
    /// ten seconds of it.
    pub const LOW: Self = Self(100_000_000_000);
    /// Ordinary work: 10^12, about two minutes.
    pub const MEDIUM: Self = Self(1_000_000_000_000);
    /// Heavy work: 5 * 10^13, about an hour and a half.
    pub const HIGH: Self = Self(50_000_000_000_000);
    /// Less than this does not even load a program.
    pub const LEAST: u64 = 1_000_000;

    /// An exact number of units, at least [`Fuel::LEAST`].
    pub fn exactly(units: u64) -> Option<Self> {
        (Self::LEAST..=i64::MAX as u64).contains(&units).then_some(Self(units))
    }

    /// The number of units.
    pub const fn units(self) -> u64 {
        self.0
    }
}

/// A file or folder of the project that a function may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AllowedFile {
    /// Below the project's folder, without `.` and `..`; empty for the folder itself.
    pub path: String,
    /// Whether it may be written.
    pub access: Access,
}

/// A function that a program declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Function {
    /// What it is called.
    pub name: String,
    /// Work. Default [`Fuel::MEDIUM`]. What it calls uses the same budget.
    pub compute: Fuel,
    /// Memory. Default 256 MiB.
    pub ram: ByteSize,
    /// Wall time of one attempt. Default 5 minutes.
    #[serde(serialize_with = "milliseconds", rename = "timeout_ms")]
    pub timeout: Duration,
    /// How often it is tried again after a failure. Default 0.
    pub max_retries: u32,
    /// Files. Default: none.
    pub files: Vec<AllowedFile>,
    /// Hosts. Default: none.
    pub hosts: Vec<HostRule>,
    /// Names of environment variables. Default: none.
    pub environment: Vec<String>,
    /// Which kind of sandbox. Default `wasm`.
    pub isolation: Isolation,
}

impl Function {
    /// Default memory.
    pub const RAM: ByteSize = ByteSize::from_mib(256);
    /// An interpreter alone takes half of this.
    pub const LEAST_RAM: ByteSize = ByteSize::from_mib(32);
    /// Default wall time.
    pub const TIMEOUT: Duration = Duration::from_secs(300);
    /// The most retries.
    pub const MOST_RETRIES: u32 = 100;
}

fn milliseconds<S: serde::Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
}
