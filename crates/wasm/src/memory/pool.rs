//! Slots to be used again.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::image::Image;
use super::slot::Slot;
use super::sys::{Linear, Mapping, Pagemap};

/// How a used slot is made new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recycling {
    /// The pages that were written are copied back.
    WrittenPages,
    /// The whole mapping is made anew, because `/proc/self/pagemap` is closed.
    WholeMapping,
}

/// Makes the memories of guests from one image.
#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// The memory that was made last, in a pool whose memories are to be saved.
    newest: Option<Arc<Mutex<Newest>>>,
}

type Newest = Arc<Mutex<Option<Slot>>>;

struct Shared {
    image: Image,
    original: Mapping,
    pagemap: Option<Pagemap>,
    idle: Mutex<Vec<Slot>>,
    most_idle: usize,
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
        Ok(Self { shared, newest: None })
    }

    /// A pool for one guest, whose memory will be saved.
    pub(crate) fn to_save(image: Image) -> io::Result<Self> {
        Ok(Self { newest: Some(Arc::default()), ..Self::new(image, 0)? })
    }

    /// What the one guest's memory holds. The guest must not be running.
    pub(crate) fn save(&self) -> io::Result<Vec<u8>> {
        let newest = self.newest.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let newest = newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let slot = newest.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().ok_or(io::ErrorKind::NotFound)?.copy()
    }

    /// As on a host whose pagemap is closed.
    #[cfg(test)]
    pub(super) fn without_pagemap(self) -> Self {
        let image = self.shared.image.clone();
        let original = image.map_read_only().expect("it was mapped before");
        let (idle, most_idle) = (Mutex::default(), self.shared.most_idle);
        let shared = Shared { image, original, pagemap: None, idle, most_idle };
        Self { shared: Arc::new(shared), newest: None }
    }

    /// How used slots are made new on this host.
    pub(crate) fn recycling(&self) -> Recycling {
        match self.shared.pagemap {
            Some(_) => Recycling::WrittenPages,
            None => Recycling::WholeMapping,
        }
    }

    fn take(&self, capacity: usize, guard: usize) -> io::Result<Slot> {
        let idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(slot) if slot.capacity == capacity => Ok(slot),
            _ => Slot::new(&self.shared.image, capacity, guard),
        }
    }
}

impl Shared {
    /// Makes a slot new and keeps it; throws it away if that fails.
    fn take_back(&self, mut slot: Slot) {
        thread_local! {
            static ENTRIES: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
        }
        let is_full = || {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.len() >= self.most_idle
        };
        if is_full() {
            return;
        }
        let renewed = ENTRIES.with_borrow_mut(|entries| {
            slot.renew(&self.image, self.original.bytes(), self.pagemap.as_ref(), entries)
        });
        if renewed.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
        }
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
        let slot = self.take(capacity, guard)?;
        let base = slot.base().expose_provenance();
        let slot = Arc::new(Mutex::new(Some(slot)));
        if let Some(newest) = &self.newest {
            *newest.lock().unwrap_or_else(PoisonError::into_inner) = slot.clone();
        }
        Ok(Box::new(Main { slot, base, shared: self.shared.clone() }))
    }
}

/// The memory of a guest.
struct Main {
    /// Always there until it is dropped. Locked for a moment when it is saved or grows;
    /// wasmtime itself touches the bytes without it.
    slot: Arc<Mutex<Option<Slot>>>,
    base: usize,
    shared: Arc<Shared>,
}

impl Main {
    fn slot<T>(&self, look: impl FnOnce(&mut Slot) -> T) -> T {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
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
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(slot) = slot {
            self.shared.take_back(slot);
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
