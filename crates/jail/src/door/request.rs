//! What the guest asks for: a page (absolute-form) or a tunnel (CONNECT), and
//! the request as the origin will see it. Knows nothing of rules or sockets.

use std::fmt;

use capsule_backend::address::Host;
use capsule_spec::host_rule::canonical_port;

use super::body::Framing;
use super::head::{Head, HeadError, Version, is_token};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    pub host: Host,
    pub port: u16,
}

#[derive(Debug)]
pub(super) struct Request {
    pub method: String,
    pub version: Version,
    pub authority: Authority,
    pub kind: Kind,
    /// Whether the guest means to send another request on this connection.
    pub keeps_connection: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    Tunnel,
    /// `head` is for the origin, rewritten and complete.
    Page {
        head: Vec<u8>,
        framing: Option<Framing>,
    },
}

impl Request {
    /// Reads a whole head.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, HeadError> {
        let head = Head::parse(bytes)?;
        let mut words = head.start.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(HeadError::StartLine);
        };
        if !is_token(method) || target.is_empty() || target.contains(&b'\t') {
            return Err(HeadError::StartLine);
        }
        let method = str::from_utf8(method).map_err(|_| HeadError::StartLine)?.to_owned();
        let version = Version::parse(version)?;
        if head.values("host").count() > 1 {
            return Err(HeadError::TwoHosts);
        }
        let framing = head.framing(version)?;
        let closes = head.lists("connection", "close") || head.lists("proxy-connection", "close");
        let keeps_connection = version == Version::Http11 && !closes;

        let (authority, kind) = if method == "CONNECT" {
            if !matches!(framing, None | Some(Framing::Length(0))) {
                return Err(HeadError::TunnelBody);
            }
            (Authority::parse(target, None)?, Kind::Tunnel)
        } else {
            let (authority, path) = split_target(target)?;
            let authority = Authority::parse(authority, Some(80))?;
            let path: &[u8] = match path {
                b"" if method == "OPTIONS" => b"*",
                b"" => b"/",
                path => path,
            };
            let head = head_for_origin(&method, &authority, path, version, &head, framing);
            (authority, Kind::Page { head, framing })
        };
        Ok(Self { method, version, authority, kind, keeps_connection })
    }

    /// Whether sending it twice does no harm (RFC 9110, 9.2.1), so that it may go
    /// out on a used connection which the origin may be closing at this moment.
    pub(super) fn is_repeatable(&self) -> bool {
        let has_body = matches!(&self.kind, Kind::Page { framing: Some(framing), .. }
            if *framing != Framing::Length(0));
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
            && !has_body
            && self.version == Version::Http11
    }
}

/// Cuts `http://authority/path?query` in two. A path with a query and no slash,
/// `http://host?x`, is refused: the two readings of it differ in the host.
fn split_target(target: &[u8]) -> Result<(&[u8], &[u8]), HeadError> {
    if target.contains(&b'#') {
        return Err(HeadError::Fragment);
    }
    let scheme = target.split(|byte| *byte == b':').next().unwrap_or_default();
    let after = &target[scheme.len()..];
    let Some(rest) = after.strip_prefix(b"://") else {
        return Err(HeadError::NotAbsolute);
    };
    if !scheme.eq_ignore_ascii_case(b"http") {
        return Err(HeadError::Scheme);
    }
    let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    Ok(rest.split_at(end))
}

/// Host comes from the address that was checked, whatever the guest's own Host
/// field says; otherwise an allowed server could be asked for another's pages.
/// There is no Via: it would tell origins of the sandbox, and makes some of them
/// stop compressing.
fn head_for_origin(
    method: &str,
    authority: &Authority,
    path: &[u8],
    version: Version,
    head: &Head<'_>,
    framing: Option<Framing>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(path);
    out.extend_from_slice(format!(" {}\r\n", version.as_str()).as_bytes());
    let host = match authority.port {
        80 => authority.host.to_string(),
        _ => authority.to_string(),
    };
    out.extend_from_slice(format!("Host: {host}\r\n").as_bytes());
    head.write_fields(framing, &mut out);
    out.extend_from_slice(b"\r\n");
    out
}

impl Authority {
    /// Reads `host[:port]`; without a default, the port must be there.
    pub(super) fn parse(text: &[u8], default_port: Option<u16>) -> Result<Self, HeadError> {
        let text = str::from_utf8(text).map_err(|_| HeadError::Host)?;
        if text.contains('@') {
            return Err(HeadError::UserInfo);
        }
        let end_of_host = text.rfind(']').map_or(0, |bracket| bracket + 1);
        let colon = text[end_of_host..].find(':').map(|at| at + end_of_host);
        let (host, port) = match (colon, default_port) {
            (Some(colon), _) => {
                let port = canonical_port(&text[colon + 1..]).map_err(|_| HeadError::Port)?;
                (&text[..colon], port.get())
            }
            (None, Some(port)) => (text, port),
            (None, None) => return Err(HeadError::Port),
        };
        let host = Host::parse(host).ok_or(HeadError::Host)?;
        Ok(Self { host, port })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.host, self.port)
    }
}
