//! Work that is a stranger's: on a thread of its own, with an eye on the clock and on
//! memory. Work that does not end is left behind; it ends with the process.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::usage::Counters;

/// How it went.
#[derive(Debug)]
pub(super) enum Watched<T> {
    /// It ended by itself.
    Done(T),
    /// It did not, in time.
    OutOfTime,
    /// The process grew by more than it may.
    OutOfMemory,
    /// It panicked.
    Died,
}

/// Between two looks at memory.
const INTERVAL: Duration = Duration::from_millis(20);

/// Work that looks at the clock itself has this long to say so.
const GRACE: Duration = Duration::from_millis(12);

/// Frames of the compiler can be large.
const STACK: usize = 16 << 20;

/// Does `work` until the deadline, while this process grows by `most` bytes at most.
pub(super) fn watch<T: Send + 'static>(
    name: &str,
    deadline: Instant,
    most: u64,
    counters: &Counters,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Watched<T>> {
    let at_first = counters.private_memory();
    let (tell, told) = mpsc::sync_channel(1);
    let worker =
        thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(move || {
            // Nobody may listen any more.
            let _ = tell.send(work());
        })?;
    let end = deadline + GRACE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match told.recv_timeout(left.min(INTERVAL)) {
            Ok(done) => {
                // It has nothing left to do but to be gone.
                let _ = worker.join();
                return Ok(Watched::Done(done));
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(Watched::Died),
            Err(RecvTimeoutError::Timeout) if left.is_zero() => return Ok(Watched::OutOfTime),
            Err(RecvTimeoutError::Timeout) => {
                if counters.private_memory().saturating_sub(at_first) > most {
                    return Ok(Watched::OutOfMemory);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(milliseconds: u64, most: u64, work: fn() -> u8) -> Watched<u8> {
        let deadline = Instant::now() + Duration::from_millis(milliseconds);
        watch("test", deadline, most, &Counters::open(), work).unwrap()
    }

    #[test]
    fn work_that_ends_is_told() {
        assert!(matches!(watched(5000, u64::MAX, || 7), Watched::Done(7)));
    }

    #[test]
    fn work_that_does_not_end_is_left_behind() {
        let begun = Instant::now();
        let watched = watched(50, u64::MAX, || {
            thread::sleep(Duration::from_secs(3));
            0
        });
        assert!(matches!(watched, Watched::OutOfTime));
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }

    #[test]
    fn work_that_takes_memory_is_left_behind() {
        let watched = watched(5000, 64 << 20, || {
            // Unseen, the compiler would do without it.
            let memory = std::hint::black_box(vec![1u8; 256 << 20]);
            thread::sleep(Duration::from_secs(2));
            memory[100]
        });
        assert!(matches!(watched, Watched::OutOfMemory));
    }

    #[test]
    fn work_that_panics_is_told() {
        assert!(matches!(watched(5000, u64::MAX, || panic!("on purpose")), Watched::Died));
    }
}
