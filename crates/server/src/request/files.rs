//! Files of a sandbox. Paths are those inside; a relative one begins in `/workspace`.

use capsule_spec::Failure;
use serde::{Deserialize, Serialize};

use super::check::{self, Checked, MOST_ENTRIES};

/// A file to write.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WriteFile {
    /// The sandbox.
    pub id: String,
    /// Where.
    pub path: String,
    /// What it is to hold, as base64. Larger ones than a request may be are uploaded
    /// with `PUT /sandbox/{id}/files?path=`.
    pub content: String,
    /// Permission bits of a file that is made, as a number: 420 is 0644.
    #[serde(default = "readable")]
    pub mode: u32,
}

fn readable() -> u32 {
    0o644
}

impl Checked for WriteFile {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        check::path("path", &self.path)?;
        check::range("mode", u64::from(self.mode), 0, 0o777)
    }
}

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListDirAnswer {
    /// Ordered by name.
    pub files: Vec<Listed>,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes.
    pub size: u64,
}

/// What a path is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// `file`, `directory`, `link` or `other`.
    pub kind: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes.
    pub size: u64,
    /// Permission bits, as a number.
    pub mode: u32,
    /// RFC 3339, UTC.
    pub modified_at: String,
    /// Where a symbolic link points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// A file to read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReadFile {
    /// The sandbox.
    pub id: String,
    /// Which file. One over 12 MiB is downloaded with `GET /sandbox/{id}/files?path=`.
    pub path: String,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReadFileAnswer {
    /// Base64.
    pub content: String,
}

/// A directory to list.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ListDir {
    /// The sandbox.
    pub id: String,
    /// Which one.
    #[serde(default = "workspace")]
    pub path: String,
    /// A directory with more entries is refused.
    #[serde(default = "entries")]
    pub limit: u64,
}

fn workspace() -> String {
    check::DEFAULT_DIRECTORY.to_owned()
}

fn entries() -> u64 {
    10_000
}

impl Checked for ListDir {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        check::path("path", &self.path)?;
        check::range("limit", self.limit, 1, MOST_ENTRIES)
    }
}

/// A path to tell about.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Stat {
    /// The sandbox.
    pub id: String,
    /// Which path; a link is not followed.
    pub path: String,
}

/// A directory to make.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MakeDirectory {
    /// The sandbox.
    pub id: String,
    /// Which one; those above it are made, too. One that is there already is fine.
    pub path: String,
}

/// A file or directory to give another name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// The sandbox.
    pub id: String,
    /// What it is called.
    pub from: String,
    /// What it is to be called; a file of that name is replaced.
    pub to: String,
}

/// A file or directory to remove.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Remove {
    /// The sandbox.
    pub id: String,
    /// What to remove.
    pub path: String,
    /// Whether a directory goes with all that it holds.
    #[serde(default)]
    pub recursive: bool,
}

impl Checked for Move {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        check::path("from", &self.from)?;
        check::path("to", &self.to)
    }
}

macro_rules! an_id_and_a_path {
    ($($name:ident),*) => {$(
        impl Checked for $name {
            fn check(&self) -> Result<(), Failure> {
                check::id(&self.id)?;
                check::path("path", &self.path)
            }
        }
    )*};
}

an_id_and_a_path!(ReadFile, Stat, MakeDirectory, Remove);
