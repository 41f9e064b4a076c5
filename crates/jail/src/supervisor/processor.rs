//! Processor time of a run while it lasts, from `/proc`.
//!
//! Two counts, each too low in its own way, of which the larger one stands:
//! - what living processes used, with the children that they waited for. It misses
//!   children that nobody waits for (SIGCHLD ignored, wait(2));
//! - what each process had used when it was last seen. It misses what lived and died
//!   between two looks.
//!
//! A tree made of processes that both live shorter than a look and are not waited
//! for is seen only by a control group that counts.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use super::members;

/// No look is nearer than this to the one before, so the budget may be overrun by as
/// much on each processor.
const SOONEST: Duration = Duration::from_millis(5);
/// No look is further: what is not waited for must be seen while it lives.
const LATEST: Duration = Duration::from_millis(50);

/// USER_HZ, the unit of `/proc`, is 100 on all machines that Rust runs on (asm/param.h).
const TICK: Duration = Duration::from_millis(10);

/// When to look again if so much time may still be used.
pub(crate) fn next_look(left: Duration) -> Duration {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let soon = left / u32::try_from(processors).unwrap_or(u32::MAX);
    soon.clamp(SOONEST, LATEST)
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Processor {
    /// By process and start, as numbers come again: what it used itself, in ticks.
    living: HashMap<(i32, u64), u64>,
    /// What those used that are not seen any more.
    gone: u64,
    most: u64,
}

impl Processor {
    /// Looks at all processes below `init`, and adds up.
    pub(crate) fn look(&mut self, init: i32) -> Duration {
        let mut with_children = 0;
        let mut seen = HashMap::new();
        for pid in members::of(init) {
            let text = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
            if let Some(stat) = Stat::parse(&text) {
                with_children += stat.own + stat.children;
                seen.insert((pid, stat.start), stat.own);
            }
        }
        for (process, used) in std::mem::replace(&mut self.living, seen) {
            if !self.living.contains_key(&process) {
                self.gone += used;
            }
        }
        let ever = self.gone + self.living.values().sum::<u64>();
        self.most = self.most.max(with_children).max(ever);
        TICK.saturating_mul(u32::try_from(self.most).unwrap_or(u32::MAX))
    }
}

/// Of `/proc/PID/stat` (proc_pid_stat(5)), in clock ticks.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    own: u64,
    children: u64,
    start: u64,
}

impl Stat {
    fn parse(text: &[u8]) -> Option<Self> {
        // The name may hold anything, brackets and line ends included.
        let end = text.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&text[end + 1..]).ok()?;
        let fields: Vec<u64> =
            rest.split_ascii_whitespace().skip(1).map(|word| word.parse().unwrap_or(0)).collect();
        // The first one is field 4.
        let field = |number: usize| fields.get(number - 4).copied();
        Some(Self {
            own: field(14)? + field(15)?,
            children: field(16)? + field(17)?,
            start: field(22)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pose_as_numbers() {
        let text = b"7 (a) R 1 2 3\n) S 1 7 7 0 -1 4194560 100 0 0 0 11 12 13 14 20 0 1 0 99 0 0";
        assert_eq!(Stat::parse(text), Some(Stat { own: 23, children: 27, start: 99 }));
        assert_eq!(Stat::parse(b"7 (a S 1 2"), None);
        assert_eq!(Stat::parse(b"7 (a) S 1 2"), None);
    }

    #[test]
    fn own_time_is_seen() {
        let started = std::time::Instant::now();
        let mut sum = 0u64;
        while started.elapsed() < Duration::from_millis(60) {
            sum = std::hint::black_box(sum + 1);
        }
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(Processor::default().look(me) >= Duration::from_millis(20));
    }
}
