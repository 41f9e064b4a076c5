//! How much a task may use.

use std::time::Duration;

use serde::Serialize;

use crate::ByteSize;

/// A number of processors, in thousandths: `--cpus 1.5` is 1500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CpuQuota(u32);

impl CpuQuota {
    /// A quota of `processors` processors; at least 0.01, at most 1024.
    pub fn from_processors(processors: f64) -> Option<Self> {
        let in_range = (0.01..=1024.0).contains(&processors);
        in_range.then(|| Self((processors * 1000.0).round() as u32))
    }

    /// Thousandths of a processor.
    pub const fn thousandths(self) -> u32 {
        self.0
    }
}

/// Everything that is bounded. There is no "unlimited".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Wall time from the start of the command. Default 30 s.
    #[serde(rename = "timeout_ms", serialize_with = "milliseconds")]
    pub timeout: Duration,
    /// Memory of all processes together, private files included. Default 256 MiB.
    #[serde(rename = "memory_bytes")]
    pub memory: ByteSize,
    /// Relative weight when processors are contended, 2 to 262144. Default 1024.
    /// Does not limit use of an idle processor.
    pub cpu_shares: u32,
    /// Hard share of processor time. Default: none, all processors may be used.
    pub cpus: Option<CpuQuota>,
    /// Bytes of standard output, and again of standard error, that are kept. Default 1 MiB.
    #[serde(rename = "max_output_bytes")]
    pub max_output: ByteSize,
    /// Processes and threads at one time. Default 100.
    pub max_pids: u32,
    /// Bytes in the private file system (`/tmp`, `/workspace`, `/dev/shm` together). Default 256 MiB.
    #[serde(rename = "disk_bytes")]
    pub disk: ByteSize,
    /// Files and directories in the private file system: one for every 4 KiB of `disk`,
    /// at least 1024 and at most 65536.
    pub disk_inodes: u64,
    /// Open files in one process. Default 1024.
    pub open_files: u32,
}

impl Limits {
    /// The number of inodes that goes with a disk size.
    pub fn inodes_for(disk: ByteSize) -> u64 {
        (disk.bytes() / 4096).clamp(1024, 65_536)
    }
}

impl Default for Limits {
    fn default() -> Self {
        let disk = ByteSize::from_mib(256);
        Self {
            timeout: Duration::from_secs(30),
            memory: ByteSize::from_mib(256),
            cpu_shares: 1024,
            cpus: None,
            max_output: ByteSize::from_mib(1),
            max_pids: 100,
            disk,
            disk_inodes: Self::inodes_for(disk),
            open_files: 1024,
        }
    }
}

fn milliseconds<S: serde::Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
}
