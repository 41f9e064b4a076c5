//! The head of an HTTP/1 message: a start line and fields, up to the empty line.
//! Strict on purpose: the door and the origin must read the same message, so
//! whatever two parsers could read in two ways is refused, not repaired.
//! Knows nothing of what the fields mean, apart from framing.

use std::fmt;

use super::body::Framing;

/// Why a head is refused. The texts go to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    BareLineEnd,
    ControlByte,
    FoldedField,
    FieldName,
    StartLine,
    Version,
    Length,
    Encoding,
    LengthAndEncoding,
    TwoHosts,
    NotAbsolute,
    Scheme,
    Host,
    Port,
    UserInfo,
    Fragment,
    TunnelBody,
}

impl fmt::Display for HeadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::BareLineEnd => "a line does not end in CR LF",
            Self::ControlByte => "a control byte in the head",
            Self::FoldedField => "a folded field",
            Self::FieldName => "a bad field name",
            Self::StartLine => "a bad start line",
            Self::Version => "only HTTP/1.0 and HTTP/1.1 are spoken here",
            Self::Length => "a bad or repeated Content-Length",
            Self::Encoding => "a Transfer-Encoding other than chunked",
            Self::LengthAndEncoding => "both Content-Length and Transfer-Encoding",
            Self::TwoHosts => "more than one Host",
            Self::NotAbsolute => "this is a proxy; hint: GET http://host/path, or CONNECT host:443",
            Self::Scheme => {
                "only http:// is fetched here; hint: CONNECT host:443 for anything else"
            }
            Self::Host => {
                "the host is neither a name nor a plain address; \
                 hint: addresses as 10.1.2.3 or [fd00::1]"
            }
            Self::Port => "a bad port",
            Self::UserInfo => "a user name in the address; hint: send an Authorization field",
            Self::Fragment => "a fragment in the address",
            Self::TunnelBody => "a CONNECT with a body",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http10,
    Http11,
}

impl Version {
    pub(super) fn parse(text: &[u8]) -> Result<Self, HeadError> {
        match text {
            b"HTTP/1.1" => Ok(Self::Http11),
            b"HTTP/1.0" => Ok(Self::Http10),
            _ => Err(HeadError::Version),
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

pub(super) struct Head<'a> {
    pub start: &'a [u8],
    pub fields: Vec<Field<'a>>,
}

#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub name: &'a str,
    pub value: &'a [u8],
}

/// Where the head ends, if `bytes` hold its end. Bytes before `seen` were looked
/// at by an earlier call: a head that trickles in must not cost its square.
pub(super) fn find_end(bytes: &[u8], seen: usize) -> Result<Option<usize>, HeadError> {
    for at in seen..bytes.len() {
        if bytes[at] != b'\n' {
            continue;
        }
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(HeadError::BareLineEnd);
        }
        if at == 1 || bytes[..=at].ends_with(b"\r\n\r\n") {
            return Ok(Some(at + 1));
        }
    }
    Ok(None)
}

impl<'a> Head<'a> {
    /// Reads a whole head, the empty line at its end included.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, HeadError> {
        let lines = bytes.strip_suffix(b"\r\n\r\n").ok_or(HeadError::StartLine)?;
        let mut lines = split_lines(lines)?.into_iter();
        let start = lines.next().ok_or(HeadError::StartLine)?;
        let fields = lines.map(Field::parse).collect::<Result<_, _>>()?;
        Ok(Self { start, fields })
    }

    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// Whether a list field, such as Connection, holds this token.
    pub(super) fn lists(&self, field: &str, token: &str) -> bool {
        self.values(field)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// How long the body says it is. One plain length, or chunked alone, or
    /// nothing; equal lengths said twice are refused as well (RFC 9112, 6.3).
    pub(super) fn framing(&self, version: Version) -> Result<Option<Framing>, HeadError> {
        let mut lengths = self.values("content-length");
        let mut encodings = self.values("transfer-encoding");
        match (lengths.next(), encodings.next()) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(HeadError::LengthAndEncoding),
            (Some(length), None) => {
                let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
                if !digits || lengths.next().is_some() {
                    return Err(HeadError::Length);
                }
                let length = str::from_utf8(length).ok().and_then(|text| text.parse().ok());
                length.map(|bytes| Some(Framing::Length(bytes))).ok_or(HeadError::Length)
            }
            (None, Some(encoding)) => {
                let chunked = encoding.eq_ignore_ascii_case(b"chunked");
                if !chunked || encodings.next().is_some() || version == Version::Http10 {
                    return Err(HeadError::Encoding);
                }
                Ok(Some(Framing::Chunked))
            }
        }
    }

    /// Writes the fields that belong to the message itself, then the framing that
    /// was read from it. What belongs to the connection stays behind: the fixed
    /// list, and whatever Connection names (RFC 9110, 7.6.1). Framing and Host are
    /// written afresh, so naming those in Connection removes nothing.
    pub(super) fn write_fields(&self, framing: Option<Framing>, out: &mut Vec<u8>) {
        const OF_THE_CONNECTION: [&str; 11] = [
            "connection",
            "proxy-connection",
            "keep-alive",
            "te",
            "upgrade",
            "host",
            "proxy-authorization",
            "proxy-authenticate",
            "transfer-encoding",
            "content-length",
            "http2-settings",
        ];
        for field in &self.fields {
            let fixed = OF_THE_CONNECTION.iter().any(|name| field.name.eq_ignore_ascii_case(name));
            if fixed || self.lists("connection", field.name) {
                continue;
            }
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(field.value);
            out.extend_from_slice(b"\r\n");
        }
        match framing {
            Some(Framing::Length(bytes)) => {
                out.extend_from_slice(format!("Content-Length: {bytes}\r\n").as_bytes());
            }
            Some(Framing::Chunked) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Some(Framing::UntilClose) | None => {}
        }
    }
}

fn split_lines(bytes: &[u8]) -> Result<Vec<&[u8]>, HeadError> {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let last = lines.len().saturating_sub(1);
    for (index, line) in lines.iter_mut().enumerate() {
        if index < last {
            *line = line.strip_suffix(b"\r").ok_or(HeadError::BareLineEnd)?;
        }
        if line.contains(&b'\r') {
            return Err(HeadError::BareLineEnd);
        }
        if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(HeadError::ControlByte);
        }
    }
    Ok(lines)
}

impl<'a> Field<'a> {
    fn parse(line: &'a [u8]) -> Result<Self, HeadError> {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err(HeadError::FoldedField);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(HeadError::FieldName)?;
        let name = &line[..colon];
        if !is_token(name) {
            return Err(HeadError::FieldName);
        }
        let name = str::from_utf8(name).map_err(|_| HeadError::FieldName)?;
        let value = line[colon + 1..].trim_ascii();
        Ok(Self { name, value })
    }
}

/// A token of RFC 9110, 5.6.2: what methods and field names are made of.
pub(super) fn is_token(text: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_letter)
}
