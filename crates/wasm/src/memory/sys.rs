//! Mappings, and the promises that wasmtime asks of memories.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType, StackCreator, StackMemory};

use super::pool::Pool;
use super::stacks::{Stack, Stacks};

/// Bytes of a page of this machine (x86_64 and most aarch64 kernels).
pub(super) const PAGE: usize = 4096;

/// Address space that is ours, unmapped when it is dropped.
pub(super) struct Mapping {
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping is an owned range of addresses, bound to no thread.
unsafe impl Send for Mapping {}
// SAFETY: through a shared reference it only answers with its address and reads a
// mapping that nobody writes (`of_file`).
unsafe impl Sync for Mapping {}

impl Mapping {
    /// `length` bytes of address space that may not be touched yet.
    pub(super) fn reserve(length: usize) -> io::Result<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new anonymous mapping at an address that the kernel chooses.
        let base = unsafe {
            rustix::mm::mmap_anonymous(ptr::null_mut(), length, ProtFlags::empty(), flags)?
        };
        Ok(Self { base: NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?, length })
    }

    /// A file's bytes, to be read.
    pub(super) fn of_file(file: &File, length: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address that the kernel chooses; the file is
        // immutable, which `Image` demands of whoever makes one.
        let base = unsafe {
            rustix::mm::mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, file, 0)?
        };
        Ok(Self { base: NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?, length })
    }

    /// Has the kernel read in large pieces what it does not hold of the file (Linux,
    /// Documentation/admin-guide/mm/transhuge.rst): it keeps a file in memory in the pieces
    /// that it was read in, and a run has fewer page faults in large ones. A kernel without
    /// large pages does not.
    pub(super) fn read_large(&self, piece: usize) {
        // SAFETY: the range is ours; what it holds stays as it is.
        let advised =
            unsafe { rustix::mm::madvise(self.base().cast(), self.length, Advice::LinuxHugepage) };
        if advised.is_ok() {
            self.bytes().iter().step_by(piece).for_each(|byte| {
                std::hint::black_box(*byte);
            });
        }
    }

    pub(super) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    fn at(&self, start: usize, length: usize) -> io::Result<*mut u8> {
        let end = start.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?;
        if end > self.length {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(self.base().wrapping_add(start))
    }

    /// Lays a private copy of a file's first bytes over the start.
    pub(super) fn overlay(&mut self, file: &File, length: usize) -> io::Result<()> {
        let base = self.at(0, length)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        // SAFETY: `at` checked that the range lies within this mapping, which `self`
        // owns, so nothing else is replaced.
        unsafe { rustix::mm::mmap(base.cast(), length, protection, flags, file, 0)? };
        Ok(())
    }

    /// Makes the pages of `length` bytes this mapping's own at once, which the first write
    /// to each would do. No more than a saving of time: old kernels cannot (Linux 5.14).
    pub(super) fn take(&mut self, start: usize, length: usize) {
        if let Ok(base) = self.at(start, length) {
            // SAFETY: `at` checked that the range is ours; what it holds stays as it is.
            let _ = unsafe { rustix::mm::madvise(base.cast(), length, Advice::LinuxPopulateWrite) };
        }
    }

    /// Lets `length` bytes be read and written.
    pub(super) fn open(&mut self, start: usize, length: usize) -> io::Result<()> {
        let flags = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: `at` checked that the range is ours; opening ours harms nobody.
        unsafe { rustix::mm::mprotect(self.at(start, length)?.cast(), length, flags)? };
        Ok(())
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Forgets what `length` bytes hold: they are zero, and take no memory.
    pub(super) fn forget(&mut self, start: usize, length: usize) -> io::Result<()> {
        let base = self.at(start, length)?.cast();
        // SAFETY: the range is ours and `&mut self` says that nobody uses it.
        unsafe { rustix::mm::madvise(base, length, Advice::LinuxDontNeed)? };
        Ok(())
    }

    /// Forgets what `length` bytes hold, and lets nobody touch them.
    pub(super) fn shut(&mut self, start: usize, length: usize) -> io::Result<()> {
        self.forget(start, length)?;
        let base = self.at(start, length)?.cast();
        // SAFETY: as in `forget`.
        unsafe { rustix::mm::mprotect(base, length, MprotectFlags::empty())? };
        Ok(())
    }

    /// The bytes of a mapping made by `of_file`.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: `of_file` mapped `length` readable bytes which nobody changes; the
        // mapping lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.base(), self.length) }
    }

    /// A copy of the first `length` bytes, which must be open.
    pub(super) fn copy(&self, length: usize) -> io::Result<Vec<u8>> {
        let base = self.at(0, length)?;
        // SAFETY: the range is ours and open; the guest whose memory it is does not run,
        // because `Pool::save` is called between two of its calls.
        Ok(unsafe { std::slice::from_raw_parts(base, length) }.to_vec())
    }

    /// Bytes that were opened or overlaid, to be written.
    pub(super) fn bytes_mut(&mut self, start: usize, length: usize) -> io::Result<&mut [u8]> {
        let base = self.at(start, length)?;
        // SAFETY: the range is ours and open (the callers open before they write), and
        // `&mut self` makes this the only reference to it.
        Ok(unsafe { std::slice::from_raw_parts_mut(base, length) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the range that was mapped; nobody has a reference any more.
        let _ = unsafe { rustix::mm::munmap(self.base().cast(), self.length) };
    }
}

/// Page faults of this process, of every thread and kind, since it began (getrusage(2)).
fn faults() -> Option<u64> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel writes one rusage into the place that `usage` is.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: zeroed is a valid rusage, and so is what the kernel wrote.
    let usage = unsafe { usage.assume_init() };
    u64::try_from(usage.ru_minflt.checked_add(usage.ru_majflt)?).ok()
}

/// `/proc/self/pagemap`: what the kernel knows of each page (Linux,
/// Documentation/admin-guide/mm/pagemap.rst).
pub(super) struct Pagemap {
    file: File,
    /// Whether this kernel counts page faults; some stand-ins for Linux do not.
    counts_faults: bool,
}

impl Pagemap {
    /// None where the file is closed to this process, or does not tell the truth.
    pub(super) fn open() -> Option<Self> {
        let file = File::open("/proc/self/pagemap").ok()?;
        let mut pagemap = Self { file, counts_faults: false };
        pagemap.counts_faults = pagemap.sees_a_fault()?;
        Some(pagemap)
    }

    /// A number that is another one after any page of this process became private; None if
    /// this cannot be told.
    pub(super) fn faults(&self) -> Option<u64> {
        if self.counts_faults { faults() } else { None }
    }

    /// Pages of `[base, base + length)` that this process changed, as indices.
    pub(super) fn private_pages(
        &self,
        base: *mut u8,
        length: usize,
        entries: &mut Vec<u8>,
    ) -> io::Result<impl Iterator<Item = usize>> {
        const ENTRY: usize = 8;
        entries.resize(length / PAGE * ENTRY, 0);
        self.file.read_exact_at(entries, (base.addr() / PAGE * ENTRY) as u64)?;
        let changed = |entry: &[u8]| {
            let entry = u64::from_le_bytes(entry.try_into().unwrap_or([0xff; 8]));
            let is_present = entry >> 63 & 1 == 1;
            let is_swapped = entry >> 62 & 1 == 1;
            let is_file = entry >> 61 & 1 == 1;
            // A page of a private file mapping is the file's until it is written.
            is_swapped || (is_present && !is_file)
        };
        let pages = entries.chunks_exact(ENTRY).enumerate();
        Ok(pages.filter(move |(_, entry)| changed(entry)).map(|(page, _)| page))
    }

    /// Whether the fault on a page that is written was counted; None if the page is not
    /// told of either, because some sandboxes answer with zeros.
    fn sees_a_fault(&self) -> Option<bool> {
        let mut mapping = Mapping::reserve(2 * PAGE).ok()?;
        mapping.open(0, 2 * PAGE).ok()?;
        let before = faults();
        mapping.bytes_mut(PAGE, 1).ok()?[0] = 1;
        let after = faults();
        let mut entries = Vec::new();
        let pages = self.private_pages(mapping.base(), 2 * PAGE, &mut entries).ok()?;
        pages.eq([1]).then(|| before < after)
    }
}

/// A memory of a guest: its base never moves, `length` bytes of it can be touched,
/// and not one byte more of `capacity` and the guard after it.
pub(super) trait Linear: Send + Sync {
    fn base(&self) -> *mut u8;
    fn length(&self) -> usize;
    fn capacity(&self) -> usize;
    /// Makes it longer; what is new is zero.
    fn grow(&mut self, length: usize) -> io::Result<()>;
}

// SAFETY: the memories of a `Pool` are `Linear`. They are zero, or hold the image,
// which stands for the data segments that were stripped from the module. `capacity`
// and the guard are address space that was reserved for them and is never opened.
unsafe impl MemoryCreator for Pool {
    fn new_memory(
        &self,
        _kind: MemoryType,
        minimum: usize,
        maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let memory = self.create(minimum, maximum, reserved, guard);
        Ok(Box::new(Memory(memory.map_err(|error| error.to_string())?)))
    }
}

struct Memory(Box<dyn Linear>);

// SAFETY: `Linear` is the same promise.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.0.length()
    }

    fn byte_capacity(&self) -> usize {
        self.0.capacity()
    }

    fn grow_to(&mut self, length: usize) -> wasmtime::Result<()> {
        Ok(self.0.grow(length)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.base()
    }
}

/// The open bytes of a memory, for tests.
#[cfg(test)]
pub(super) fn look(memory: &dyn Linear) -> &[u8] {
    // SAFETY: `Linear` promises that `length` bytes can be touched; no guest runs in a test.
    unsafe { std::slice::from_raw_parts(memory.base(), memory.length()) }
}

/// The same, to be written.
#[cfg(test)]
pub(super) fn look_mut(memory: &mut dyn Linear) -> &mut [u8] {
    // SAFETY: as above, and `&mut` makes it the only reference.
    unsafe { std::slice::from_raw_parts_mut(memory.base(), memory.length()) }
}

// SAFETY: a stack is `size` bytes, rounded up to pages, that can be read and written, with
// a page below them that can not; nobody else has the mapping while the `Stack` lives. One
// that has to be zero is refused, because used ones are not.
unsafe impl StackCreator for Stacks {
    fn new_stack(&self, size: usize, zeroed: bool) -> wasmtime::Result<Box<dyn StackMemory>> {
        if zeroed {
            return Err(wasmtime::Error::msg("stacks are not zeroed"));
        }
        Ok(Box::new(self.take(size)?))
    }
}

// SAFETY: `top` and `range` are those of the mapping, the guard is the page below.
unsafe impl StackMemory for Stack {
    fn top(&self) -> *mut u8 {
        self.top()
    }

    fn range(&self) -> std::ops::Range<usize> {
        self.range()
    }

    fn guard_range(&self) -> std::ops::Range<*mut u8> {
        self.guard()
    }
}
