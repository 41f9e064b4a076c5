//! A file system in memory, bounded in bytes and in names.
//!
//! Inodes lie in one vector and name each other by number, so dropping a deep tree
//! takes no stack, and what it uses is one sum that is right at any moment.
//!
//! ```text
//!   made ──▶ named and held ──unlink──▶ held ──release──▶ gone, its pages free
//!                   └───────release───▶ named ──unlink───▶ gone
//! ```

use std::collections::BTreeMap;
use std::ops::Bound;

use super::super::error::{ErrorCode, Result};
use super::content::{Content, MOST, PAGE};
use super::inode::{Body, Inode, Kind, Times};

/// Where an inode is.
pub(crate) type Number = usize;

#[derive(Debug)]
pub(crate) struct Tree {
    inodes: Vec<Option<Inode>>,
    free: Vec<Number>,
    serials: u64,
    /// Inodes and names beyond the first of an inode.
    nodes: u64,
    /// Pages of files; a link's target counts as its share of one, rounded up.
    pages: u64,
    most_nodes: u64,
    most_pages: u64,
}

/// What is known of an inode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    pub(crate) links: u64,
    pub(crate) serial: u64,
    pub(crate) times: Times,
}

impl Tree {
    pub(crate) const ROOT: Number = 0;

    /// An empty directory that may not be filled yet.
    pub(crate) fn new() -> Self {
        let mut tree = Self {
            inodes: Vec::new(),
            free: Vec::new(),
            serials: 0,
            nodes: 0,
            pages: 0,
            most_nodes: 1,
            most_pages: 0,
        };
        let root = Body::Directory { entries: BTreeMap::new(), parent: Self::ROOT };
        tree.add(root).expect("one node is allowed");
        tree
    }

    /// Sets the bytes that it may hold. A file takes some memory besides its content,
    /// so their number is bounded too: one for each 2 KiB, in reason.
    pub(crate) fn limit(&mut self, bytes: u64) {
        self.most_pages = bytes / PAGE;
        self.most_nodes = (bytes / 2048).clamp(1024, 131_072);
    }

    /// Bytes in use.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.pages * PAGE
    }

    /// Inodes and names in use.
    #[cfg(test)]
    pub(crate) fn nodes(&self) -> u64 {
        self.nodes
    }

    /// Both, counted again from what is there.
    #[cfg(test)]
    pub(crate) fn recount(&self) -> (u64, u64) {
        let mut sums = (0, 0);
        for inode in self.inodes.iter().flatten() {
            sums.0 += PAGE
                * match &inode.body {
                    Body::File(content) => content.pages(),
                    Body::Directory { .. } => 0,
                    Body::Link(target) => pages_of_target(target),
                };
            sums.1 += inode.links.max(1);
        }
        sums
    }

    pub(crate) fn facts(&self, number: Number) -> Facts {
        let inode = self.inode(number);
        Facts {
            kind: inode.kind(),
            size: inode.size(),
            links: inode.links,
            serial: inode.serial,
            times: inode.times,
        }
    }

    pub(crate) fn lookup(&self, directory: Number, name: &str) -> Result<Option<Number>> {
        Ok(self.entries(directory)?.get(name).copied())
    }

    /// The first entry whose name follows `after`.
    pub(crate) fn next_entry(&self, directory: Number, after: &str) -> Option<(&str, Kind)> {
        let entries = self.entries(directory).ok()?;
        let (name, number) =
            entries.range::<str, _>((Bound::Excluded(after), Bound::Unbounded)).next()?;
        Some((name, self.inode(*number).kind()))
    }

    pub(crate) fn target(&self, number: Number) -> Option<String> {
        match &self.inode(number).body {
            Body::Link(target) => Some(target.to_string()),
            _ => None,
        }
    }

    pub(crate) fn create_file(&mut self, directory: Number, name: &str) -> Result<Number> {
        self.create(directory, name, Body::File(Content::default()))
    }

    pub(crate) fn create_directory(&mut self, parent: Number, name: &str) -> Result<Number> {
        self.create(parent, name, Body::Directory { entries: BTreeMap::new(), parent })
    }

    pub(crate) fn create_link(
        &mut self,
        place: Number,
        name: &str,
        target: &str,
    ) -> Result<Number> {
        let spare = self.most_pages.saturating_sub(self.pages);
        if pages_of_target(target) > spare {
            return Err(ErrorCode::InsufficientSpace);
        }
        let number = self.create(place, name, Body::Link(target.into()))?;
        self.pages += pages_of_target(target);
        Ok(number)
    }

    /// Gives a file one more name.
    pub(crate) fn link(&mut self, number: Number, directory: Number, name: &str) -> Result<()> {
        if self.inode(number).kind() == Kind::Directory {
            return Err(ErrorCode::NotPermitted);
        }
        if self.inode(number).links == 0 {
            return Err(ErrorCode::NoEntry);
        }
        self.vacant(directory, name)?;
        self.take_node()?;
        self.insert(directory, name, number);
        self.inode_mut(number).links += 1;
        self.inode_mut(number).times.changed = std::time::SystemTime::now();
        Ok(())
    }

    pub(crate) fn unlink(&mut self, directory: Number, name: &str) -> Result<()> {
        let number = self.lookup(directory, name)?.ok_or(ErrorCode::NoEntry)?;
        if self.inode(number).kind() == Kind::Directory {
            return Err(ErrorCode::IsDirectory);
        }
        self.detach(directory, name);
        Ok(())
    }

    pub(crate) fn remove_directory(&mut self, parent: Number, name: &str) -> Result<()> {
        let number = self.lookup(parent, name)?.ok_or(ErrorCode::NoEntry)?;
        if !self.entries(number)?.is_empty() {
            return Err(ErrorCode::NotEmpty);
        }
        self.detach(parent, name);
        Ok(())
    }

    /// As rename(2).
    pub(crate) fn rename(
        &mut self,
        (from, name): (Number, &str),
        (to, new_name): (Number, &str),
    ) -> Result<()> {
        let number = self.lookup(from, name)?.ok_or(ErrorCode::NoEntry)?;
        if self.inode(to).links == 0 {
            return Err(ErrorCode::NoEntry);
        }
        let is_directory = self.inode(number).kind() == Kind::Directory;
        if is_directory && self.is_within(to, number) {
            return Err(ErrorCode::Invalid);
        }
        if let Some(other) = self.lookup(to, new_name)? {
            if other == number {
                return Ok(());
            }
            match &self.inode(other).body {
                Body::Directory { .. } if !is_directory => return Err(ErrorCode::IsDirectory),
                Body::Directory { entries, .. } if !entries.is_empty() => {
                    return Err(ErrorCode::NotEmpty);
                }
                Body::File(_) | Body::Link(_) if is_directory => {
                    return Err(ErrorCode::NotDirectory);
                }
                _ => self.detach(to, new_name),
            }
        }
        self.remove(from, name);
        self.insert(to, new_name, number);
        if let Body::Directory { parent, .. } = &mut self.inode_mut(number).body {
            *parent = to;
        }
        self.inode_mut(number).times.changed = std::time::SystemTime::now();
        Ok(())
    }

    pub(crate) fn read(&self, number: Number, offset: u64, most: usize) -> Result<Vec<u8>> {
        match &self.inode(number).body {
            Body::File(content) => Ok(content.read(offset, most)),
            _ => Err(ErrorCode::IsDirectory),
        }
    }

    /// Writes at `offset`, or at the end: how much, and where that ended. It is less than
    /// all only when the space is used up.
    pub(crate) fn write(
        &mut self,
        number: Number,
        offset: Option<u64>,
        bytes: &[u8],
    ) -> Result<(usize, u64)> {
        let spare = self.most_pages.saturating_sub(self.pages);
        let inode = self.inode_mut(number);
        let Body::File(content) = &mut inode.body else { return Err(ErrorCode::IsDirectory) };
        let offset = offset.unwrap_or(content.size());
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > MOST) {
            return Err(ErrorCode::FileTooLarge);
        }
        let before = content.pages();
        let written = content.write(offset, bytes, spare);
        let added = content.pages() - before;
        inode.touch();
        self.pages += added;
        match written {
            0 if !bytes.is_empty() => Err(ErrorCode::InsufficientSpace),
            written => Ok((written, offset + written as u64)),
        }
    }

    /// Whether one byte could be written at `offset`, or at the end.
    pub(crate) fn check_write(&self, number: Number, offset: Option<u64>) -> Result<()> {
        let Body::File(content) = &self.inode(number).body else {
            return Err(ErrorCode::IsDirectory);
        };
        let offset = offset.unwrap_or(content.size());
        if offset >= MOST {
            Err(ErrorCode::FileTooLarge)
        } else if self.pages >= self.most_pages && !content.has_page(offset) {
            Err(ErrorCode::InsufficientSpace)
        } else {
            Ok(())
        }
    }

    pub(crate) fn resize(&mut self, number: Number, size: u64) -> Result<()> {
        if size > MOST {
            return Err(ErrorCode::FileTooLarge);
        }
        let inode = self.inode_mut(number);
        let Body::File(content) = &mut inode.body else { return Err(ErrorCode::IsDirectory) };
        let before = content.pages();
        content.resize(size);
        let freed = before - content.pages();
        inode.touch();
        self.pages -= freed;
        Ok(())
    }

    pub(crate) fn set_times(&mut self, number: Number, change: impl FnOnce(&mut Times)) {
        let times = &mut self.inode_mut(number).times;
        change(times);
        times.changed = std::time::SystemTime::now();
    }

    pub(super) fn hold(&mut self, number: Number) {
        self.inode_mut(number).holders += 1;
    }

    pub(super) fn release(&mut self, number: Number) {
        self.inode_mut(number).holders -= 1;
        self.collect(number);
    }

    fn inode(&self, number: Number) -> &Inode {
        self.inodes[number].as_ref().expect("named or held inodes are there")
    }

    fn inode_mut(&mut self, number: Number) -> &mut Inode {
        self.inodes[number].as_mut().expect("named or held inodes are there")
    }

    fn entries(&self, number: Number) -> Result<&BTreeMap<Box<str>, Number>> {
        match &self.inode(number).body {
            Body::Directory { entries, .. } => Ok(entries),
            _ => Err(ErrorCode::NotDirectory),
        }
    }

    /// Whether `number` is `directory` or lies in it.
    fn is_within(&self, mut number: Number, directory: Number) -> bool {
        loop {
            if number == directory {
                return true;
            }
            match self.inode(number).body {
                Body::Directory { parent, .. } if number != Self::ROOT => number = parent,
                _ => return false,
            }
        }
    }

    fn vacant(&self, directory: Number, name: &str) -> Result<()> {
        if self.lookup(directory, name)?.is_some() {
            return Err(ErrorCode::Exist);
        }
        // It was removed, and somebody still holds it.
        if self.inode(directory).links == 0 {
            return Err(ErrorCode::NoEntry);
        }
        Ok(())
    }

    fn create(&mut self, directory: Number, name: &str, body: Body) -> Result<Number> {
        self.vacant(directory, name)?;
        let number = self.add(body)?;
        self.insert(directory, name, number);
        Ok(number)
    }

    fn take_node(&mut self) -> Result<()> {
        if self.nodes >= self.most_nodes {
            return Err(ErrorCode::InsufficientSpace);
        }
        self.nodes += 1;
        Ok(())
    }

    /// A new inode with one link, whose name its caller inserts.
    fn add(&mut self, body: Body) -> Result<Number> {
        self.take_node()?;
        self.serials += 1;
        let inode = Inode { body, links: 1, holders: 0, serial: self.serials, times: Times::now() };
        Ok(match self.free.pop() {
            Some(number) => {
                self.inodes[number] = Some(inode);
                number
            }
            None => {
                self.inodes.push(Some(inode));
                self.inodes.len() - 1
            }
        })
    }

    fn insert(&mut self, directory: Number, name: &str, number: Number) {
        let inode = self.inode_mut(directory);
        if let Body::Directory { entries, .. } = &mut inode.body {
            entries.insert(name.into(), number);
        }
        inode.touch();
    }

    fn remove(&mut self, directory: Number, name: &str) -> Option<Number> {
        let inode = self.inode_mut(directory);
        inode.touch();
        match &mut inode.body {
            Body::Directory { entries, .. } => entries.remove(name),
            _ => None,
        }
    }

    /// Takes a name away, and the inode with it when that was the last thing to keep it.
    fn detach(&mut self, directory: Number, name: &str) {
        let Some(number) = self.remove(directory, name) else { return };
        let inode = self.inode_mut(number);
        inode.links -= 1;
        inode.times.changed = std::time::SystemTime::now();
        // The last name goes with the inode, whose node it shares.
        if inode.links > 0 {
            self.nodes -= 1;
        }
        self.collect(number);
    }

    fn collect(&mut self, number: Number) {
        let inode = self.inode(number);
        if inode.links > 0 || inode.holders > 0 {
            return;
        }
        self.pages -= match &inode.body {
            Body::File(content) => content.pages(),
            Body::Directory { .. } => 0,
            Body::Link(target) => pages_of_target(target),
        };
        self.nodes -= 1;
        self.inodes[number] = None;
        self.free.push(number);
    }
}

/// A short target lies in what an inode takes anyway.
fn pages_of_target(target: &str) -> u64 {
    if target.len() <= 256 { 0 } else { (target.len() as u64).div_ceil(PAGE) }
}
