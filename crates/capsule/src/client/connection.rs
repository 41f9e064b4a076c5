//! One connection, blocking; whoever waits on it waits for a bounded time.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use capsule_spec::{ErrorCode, Failure};

use super::Place;

/// How long a server may take to let a connection in.
const CONNECTING: Duration = Duration::from_secs(10);

/// A connection to a server of HTTP.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) stream: Stream,
    /// Read already, and not used.
    pub(super) early: Vec<u8>,
    pub(super) authority: String,
    pub(super) is_reusable: bool,
}

/// A socket of either kind.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    /// # Errors
    /// When nobody is there.
    pub(crate) fn open(place: &Place, patience: Duration) -> Result<Self, Failure> {
        let stream = Stream::open(place).map_err(|error| unreachable(place, &error))?;
        stream.set_patience(patience).map_err(|error| unreachable(place, &error))?;
        let authority = place.authority();
        Ok(Self { stream, early: Vec::new(), authority, is_reusable: true })
    }

    pub(crate) fn is_reusable(&self) -> bool {
        self.is_reusable && self.early.is_empty()
    }
}

impl Stream {
    pub(crate) fn open(place: &Place) -> io::Result<Self> {
        match place {
            Place::Tcp { host, port } => {
                let mut last = io::Error::from(io::ErrorKind::NotFound);
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, CONNECTING) {
                        Ok(stream) => {
                            stream.set_nodelay(true)?;
                            return Ok(Self::Tcp(stream));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
            Place::Unix(path) => UnixStream::connect(path).map(Self::Unix),
        }
    }

    fn set_patience(&self, patience: Duration) -> io::Result<()> {
        let patience = Some(patience);
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(patience)?;
                stream.set_write_timeout(patience)
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(patience)?;
                stream.set_write_timeout(patience)
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Nobody is there, or nobody answers.
pub(crate) fn unreachable(place: &Place, error: &io::Error) -> Failure {
    let message = format!("no server answers at {place}: {}", said(error));
    Failure::new(ErrorCode::ServerUnreachable, message).hint(match place {
        Place::Tcp { .. } => "start one: capsule serve; or name it: --server URL, CAPSULE_SERVER",
        Place::Unix(_) => "start one: capsule serve --unix PATH",
    })
}

/// The connection broke while it was used.
pub(super) fn broken(error: &io::Error) -> Failure {
    let message = format!("the connection to the server broke: {}", said(error));
    Failure::new(ErrorCode::ServerUnreachable, message)
        .hint("look at what the server said before it went")
}

/// An error of the system, in words.
fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::UnexpectedEof => "it was closed".to_owned(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "it did not answer in time".into(),
        _ => error.to_string(),
    }
}
