//! The files of a guest: `wasi:filesystem`, answered without giving away the host.
//!
//! A guest sees one tree. In it are its private `/tmp`, in the memory of the host and
//! bounded, and what its call was granted; the directories on the way there are virtual.
//! A grant lasts for a call: what was opened through one that is gone fails.
//!
//! Who attacks, and what stands in the way:
//!
//! | attack | answer |
//! |---|---|
//! | names that lead out: `..`, links, links swapped while they are followed | `walk` follows links as text, `folder` opens one step at a time and lets the kernel follow none |
//! | devices, FIFOs, sockets, `/proc` below a granted root | `folder` opens regular files only, and no file system of the kernel |
//! | a mount within a mount is uncovered by a link or rename | every link is walked through the tree; mount points and what leads to them are busy |
//! | a link left for a program of the host to follow | links made on the host lead downwards only |
//! | disk or memory filled: bytes, holes, names, deleted but open files | `memory::Tree` counts pages and nodes, `Budget` all that goes to the host |
//! | descriptors, listings, streams hoarded | `MOST_OPEN`, `listing::MOST`, the bound of the resource table; `handle` counts the host's |
//! | the host kept busy so that no deadline is seen | `Pace` |
//!
//! What it does not do: locks, permission bits, ownership, devices; names that are not
//! UTF-8 are not listed; `..` does not lead out of a directory's descriptor. On a host
//! folder that takes no notice of case, another spelling of a nested mount's name shows
//! what lies below that mount.

mod budget;
mod error;
mod file;
mod folder;
mod handle;
mod interface;
mod listing;
mod memory;
mod mount;
mod operations;
mod pace;
mod path;
mod stat;
mod streams;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::{Arc, Mutex};

use capsule_backend::guest::Grant;
use capsule_spec::Failure;

use self::budget::Budget;
use self::error::{ErrorCode, Result};
use self::file::File;
use self::handle::{MOST_OPEN, Slots};
use self::listing::Listing;
use self::memory::{Held, Tree};
use self::mount::Mounts;
use self::pace::Pace;
use self::stat::Stamp;
use self::walk::{Directory, Last, Place, Walk};
use super::state::Pulse;

pub(crate) use interface::{MOST_ROOTS, View, link};

/// Streams, pollables and errors that a guest may hold at one time.
pub(crate) const MOST_RESOURCES: usize = 8192;

/// The files of one guest.
pub(crate) struct Files {
    private: Held,
    mounts: Mounts,
    slots: Slots,
    budget: Arc<Budget>,
    open: Table<Descriptor>,
    listings: Table<Listing>,
    pace: Arc<Pace>,
    /// When the virtual directories came to be.
    begun: Stamp,
    looked: bool,
    roots_given: usize,
}

/// What a guest has open. Number 0 is always the root.
#[derive(Clone)]
enum Descriptor {
    Root,
    Directory(Directory),
    File(Arc<File>),
}

impl Files {
    pub(crate) fn new(pulse: Pulse) -> Self {
        let mut open = Table::new(MOST_OPEN);
        open.insert(Descriptor::Root).expect("the table is empty");
        Self {
            private: Held::root(&Arc::new(Mutex::new(Tree::new()))),
            mounts: Mounts::default(),
            slots: Slots::default(),
            budget: Arc::new(Budget::new()),
            open,
            listings: Table::new(listing::MOST),
            pace: Arc::new(Pace::new(pulse)),
            begun: Stamp::now(),
            looked: false,
            roots_given: 0,
        }
    }

    /// Another call begins: from here on the guest has these files and no others.
    ///
    /// # Errors
    /// When something cannot be granted; then nothing is.
    pub(crate) fn grant(&mut self, grant: &Grant) -> std::result::Result<(), Failure> {
        self.private.tree().limit(grant.disk.bytes());
        self.budget.renew();
        self.mounts.change(&grant.files, &self.budget, &self.slots)
    }

    /// Whether the guest ever looked at a place where it has nothing, and a grant could
    /// have put something; what it was granted is no such place, and neither is `/tmp`.
    pub(crate) fn looked(&self) -> bool {
        self.looked
    }

    /// How often the guest's libraries asked for the root, if they hold nothing else.
    pub(crate) fn roots_alone(&self) -> Option<usize> {
        let is_quiet = self.open.len() == 1 && self.listings.len() == 0;
        is_quiet.then_some(self.roots_given)
    }

    fn find(&mut self, base: u32, path: &str, last: Last) -> Result<Place> {
        let base = self.directory(base)?;
        let mut walk = Walk { mounts: &self.mounts, private: &self.private, looked: false };
        let place = walk.find(&base, path, last);
        self.looked |= walk.looked;
        place
    }

    fn directory(&self, number: u32) -> Result<Directory> {
        match self.open.get(number)? {
            Descriptor::Root => Ok(self.mounts.root()),
            Descriptor::Directory(directory) => Ok(directory.clone()),
            Descriptor::File(_) => Err(ErrorCode::NotDirectory),
        }
    }

    fn file(&self, number: u32) -> Result<&Arc<File>> {
        match self.open.get(number)? {
            Descriptor::File(file) => Ok(file),
            _ => Err(ErrorCode::IsDirectory),
        }
    }
}

/// Things by number, so many at most.
struct Table<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
    most: usize,
}

impl<T> Table<T> {
    /// How many there are.
    fn len(&self) -> usize {
        self.places.iter().flatten().count()
    }

    fn new(most: usize) -> Self {
        Self { places: Vec::new(), free: Vec::new(), most }
    }

    /// WASI has no word for "too many open files".
    fn insert(&mut self, thing: T) -> Result<u32> {
        if let Some(number) = self.free.pop() {
            self.places[number as usize] = Some(thing);
            return Ok(number);
        }
        if self.is_full() {
            return Err(ErrorCode::InsufficientMemory);
        }
        self.places.push(Some(thing));
        Ok(self.places.len() as u32 - 1)
    }

    /// Whether one more would be refused.
    fn is_full(&self) -> bool {
        self.free.is_empty() && self.places.len() >= self.most
    }

    fn get(&self, number: u32) -> Result<&T> {
        let place = self.places.get(number as usize);
        place.and_then(Option::as_ref).ok_or(ErrorCode::BadDescriptor)
    }

    fn get_mut(&mut self, number: u32) -> Result<&mut T> {
        let place = self.places.get_mut(number as usize);
        place.and_then(Option::as_mut).ok_or(ErrorCode::BadDescriptor)
    }

    fn remove(&mut self, number: u32) {
        if self.places.get_mut(number as usize).and_then(Option::take).is_some() {
            self.free.push(number);
        }
    }
}
