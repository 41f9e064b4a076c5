//! Bytes on their way into a folder: counted, compared with their digest, and decompressed.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::os::unix::fs::FileExt;

use flate2::read::MultiGzDecoder;
use ring::digest::{Context, SHA256};

use super::error::RootError;

/// The most memory that a stream may ask for, as a power of two: what every decoder has to take.
const WINDOW: u32 = 27;
const BUFFER: usize = 128 << 10;

/// A SHA-256 in hexadecimal, as images have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Digest(String);

impl Digest {
    /// Reads `sha256:` and 64 digits; no other kind is in use.
    pub(crate) fn parse(text: &str) -> Result<Self, RootError> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match hex.len() == 64 && hex.bytes().all(is_digit) {
            true => Ok(Self(hex.to_owned())),
            false => {
                let shown: String = text.chars().take(80).collect();
                Err(RootError::Image(format!("{shown:?} is no digest that is known here")))
            }
        }
    }

    pub(crate) fn hex(&self) -> &str {
        &self.0
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(bytes);
        Self::from(context)
    }
}

impl From<Context> for Digest {
    fn from(context: Context) -> Self {
        let digest = context.finish();
        Self(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// A reader whose bytes are hashed on the way.
pub(crate) struct Hashed<R> {
    inner: R,
    context: Context,
}

impl<R: Read> Hashed<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, context: Context::new(&SHA256) }
    }

    /// Reads what is left, and compares the whole.
    pub(crate) fn finish(mut self, expected: &Digest, what: &str) -> Result<(), RootError> {
        io::copy(&mut self, &mut io::sink()).map_err(RootError::Read)?;
        match Digest::from(self.context) == *expected {
            true => Ok(()),
            false => Err(RootError::Digest { what: what.to_owned() }),
        }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.context.update(&buffer[..read]);
        Ok(read)
    }
}

/// A part of a file, by its place: readers of one file do not disturb each other.
#[derive(Debug)]
pub(crate) struct Part {
    file: File,
    at: u64,
    left: u64,
}

impl Part {
    pub(crate) fn new(file: &File, at: u64, length: u64) -> Result<Self, RootError> {
        let file = file.try_clone().map_err(RootError::Read)?;
        Ok(Self { file, at, left: length })
    }

    pub(crate) fn length(&self) -> u64 {
        self.left
    }
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Whether something begins as a compressed stream does.
pub(crate) fn is_compressed(head: &[u8]) -> bool {
    head.starts_with(GZIP) || head.starts_with(ZSTD)
}

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// What a stream holds, by how it begins: gzip, zstd, or as it is.
pub(crate) fn decompressed<'a>(mut input: impl Read + 'a) -> Result<Box<dyn Read + 'a>, RootError> {
    let mut head = Vec::new();
    input.by_ref().take(4).read_to_end(&mut head).map_err(RootError::Read)?;
    let (is_gzip, is_zstd) = (head.starts_with(GZIP), head.starts_with(ZSTD));
    let whole = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(input));
    if is_gzip {
        return Ok(Box::new(MultiGzDecoder::new(whole)));
    }
    if is_zstd {
        let mut decoder =
            zstd::stream::read::Decoder::with_buffer(whole).map_err(RootError::Read)?;
        decoder.window_log_max(WINDOW).map_err(RootError::Read)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(whole))
}
