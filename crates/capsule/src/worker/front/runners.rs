//! The processes of a worker that run guests, by the place that they are for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use capsule_spec::Failure;

use super::place::Key;
use super::process::{Answers, Runner, Starter};
use crate::worker::between::Order;

/// Processes that are kept though nothing runs in them; each takes some ten megabytes.
const MOST_IDLE: usize = 8;

pub(super) struct Runners {
    starter: Starter,
    known: Mutex<HashMap<Key, Arc<Runner>>>,
    clock: AtomicU64,
}

impl Runners {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { starter: Starter::new()?, known: Mutex::default(), clock: AtomicU64::new(0) })
    }

    /// The process for a place; a new one is told `first` before all else.
    pub(super) fn find(
        &self,
        key: &Key,
        order: &Order,
        answers: &Arc<impl Answers + 'static>,
        first: impl FnOnce() -> Vec<u8>,
    ) -> Result<Arc<Runner>, Failure> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runner) = known.get(key).filter(|runner| !runner.has_ended()) {
            runner.used.store(now, Ordering::Relaxed);
            return Ok(runner.clone());
        }
        known.retain(|_, runner| !runner.has_ended());
        let idle = || known.iter().filter(|(_, runner)| runner.is_idle());
        if idle().count() >= MOST_IDLE {
            let oldest = idle().min_by_key(|(_, runner)| runner.used.load(Ordering::Relaxed));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                known.remove(&oldest);
            }
        }
        let runner = self.starter.start(order, answers.clone())?;
        runner.used.store(now, Ordering::Relaxed);
        runner.say(first());
        known.insert(key.clone(), runner.clone());
        Ok(runner)
    }

    /// Tells all of them.
    pub(super) fn tell(&self, frame: &[u8]) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().for_each(|runner| runner.say(frame.to_vec()));
    }

    /// Ends all of them, and waits until they are gone.
    pub(super) fn end(&self) {
        let known = std::mem::take(&mut *self.known.lock().unwrap_or_else(PoisonError::into_inner));
        known.values().for_each(|runner| runner.kill());
        known.values().for_each(|runner| runner.wait());
    }
}
