//! Tar streams, as POSIX (ustar, pax) and GNU tar write them. Pure: it knows no file.
//!
//! Owns: what a member of an archive may be, and where. Only files, directories and links
//! cross; owners, devices, set-id bits and holes do not. Whoever sends an archive is a
//! stranger: every number is bounded, and no name leads out of the directory.

mod read;
mod write;

pub(crate) use read::{Reader, Step, is_inside};
pub(crate) use write::{END, head, padding};

/// What an archive is made of.
const BLOCK: usize = 512;
/// Permission bits that cross, in either direction: set-id bits would be an attack on whoever
/// unpacks as root.
const PERMISSIONS: u32 = 0o777;

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Below the directory that is packed, without `.` and `..`; empty for itself.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    /// Seconds since 1970.
    pub(crate) modified: u64,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With so many bytes, which follow.
    File(u64),
    Directory,
    /// A symbolic link, and what it holds.
    Link(String),
    /// The same file as an earlier member, which this names.
    Same(String),
}

/// Why something is no archive that is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TarError {
    #[error("the archive is compressed")]
    Compressed,
    #[error("this is no tar archive, or one that is damaged")]
    Damaged,
    #[error("the archive ends in the middle")]
    Truncated,
    #[error("the archive has a name that leads out of the directory: {0:?}")]
    Outside(String),
    #[error("the archive has a name that is empty, too long or no UTF-8: {0:?}")]
    Name(String),
    #[error("the archive has a number that is out of range")]
    Number,
    #[error("the archive has a header that is too large")]
    Header,
    #[error("the archive holds {0}, which cannot be unpacked here")]
    Kind(&'static str),
}
