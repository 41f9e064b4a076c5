//! What PID 1 tells the supervisor: one datagram of fixed size each.

/// The size of a datagram.
pub const REPORT_BYTES: usize = 56;

/// A message to the supervisor. Numbers are in native byte order: both ends are
/// the same program on the same machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A step failed, and the command was not executed.
    Failed {
        /// Position in the caller's table of steps.
        step: u16,
        /// Which item of the step, where it has several.
        item: u16,
        /// The errno.
        errno: i32,
    },
    /// A directory of the private file system travels with this datagram.
    Files,
    /// The door's listener travels with this datagram.
    Door,
    /// A resident PID 1 is there for its server.
    Ready,
    /// The command and all that it started are gone.
    Ended(Ended),
}

/// How the command ended and what it used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// As from `wait4`.
    pub wait_status: i32,
    /// Monotonic clock, nanoseconds, when the command was started.
    pub started: u64,
    /// Monotonic clock, nanoseconds, when its last descendant was reaped.
    pub ended: u64,
    /// Bytes read and written by system calls, when the kernel counts them.
    pub io: Option<(u64, u64)>,
}

const FAILED: u64 = 1;
const DOOR: u64 = 2;
const ENDED: u64 = 3;
const FILES: u64 = 4;
const READY: u64 = 5;

impl Report {
    /// The datagram.
    pub fn encode(&self) -> [u8; REPORT_BYTES] {
        let words: [u64; REPORT_BYTES / 8] = match *self {
            Self::Failed { step, item, errno } => {
                [FAILED, u64::from(step), u64::from(item), u64::from(errno.unsigned_abs()), 0, 0, 0]
            }
            Self::Door => [DOOR, 0, 0, 0, 0, 0, 0],
            Self::Files => [FILES, 0, 0, 0, 0, 0, 0],
            Self::Ready => [READY, 0, 0, 0, 0, 0, 0],
            Self::Ended(ended) => {
                let (read, written) = ended.io.unwrap_or_default();
                [
                    ENDED,
                    u64::from(ended.wait_status.cast_unsigned()),
                    ended.started,
                    ended.ended,
                    u64::from(ended.io.is_some()),
                    read,
                    written,
                ]
            }
        };
        let mut bytes = [0; REPORT_BYTES];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// Reads a datagram; `None` for anything that [`Report::encode`] does not make.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != REPORT_BYTES {
            return None;
        }
        let mut words = [0u64; REPORT_BYTES / 8];
        for (word, place) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_ne_bytes(place.try_into().ok()?);
        }
        match words[0] {
            FAILED => Some(Self::Failed {
                step: u16::try_from(words[1]).ok()?,
                item: u16::try_from(words[2]).ok()?,
                errno: i32::try_from(words[3]).ok()?,
            }),
            DOOR => Some(Self::Door),
            FILES => Some(Self::Files),
            READY => Some(Self::Ready),
            ENDED => Some(Self::Ended(Ended {
                wait_status: u32::try_from(words[1]).ok()?.cast_signed(),
                started: words[2],
                ended: words[3],
                io: (words[4] != 0).then_some((words[5], words[6])),
            })),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_way() {
        for report in [
            Report::Failed { step: 3, item: 65535, errno: 13 },
            Report::Door,
            Report::Files,
            Report::Ready,
            Report::Ended(Ended { wait_status: 9, started: 1, ended: u64::MAX, io: None }),
            Report::Ended(Ended { wait_status: 256, started: 1, ended: 2, io: Some((3, 4)) }),
        ] {
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        assert_eq!(Report::decode(&[0; REPORT_BYTES]), None);
        assert_eq!(Report::decode(&[]), None);
    }
}
