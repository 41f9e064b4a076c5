//! One jail at work, on a thread of its own: the supervisor's loop blocks.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::pin::{Pin, pin};
use std::sync::{Arc, mpsc};
use std::task::{Poll, ready};
use std::thread;
use std::time::Duration;

use capsule_backend::Output;
use capsule_backend::guest::{Grant, Outside};
use capsule_spec::{ErrorCode, Failure, Outcome};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::account::{Account, Doorkeeper};
use super::slot::Slot;
use super::{Setup, task};
use crate::jail::Signals;
use crate::supervisor::{self, Attended, Caller};

/// A dropped call waits this long for its jail to be gone. It takes milliseconds; only
/// somebody who takes output and does not return can make it longer.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// A jail at work. Dropping it kills all that is inside, and waits until it is gone.
pub(super) struct Running {
    account: Arc<Account>,
    /// The supervisor ends the run when this is closed.
    stop: Option<OwnedFd>,
    ended: oneshot::Receiver<Result<Outcome, Failure>>,
    end: Option<Result<Outcome, Failure>>,
    /// Hangs up when the thread is done.
    thread: mpsc::Receiver<Infallible>,
}

impl Running {
    /// Starts a jail; the stream is the host's end of its descriptor 3.
    pub(super) fn start(
        setup: &Arc<Setup>,
        outside: &Arc<dyn Outside>,
        grant: &Grant,
        slot: Slot,
    ) -> Result<(Self, UnixStream), Failure> {
        let failed = |error: std::io::Error| {
            supervisor::system_error("start an interpreter", &error).failure
        };
        let (stream, channel) = Socket::pair().map_err(failed)?;
        stream.set_nonblocking(true).map_err(failed)?;
        let stream = UnixStream::from_std(stream).map_err(failed)?;
        let (stopped, stop) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let account = Account::new(grant.meter.clone(), outside.clone(), stopped);
        let account = Arc::new(account);
        let (tell, ended) = oneshot::channel();
        let (alive, thread) = mpsc::channel();
        let work = {
            let (setup, grant, account) = (setup.clone(), grant.clone(), account.clone());
            move || {
                let attended = Attended { attendant: account.clone(), channel: channel.into() };
                let end = run(&setup, &grant, &slot, attended, &account);
                if let Ok(outcome) = &end {
                    account.settle(outcome);
                }
                // All that this thread holds, before anybody is told.
                drop((slot, setup, grant, account));
                // Nobody may want to know.
                let _ = tell.send(end);
                drop::<mpsc::Sender<Infallible>>(alive);
            }
        };
        thread::Builder::new().name("capsule-jail".to_owned()).spawn(work).map_err(failed)?;
        Ok((Self { account, stop: Some(stop), ended, end: None, thread }, stream))
    }

    pub(super) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Waits for `other`; `None` when the jail ends before.
    pub(super) async fn unless_ended<T>(&mut self, other: impl Future<Output = T>) -> Option<T> {
        let mut other = pin!(other);
        std::future::poll_fn(|context| {
            if let Poll::Ready(value) = other.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            ready!(self.poll_end(context));
            Poll::Ready(None)
        })
        .await
    }

    /// Gives the jail some time to end by itself, then kills it. It is gone after this.
    pub(super) async fn end_within(&mut self, patience: Duration) -> Result<Outcome, Failure> {
        if patience > Duration::ZERO {
            let end = std::future::poll_fn(|context| self.poll_end(context));
            let _ = tokio::time::timeout(patience, end).await;
        }
        self.stop = None;
        std::future::poll_fn(|context| self.poll_end(context)).await;
        self.end.clone().expect("the poll above is ready when there is an end")
    }

    fn poll_end(&mut self, context: &mut std::task::Context<'_>) -> Poll<()> {
        if self.end.is_none() {
            let end = ready!(Pin::new(&mut self.ended).poll(context));
            // A thread that says nothing has panicked.
            self.end = Some(end.unwrap_or_else(|_| {
                Err(Failure::new(ErrorCode::SystemFailure, "the jail's supervisor failed"))
            }));
        }
        Poll::Ready(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.end.is_none() {
            self.account.fall_deaf();
        }
        self.stop = None;
        // Nothing is ever sent: this returns when the thread is done.
        let _ = self.thread.recv_timeout(LAST_WAIT);
    }
}

/// The life of the thread.
fn run(
    setup: &Setup,
    grant: &Grant,
    slot: &Slot,
    attended: Attended,
    account: &Arc<Account>,
) -> Result<Outcome, Failure> {
    let (plan, layout) = task::plan(setup, grant, slot)?;
    let caller =
        Caller { output: Output::Captured, signals: Signals::Ignored, attended: Some(attended) };
    supervisor::run(&plan, &layout, caller, &mut Doorkeeper(account.clone()))
        .map_err(|error| error.failure)
}
