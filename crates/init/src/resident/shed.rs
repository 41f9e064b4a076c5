//! Gives up the memory of the server that PID 1 was cloned from.
//!
//! A clone shares every page with its maker until one of them writes: the server would
//! pay for each page twice that it changes, once for each sandbox; and PID 1, which
//! strangers live next to, would hold the server's keys. So all goes but the program
//! itself, this stack, and what the C library keeps for this thread.

use super::sys;

/// How many mappings are given up before the list is read anew.
const BATCH: usize = 256;
const BUFFER: usize = 64 * 1024;
const PAGE: usize = 4096;
/// What PID 1 has of this stack: it goes no deeper, and nothing here is recursive.
const STACK_BELOW: usize = 128 * 1024;
/// The terms that it was given are there, above the list of what is given up.
const STACK_ABOVE: usize = 4 * PAGE;
/// What is in use while this runs.
const STACK_IN_USE: usize = 32 * 1024;
/// Round what the C library keeps for this thread.
const OWN_AROUND: usize = 4 * PAGE;

/// A line of /proc/self/maps (proc_pid_maps(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mapping {
    start: usize,
    end: usize,
    /// Of a file that is part of a program: private, and not in memory only.
    is_image: bool,
    /// The kernel's own.
    is_kernel: bool,
    /// Nothing is behind it, and it has no name.
    is_plain: bool,
}

impl Mapping {
    fn parse(line: &[u8]) -> Option<Self> {
        let dash = line.iter().position(|byte| *byte == b'-')?;
        let (start, rest) = line.split_at_checked(dash)?;
        let rest = rest.get(1..)?;
        let space = rest.iter().position(|byte| *byte == b' ')?;
        let (end, rest) = rest.split_at_checked(space)?;
        let is_private = rest.get(4) == Some(&b'p');
        // The name, if any, is the sixth field.
        let mut fields = rest.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
        let inode = fields.nth(3)?;
        let name = fields.next().unwrap_or_default();
        Some(Self {
            start: hexadecimal(start)?,
            end: hexadecimal(end)?,
            is_image: is_private
                && inode != b"0"
                && name.starts_with(b"/")
                && !name.starts_with(b"/memfd:"),
            is_kernel: name.starts_with(b"[v") || name.starts_with(b"[sigpage"),
            is_plain: name.is_empty() && inode == b"0",
        })
    }
}

impl Mapping {
    /// How much of a mapping behind a program's file is its variables. A heap may follow
    /// without a seam.
    fn variables(&self) -> usize {
        /// What a library has at most; the C library's are 50 KiB.
        const OF_LIBRARY: usize = 256 * 1024;
        let end = sys::end_of_program();
        if (self.start..=self.end).contains(&end) {
            return end.next_multiple_of(PAGE) - self.start;
        }
        let length = self.end - self.start;
        if length <= OF_LIBRARY { length } else { OF_LIBRARY }
    }
}

fn hexadecimal(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0usize, |value, digit| {
        let digit = (*digit as char).to_digit(16)?;
        Some(value.checked_mul(16)? + digit as usize)
    })
}

/// What must stay, whatever mapping it is in: the kernel merges neighbours, so a heap may
/// be in one mapping with a stack.
#[derive(Clone, Copy)]
struct Kept {
    ranges: [(usize, usize); 3],
}

impl Kept {
    fn here(buffer: usize) -> Self {
        let local = 0u8;
        let stack = page_of(std::ptr::from_ref(&local) as usize);
        let own = page_of(sys::own_address());
        Self {
            ranges: [
                // What is above belongs to callers, to whom nobody returns.
                (stack.saturating_sub(STACK_BELOW), stack + STACK_ABOVE),
                (own.saturating_sub(OWN_AROUND), own + OWN_AROUND + PAGE),
                (buffer, buffer + BUFFER),
            ],
        }
    }

    /// The first part from `start` on, up to `end`, that may go.
    fn next_gap(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        let mut start = start;
        // Twice, as a range may begin where another ends.
        for _ in 0..self.ranges.len() {
            for (from, to) in self.ranges {
                if (from..to).contains(&start) {
                    start = to;
                }
            }
        }
        let later = self.ranges.iter().map(|(from, _)| *from).filter(|from| *from > start);
        let end = later.chain([end]).min().unwrap_or(end).min(end);
        (start < end).then_some((start, end))
    }
}

fn page_of(address: usize) -> usize {
    address & !(PAGE - 1)
}

/// Gives up all that is not needed. What cannot be given up stays, which costs memory
/// only.
#[inline(never)]
pub(super) fn server_memory() {
    let Ok(address) = sys::map(BUFFER) else { return };
    let Some(buffer) = sys::bytes(address, BUFFER) else { return };
    let kept = Kept::here(address);
    // Each round gives up a batch; a process with no more than that has one round that
    // finds nothing.
    for _ in 0..4096 {
        let mut batch = [(0usize, 0usize); BATCH];
        let found = collect(buffer, &kept, &mut batch);
        for (start, end) in batch.iter().take(found) {
            sys::unmap(*start, end - start);
        }
        if found == 0 {
            break;
        }
    }
    sys::unmap(address, BUFFER);
    // What the caller's thread left further down its stack.
    let [(lowest, _), ..] = kept.ranges;
    sys::empty(lowest, STACK_BELOW - STACK_IN_USE);
}

/// Reads the list of mappings until it ends or the batch is full.
fn collect(buffer: &mut [u8], kept: &Kept, batch: &mut [(usize, usize); BATCH]) -> usize {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    let Ok(file) = sys::open(c"/proc/self/maps".to_bytes_with_nul(), flags, 0) else {
        return 0;
    };
    let mut found = 0;
    let mut filled = 0;
    // Where the last mapping of a program ended, which its variables follow.
    let mut image_end = 0;
    while let Some(room) = buffer.get_mut(filled..) {
        let Ok(length @ 1..) = sys::read(file, room) else { break };
        filled += length;
        let mut used = 0;
        while let Some(line) = next_line(buffer, used, filled) {
            used += line.len() + 1;
            let Some(mapping) = Mapping::parse(line) else { continue };
            let follows = mapping.is_plain && mapping.start == image_end;
            if mapping.is_image {
                image_end = mapping.end;
            } else if !mapping.is_kernel {
                let variables = if follows { mapping.variables() } else { 0 };
                let mut start = mapping.start + variables;
                while let Some(gap) = kept.next_gap(start, mapping.end) {
                    if let Some(place) = batch.get_mut(found) {
                        *place = gap;
                        found += 1;
                    }
                    start = gap.1;
                }
            }
        }
        buffer.copy_within(used..filled, 0);
        filled -= used;
        if found >= BATCH - 4 {
            break;
        }
    }
    sys::close(file);
    found
}

fn next_line(buffer: &[u8], from: usize, to: usize) -> Option<&[u8]> {
    let rest = buffer.get(from..to)?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    rest.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_cut_out() {
        let kept = Kept { ranges: [(20, 30), (30, 40), (60, 70)] };
        let gaps = |start, end| {
            let mut gaps = Vec::new();
            let mut at = start;
            while let Some(gap) = kept.next_gap(at, end) {
                at = gap.1;
                gaps.push(gap);
            }
            gaps
        };
        assert_eq!(gaps(0, 100), [(0, 20), (40, 60), (70, 100)]);
        assert_eq!(gaps(25, 65), [(40, 60)]);
        assert_eq!(gaps(20, 40), []);
        assert_eq!(gaps(0, 10), [(0, 10)]);
    }

    #[test]
    fn mappings_are_told_apart() {
        let image =
            Mapping::parse(b"7f00-8f00 r-xp 00001000 08:01 42                /usr/bin/x").unwrap();
        assert_eq!((image.start, image.end, image.is_image), (0x7f00, 0x8f00, true));
        let shared = Mapping::parse(b"1-2 rw-s 00000000 08:01 42 /data/state.db-shm").unwrap();
        let memory = Mapping::parse(b"1-2 rw-p 00000000 00:01 42 /memfd:image (deleted)").unwrap();
        let heap = Mapping::parse(b"1-2 rw-p 00000000 00:00 0 [heap]").unwrap();
        for gone in [shared, memory, heap] {
            assert!(!gone.is_image && !gone.is_kernel && !gone.is_plain, "{gone:?}");
        }
        assert!(Mapping::parse(b"1-2 r-xp 00000000 00:00 0 [vdso]").unwrap().is_kernel);
        assert!(Mapping::parse(b"1-2 rw-p 00000000 00:00 0 ").unwrap().is_plain);
        assert_eq!(Mapping::parse(b"garbage"), None);
    }
}
