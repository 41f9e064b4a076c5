//! Frames: the length of a head and of a body, four bytes each, the highest first; a head
//! in JSON; and a body, which is bytes of any kind.

use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of a head.
pub(super) const MOST_HEAD: usize = 1 << 20;
/// Bytes of a body: what a guest's own frames may hold.
pub(super) const MOST_BODY: usize = 64 << 20;

/// One message.
#[derive(Debug)]
pub(super) struct Frame<T> {
    pub(super) head: T,
    pub(super) body: Vec<u8>,
}

impl<T: DeserializeOwned> Frame<T> {
    /// The next one; None when the other side has closed.
    ///
    /// # Errors
    /// What is too long or no such message, and what reading fails with.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut lengths = [0; 8];
        // An end before a frame is an end, one within it is not.
        if from.read(&mut lengths[..1])? == 0 {
            return Ok(None);
        }
        from.read_exact(&mut lengths[1..])?;
        let length = |at: usize| {
            u32::from_be_bytes([lengths[at], lengths[at + 1], lengths[at + 2], lengths[at + 3]])
        };
        let head = part(from, length(0), MOST_HEAD)?;
        let body = part(from, length(4), MOST_BODY)?;
        let head = serde_json::from_slice(&head).map_err(|_| malformed())?;
        Ok(Some(Self { head, body }))
    }
}

/// Grows as bytes come, so that a length alone costs nothing.
fn part(from: &mut impl Read, length: u32, most: usize) -> io::Result<Vec<u8>> {
    if length as usize > most {
        return Err(malformed());
    }
    let mut bytes = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() == length as usize { Ok(bytes) } else { Err(malformed()) }
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// Where frames are written, by any thread, one at a time.
pub(super) struct Outgoing<W>(Mutex<W>);

impl<W: Write> Outgoing<W> {
    pub(super) fn new(to: W) -> Self {
        Self(Mutex::new(to))
    }

    /// Writes a whole frame.
    ///
    /// # Errors
    /// When it is too large, and nothing was written; or when the other side is gone.
    pub(super) fn write(&self, head: &impl Serialize, body: &[u8]) -> io::Result<()> {
        let head = serde_json::to_vec(head)?;
        if head.len() > MOST_HEAD || body.len() > MOST_BODY {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let lengths = [head.len(), body.len()].map(|length| (length as u32).to_be_bytes());
        let start = [lengths.as_flattened(), &head].concat();
        let mut to = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        to.write_all(&start)?;
        to.write_all(body)
    }
}
