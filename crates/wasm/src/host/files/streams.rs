//! Streams over open files. A file never makes anybody wait; but once its guest has kept
//! the host busy for long enough, a stream is not ready until others had their turn.
//!
//! WASI's libc turns every failure of a stream into EIO. What can be known when a stream
//! is opened is refused then, with a better word.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::error::ErrorCode;
use super::file::{File, MOST_COPIED};
use super::pace::Pace;

pub(super) struct Reader {
    pub(super) file: Arc<File>,
    pub(super) position: u64,
    pub(super) pace: Arc<Pace>,
}

pub(super) struct Writer {
    pub(super) file: Arc<File>,
    /// Where to write next; at the end if there is none.
    pub(super) position: Option<u64>,
    pub(super) pace: Arc<Pace>,
}

impl Reader {
    fn take(&mut self, most: usize) -> StreamResult<Bytes> {
        let bytes = self.file.read(self.position, most).map_err(failed)?;
        if bytes.is_empty() && most > 0 {
            return Err(StreamError::Closed);
        }
        self.position += bytes.len() as u64;
        Ok(bytes.into())
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        self.pace.rest().await;
    }
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.pace.is_due() {
            return Ok(Bytes::new());
        }
        let begun = Instant::now();
        let result = self.take(size);
        self.pace.spend(begun.elapsed());
        result
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.pace.rest().await;
        self.read(size)
    }
}

impl Writer {
    fn put(&mut self, mut bytes: &[u8]) -> StreamResult<()> {
        while !bytes.is_empty() {
            let (written, end) = self.file.write(self.position, bytes).map_err(failed)?;
            if written == 0 {
                return Err(failed(ErrorCode::Io));
            }
            bytes = &bytes[written..];
            self.position = self.position.map(|_| end);
        }
        Ok(())
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        self.pace.rest().await;
    }
}

#[async_trait]
impl OutputStream for Writer {
    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(if self.pace.is_due() { 0 } else { MOST_COPIED })
    }

    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > MOST_COPIED {
            return Err(StreamError::trap("more was written than was permitted"));
        }
        let begun = Instant::now();
        let result = self.put(&bytes);
        self.pace.spend(begun.elapsed());
        result
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.pace.rest().await;
        self.write(bytes)
    }
}

fn failed(error: ErrorCode) -> StreamError {
    StreamError::LastOperationFailed(wasmtime::Error::new(error))
}
