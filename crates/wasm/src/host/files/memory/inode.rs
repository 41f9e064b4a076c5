//! One file, directory or symbolic link.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::content::Content;
use super::tree::Number;

#[derive(Debug)]
pub(super) struct Inode {
    pub(super) body: Body,
    /// Names that it has; a directory has one, or none once it was removed.
    pub(super) links: u64,
    /// Who holds it, apart from its names.
    pub(super) holders: usize,
    /// Never given to another one, unlike its place in the tree.
    pub(super) serial: u64,
    pub(super) times: Times,
}

#[derive(Debug)]
pub(super) enum Body {
    File(Content),
    Directory { entries: BTreeMap<Box<str>, Number>, parent: Number },
    Link(Box<str>),
}

/// What kind of thing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
}

/// When it was read, written, and changed in any way. Reading leaves no trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) accessed: SystemTime,
    pub(crate) modified: SystemTime,
    pub(crate) changed: SystemTime,
}

impl Times {
    pub(crate) fn now() -> Self {
        let now = SystemTime::now();
        Self { accessed: now, modified: now, changed: now }
    }
}

impl Inode {
    pub(super) fn kind(&self) -> Kind {
        match self.body {
            Body::File(_) => Kind::File,
            Body::Directory { .. } => Kind::Directory,
            Body::Link(_) => Kind::Link,
        }
    }

    pub(super) fn size(&self) -> u64 {
        match &self.body {
            Body::File(content) => content.size(),
            Body::Directory { .. } => 0,
            Body::Link(target) => target.len() as u64,
        }
    }

    /// It was written.
    pub(super) fn touch(&mut self) {
        let now = SystemTime::now();
        (self.times.modified, self.times.changed) = (now, now);
    }
}
