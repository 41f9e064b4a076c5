//! Files that live in the host's memory: a guest's private `/tmp`.
//!
//! Refuses to know paths: it is asked about a directory and a name.

mod content;
mod held;
mod inode;
mod tree;

pub(super) use held::Held;
pub(super) use inode::{Kind, Times};
pub(super) use tree::{Facts, Tree};
