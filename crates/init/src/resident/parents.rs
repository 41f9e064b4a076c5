//! Who is whose child, where the kernel keeps no lists of children and knows no subreapers
//! (gVisor): found out from the directory of processes.
//!
//! Without subreapers an orphan is PID 1's child, and nobody knows whose it was, unless it is
//! still in the session of its tree. So whoever ends a tree ends with it every orphan that is in
//! no session of another one: what earlier programs left behind goes, too, but nothing of the
//! tree can hide among it.

use std::sync::atomic::Ordering::SeqCst;

use super::sys;
use super::table::{Area, Slot, State};
use super::{files, shared};

/// Where in the scratch the directory's entries and a process's line are; what is before is
/// used by who looks.
const ENTRIES_AT: usize = 4096;
const ENTRIES: usize = 3072;
const LINE_AT: usize = ENTRIES_AT + ENTRIES;
const LINE: usize = 1024;
/// Where the list of a tree is, and how many it has room for.
const LIST_AT: usize = 8192;
const LIST: usize = 2048;

/// A process as its line has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) parent: i32,
    session: i32,
}

/// Calls `each` for the whole tree of a slot, as it is now; all of it stands still by then, if
/// `stop`. Says how many there were. Runs in the slot's keeper, whose `main` was started.
pub(super) fn for_each_of_tree(
    area: Area,
    slot: &Slot,
    (main, stop): (i32, bool),
    each: &mut dyn FnMut(i32),
) -> usize {
    let (scratch, length) = area.scratch();
    debug_assert!(LIST_AT + LIST * size_of::<usize>() <= length);
    let Some(list) = sys::words(scratch + LIST_AT, LIST) else { return 0 };
    let (keeper, resident) = (sys::own_number(), sys::parent_number());
    let mut count = 0;
    loop {
        let before = count;
        for_each(area, &mut |pid, seen| {
            let known = list.get(..count).unwrap_or_default();
            let is_orphan = seen.parent == 1 && pid != resident;
            let is_of_tree = seen.parent == keeper
                || seen.session == main
                || known.contains(&(seen.parent as usize))
                || is_orphan && !is_of_another(slot, seen.session);
            // Keepers and workers are of nobody's tree.
            let is_ours = pid == 1 || pid == resident || seen.parent == resident;
            if !is_of_tree || is_ours || known.contains(&(pid as usize)) {
                return;
            }
            if let Some(place) = list.get_mut(count) {
                *place = pid as usize;
                count += 1;
                if stop {
                    let _ = sys::kill(pid, libc::SIGSTOP);
                }
            }
        });
        // Who was started meanwhile by one of them is found by the next look.
        if count == before {
            break;
        }
    }
    for pid in list.get(..count).unwrap_or_default() {
        each(*pid as i32);
    }
    count
}

/// Whether a session is that of a process that was started from outside, and is not this one.
fn is_of_another(slot: &Slot, session: i32) -> bool {
    let is_one = |other: &&Slot| {
        !std::ptr::eq(*other, slot)
            && matches!(other.state(), State::Starting | State::Running)
            && other.main.load(SeqCst) == session
    };
    shared().is_some_and(|shared| shared.table.slots.iter().any(|other| is_one(&other)))
}

/// Calls `each` with the number of every process that can be seen and has not ended.
pub(super) fn for_each(area: Area, each: &mut dyn FnMut(i32, Seen)) {
    let (scratch, _) = area.scratch();
    let Some(entries) = sys::bytes(scratch + ENTRIES_AT, ENTRIES) else { return };
    let Some(line) = sys::bytes(scratch + LINE_AT, LINE) else { return };
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let Ok(directory) = sys::open(c"/proc".to_bytes_with_nul(), flags, 0) else { return };
    while let Ok(filled @ 1..) = sys::entries(directory, entries) {
        let mut at = 0;
        while let Some((name, length)) = entry(entries.get(at..filled).unwrap_or_default()) {
            at += length;
            let Some(pid) = number(name) else { continue };
            let mut path = [0u8; 64];
            files::numbered(b"/proc/", u64::from(pid.unsigned_abs()), b"/stat", &mut path);
            let Ok(file) = sys::open(&path, libc::O_RDONLY | libc::O_CLOEXEC, 0) else { continue };
            let read = sys::read(file, line).unwrap_or(0);
            sys::close(file);
            if let Some(seen) = seen_in(line.get(..read).unwrap_or_default()) {
                each(pid, seen);
            }
        }
    }
    sys::close(directory);
}

/// The first entry's name and the bytes that it takes (getdents64(2)).
fn entry(entries: &[u8]) -> Option<(&[u8], usize)> {
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let length = entries.get(LENGTH..LENGTH + 2)?.try_into().ok()?;
    let length = usize::from(u16::from_ne_bytes(length)).max(NAME);
    let name = entries.get(NAME..length)?;
    let end = name.iter().position(|byte| *byte == 0)?;
    Some((name.get(..end)?, length))
}

fn number(digits: &[u8]) -> Option<i32> {
    let add = |value: i32, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| i32::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

/// Fields of /proc/PID/stat: state, parent, group, session. The second one, in brackets, is a
/// name that its owner has chosen.
fn seen_in(line: &[u8]) -> Option<Seen> {
    let end = line.iter().rposition(|byte| *byte == b')')?;
    let mut fields = line.get(end + 2..)?.split(|byte| *byte == b' ');
    if matches!(fields.next()?, b"Z" | b"X") {
        return None;
    }
    let parent = number(fields.next()?)?;
    fields.next()?;
    Some(Seen { parent, session: number(fields.next()?)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pass_for_a_parent() {
        let seen = |parent, session| Some(Seen { parent, session });
        assert_eq!(seen_in(b"12 (sh) S 7 12 11 0"), seen(7, 11));
        assert_eq!(seen_in(b"12 (x) R 1 (y) R 9 1 5 1"), seen(9, 5));
        for wrong in [&b""[..], b"12 (sh", b"12 (sh)", b"12 (sh) S", b"12 (sh) S -1 1 1 0"] {
            assert_eq!(seen_in(wrong), None, "{wrong:?}");
        }
        // What has ended is not there any more.
        assert_eq!(seen_in(b"12 (sh) Z 7 12 11 0"), None);
        assert_eq!(
            (number(b"0042"), number(b"99999999999"), number(b"4x")),
            (Some(42), None, None)
        );
    }
}
