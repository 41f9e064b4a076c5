//! How much a project may ask of the bundler. Whoever wrote it may want to harm.

use std::time::Duration;

/// Modules that go into one script.
pub const MOST_MODULES: u64 = 10_000;
/// Bytes of one file.
pub const MOST_OF_A_FILE: u64 = 16 << 20;
/// Bytes of all files that are read.
pub const MOST_BYTES: u64 = 96 << 20;
/// Questions to the file system: what is there, what does it say.
pub const MOST_QUESTIONS: u64 = 1_000_000;
/// Bytes of the script, and of its map.
pub const MOST_OUTPUT: usize = 64 << 20;
/// The stack of each thread that reads sources: a parser is as deep as what it reads.
pub const STACK: usize = 128 << 20;
/// Problems that are told.
pub const MOST_PROBLEMS: usize = 10;

/// What bundling one program may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Wall time. Default: 20 s. The processor gets twice as much, over all threads.
    pub time: Duration,
    /// Address space of the process, in bytes. Default: 3 GiB. The stacks of its threads are in
    /// it, of which little is used.
    pub memory: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { time: Duration::from_secs(20), memory: 3 << 30 }
    }
}
