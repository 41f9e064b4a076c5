//! What the process that bundles is asked, and what it answers; both in JSON.

use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::trace::Trace;

/// What to bundle.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The program's file, below the folder.
    pub entry: String,
    /// How many bytes the program has, if it is text.
    pub text: Option<u64>,
    /// Threads beside the first.
    pub threads: usize,
    /// Address space, in bytes.
    pub memory: u64,
    /// Of the processor.
    pub seconds: u64,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub enum Compiled {
    /// A script.
    Done {
        /// The body of a CommonJS module.
        script: String,
        /// Source map, revision 3, without the sources.
        map: String,
        /// What is odd, and stops nothing.
        warnings: Vec<Problem>,
        /// What it was made of.
        trace: Trace,
    },
    /// The source is wrong.
    Wrong {
        /// What is wrong.
        problems: Vec<Problem>,
        /// How many more there are.
        more: usize,
    },
    /// The project is too large.
    TooLarge {
        /// What there is too much of.
        what: String,
        /// How much there may be.
        most: u64,
    },
}
