//! HTTP/1.1, as much of it as a server of sandboxes and Docker's engine speak.

use std::io::{self, Read, Write};

use capsule_spec::Failure;

use super::Connection;
use super::connection::broken;
use super::foreign;

/// Largest head of an answer, and most headers in it.
const HEAD: usize = 64 << 10;
const HEADERS: usize = 64;
/// Bytes that are moved at one time.
const PIECE: usize = 64 << 10;
/// Longest line between pieces.
const LINE: usize = 4 << 10;

/// The body of a request.
pub(crate) enum Sent<'a> {
    Nothing,
    Bytes(&'a [u8]),
    /// Exactly so many bytes.
    Sized(u64, &'a mut dyn Read),
    /// As many as there are.
    Pieces(&'a mut dyn Read),
}

/// How the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    After(u64),
    /// So many bytes are left of this piece.
    Pieces(u64),
    WithConnection,
    /// It has ended.
    Now,
}

/// An answer whose head was read; its body is still to come.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) length: Option<u64>,
    ends: Ends,
}

/// The body of an answer, with the connection that it comes from.
#[derive(Debug)]
pub(crate) struct Body {
    ends: Ends,
    connection: Connection,
}

impl Connection {
    /// Sends a request, and reads the head of its answer.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no HTTP.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, String)],
        sent: Sent<'_>,
    ) -> Result<Answer, Failure> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.authority);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        match &sent {
            Sent::Nothing if method == "GET" => {}
            Sent::Nothing => head += "Content-Length: 0\r\n",
            Sent::Bytes(bytes) => head += &format!("Content-Length: {}\r\n", bytes.len()),
            Sent::Sized(size, _) => head += &format!("Content-Length: {size}\r\n"),
            Sent::Pieces(_) => head += "Transfer-Encoding: chunked\r\n",
        }
        head += "\r\n";
        self.is_reusable = false;
        if let Err(trouble) = self.send(head, sent) {
            return self.answer_after(trouble, method);
        }
        self.answer(method)
    }

    /// A server that refuses a body may answer and close before it has read it.
    fn answer_after(&mut self, trouble: Trouble, method: &str) -> Result<Answer, Failure> {
        match trouble {
            Trouble::Source(failure) => Err(*failure),
            Trouble::Socket(error) => self.answer(method).map_err(|_| broken(&error)),
        }
    }

    fn send(&mut self, head: String, sent: Sent<'_>) -> Result<(), Trouble> {
        let mut whole = head.into_bytes();
        match sent {
            Sent::Nothing => {}
            // In one write: two would be two packets.
            Sent::Bytes(bytes) => whole.extend_from_slice(bytes),
            Sent::Sized(size, from) => {
                self.stream.write_all(&whole)?;
                return self.send_sized(size, from);
            }
            Sent::Pieces(from) => {
                self.stream.write_all(&whole)?;
                return self.send_pieces(from);
            }
        }
        Ok(self.stream.write_all(&whole)?)
    }

    fn send_sized(&mut self, size: u64, from: &mut dyn Read) -> Result<(), Trouble> {
        let mut buffer = vec![0; PIECE];
        let mut left = size;
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = read(from, &mut buffer[..most])?;
            if count == 0 {
                return Err(Trouble::source(&io::Error::other("it became shorter meanwhile")));
            }
            self.stream.write_all(&buffer[..count])?;
            left -= count as u64;
        }
        Ok(())
    }

    fn send_pieces(&mut self, from: &mut dyn Read) -> Result<(), Trouble> {
        let mut buffer = vec![0; PIECE];
        loop {
            let count = read(from, &mut buffer)?;
            let mut piece = format!("{count:x}\r\n").into_bytes();
            piece.extend_from_slice(&buffer[..count]);
            piece.extend_from_slice(b"\r\n");
            self.stream.write_all(&piece)?;
            if count == 0 {
                return Ok(());
            }
        }
    }

    fn answer(&mut self, method: &str) -> Result<Answer, Failure> {
        loop {
            let (length, head) = self.head()?;
            self.early.drain(..length);
            // 100 Continue and the like come before the answer.
            if (100..200).contains(&head.status) && head.status != 101 {
                continue;
            }
            let ends = match (method, head.status) {
                ("HEAD", _) | (_, 204 | 304 | 101) => Ends::Now,
                _ if head.is_chunked => Ends::Pieces(0),
                _ => head.length.map_or(Ends::WithConnection, Ends::After),
            };
            let (status, length) = (head.status, head.length);
            self.is_reusable = !head.closes && ends != Ends::WithConnection;
            return Ok(Answer { status, length, ends });
        }
    }

    fn head(&mut self) -> Result<(usize, Head), Failure> {
        loop {
            if let Some(found) = Head::parse(&self.early).ok_or_else(|| foreign(0))? {
                return Ok(found);
            }
            if self.early.len() > HEAD {
                return Err(foreign(0));
            }
            let mut piece = [0; 8 << 10];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(broken(&io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => self.early.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error)),
            }
        }
    }

    /// The whole body of an answer, which must not be larger than `most`.
    ///
    /// # Errors
    /// When it is, or the connection breaks.
    pub(crate) fn whole(&mut self, answer: Answer, most: u64) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        let mut ends = answer.ends;
        let mut buffer = vec![0; PIECE];
        loop {
            let count = self.read_body(&mut ends, &mut buffer);
            match count.map_err(|error| broken(&error))? {
                0 => return Ok(all),
                count => all.extend_from_slice(&buffer[..count]),
            }
            if all.len() as u64 > most {
                self.is_reusable = false;
                return Err(foreign(answer.status));
            }
        }
    }

    /// What comes next, whether it was read before or not.
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.early.is_empty() {
            return self.stream.read(buffer);
        }
        let count = self.early.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.early[..count]);
        self.early.drain(..count);
        Ok(count)
    }

    /// A line, with its end.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            if line.len() > LINE {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.early.is_empty() {
                let mut more = vec![0; PIECE];
                let count = self.stream.read(&mut more)?;
                more.truncate(count);
                self.early = more;
            }
            if self.read_some(&mut byte)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            line.push(byte[0]);
        }
        Ok(line)
    }

    /// The line that begins a piece: how long it is.
    fn size_line(&mut self) -> io::Result<u64> {
        let line = self.line()?;
        let text = std::str::from_utf8(&line).unwrap_or_default();
        let digits = text.split(';').next().unwrap_or_default().trim();
        u64::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Reads more of a body.
    fn read_body(&mut self, ends: &mut Ends, buffer: &mut [u8]) -> io::Result<usize> {
        if let Ends::Pieces(0) = ends {
            let size = self.size_line()?;
            *ends = Ends::Pieces(size);
            if size == 0 {
                // Headers may follow the last piece; none of them is wanted.
                let mut lines = 0;
                while self.line()? != b"\r\n" {
                    lines += 1;
                    if lines > HEADERS {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                }
                *ends = Ends::Now;
            }
        }
        let most = match *ends {
            Ends::Now | Ends::After(0) => return Ok(0),
            Ends::After(left) | Ends::Pieces(left) => left,
            Ends::WithConnection => u64::MAX,
        };
        let most = buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        let count = self.read_some(&mut buffer[..most])?;
        if count == 0 && most > 0 && *ends != Ends::WithConnection {
            self.is_reusable = false;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match ends {
            Ends::After(left) => *left -= count as u64,
            Ends::Pieces(left) => {
                *left -= count as u64;
                if *left == 0 {
                    self.end_of_piece()?;
                }
            }
            _ => {}
        }
        Ok(count)
    }

    fn end_of_piece(&mut self) -> io::Result<()> {
        let mut end = [0; 2];
        let mut filled = 0;
        while filled < 2 {
            match self.read_some(&mut end[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        match end == *b"\r\n" {
            true => Ok(()),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Body {
    pub(crate) fn new(connection: Connection, answer: &Answer) -> Self {
        Self { ends: answer.ends, connection }
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.connection.read_body(&mut self.ends, buffer)
    }
}

/// Why a body was not sent.
enum Trouble {
    Source(Box<Failure>),
    Socket(io::Error),
}

impl Trouble {
    fn source(error: &io::Error) -> Self {
        let message = format!("what is sent cannot be read: {error}");
        Self::Source(Box::new(Failure::new(capsule_spec::ErrorCode::FileNotFound, message)))
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

fn read(from: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, Trouble> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map_err(|error| Trouble::source(&error)),
        }
    }
}

/// What the head of an answer says.
#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
}

impl Head {
    /// The outer none: it is no head. The inner: it is not whole yet.
    fn parse(bytes: &[u8]) -> Option<Option<(usize, Self)>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(bytes).ok()? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Some(None),
        };
        let values = |name: &str| {
            let found = response.headers.iter().filter(|one| one.name.eq_ignore_ascii_case(name));
            found
                .map(|one| String::from_utf8_lossy(one.value).trim().to_ascii_lowercase())
                .collect::<Vec<_>>()
        };
        let lengths = values("content-length");
        let size = match &lengths[..] {
            [] => None,
            [one] => Some(one.parse().ok()?),
            // Two lengths are two answers to those who disagree.
            _ => return None,
        };
        Some(Some((
            length,
            Self {
                status: response.code?,
                length: size,
                is_chunked: values("transfer-encoding").iter().any(|one| one == "chunked"),
                closes: response.version == Some(0)
                    || values("connection").iter().any(|one| one == "close"),
            },
        )))
    }
}
