//! Signals that are told, one after the other, to whoever waits for them.

mod sys;

use std::io;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// Signals that are caught as long as this process lives.
#[derive(Debug)]
pub(super) struct Signals(UnixStream);

impl Signals {
    /// From now on these signals do not act; they are told.
    ///
    /// # Errors
    /// When they cannot be caught.
    pub(super) fn catch(signals: &[libc::c_int]) -> io::Result<Self> {
        sys::catch(signals).and_then(UnixStream::from_std).map(Self)
    }

    /// The next one. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> libc::c_int {
        match self.0.read_u8().await {
            Ok(signal) => signal.into(),
            // The other end is never closed.
            Err(_) => std::future::pending().await,
        }
    }
}
