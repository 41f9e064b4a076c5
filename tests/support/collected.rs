//! A stream of a run, read by a thread so that neither side waits for the other.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

/// What came of a stream so far.
#[derive(Clone, Debug, Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Bytes of a stream, collected by a thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collected(Arc<Shared>);

const LOCK: &str = "no thread panics with the lock";

impl Collected {
    pub(crate) fn of(mut source: impl Read + Send + 'static) -> Self {
        let collected = Self::default();
        let writer = collected.clone();
        std::thread::spawn(move || {
            let mut chunk = [0u8; 65536];
            loop {
                let length = source.read(&mut chunk).unwrap_or(0);
                let mut state = writer.0.state.lock().expect(LOCK);
                state.bytes.extend_from_slice(&chunk[..length]);
                state.ended = length == 0;
                writer.0.changed.notify_all();
                if length == 0 {
                    return;
                }
            }
        });
        collected
    }

    /// What came when `is_enough` says so, the stream has ended, or time is over.
    fn wait(&self, deadline: Instant, is_enough: impl Fn(&[u8]) -> bool) -> State {
        let mut state = self.0.state.lock().expect(LOCK);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if is_enough(&state.bytes) || state.ended || left.is_zero() {
                return state.clone();
            }
            state = self.0.changed.wait_timeout(state, left).expect(LOCK).0;
        }
    }

    /// Waits for a text; `Err` when it did not come. Both hold what came so far.
    pub(crate) fn wait_for(&self, text: &str, deadline: Instant) -> Result<String, String> {
        let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        let bytes = self.wait(deadline, holds).bytes;
        let so_far = String::from_utf8_lossy(&bytes).into_owned();
        if holds(&bytes) { Ok(so_far) } else { Err(so_far) }
    }

    pub(crate) fn so_far(&self) -> Vec<u8> {
        self.wait(Instant::now(), |_| true).bytes
    }

    /// Everything, once every writer is gone.
    #[track_caller]
    pub(crate) fn until_end(&self, deadline: Instant) -> Vec<u8> {
        let state = self.wait(deadline, |_| false);
        assert!(state.ended, "somebody still holds an output stream of a run that is over");
        state.bytes
    }
}
