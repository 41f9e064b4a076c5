//! Guards tunnels against domain fronting: if the guest opens with a TLS
//! ClientHello, the server name in it must be one that it may talk to. Bytes that
//! are not TLS pass at once, on every port. What is said inside the encryption
//! (the HTTP Host, a name hidden by ECH) cannot be seen, and is not promised.

use std::time::{Duration, Instant};

use super::relay::{Fault, Filter};

/// A ClientHello longer than this is refused; common ones have 200 to 2000 bytes.
const HELLO_BYTES: usize = 16 * 1024;

const RECORD_IS_HANDSHAKE: u8 = 0x16;
const HANDSHAKE_IS_CLIENT_HELLO: u8 = 1;
const EXTENSION_IS_SERVER_NAME: usize = 0;
const NAME_IS_HOST: u8 = 0;

/// The alert `unrecognized_name`, fatal (RFC 6066): what the guest's TLS library
/// shows in place of a connection that breaks without a word.
pub(super) const ALERT: [u8; 7] = [0x15, 3, 1, 0, 2, 2, 112];

/// Holds back the guest's first bytes until the server name is judged.
pub(super) struct HelloGate<'a> {
    may_name: &'a dyn Fn(&str) -> bool,
    patience: Duration,
    held: Vec<u8>,
    deadline: Option<Instant>,
    is_open: bool,
    is_over: bool,
}

impl<'a> HelloGate<'a> {
    /// A hello that has started must be complete after `patience`.
    pub(super) fn new(may_name: &'a dyn Fn(&str) -> bool, patience: Duration) -> Self {
        Self {
            may_name,
            patience,
            held: Vec::new(),
            deadline: None,
            is_open: false,
            is_over: false,
        }
    }
}

impl Filter for HelloGate<'_> {
    fn pass(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        if self.is_open {
            out.extend_from_slice(input);
            return Ok(input.len());
        }
        self.held.extend_from_slice(input);
        self.is_open = match read_hello(&self.held) {
            Hello::NotTls => true,
            Hello::Named(None) => true,
            Hello::Named(Some(name)) if (self.may_name)(&name) => true,
            Hello::Named(Some(_)) | Hello::Malformed => return Err(Fault::ServerName),
            Hello::Incomplete if self.held.len() > HELLO_BYTES => return Err(Fault::ServerName),
            Hello::Incomplete => false,
        };
        if self.is_open {
            out.append(&mut self.held);
            self.deadline = None;
        } else if self.deadline.is_none() && !self.held.is_empty() {
            self.deadline = Some(Instant::now() + self.patience);
        }
        Ok(input.len())
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn source_ended(&mut self) -> Result<(), Fault> {
        self.is_over = true;
        if self.held.is_empty() { Ok(()) } else { Err(Fault::ServerName) }
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Hello {
    NotTls,
    Incomplete,
    /// Starts as a ClientHello and breaks its own lengths. Refused, since a server
    /// that reads it more kindly than we do might find a name in it.
    Malformed,
    Named(Option<String>),
}

fn read_hello(bytes: &[u8]) -> Hello {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        // TLS records: type, version (major always 3), length, then a piece of
        // the message, which may be cut anywhere.
        match rest {
            [kind, ..] if *kind != RECORD_IS_HANDSHAKE => {
                return if message.is_empty() { Hello::NotTls } else { Hello::Malformed };
            }
            [_, major, ..] if *major != 3 => {
                return if message.is_empty() { Hello::NotTls } else { Hello::Malformed };
            }
            [_, _, _, high, low, tail @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if length == 0 {
                    return Hello::Malformed;
                }
                message.extend_from_slice(&tail[..length.min(tail.len())]);
                rest = &tail[length.min(tail.len())..];
            }
            _ => return Hello::Incomplete,
        }
        match message[..] {
            [kind, ..] if kind != HANDSHAKE_IS_CLIENT_HELLO => return Hello::Malformed,
            [_, a, b, c, ref body @ ..] => {
                let length = u32::from_be_bytes([0, a, b, c]) as usize;
                if length > HELLO_BYTES {
                    return Hello::Malformed;
                }
                if body.len() >= length {
                    return server_name(&body[..length]).map_or(Hello::Malformed, Hello::Named);
                }
            }
            _ => {}
        }
    }
}

/// The outer `None` means that the lengths do not fit. The last extension is read
/// as well, and a second name refused: which of two a server takes is unknown.
fn server_name(hello: &[u8]) -> Option<Option<String>> {
    let mut cursor = Cursor(hello);
    cursor.take(2 + 32)?; // version, random
    cursor.vector(1)?; // session id
    cursor.vector(2)?; // cipher suites
    cursor.vector(1)?; // compression methods
    if cursor.0.is_empty() {
        return Some(None);
    }
    let mut extensions = Cursor(cursor.vector(2)?);
    let mut name = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let mut data = Cursor(extensions.vector(2)?);
        if kind != EXTENSION_IS_SERVER_NAME {
            continue;
        }
        let mut list = Cursor(data.vector(2)?);
        let is_host = list.take(1)? == [NAME_IS_HOST];
        let text = str::from_utf8(list.vector(2)?).ok()?;
        if !is_host || !list.0.is_empty() || !data.0.is_empty() || name.is_some() {
            return None;
        }
        name = Some(text.to_owned());
    }
    cursor.0.is_empty().then_some(name)
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    /// What stands behind its own length of `bytes` bytes.
    fn vector(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(bytes)?;
        self.take(length)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A ClientHello with these server names, in records of at most `piece` bytes.
    pub(in super::super) fn hello(names: &[&str], piece: usize) -> Vec<u8> {
        let sized =
            |bytes: usize, data: &[u8]| [&data.len().to_be_bytes()[8 - bytes..], data].concat();
        let mut extensions = vec![0, 23, 0, 0];
        for name in names {
            let list = sized(2, &[&[NAME_IS_HOST][..], &sized(2, name.as_bytes())].concat());
            extensions.extend([&[0, 0][..], &sized(2, &list)].concat());
        }
        let body = [
            &[3, 3][..],
            &[7; 32],
            &sized(1, &[9; 32]),
            &sized(2, &[0x13, 1]),
            &sized(1, &[0]),
            &sized(2, &extensions),
        ]
        .concat();
        let message = [&[1][..], &sized(3, &body)].concat();
        message
            .chunks(piece)
            .flat_map(|piece| [&[0x16, 3, 1][..], &sized(2, piece)].concat())
            .collect()
    }

    #[test]
    fn the_name_is_found_however_the_hello_is_cut() {
        for piece in [1, 3, 4, 50, 4000] {
            let bytes = hello(&["example.org"], piece);
            assert_eq!(read_hello(&bytes), Hello::Named(Some("example.org".to_owned())));
            for cut in 0..bytes.len() {
                assert_eq!(read_hello(&bytes[..cut]), Hello::Incomplete, "{piece} {cut}");
            }
        }
    }

    #[test]
    fn no_name_two_names_and_no_tls() {
        assert_eq!(read_hello(&hello(&[], 4000)), Hello::Named(None));
        assert_eq!(read_hello(&hello(&["a.org", "b.org"], 4000)), Hello::Malformed);
        assert_eq!(read_hello(b"SSH-2.0-x\r\n"), Hello::NotTls);
        assert_eq!(read_hello(b"\x16\x02"), Hello::NotTls);
        assert_eq!(read_hello(b"\x16\x03\x01\x00\x00"), Hello::Malformed);
        assert_eq!(read_hello(b"\x16\x03\x01\x00\x01\x02"), Hello::Malformed);
    }

    proptest! {
        #[test]
        fn no_hello_panics(at in 0usize..200, byte: u8, tail in proptest::collection::vec(any::<u8>(), 0..50)) {
            let mut bytes = hello(&["example.org"], 60);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = read_hello(&bytes);
            bytes.truncate(at);
            bytes.extend(tail);
            let _ = read_hello(&bytes);
        }
    }
}
