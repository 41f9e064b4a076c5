//! What the memory of the next instance starts with, and how it is held.
//!
//! wasmtime asks for a memory without saying for whom. It does so while an instance is
//! made, on the thread that makes it.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use super::image::Pages;
use super::overlay::Overlay;
use super::pool::Shared;
use super::slot::Slot;

thread_local! {
    static START: RefCell<Option<Start>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Start {
    overlay: Option<Arc<Overlay>>,
    held: Option<Held>,
}

/// The memory of an instance, for whoever owns the instance.
#[derive(Clone)]
pub(crate) struct Held {
    pub(super) slot: Arc<Mutex<Option<Slot>>>,
    pub(super) shared: Arc<Shared>,
}

/// Makes an instance whose memory starts with `overlay` over the image; with the
/// instance comes a hold on its memory.
pub(crate) async fn starting<T>(
    overlay: Option<Arc<Overlay>>,
    make: impl Future<Output = T>,
) -> (T, Option<Held>) {
    let mut make = pin!(make);
    let mut start = Some(Start { overlay, held: None });
    let made = std::future::poll_fn(|context| {
        START.set(start.take());
        let polled = make.as_mut().poll(context);
        start = START.take();
        polled
    })
    .await;
    (made, start.and_then(|start| start.held))
}

/// What the memory that is made now starts with.
pub(super) fn overlay() -> Option<Arc<Overlay>> {
    START.with_borrow(|start| start.as_ref()?.overlay.clone())
}

/// The memory was made.
pub(super) fn made(held: Held) {
    START.with_borrow_mut(|start| {
        if let Some(start) = start {
            start.held = Some(held);
        }
    });
}

impl Held {
    /// What the memory holds. The guest must not be running.
    pub(crate) fn copy(&self) -> std::io::Result<Vec<u8>> {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().ok_or(std::io::ErrorKind::NotFound)?.copy()
    }

    /// The pages that it wrote; None if that cannot be told. The guest must not be running.
    pub(crate) fn written(&self) -> Option<Vec<Pages>> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.private(slot.as_mut()?)
    }

    /// What it holds beyond its image; None if that is much, or cannot be told. The guest
    /// must not be running.
    pub(crate) fn overlay(&self) -> Option<Overlay> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.overlay(slot.as_mut()?)
    }
}
