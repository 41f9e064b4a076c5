//! How much a project may ask of the bundler. Whoever wrote it may want to harm.

use std::time::Duration;

/// Modules that go into one script.
pub(crate) const MOST_MODULES: u64 = 20_000;
/// Bytes of one file.
pub(crate) const MOST_OF_A_FILE: u64 = 16 << 20;
/// Bytes of all files that are read.
pub(crate) const MOST_BYTES: u64 = 96 << 20;
/// Questions to the file system: what is there, what does it say.
pub(crate) const MOST_QUESTIONS: u64 = 1_000_000;
/// Bytes of the script, and of its map.
pub(crate) const MOST_OUTPUT: usize = 64 << 20;
/// Wall time, and no more processor time than two processors have in it.
pub(crate) const MOST_TIME: Duration = Duration::from_secs(30);
/// Address space of the process that bundles.
pub(crate) const MOST_MEMORY: u64 = 4 << 30;
/// The stack of each thread that reads sources: a parser is as deep as what it reads.
pub(crate) const STACK: usize = 128 << 20;
/// Problems that are told.
pub(crate) const MOST_PROBLEMS: usize = 10;
