//! Calls of other tasks that a guest has begun and not yet heard the end of.
//!
//! Dropping them ends them all.

use std::collections::HashMap;
use std::task::{Context, Poll};

use capsule_backend::guest::{GuestError, Outside, Told};
use capsule_spec::ErrorCode;
use tokio::task::{AbortHandle, JoinSet};

use super::frames::Reason;

/// More than this at once is a guest that has lost control.
const MOST: usize = 4096;
/// Bytes of arguments that may be under way.
const MOST_BYTES: usize = 256 << 20;

#[derive(Default)]
pub(super) struct Calls {
    running: JoinSet<(u64, Result<String, Reason>)>,
    handles: HashMap<u64, (AbortHandle, usize)>,
    bytes: usize,
}

impl Calls {
    /// Whether a call goes by this number.
    pub(super) fn has(&self, id: u64) -> bool {
        self.handles.contains_key(&id)
    }

    /// Begins one, unless there are too many.
    pub(super) fn begin(
        &mut self,
        id: u64,
        task: &str,
        arguments: String,
        outside: &dyn Outside,
    ) -> Result<(), Reason> {
        let size = arguments.len();
        if self.handles.len() >= MOST || self.bytes + size > MOST_BYTES {
            return Err(Reason {
                kind: "TooMany".to_owned(),
                message: format!("more than {MOST} calls, or 256 MiB of arguments, at once"),
                detail: ErrorCode::Crashed.code().to_owned(),
            });
        }
        let call = outside.call(task, arguments);
        let handle = self.running.spawn(async move { (id, call.await.map_err(reason)) });
        self.handles.insert(id, (handle, size));
        self.bytes += size;
        Ok(())
    }

    /// Ends one.
    pub(super) fn cancel(&mut self, id: u64) {
        if let Some((handle, size)) = self.handles.remove(&id) {
            handle.abort();
            self.bytes -= size;
        }
    }

    /// The next one that has ended.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<(u64, Result<String, Reason>)> {
        loop {
            match self.running.poll_join_next(context) {
                Poll::Ready(Some(Ok((id, result)))) => {
                    // A number that is not there was cancelled as its call ended.
                    if let Some((_, size)) = self.handles.remove(&id) {
                        self.bytes -= size;
                        return Poll::Ready((id, result));
                    }
                }
                // Cancelled, or it panicked: then the host reports that.
                Poll::Ready(Some(Err(error))) => {
                    let lost = self.handles.iter().find(|(_, call)| call.0.id() == error.id());
                    if let Some(id) = lost.map(|(id, _)| *id) {
                        self.cancel(id);
                        return Poll::Ready((id, Err(lost_call())));
                    }
                }
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

fn lost_call() -> Reason {
    Reason {
        kind: "Crashed".to_owned(),
        message: "the call was lost".to_owned(),
        detail: String::new(),
    }
}

/// How a caller sees the failure of a task that it called.
fn reason(error: GuestError) -> Reason {
    let Told { kind, message, detail } = error.told();
    Reason { kind, message, detail }
}
