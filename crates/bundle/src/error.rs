//! Why there is no bundle.

use std::io;

use capsule_spec::{ErrorCode, Failure};

use crate::problem::Problem;

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The source is wrong: a syntax error, an import of what is not there.
    #[error("the program's source cannot be used")]
    Source {
        /// What is wrong, by file and line; at least one.
        problems: Vec<Problem>,
        /// How many more there are.
        more: usize,
    },
    /// The project is larger than what is bundled.
    #[error("{what} is over the limit of {most}")]
    TooLarge {
        /// What there is too much of.
        what: String,
        /// How much there may be.
        most: u64,
    },
    /// It took too long.
    #[error("bundling the program took longer than {seconds} s")]
    TimedOut {
        /// How long it was given.
        seconds: u64,
    },
    /// A source is nested so deeply that reading it takes more stack than there is.
    #[error("a source of the program is nested too deeply")]
    TooDeep,
    /// Bundling took more memory than it may.
    #[error("bundling the program took more memory than {bytes} bytes")]
    Memory {
        /// How much it may take.
        bytes: u64,
    },
    /// The bundler itself failed.
    #[error("the bundler failed: {how}")]
    Crashed {
        /// How its process ended, and what it said.
        how: String,
    },
    /// The process that bundles cannot be started, or cannot be heard.
    #[error("the bundler cannot be run")]
    Start(#[source] io::Error),
    /// The project's folder cannot be opened.
    #[error("the project's folder cannot be opened")]
    Folder(#[source] io::Error),
}

impl BundleError {
    /// The same, with another name for a file.
    #[must_use]
    pub fn naming(mut self, file: &str, name: &str) -> Self {
        if let Self::Source { problems, .. } = &mut self {
            for problem in problems.iter_mut().filter(|problem| problem.file == file) {
                problem.file = crate::problem::visible(name, 200);
            }
        }
        self
    }

    /// The error as an outsider sees it.
    pub fn into_failure(self) -> Failure {
        let wrong = |message: String| Failure::new(ErrorCode::InvalidSource, message);
        match self {
            Self::Source { problems, more } => {
                let hint = problems.iter().map(|problem| problem.hint.as_str());
                let hint = hint.into_iter().find(|hint| !hint.is_empty()).unwrap_or_default();
                let mut text: Vec<String> = problems.iter().map(Problem::to_string).collect();
                if more > 0 {
                    text.push(format!("and {more} more"));
                }
                let failure = wrong(text.join("\n\n"));
                if hint.is_empty() { failure } else { failure.hint(hint) }
            }
            error @ (Self::TooLarge { .. } | Self::TimedOut { .. } | Self::Memory { .. }) => {
                wrong(error.to_string())
                    .hint("import only what is needed; read data as files of the task")
            }
            error @ Self::TooDeep => wrong(error.to_string())
                .hint("something generated it: put data into a file of JSON that the task reads"),
            error @ Self::Crashed { .. } => {
                Failure::new(ErrorCode::InvalidSource, error.to_string())
                    .hint("this is a fault of Capsule's; please report the program")
            }
            Self::Start(ref source) => {
                Failure::new(ErrorCode::SystemFailure, format!("{self}: {source}"))
            }
            Self::Folder(ref source) => {
                Failure::new(ErrorCode::ProgramNotFound, format!("{self}: {source}"))
            }
        }
    }
}
