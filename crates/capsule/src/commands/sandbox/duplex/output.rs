//! What a process writes, on its way to our own standard output and error.
//!
//! A reader that rests (a pager, say) must not make the server believe that nobody is there.
//! So a thread writes, and as much as [`MOST`] waits for it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use tokio::sync::Notify;

/// Most bytes that wait.
const MOST: usize = 64 << 20;

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Stdout,
    Stderr,
}

/// Bytes on their way.
#[derive(Debug)]
pub(super) struct Output {
    pieces: mpsc::Sender<(Channel, Vec<u8>)>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    is_broken: AtomicBool,
    /// Something was written.
    room: Notify,
    /// Nobody reads any more.
    broke: Notify,
    /// The thread has written all.
    done: Notify,
}

impl Output {
    pub(super) fn start() -> Self {
        let (pieces, to_write) = mpsc::channel::<(Channel, Vec<u8>)>();
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for (channel, bytes) in to_write {
                let written = match channel {
                    Channel::Stdout => write(std::io::stdout().lock(), &bytes),
                    Channel::Stderr => write(std::io::stderr().lock(), &bytes),
                };
                of_thread.waiting.fetch_sub(bytes.len(), Ordering::SeqCst);
                of_thread.room.notify_one();
                if written.is_err() {
                    of_thread.is_broken.store(true, Ordering::SeqCst);
                    of_thread.broke.notify_one();
                }
            }
            of_thread.done.notify_one();
        });
        Self { pieces, shared }
    }

    pub(super) fn write(&self, channel: Channel, bytes: Vec<u8>) {
        self.shared.waiting.fetch_add(bytes.len(), Ordering::SeqCst);
        // The thread takes pieces as long as this end lives.
        let _ = self.pieces.send((channel, bytes));
    }

    pub(super) fn has_room(&self) -> bool {
        self.shared.waiting.load(Ordering::SeqCst) < MOST
    }

    /// Answers when there may be room.
    pub(super) async fn room(&self) {
        self.shared.room.notified().await;
    }

    /// Answers when nobody reads any more.
    pub(super) async fn broke(&self) {
        if !self.shared.is_broken.load(Ordering::SeqCst) {
            self.shared.broke.notified().await;
        }
    }

    /// Waits until all is written; not if nobody may want it any more.
    pub(super) async fn finish(self, waits: bool) {
        let Self { pieces, shared } = self;
        drop(pieces);
        if waits && !shared.is_broken.load(Ordering::SeqCst) {
            tokio::select! {
                () = shared.done.notified() => {}
                () = shared.broke.notified() => {}
            }
        }
    }
}

fn write(mut to: impl Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}
