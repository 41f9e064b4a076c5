//! HTTP with the engine, over its Unix socket: one request a connection, in HTTP/1.0, so
//! that an answer is a head and then bytes to the end. Nothing here is asynchronous: callers
//! are on threads that may wait.
//!
//! A client library was tried: its default features make much of this workspace compile
//! anew, and it keeps answers of any length in memory. A dozen calls need neither.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// The most of a head, of an answer, and of a line of a stream.
const HEAD_BYTES: u64 = 64 << 10;
const ANSWER_BYTES: u64 = 16 << 20;
const LINE_BYTES: u64 = 1 << 20;

/// Why an exchange did not take place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens there, or this user may not speak to it.
    #[error("the engine's socket cannot be used")]
    Connect(#[source] io::Error),
    /// The connection broke, or nothing came for too long.
    #[error("the engine does not answer")]
    Broken(#[source] io::Error),
    /// More came than is taken.
    #[error("the engine's answer is larger than may be")]
    TooLong,
    /// What came is no answer.
    #[error("the engine's answer makes no sense")]
    Malformed,
}

/// What the engine said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn is_good(&self) -> bool {
        (200..300).contains(&self.status) || self.status == 304
    }

    pub(crate) fn json(&self) -> Result<Value, ClientError> {
        serde_json::from_slice(&self.body).map_err(|_| ClientError::Malformed)
    }

    /// The engine's own words for an error.
    pub(crate) fn message(&self) -> String {
        let json = self.json().ok();
        let message = json.as_ref().and_then(|json| json.get("message")?.as_str());
        message.unwrap_or("it gave no reason").trim().to_owned()
    }
}

/// What is sent.
pub(crate) enum Body<'a> {
    None,
    Json(&'a Value),
    Tar(&'a [u8]),
    /// So many bytes from where the file is.
    File(&'a File, u64),
}

/// An engine's address.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) socket: PathBuf,
}

impl Client {
    /// One question, one answer. `patience` is for silence, not for the whole.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        body: &Body<'_>,
        patience: Duration,
    ) -> Result<Answer, ClientError> {
        let (status, reader) = self.exchange(method, path, body, patience)?;
        let mut body = Vec::new();
        reader.take(ANSWER_BYTES + 1).read_to_end(&mut body).map_err(ClientError::Broken)?;
        if body.len() as u64 > ANSWER_BYTES {
            return Err(ClientError::Malformed);
        }
        Ok(Answer { status, body })
    }

    /// A question whose answer is JSON, a line each, as it comes.
    pub(crate) fn follow(
        &self,
        method: &str,
        path: &str,
        body: &Body<'_>,
        patience: Duration,
        each: &mut dyn FnMut(&Value),
    ) -> Result<Answer, ClientError> {
        let (status, mut reader) = self.exchange(method, path, body, patience)?;
        if !(200..300).contains(&status) {
            let mut body = Vec::new();
            reader.take(LINE_BYTES).read_to_end(&mut body).map_err(ClientError::Broken)?;
            return Ok(Answer { status, body });
        }
        loop {
            let mut line = Vec::new();
            let read = reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line);
            if read.map_err(ClientError::Broken)? == 0 {
                return Ok(Answer { status, body: Vec::new() });
            }
            if let Ok(value) = serde_json::from_slice(&line) {
                each(&value);
            }
        }
    }

    /// A question after whose answer the connection is a stream of bytes, if the answer is good.
    pub(crate) fn hijack(
        &self,
        path: &str,
        patience: Duration,
    ) -> Result<(u16, UnixStream), ClientError> {
        let mut stream = UnixStream::connect(&self.socket).map_err(ClientError::Connect)?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: docker\r\nUser-Agent: capsule\r\n\
             Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
        );
        let mut ask = || {
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            stream.write_all(head.as_bytes())
        };
        ask().map_err(ClientError::Broken)?;
        // Byte by byte: what is behind the head belongs to who gets the stream.
        let status = read_head(&mut BufReader::with_capacity(1, &stream))?;
        stream.set_read_timeout(None).map_err(ClientError::Broken)?;
        stream.set_write_timeout(None).map_err(ClientError::Broken)?;
        Ok((status, stream))
    }

    /// A question whose answer is written into a file; at most so many bytes of it.
    pub(crate) fn fetch(
        &self,
        path: &str,
        patience: Duration,
        mut file: &File,
        most: u64,
    ) -> Result<Answer, ClientError> {
        let (status, mut reader) = self.exchange("GET", path, &Body::None, patience)?;
        let mut body = Vec::new();
        if !(200..300).contains(&status) {
            reader.take(LINE_BYTES).read_to_end(&mut body).map_err(ClientError::Broken)?;
            return Ok(Answer { status, body });
        }
        let copied = io::copy(&mut reader.by_ref().take(most), &mut file);
        copied.map_err(ClientError::Broken)?;
        match reader.fill_buf().map_err(ClientError::Broken)? {
            [] => Ok(Answer { status, body }),
            _ => Err(ClientError::TooLong),
        }
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        body: &Body<'_>,
        patience: Duration,
    ) -> Result<(u16, BufReader<UnixStream>), ClientError> {
        let mut stream = UnixStream::connect(&self.socket).map_err(ClientError::Connect)?;
        let json;
        let (kind, bytes): (&str, &[u8]) = match body {
            Body::None => ("application/json", &[]),
            Body::Json(value) => {
                json = value.to_string();
                ("application/json", json.as_bytes())
            }
            Body::Tar(bytes) => ("application/x-tar", bytes),
            Body::File(..) => ("application/x-tar", &[]),
        };
        let length = match body {
            Body::File(_, length) => *length,
            _ => bytes.len() as u64,
        };
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: docker\r\nUser-Agent: capsule\r\n\
             Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        let send = |stream: &mut UnixStream| {
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            stream.write_all(head.as_bytes())?;
            match body {
                Body::File(file, length) => {
                    let sent = io::copy(&mut file.take(*length), stream)?;
                    if sent == *length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
                }
                _ => stream.write_all(bytes),
            }
        };
        send(&mut stream).map_err(ClientError::Broken)?;
        let mut reader = BufReader::new(stream);
        let status = read_head(&mut reader)?;
        Ok((status, reader))
    }
}

/// Reads up to the empty line; answers the status.
fn read_head(reader: &mut impl BufRead) -> Result<u16, ClientError> {
    let mut head = reader.take(HEAD_BYTES);
    let mut status = None;
    loop {
        let mut line = String::new();
        let length = head.read_line(&mut line).map_err(ClientError::Broken)?;
        if length == 0 {
            return Err(ClientError::Malformed);
        }
        let text = line.trim_end();
        match (status, text) {
            (None, text) => status = Some(status_of(text).ok_or(ClientError::Malformed)?),
            (Some(status), "") => return Ok(status),
            (Some(_), text) => {
                // It was asked for in a version that has no such thing.
                let lower = text.to_ascii_lowercase();
                if lower.starts_with("transfer-encoding:") {
                    return Err(ClientError::Malformed);
                }
            }
        }
    }
}

fn status_of(line: &str) -> Option<u16> {
    let mut words = line.split(' ');
    words.next()?.starts_with("HTTP/1.").then_some(())?;
    words.next()?.parse().ok()
}

/// A value for a query or a path.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> Result<u16, String> {
        read_head(&mut head.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn heads_are_read_to_their_end() {
        assert_eq!(status("HTTP/1.0 200 OK\r\nServer: x\r\n\r\nbody"), Ok(200));
        for wrong in [
            "",
            "HTTP/1.0 200 OK\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 ten\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(status(wrong).is_err(), "{wrong:?}");
        }
        let endless = format!("HTTP/1.0 200 OK\r\n{}", "a: b\r\n".repeat(1 << 15));
        assert!(status(&endless).is_err());
    }

    #[test]
    fn nothing_escapes_from_a_query() {
        assert_eq!(escaped("a/b?c&d=e f\r\n\"ä"), "a%2Fb%3Fc%26d%3De%20f%0D%0A%22%C3%A4");
        assert_eq!(escaped("python:3.13-slim"), "python%3A3.13-slim");
    }

    #[test]
    fn nobody_at_the_socket_is_an_error() {
        let client = Client { socket: "/nowhere/docker.sock".into() };
        let asked = client.ask("GET", "/version", &Body::None, Duration::from_secs(1));
        assert!(matches!(asked, Err(ClientError::Connect(_))));
    }

    #[test]
    fn an_engine_that_says_nothing_is_waited_for_no_longer_than_said() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let _engine = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let client = Client { socket };
        let asked = client.ask("GET", "/version", &Body::None, Duration::from_millis(50));
        assert!(matches!(asked, Err(ClientError::Broken(_))));
    }
}
