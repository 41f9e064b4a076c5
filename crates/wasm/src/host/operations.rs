//! What a guest has begun and not yet heard the end of.
//!
//! Each operation is a task of its own on the host; its answer arrives in one queue.
//! Dropping [`Operations`] ends them all, and with them the tasks that were called.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use capsule_backend::guest::{Room, Taken};
use capsule_spec::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::interface::bindings::capsule::guest::types::Failure;
use super::network::Unread;

/// The end of an operation.
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) outcome: Result<Answer, Failure>,
}

/// What an operation brought.
#[derive(Debug)]
pub(crate) struct Answer {
    bytes: Vec<u8>,
    /// What the answer takes of a limit until the guest has heard it.
    hold: Option<Hold>,
    /// Where it goes if the guest never hears it.
    back: Option<(Arc<Unread>, u64)>,
}

/// A limit's part, given back when this is dropped.
#[derive(Debug)]
pub(crate) enum Hold {
    Permit { _permit: OwnedSemaphorePermit },
    Room { _taken: Taken },
}

impl Answer {
    pub(crate) fn empty() -> Self {
        Vec::new().into()
    }

    /// Bytes of a connection, from this place on.
    pub(crate) fn received(
        bytes: Vec<u8>,
        hold: OwnedSemaphorePermit,
        connection: Arc<Unread>,
        place: u64,
    ) -> Self {
        let hold = Some(Hold::Permit { _permit: hold });
        Self { bytes, hold, back: Some((connection, place)) }
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The guest has heard it.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        self.back = None;
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some((connection, place)) = self.back.take()
            && !self.bytes.is_empty()
        {
            connection.put(place, std::mem::take(&mut self.bytes), self.hold.take());
        }
    }
}

impl Answer {
    /// The value of a task, in the memory of the run that it belongs to.
    pub(crate) fn within(room: Option<&Arc<Room>>, bytes: Vec<u8>) -> Result<Self, Failure> {
        let Some(room) = room else { return Ok(bytes.into()) };
        match Room::take(room, bytes.len()) {
            Some(taken) => Ok(Self { bytes, hold: Some(Hold::Room { _taken: taken }), back: None }),
            None => Err(Failure {
                kind: "MemoryError".to_owned(),
                message: "the run has no memory left for its value".to_owned(),
                detail: ErrorCode::MemoryLimit.code().to_owned(),
            }),
        }
    }
}

impl From<Vec<u8>> for Answer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, hold: None, back: None }
    }
}

/// Begun operations of one guest.
pub(crate) struct Operations {
    next: u64,
    running: HashMap<u64, AbortHandle>,
    sender: mpsc::UnboundedSender<Event>,
    receiver: mpsc::UnboundedReceiver<Event>,
    answered: VecDeque<Event>,
}

/// More than this at once is a guest that has lost control.
const MOST: usize = 4096;

impl Operations {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self { next: 1, running: HashMap::new(), sender, receiver, answered: VecDeque::new() }
    }

    /// Begins one: its number.
    pub(crate) fn begin(
        &mut self,
        work: impl Future<Output = Result<Answer, Failure>> + Send + 'static,
    ) -> Result<u64, Failure> {
        if self.running.len() + self.answered.len() >= MOST {
            return Err(Failure {
                kind: "TooMany".to_owned(),
                message: format!("more than {MOST} operations at once"),
                detail: ErrorCode::CallLimit.code().to_owned(),
            });
        }
        let id = self.next;
        self.next += 1;
        let sender = self.sender.clone();
        let task = tokio::spawn(async move {
            let outcome = work.await;
            // Nobody listens any more when the guest is gone.
            let _ = sender.send(Event { id, outcome });
        });
        self.running.insert(id, task.abort_handle());
        Ok(id)
    }

    /// Ends one; its answer is not heard.
    pub(crate) fn cancel(&mut self, id: u64) {
        if let Some(task) = self.running.remove(&id) {
            task.abort();
        }
        self.answered.retain(|event| event.id != id);
    }

    /// Whether any is under way or unheard.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.answered.is_empty()
    }

    /// Waits until one of `ids` (any, if there are none) has an answer, or `most` has
    /// passed. An empty answer means that time has passed.
    pub(crate) async fn wait(&mut self, ids: &[u64], most: Option<Duration>) -> Vec<Event> {
        // No more than this can be under way; a longer list is only work for the host.
        let ids = &ids[..ids.len().min(MOST)];
        // A time too far to be told is no limit.
        let until = most.and_then(|most| Instant::now().checked_add(most));
        loop {
            while let Ok(event) = self.receiver.try_recv() {
                self.hear(event);
            }
            let taken = self.take(ids);
            if !taken.is_empty() || most == Some(Duration::ZERO) {
                return taken;
            }
            let next = self.receiver.recv();
            let event = match until {
                None => next.await,
                Some(until) => match tokio::time::timeout_at(until, next).await {
                    Ok(event) => event,
                    Err(_) => return Vec::new(),
                },
            };
            // The sender lives in `self`, so the queue never ends.
            if let Some(event) = event {
                self.hear(event);
            }
        }
    }

    fn hear(&mut self, event: Event) {
        if self.running.remove(&event.id).is_some() {
            self.answered.push_back(event);
        }
    }

    fn take(&mut self, ids: &[u64]) -> Vec<Event> {
        if ids.is_empty() {
            return self.answered.drain(..).collect();
        }
        let (taken, kept) = self.answered.drain(..).partition(|event| ids.contains(&event.id));
        self.answered = kept;
        Vec::from(taken)
    }
}

impl Drop for Operations {
    fn drop(&mut self) {
        for task in self.running.values() {
            task.abort();
        }
    }
}
