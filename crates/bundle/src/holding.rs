//! Whether a bundle's files are what they were.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, OFlags};

use crate::files::{beneath, hash_of, kind_in, now, stamp};
use crate::trace::{Asked, Kind, Trace};

impl Trace {
    /// Whether the file system below `root` would give the same answers.
    pub(crate) fn check(&self, root: &OwnedFd) -> Holding {
        let now = now();
        let mut renewed = Self::default();
        for (folder, asked) in &self.0 {
            match check_folder(root, folder, asked, now) {
                Some(asked) => renewed.0.insert(folder.clone(), asked),
                None => return Holding::Broken,
            };
        }
        if renewed == *self { Holding::Unchanged } else { Holding::Touched(renewed) }
    }
}

/// The same answers with what their stamps are now; None if there are others.
fn check_folder(root: &OwnedFd, folder: &str, asked: &Asked, now: i64) -> Option<Asked> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(open) = beneath(root.as_fd(), folder, flags) else {
        let is_nothing = asked.kinds.values().all(|kind| *kind == Kind::Missing);
        return (asked.read.is_empty() && is_nothing).then(|| asked.clone());
    };
    let mut renewed = asked.clone();
    // Each stamp is taken before what it stands for is looked at.
    let found = stamp(&rustix::fs::fstat(&open).ok()?);
    if asked.stamp != Some(found) {
        renewed.stamp = found.settled(now);
        if asked.kinds.iter().any(|(name, kind)| kind_in(open.as_fd(), name) != *kind) {
            return None;
        }
    }
    for (name, read) in &mut renewed.read {
        // What is checked was written by a process that read a stranger's files.
        if name.contains('/') {
            return None;
        }
        let found = rustix::fs::statat(&open, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let found = stamp(&found);
        if read.stamp != Some(found) {
            read.stamp = found.settled(now);
            if hash_of(&open, name) != Some(read.hash) {
                return None;
            }
        }
    }
    Some(renewed)
}

/// What has become of the files that a bundle was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holding {
    /// Nothing was touched.
    Unchanged,
    /// Something was touched, and says the same.
    Touched(Trace),
    /// They are others.
    Broken,
}
