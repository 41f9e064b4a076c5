//! Names and times as they are on the wire.

use std::time::SystemTime;

/// An id that cannot be guessed: 80 random bits, lower case letters and digits.
pub(crate) fn new_id() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes = uuid::Uuid::new_v4().into_bytes();
    // Bytes 6 and 8 of a version 4 UUID hold fixed bits.
    let random = bytes.iter().enumerate().filter(|(at, _)| *at != 6 && *at != 8);
    let number = random.fold(0_u128, |number, (_, byte)| number << 8 | u128::from(*byte));
    (0..16).map(|at| char::from(LETTERS[(number >> (5 * at)) as usize % 32])).collect()
}

/// A point in time, UTC, with milliseconds.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_and_differ() {
        let ids: std::collections::HashSet<_> = (0..1_000).map(|_| new_id()).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| id.len() == 16));
        // Every place varies: no fixed bits got in.
        for place in 0..16 {
            let letters: std::collections::HashSet<_> =
                ids.iter().map(|id| id.as_bytes()[place]).collect();
            assert_eq!(letters.len(), 32, "place {place}");
        }
    }

    #[test]
    fn times_are_utc() {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_705_658_400_250);
        assert_eq!(rfc3339(time), "2024-01-19T10:00:00.250Z");
    }
}
