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
            is_image: is_private && inode != b"0" && name.starts_with(b"/") && !name.starts_with(b"/memfd:"),
            is_kernel: name.starts_with(b"[v") || name.starts_with(b"[sigpage"),
            is_plain: name.is_empty() && inode == b"0",
        })
    }

    fn holds(&self, address: usize) -> bool {
        (self.start..self.end).contains(&address)
    }
}

fn hexadecimal(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0usize, |value, digit| {
        let digit = (*digit as char).to_digit(16)?;
        Some(value.checked_mul(16)? + digit as usize)
    })
}

/// Gives up all that is not needed. What cannot be given up stays, which costs memory
/// only; `keep` are addresses that must.
pub(super) fn server_memory(keep: &[usize]) {
    let here = 0u8;
    let stack = std::ptr::from_ref(&here) as usize;
    let own = sys::own_address();
    let Ok(address) = sys::map(BUFFER) else { return };
    let Some(buffer) = sys::bytes(address, BUFFER) else { return };
    // Each round gives up a batch; a process with no more than that has one round that
    // finds nothing.
    for _ in 0..4096 {
        let must_stay =
            |mapping: &Mapping| [stack, own, address].iter().chain(keep).any(|at| mapping.holds(*at));
        let mut batch = [(0usize, 0usize); BATCH];
        let found = collect(buffer, &must_stay, &mut batch);
        for (start, end) in batch.iter().take(found) {
            sys::unmap(*start, end - start);
        }
        if found == 0 {
            break;
        }
    }
    sys::unmap(address, BUFFER);
}

/// Reads the list of mappings until it ends or the batch is full.
fn collect(
    buffer: &mut [u8],
    must_stay: &dyn Fn(&Mapping) -> bool,
    batch: &mut [(usize, usize); BATCH],
) -> usize {
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
            if mapping.is_image || follows {
                image_end = mapping.end;
            } else if !mapping.is_kernel && !must_stay(&mapping) {
                if let Some(place) = batch.get_mut(found) {
                    *place = (mapping.start, mapping.end);
                    found += 1;
                }
            }
        }
        buffer.copy_within(used..filled, 0);
        filled -= used;
        if found == BATCH {
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
    fn mappings_are_told_apart() {
        let image = Mapping::parse(b"7f00-8f00 r-xp 00001000 08:01 42                /usr/bin/x").unwrap();
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
