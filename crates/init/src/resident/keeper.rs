//! The life of a keeper: the parent of one process that was started from outside.
//!
//! It is a subreaper (PR_SET_CHILD_SUBREAPER), so whatever the process starts stays
//! below it, however often it forks and calls setsid. It shares PID 1's memory, so it
//! costs a stack; and it never ends by itself: PID 1 decides when a tree is let go.
//!
//! A guest has its user, and may kill it. What it kept is then PID 1's child, and PID 1
//! knows that it can no longer tell that tree from others.

use std::ffi::{c_int, c_void};
use std::sync::atomic::Ordering::SeqCst;

use super::parents;
use super::shared;
use super::start;
use super::sys;
use super::table::{Area, Slot, State, tree};

/// PID 1 has something for the keeper to do. Not one that a C library keeps for itself.
pub(super) const ORDER: i32 = crate::END_SIGNAL;

/// What keepers and workers wait for; they inherit that it is blocked.
pub(super) const WAITED: u64 = sys::bit(libc::SIGCHLD) | sys::bit(ORDER);

/// What a keeper holds on to.
const EVENT: i32 = 3;

/// Starts the keeper of a slot.
pub(super) fn start(slot: &Slot) -> Result<i32, sys::Errno> {
    let area = Area(slot.area.load(SeqCst));
    sys::start(keep, area.keeper_stack(), std::ptr::from_ref(slot) as usize, false)
}

extern "C" fn become_main(slot: *mut c_void) -> c_int {
    let slot: &Slot = sys::shared(slot);
    // By itself, not by the keeper: once it runs, it may kill that one at once.
    slot.main.store(sys::own_number(), SeqCst);
    if let Some(shared) = shared() {
        start::become_program(slot, shared);
    }
    sys::exit(127)
}

extern "C" fn keep(slot: *mut c_void) -> c_int {
    let address = slot as usize;
    let slot: &Slot = sys::shared(slot);
    let event = shared().map_or(-1, |shared| shared.table.event.load(SeqCst));
    // A kernel without subreapers (gVisor) is not one without trees: see parents.rs.
    let (subreaper, is_subreaper) = match sys::control(libc::PR_SET_CHILD_SUBREAPER, 1) {
        Err(libc::EINVAL) => (Ok(()), false),
        result => (result, true),
    };
    slot.started.store(sys::now(), SeqCst);
    let area = Area(slot.area.load(SeqCst));
    let main = subreaper.and_then(|()| sys::start(become_main, area.start_stack(), address, true));
    if let Err(errno) = main {
        slot.errno.store(errno, SeqCst);
    }
    // Of what PID 1 had open nothing may be held: a pipe would never end.
    let _ = sys::move_to(event, EVENT);
    sys::close_from(EVENT as u32 + 1);
    let main = match main {
        Ok(main) if slot.errno.load(SeqCst) == 0 => main,
        _ => {
            slot.set_state(State::Failed);
            sys::wake(EVENT);
            sys::exit(1)
        }
    };
    slot.set_state(State::Running);
    sys::wake(EVENT);
    let mut is_alive = true;
    loop {
        while let Ok(Some(reaped)) = sys::reap(false, 0) {
            if is_alive && reaped.pid == main {
                is_alive = false;
                note_end(slot, &reaped);
                sys::wake(EVENT);
            }
        }
        deliver(slot, (main, is_alive, is_subreaper), area);
        if slot.tree.load(SeqCst) == tree::ASKED {
            is_alive = match is_subreaper {
                true => end_tree(slot, main, is_alive, area),
                false => end_scattered_tree(slot, main, is_alive, area),
            };
            slot.tree.store(tree::GONE, SeqCst);
            sys::wake(EVENT);
        }
        sys::wait_for(WAITED, None);
    }
}

/// Writes down how the process of a slot ended.
pub(super) fn note_end(slot: &Slot, reaped: &sys::Reaped) {
    slot.status.store(reaped.status, SeqCst);
    slot.processor.store(reaped.processor, SeqCst);
    slot.ended.store(sys::now(), SeqCst);
    slot.set_state(State::Ended);
}

/// Sends what PID 1 left to be sent. Only the keeper reaps, so `main`, while it is
/// alive, is a number that nobody else can have got meanwhile.
fn deliver(slot: &Slot, (main, is_alive, is_subreaper): (i32, bool, bool), area: Area) {
    let alone = slot.signals.swap(0, SeqCst);
    let all = slot.tree_signals.swap(0, SeqCst);
    for signal in 1..=64 {
        if alone & sys::bit(signal) != 0 && is_alive {
            let _ = sys::kill(main, signal);
        }
        if all & sys::bit(signal) != 0 {
            let mut send = |pid: i32| {
                let _ = sys::kill(pid, signal);
            };
            if is_subreaper {
                for_each_below(area, &mut send);
            } else {
                parents::for_each_of_tree(area, slot, (main, false), &mut send);
            }
        }
    }
}

/// Kills until no child is left. Who loses its parent becomes a child of this process,
/// so the next look finds it. Says whether the main process still lives: never.
///
/// Against a tree that forks faster than it is killed this may not end; PID 1 waits for
/// a while only.
fn end_tree(slot: &Slot, main: i32, mut is_alive: bool, area: Area) -> bool {
    const REST: u64 = 1_000_000;
    // Numbers rise, until they begin anew, which makes no difference here.
    let mut highest = 0;
    loop {
        let mut grows = false;
        for_each_own_child(area, &mut |pid| {
            grows |= pid > highest;
            highest = highest.max(pid);
            let _ = sys::kill(pid, libc::SIGKILL);
        });
        loop {
            match sys::reap(false, 0) {
                Ok(Some(reaped)) => {
                    if is_alive && reaped.pid == main {
                        is_alive = false;
                        note_end(slot, &reaped);
                        sys::wake(EVENT);
                    }
                }
                Ok(None) => break,
                Err(_) => return is_alive,
            }
        }
        slot.rounds.fetch_add(u64::from(grows), SeqCst);
        sys::wait_for(sys::bit(libc::SIGCHLD), Some(REST));
    }
}

/// As [`end_tree`], where orphans go elsewhere: all of it is stopped first, so that none can lose
/// its parent, and with it its tree, before it is found.
fn end_scattered_tree(slot: &Slot, main: i32, mut is_alive: bool, area: Area) -> bool {
    const REST: u64 = 1_000_000;
    loop {
        let found = parents::for_each_of_tree(area, slot, (main, true), &mut |pid| {
            let _ = sys::kill(pid, libc::SIGKILL);
        });
        while let Ok(Some(reaped)) = sys::reap(false, 0) {
            if is_alive && reaped.pid == main {
                is_alive = false;
                note_end(slot, &reaped);
                sys::wake(EVENT);
            }
        }
        if found == 0 {
            return is_alive;
        }
        slot.rounds.fetch_add(1, SeqCst);
        sys::wait_for(sys::bit(libc::SIGCHLD), Some(REST));
    }
}

/// Calls `each` with every number in a file of children (proc_tid_children(5)). Says whether
/// there is such a file.
fn for_each_child(area: Area, path: &[u8], each: &mut dyn FnMut(i32)) -> bool {
    let (scratch, _) = area.scratch();
    let Some(buffer) = sys::bytes(scratch, 4096) else { return true };
    let file = match sys::open(path, libc::O_RDONLY | libc::O_CLOEXEC, 0) {
        Ok(file) => file,
        Err(errno) => return errno != libc::ENOENT,
    };
    let mut number = 0i32;
    while let Ok(length @ 1..) = sys::read(file, buffer) {
        for byte in buffer.get(..length).unwrap_or_default() {
            if byte.is_ascii_digit() {
                number = number.wrapping_mul(10).wrapping_add(i32::from(byte - b'0'));
            } else if number > 0 {
                each(number);
                number = 0;
            }
        }
    }
    sys::close(file);
    true
}

/// Calls `each` with every child of this process.
fn for_each_own_child(area: Area, each: &mut dyn FnMut(i32)) {
    if for_each_child(area, c"/proc/thread-self/children".to_bytes_with_nul(), each) {
        return;
    }
    // A kernel without lists of children (gVisor): everybody is asked for their parent.
    let own = sys::own_number();
    parents::for_each(area, &mut |pid, seen| {
        if seen.parent == own {
            each(pid);
        }
    });
}

/// Calls `each` for all below this process, as far as they can be seen: a process that
/// forbids to be traced hides what its threads started.
fn for_each_below(area: Area, each: &mut dyn FnMut(i32)) {
    let (scratch, length) = area.scratch();
    const LIST: usize = 2048;
    const FROM: usize = 8192;
    debug_assert!(FROM + LIST * size_of::<usize>() <= length);
    let Some(list) = sys::words(scratch + FROM, LIST) else { return };
    let mut count = 0;
    let add = |pid: i32, list: &mut [usize], count: &mut usize| {
        if let Some(place) = list.get_mut(*count) {
            *place = pid as usize;
            *count += 1;
        }
    };
    for_each_own_child(area, &mut |pid| add(pid, list, &mut count));
    let mut next = 0;
    while let Some(pid) = list.get(..count).and_then(|list| list.get(next)).copied() {
        next += 1;
        let mut path = [0u8; 64];
        children_of(pid, &mut path);
        let has_lists = for_each_child(area, &path, &mut |pid| add(pid, list, &mut count));
        if !has_lists {
            parents::for_each(area, &mut |child, seen| {
                if seen.parent as usize == pid {
                    add(child, list, &mut count);
                }
            });
        }
    }
    for pid in list.get(..count).unwrap_or_default() {
        each(*pid as i32);
    }
}

/// `/proc/PID/task/PID/children`, and NULs.
fn children_of(pid: usize, path: &mut [u8; 64]) {
    let mut digits = [0u8; 20];
    let mut rest = pid;
    let mut first = digits.len();
    while rest > 0 {
        first -= 1;
        if let Some(digit) = digits.get_mut(first) {
            *digit = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
    }
    let digits = digits.get(first..).unwrap_or_default();
    let mut places = path.iter_mut();
    for part in [b"/proc/", digits, b"/task/", digits, b"/children"] {
        // The part first: the other way round a place is lost at the end of each.
        for (byte, place) in part.iter().zip(places.by_ref()) {
            *place = *byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_list_of_children_has_no_hole() {
        let mut path = [0; 64];
        children_of(4_194_304, &mut path);
        let expected = b"/proc/4194304/task/4194304/children\0";
        assert_eq!(&path[..expected.len()], expected);
    }
}
