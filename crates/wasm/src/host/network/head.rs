//! The head of an HTTP/1 message, and how long its body is. Strict: a head that two
//! readers could take in two ways is not taken at all, because one of them is the server.

use capsule_backend::address::Host;
use capsule_spec::host_rule::canonical_port;

use super::log::escaped;

/// A head that is longer is not read.
pub(super) const HEAD_BYTES: usize = 64 * 1024;
/// A first line that is longer is not looked at again and again.
pub(super) const FIRST_LINE_BYTES: usize = 16 * 1024;
/// A line of a chunked body that tells a size.
const SIZE_LINE_BYTES: usize = 4 * 1024;

/// What a request says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestHead {
    pub(super) method: String,
    pub(super) target: String,
    /// Whom it is for, by its target and by its Host field.
    pub(super) hosts: Vec<(Host, Option<u16>)>,
    pub(super) framing: Framing,
    pub(super) upgrades: bool,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// Why a head is not taken; words for the guest.
pub(super) type Doubt = &'static str;

struct Field<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

/// Where the head ends, empty line included. `seen` bytes were looked at before.
pub(super) fn end_of(bytes: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(3);
    bytes[from..].windows(4).position(|four| four == b"\r\n\r\n").map(|at| from + at + 4)
}

impl RequestHead {
    /// Reads a whole head.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Doubt> {
        let mut rest = bytes;
        while let Some(after) = rest.strip_prefix(b"\r\n") {
            rest = after;
        }
        let (start, fields) = split(rest)?;
        let mut words = start.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("its first line is not METHOD TARGET VERSION");
        };
        let is_http_10 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return Err("only HTTP/1.0 and HTTP/1.1 are let out"),
        };
        if !is_token(method) || target.is_empty() || target.contains(&b'\t') {
            return Err("its first line is not METHOD TARGET VERSION");
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // A method is a token; of a target, bytes outside ASCII are no part of its host.
        let (method, target) = (text(method), escaped(target));
        let mut hosts = Vec::new();
        if let Some(host) = host_of_target(&method, &target)? {
            hosts.push(host);
        }
        let mut named = values(&fields, "host");
        if let Some(value) = named.next().filter(|value| !value.is_empty()) {
            hosts.push(authority(&text(value))?);
        }
        if named.next().is_some() {
            return Err("it has two Host fields");
        }
        let framing = framing(&fields, is_http_10)?.unwrap_or(Framing::Length(0));
        if lists(&fields, "upgrade", "h2c") || lists(&fields, "connection", "http2-settings") {
            return Err("HTTP/2 is not let out without TLS");
        }
        let upgrades = values(&fields, "upgrade").next().is_some();
        Ok(Self { method, target, hosts, framing, upgrades })
    }
}

/// Status and body of a response; the request decides, too (RFC 9112, 6.3).
pub(super) fn parse_response(bytes: &[u8], is_head: bool) -> Result<(u16, Framing), Doubt> {
    let (start, fields) = split(bytes)?;
    let is_known = start.starts_with(b"HTTP/1.0 ") || start.starts_with(b"HTTP/1.1 ");
    let digits = start.get(9..12).filter(|_| is_known).ok_or("no status line")?;
    let ends = start.get(12).is_none_or(|byte| *byte == b' ');
    if !digits.iter().all(u8::is_ascii_digit) || !ends {
        return Err("no status line");
    }
    let status = digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    if is_head || status < 200 || status == 204 || status == 304 {
        return Ok((status, Framing::Length(0)));
    }
    let framing = framing(&fields, start[7] == b'0')?.unwrap_or(Framing::UntilClose);
    Ok((status, framing))
}

/// The host that a target names, if it is not a mere path.
fn host_of_target(method: &str, target: &str) -> Result<Option<(Host, Option<u16>)>, Doubt> {
    if method == "CONNECT" {
        let (host, port) = authority(target)?;
        return match port {
            Some(_) => Ok(Some((host, port))),
            None => Err("its target has no port"),
        };
    }
    if target.starts_with('/') || target == "*" {
        return Ok(None);
    }
    let Some((scheme, rest)) = target.split_once("://") else {
        return Err("its target is neither a path nor a URL");
    };
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if scheme.is_empty() || !scheme.bytes().all(is_scheme) {
        return Err("its target is neither a path nor a URL");
    }
    // A query without a path, or a backslash: the two readings differ in the host.
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    if rest[end..].starts_with(['?', '#', '\\']) {
        return Err("the host of its target cannot be told for certain");
    }
    authority(&rest[..end]).map(Some)
}

fn authority(text: &str) -> Result<(Host, Option<u16>), Doubt> {
    const DOUBT: Doubt = "its host is not a plain name or address";
    let end_of_host = text.rfind(']').map_or(0, |bracket| bracket + 1);
    let colon = text[end_of_host..].find(':').map(|at| at + end_of_host);
    let (host, port) = match colon {
        // `example.org:` is what RFC 3986 allows for the default port.
        Some(colon) if colon + 1 == text.len() => (&text[..colon], None),
        Some(colon) => {
            let port = canonical_port(&text[colon + 1..]).map_err(|_| DOUBT)?;
            (&text[..colon], Some(port.get()))
        }
        None => (text, None),
    };
    Ok((Host::parse(host).ok_or(DOUBT)?, port))
}

fn split(bytes: &[u8]) -> Result<(&[u8], Vec<Field<'_>>), Doubt> {
    let lines = bytes.strip_suffix(b"\r\n\r\n").ok_or("it does not end")?;
    let mut start = None;
    let mut fields = Vec::new();
    let mut rest = lines.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = rest.next() {
        let line = match rest.peek() {
            Some(_) => line.strip_suffix(b"\r").ok_or("a line ends without a carriage return")?,
            None => line,
        };
        if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err("it has a control character");
        }
        match start {
            None => start = Some(line),
            Some(_) => fields.push(field(line)?),
        }
    }
    Ok((start.unwrap_or_default(), fields))
}

fn field(line: &[u8]) -> Result<Field<'_>, Doubt> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err("a field goes on in a second line");
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or("a field has no colon")?;
    let name = &line[..colon];
    if !is_token(name) {
        return Err("a field's name has characters that names do not have");
    }
    Ok(Field { name, value: line[colon + 1..].trim_ascii() })
}

fn values<'a>(fields: &'a [Field<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let named = move |field: &&Field<'_>| field.name.eq_ignore_ascii_case(name.as_bytes());
    fields.iter().filter(named).map(|field| field.value)
}

fn lists(fields: &[Field<'_>], name: &str, token: &str) -> bool {
    values(fields, name)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// One plain length, or chunked alone, or nothing.
fn framing(fields: &[Field<'_>], is_http_10: bool) -> Result<Option<Framing>, Doubt> {
    const DOUBT: Doubt = "how long its body is cannot be told for certain";
    let mut lengths = values(fields, "content-length");
    let mut encodings = values(fields, "transfer-encoding");
    match (lengths.next(), encodings.next()) {
        (None, None) => Ok(None),
        (Some(length), None) if lengths.next().is_none() => {
            let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let number = str::from_utf8(length).ok().filter(|_| digits);
            let number = number.and_then(|text| text.parse().ok()).ok_or(DOUBT)?;
            Ok(Some(Framing::Length(number)))
        }
        (None, Some(encoding)) if encodings.next().is_none() => {
            let is_chunked = encoding.eq_ignore_ascii_case(b"chunked") && !is_http_10;
            is_chunked.then_some(Some(Framing::Chunked)).ok_or(DOUBT)
        }
        _ => Err(DOUBT),
    }
}

/// A token of RFC 9110, 5.6.2: what methods and field names are made of.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_byte)
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Follows a body to its end.
#[derive(Debug)]
pub(super) enum Body {
    Left(u64),
    Size(Vec<u8>),
    Data(u64),
    /// The line end after a chunk; so many of its bytes were seen.
    After(usize),
    /// Lines after the last chunk; the empty one ends it.
    Trailer {
        line: usize,
        all: usize,
        last: u8,
    },
    UntilClose,
}

impl Body {
    pub(super) fn of(framing: Framing) -> Self {
        match framing {
            Framing::Length(bytes) => Self::Left(bytes),
            Framing::Chunked => Self::Size(Vec::new()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// How many of `bytes` belong to the body, and whether it ends with them.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Result<(usize, bool), Doubt> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            match self {
                Self::Left(0) => return Ok((at, true)),
                _ if rest.is_empty() => return Ok((at, false)),
                Self::UntilClose => return Ok((bytes.len(), false)),
                Self::Left(left) => {
                    let taken = shorter(rest.len(), *left);
                    *left -= taken as u64;
                    at += taken;
                }
                Self::Data(0) => *self = Self::After(0),
                Self::Data(left) => {
                    let taken = shorter(rest.len(), *left);
                    *left -= taken as u64;
                    at += taken;
                }
                Self::After(seen) => {
                    if rest[0] != b"\r\n"[*seen] {
                        return Err("a chunk of its body is longer than it says");
                    }
                    at += 1;
                    *self = if *seen == 1 { Self::Size(Vec::new()) } else { Self::After(1) };
                }
                Self::Size(line) => {
                    line.push(rest[0]);
                    at += 1;
                    if rest[0] == b'\n' {
                        *self = match chunk_size(line)? {
                            0 => Self::Trailer { line: 0, all: 0, last: 0 },
                            size => Self::Data(size),
                        };
                    } else if line.len() > SIZE_LINE_BYTES {
                        return Err("the size of a chunk is too long a line");
                    }
                }
                Self::Trailer { line, all, last } => {
                    let byte = rest[0];
                    at += 1;
                    *all += 1;
                    if *all > HEAD_BYTES || (byte == b'\n') != (*last == b'\r') {
                        return Err("its trailer is not one");
                    }
                    if byte == b'\n' && *line == 1 {
                        *self = Self::Left(0);
                        continue;
                    }
                    *line = if byte == b'\n' { 0 } else { *line + 1 };
                    *last = byte;
                }
            }
        }
    }
}

fn shorter(bytes: usize, left: u64) -> usize {
    usize::try_from(left).map_or(bytes, |left| bytes.min(left))
}

/// The size on a line such as `1a;name=value\r\n`.
fn chunk_size(line: &[u8]) -> Result<u64, Doubt> {
    const DOUBT: Doubt = "the size of a chunk is not a number";
    let text = line.strip_suffix(b"\r\n").ok_or(DOUBT)?;
    let digits = text.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let clean = text.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t');
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) || !clean
    {
        return Err(DOUBT);
    }
    let digits = str::from_utf8(digits).map_err(|_| DOUBT)?;
    u64::from_str_radix(digits, 16).map_err(|_| DOUBT)
}
