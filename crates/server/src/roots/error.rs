//! Why the files of a template could not be made ready.

use std::io;

use capsule_spec::{ErrorCode, Failure};

use crate::tar::TarError;

/// Why an archive or image is not unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    /// A member is none that is taken.
    #[error("{}", about(.member, .source))]
    Archive {
        /// The member that was begun last, if there was one.
        member: String,
        /// What is wrong.
        source: TarError,
    },
    /// A member asks for something that is not done.
    #[error("{member:?} {why}")]
    Member {
        /// Which one.
        member: String,
        /// What it does.
        why: &'static str,
    },
    /// The bound of bytes.
    #[error("{member:?} goes beyond {most} bytes, the most that is unpacked")]
    TooLarge {
        /// Where the end was.
        member: String,
        /// The bound.
        most: u64,
    },
    /// The bound of names.
    #[error("{member:?} is one more than {most} names, the most that are unpacked")]
    TooMany {
        /// Where the end was.
        member: String,
        /// The bound.
        most: u64,
    },
    /// Bytes that are not what their name says.
    #[error("{what} is not what its digest says")]
    Digest {
        /// Which ones.
        what: String,
    },
    /// An image that makes no sense, or is none for this host.
    #[error("{0}")]
    Image(String),
    /// It was written to at the same time.
    #[error("it changed while it was read")]
    Changed,
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// The file system does not take a member.
    #[error("{member:?} cannot be written")]
    Write {
        /// Which one.
        member: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The cache cannot be used.
    #[error("the folder of unpacked templates cannot be used")]
    Cache(#[source] io::Error),
}

fn about(member: &str, source: &TarError) -> String {
    if member.is_empty() { source.to_string() } else { format!("{member:?}: {source}") }
}

impl RootError {
    /// As a failure of what `what` names: the archive, the image.
    pub(crate) fn failure(self, what: &str) -> Failure {
        let source = std::error::Error::source(&self).map(ToString::to_string);
        let own = self.to_string();
        let message = match (&self, source) {
            // The message has it.
            (Self::Archive { .. }, _) | (_, None) => format!("{what}: {own}"),
            (_, Some(source)) => format!("{what}: {own}: {source}"),
        };
        let code = match &self {
            Self::Write { source, .. } | Self::Cache(source) if !is_the_archives(source) => {
                ErrorCode::StoreFailed
            }
            _ => ErrorCode::InvalidArchive,
        };
        let failure = Failure::new(code, message);
        match self {
            Self::TooLarge { member, .. } => failure
                .detail("member", member)
                .hint("if it is meant to be as large: unpack = { max_bytes = \"32GiB\" }"),
            Self::TooMany { member, .. } => failure
                .detail("member", member)
                .hint("if there are meant to be as many: unpack = { max_names = 4000000 }"),
            Self::Archive { member, .. }
            | Self::Member { member, .. }
            | Self::Write { member, .. } => failure.detail("member", member),
            _ => failure,
        }
    }
}

/// Whether a name, and not the disk, is what the file system does not take.
fn is_the_archives(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENAMETOOLONG | libc::EMLINK | libc::EINVAL | libc::ENOENT | libc::EPERM)
    )
}
