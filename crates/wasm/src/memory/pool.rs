//! Slots to be used again.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::image::{Image, Pages};
use super::overlay::Overlay;
use super::slot::Slot;
use super::start::{self, Held};
use super::sys::{Linear, Mapping, Pagemap};

/// How a used slot is made new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recycling {
    /// The pages that were written are copied back.
    WrittenPages,
    /// The whole mapping is made anew, because `/proc/self/pagemap` is closed.
    WholeMapping,
}

impl Recycling {
    /// What this process can do here, found out by trying.
    pub fn of_this_host() -> Self {
        Self::by(Pagemap::open().as_ref())
    }

    fn by(pagemap: Option<&Pagemap>) -> Self {
        match pagemap {
            Some(_) => Self::WrittenPages,
            None => Self::WholeMapping,
        }
    }
}

/// Makes the memories of guests from one image.
#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    image: Image,
    original: Mapping,
    pagemap: Option<Pagemap>,
    /// Used slots, as their last guests left them, and what those began with.
    idle: Mutex<Vec<(Slot, Beginning)>>,
    most_idle: usize,
}

/// The overlay that a slot began with; it needs the fewest pages to begin so again.
type Beginning = Option<Weak<Overlay>>;

thread_local! {
    static ENTRIES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A memory of a module that is not the guest's own is small: the adapters'.
const LEAST_MAIN: usize = 1 << 20;
const WASM32: usize = 4 << 30;

impl Pool {
    /// A pool over an image that keeps at most `most_idle` slots for later.
    pub(crate) fn new(image: Image, most_idle: usize) -> io::Result<Self> {
        let original = image.map_read_only()?;
        let pagemap = Pagemap::open();
        let idle = Mutex::new(Vec::new());
        let shared = Arc::new(Shared { image, original, pagemap, idle, most_idle });
        Ok(Self { shared })
    }

    /// As on a host whose pagemap is closed.
    #[cfg(test)]
    pub(super) fn without_pagemap(self) -> Self {
        let image = self.shared.image.clone();
        let original = image.map_read_only().expect("it was mapped before");
        let (idle, most_idle) = (Mutex::default(), self.shared.most_idle);
        let shared = Shared { image, original, pagemap: None, idle, most_idle };
        Self { shared: Arc::new(shared) }
    }

    /// Bytes that every memory begins with.
    pub(crate) fn length(&self) -> usize {
        self.shared.image.length()
    }

    /// What was stored of a memory from this pool. The file must be one that nobody changes.
    pub(crate) fn stored(&self, file: &File, head: usize) -> Option<Overlay> {
        Overlay::read(file, head, WASM32).filter(|overlay| overlay.length() >= self.length())
    }

    /// How used slots are made new on this host.
    pub(crate) fn recycling(&self) -> Recycling {
        Recycling::by(self.shared.pagemap.as_ref())
    }
}

impl Shared {
    /// A slot that holds the image, with `overlay` over it, and nothing else.
    fn take(
        &self,
        overlay: Option<&Arc<Overlay>>,
        capacity: usize,
        guard: usize,
    ) -> io::Result<Slot> {
        if let Some(mut slot) = self.idle(overlay)
            && slot.capacity == capacity
        {
            let overlay = overlay.map(|overlay| &**overlay);
            let (original, pagemap) = (self.original.bytes(), self.pagemap.as_ref());
            let renewed = ENTRIES.with_borrow_mut(|entries| {
                slot.renew(&self.image, original, overlay, pagemap, entries)
            });
            // One that cannot be made new is thrown away.
            if renewed.is_ok() {
                return Ok(slot);
            }
        }
        let mut slot = Slot::new(&self.image, capacity, guard)?;
        if let Some(overlay) = overlay {
            slot.lay(overlay)?;
        }
        Ok(slot)
    }

    /// A used slot; rather one that began with the same.
    fn idle(&self, overlay: Option<&Arc<Overlay>>) -> Option<Slot> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |beginning: &Beginning| match (beginning, overlay) {
            (Some(beginning), Some(overlay)) => beginning.as_ptr() == Arc::as_ptr(overlay),
            (None, None) => true,
            _ => false,
        };
        let same = idle.iter().rposition(|(_, beginning)| is_same(beginning));
        let at = same.or_else(|| idle.len().checked_sub(1))?;
        Some(idle.swap_remove(at).0)
    }

    /// Keeps a used slot for later, without what it grew by.
    fn take_back(&self, mut slot: Slot, beginning: Beginning) {
        if slot.shrink(self.image.length).is_err() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.most_idle {
            idle.push((slot, beginning));
        }
    }

    /// The pages of a slot that are its own, in rows; None if that cannot be told.
    pub(super) fn private(&self, slot: &mut Slot) -> Option<Vec<Pages>> {
        let pagemap = self.pagemap.as_ref()?;
        let mut rows: Vec<Pages> = Vec::new();
        ENTRIES.with_borrow_mut(|entries| {
            for page in slot.private(pagemap, entries).ok()? {
                match rows.last_mut() {
                    Some((first, count)) if *first + *count == *page => *count += 1,
                    _ => rows.push((*page, 1)),
                }
            }
            Some(rows)
        })
    }

    /// What a slot holds beyond the image.
    pub(super) fn overlay(&self, slot: &mut Slot) -> Option<Overlay> {
        let pagemap = self.pagemap.as_ref()?;
        let look = |entries: &mut Vec<u8>| slot.overlay(self.original.bytes(), pagemap, entries);
        ENTRIES.with_borrow_mut(look).ok()?
    }
}

impl Pool {
    /// A memory as wasmtime asks for one: see [`wasmtime::MemoryCreator`].
    pub(super) fn create(
        &self,
        minimum: usize,
        maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> io::Result<Box<dyn Linear>> {
        let capacity = reserved.or(maximum).unwrap_or(WASM32).max(minimum);
        if minimum < LEAST_MAIN {
            return Ok(Box::new(Small::new(minimum, capacity, guard)?));
        }
        if minimum > self.shared.image.length() {
            let why = "the image is smaller than the memory that it is for";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let overlay = start::overlay();
        let slot = self.shared.take(overlay.as_ref(), capacity, guard)?;
        let base = slot.base().expose_provenance();
        let held = Held { slot: Arc::new(Mutex::new(Some(slot))), shared: self.shared.clone() };
        start::made(held.clone());
        Ok(Box::new(Main { held, base, beginning: overlay.as_ref().map(Arc::downgrade) }))
    }
}

/// The memory of a guest.
struct Main {
    /// Always there until it is dropped. Locked for a moment when it is saved or grows;
    /// wasmtime itself touches the bytes without it.
    held: Held,
    base: usize,
    beginning: Beginning,
}

impl Main {
    fn slot<T>(&self, look: impl FnOnce(&mut Slot) -> T) -> T {
        let mut slot = self.held.slot.lock().unwrap_or_else(PoisonError::into_inner);
        look(slot.as_mut().expect("only drop takes it"))
    }
}

impl Linear for Main {
    fn length(&self) -> usize {
        self.slot(|slot| slot.length())
    }

    fn capacity(&self) -> usize {
        self.slot(|slot| slot.capacity)
    }

    fn grow(&mut self, length: usize) -> io::Result<()> {
        self.slot(|slot| slot.grow(length))
    }

    fn base(&self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.base)
    }
}

impl Drop for Main {
    fn drop(&mut self) {
        let slot = self.held.slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(slot) = slot {
            self.held.shared.take_back(slot, self.beginning.take());
        }
    }
}

/// A small memory, used once.
struct Small {
    mapping: Mapping,
    length: usize,
    capacity: usize,
}

impl Small {
    fn new(length: usize, capacity: usize, guard: usize) -> io::Result<Self> {
        let whole = capacity.checked_add(guard).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut mapping = Mapping::reserve(whole)?;
        if length > 0 {
            mapping.open(0, length)?;
        }
        Ok(Self { mapping, length, capacity })
    }
}

impl Linear for Small {
    fn length(&self) -> usize {
        self.length
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn grow(&mut self, length: usize) -> io::Result<()> {
        if length > self.capacity {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if length > self.length {
            self.mapping.open(self.length, length - self.length)?;
            self.length = length;
        }
        Ok(())
    }

    fn base(&self) -> *mut u8 {
        self.mapping.base()
    }
}
