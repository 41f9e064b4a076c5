//! What a bundle was made of: every answer that the file system gave.
//!
//! A bundle may be used again for as long as the file system would give the same
//! answers. That covers more than changed files: a file that appears where the resolver
//! looked before it found another one, a link that points elsewhere, a package that is
//! installed nearer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What stands at a path, without following a link at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Nothing, or nothing that can be reached inside of the root.
    Missing,
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A link, and where it points.
    Link(String),
    /// A device, a pipe, a socket.
    Other,
}

/// The content of a file, as a hash.
pub type Hash = [u8; 32];

/// Changes whenever the thing is written or, for a folder, gets or loses an entry: a user
/// can set every time of a file but the time of its change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// What it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// In bytes.
    pub length: i64,
    /// When it was changed last: seconds and nanoseconds.
    pub changed: (i64, i64),
}

impl Stamp {
    /// Clocks of file systems are coarse: what was changed a moment ago can be changed once
    /// more without a trace. Such a stamp says nothing.
    pub fn settled(self, now: i64) -> Option<Self> {
        (self.changed.0 + 2 < now).then_some(self)
    }
}

/// Everything that was asked of one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The folder's own; with the same one it has the same entries.
    #[serde(rename = "s")]
    pub stamp: Option<Stamp>,
    /// What stood under these names.
    #[serde(rename = "k")]
    pub kinds: BTreeMap<String, Kind>,
    /// What these files said.
    #[serde(rename = "r")]
    pub read: BTreeMap<String, Read>,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Of what it said.
    #[serde(rename = "h")]
    pub hash: Hash,
    /// With the same one it says the same.
    #[serde(rename = "s")]
    pub stamp: Option<Stamp>,
}

/// All answers, by folder below the root; the root itself is the empty path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace(pub BTreeMap<String, Asked>);

impl Trace {
    /// The files that were read, with the hash of what they said.
    pub fn files(&self) -> impl Iterator<Item = (String, Hash)> {
        self.0.iter().flat_map(|(folder, asked)| {
            asked.read.iter().map(move |(name, read)| (join(folder, name), read.hash))
        })
    }
}

/// A path below a folder below the root.
pub fn join(folder: &str, name: &str) -> String {
    match (folder, name) {
        ("", name) => name.to_owned(),
        (folder, "") => folder.to_owned(),
        (folder, name) => format!("{folder}/{name}"),
    }
}

/// A path as folder and name.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}
