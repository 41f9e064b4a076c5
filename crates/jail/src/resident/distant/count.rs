//! How many processes a guest has, in a kernel that neither counts nor limits them: found out
//! from the directory of processes.
//!
//! What is Capsule's own does not count: the relay, the resident, and the resident's children,
//! which are keepers and workers; on a busy machine they outlive what they were started for. Nor
//! does what has ended and waits for the relay to take note: nobody else can, and a guest that
//! leaves many behind in a moment has no more processes for it.

use capsule_init::resident::wire::{JOBS, PROCESSES};

/// The relay and the resident.
pub(super) const OWN: u64 = 2;
/// Keepers and workers that there can be.
const HELPERS: u64 = (PROCESSES + JOBS) as u64;
/// Who gets orphans.
const RELAY: i32 = 1;

/// All that there are, Capsule's own included.
pub(super) fn all() -> u64 {
    numbers().count() as u64
}

/// Whether the guest has more than so many.
pub(super) fn is_above(most: u64, resident: i32) -> bool {
    // Mostly this is enough. To look at each costs a question to the kernel inside, and there is
    // no time for that where a bomb is at work.
    let all = all();
    if all <= most.saturating_add(OWN) {
        return false;
    }
    if all > most.saturating_mul(2).saturating_add(OWN + HELPERS) {
        return true;
    }
    let mut found = 0;
    numbers().any(|pid| {
        // One that is gone by now is none.
        let line = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
        found += u64::from(is_of_guest(pid, &line, resident));
        found > most
    })
}

fn numbers() -> impl Iterator<Item = i32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// By a line of /proc/PID/stat: state and parent are behind a name that its owner has chosen.
fn is_of_guest(pid: i32, line: &[u8], resident: i32) -> bool {
    let Some(end) = line.iter().rposition(|byte| *byte == b')') else { return false };
    let mut fields = line[end + 1..].split(|byte| *byte == b' ').skip(1);
    let (state, parent) = (fields.next(), fields.next());
    let parent = parent.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<i32>().ok());
    let Some(parent) = parent else { return false };
    let has_ended = matches!(state, Some(b"Z" | b"X"));
    let is_own = pid == RELAY || pid == resident || parent == resident;
    !(is_own || has_ended && parent == RELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESIDENT: i32 = 2;

    #[test]
    fn what_is_not_the_guests_does_not_count() {
        let is_of_guest = |pid, line: &str| is_of_guest(pid, line.as_bytes(), RESIDENT);
        assert!(!is_of_guest(1, "1 (relay) S 0 1 1 0"));
        assert!(!is_of_guest(2, "2 (resident) S 1 1 1 0"));
        assert!(!is_of_guest(9, "9 (keeper) S 2 9 9 0"));
        assert!(!is_of_guest(9, "9 (keeper) Z 2 9 9 0"));
        assert!(is_of_guest(10, "10 (sh) S 9 10 10 0"));
        // Ended, and its parent has not taken note.
        assert!(is_of_guest(11, "11 (sh) Z 10 10 10 0"));
        // An orphan that lives, and one that has ended.
        assert!(is_of_guest(12, "12 (sh) R 1 12 12 0"));
        assert!(!is_of_guest(12, "12 (sh) Z 1 12 12 0"));
    }

    #[test]
    fn a_name_cannot_hide_a_process() {
        for name in ["x) Z 1 1", "x) S 2 2 2 0", ") Z 1", "((", "\u{fffd}) "] {
            assert!(is_of_guest(12, format!("12 ({name}) S 9 9 9 0").as_bytes(), RESIDENT));
        }
        for gone in ["", "12 (sh", "12 (sh)", "12 (sh) S", "12 (sh) S x"] {
            assert!(!is_of_guest(12, gone.as_bytes(), RESIDENT), "{gone:?}");
        }
    }

    #[test]
    fn nobody_is_above_what_there_is() {
        assert!(all() > 0);
        // Of everybody on this host none is a child of that number.
        assert!(is_above(0, i32::MAX) && !is_above(all() + 1000, i32::MAX));
    }
}
