//! What comes back on a connection: only to tell the status of each request, and to
//! know when a connection turns into something else. Never in the way of the bytes.

use capsule_backend::address::Host;

use super::head::{Body, Framing, HEAD_BYTES, end_of, parse_response};
use super::log::Entry;

/// A request whose response has not come.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) entry: Option<Entry>,
    pub(super) is_head: bool,
    pub(super) turns: Turns,
}

/// What the connection becomes if the server agrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turns {
    Never,
    /// By status 101.
    Upgrade,
    /// By a status of 2xx to CONNECT: then it leads there.
    Tunnel {
        host: Host,
        port: u16,
    },
}

/// Reads responses; it gives up where it does not understand them.
#[derive(Debug)]
pub(super) enum Responses {
    Head(Vec<u8>),
    Body(Body),
    Lost,
}

/// What a head said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The status of the oldest awaited request.
    Final(u16),
    /// The connection is something else from here on.
    Turned(u16),
}

impl Responses {
    pub(super) fn new() -> Self {
        Self::Head(Vec::new())
    }

    /// Follows `bytes`; `oldest` is asked for the request that is answered, and `tell`
    /// hears what came of it.
    pub(super) fn follow(
        &mut self,
        mut bytes: &[u8],
        mut oldest: impl FnMut() -> Option<(bool, Turns)>,
        mut tell: impl FnMut(Told),
    ) {
        while !bytes.is_empty() {
            match self {
                Self::Lost => return,
                Self::Body(body) => match body.follow(bytes) {
                    Ok((taken, ends)) => {
                        bytes = &bytes[taken..];
                        if ends {
                            *self = Self::new();
                        }
                    }
                    Err(_) => *self = Self::Lost,
                },
                Self::Head(head) => {
                    let seen = head.len();
                    let room = (HEAD_BYTES - seen).min(bytes.len());
                    head.extend_from_slice(&bytes[..room]);
                    let Some(end) = end_of(head, seen) else {
                        let is_http = head.starts_with(&b"HTTP/1."[..head.len().min(7)]);
                        if !is_http || head.len() == HEAD_BYTES {
                            *self = Self::Lost;
                        }
                        bytes = &bytes[room..];
                        continue;
                    };
                    bytes = &bytes[end - seen..];
                    let Some((is_head, turns)) = oldest() else {
                        *self = Self::Lost;
                        return;
                    };
                    *self = match parse_response(&head[..end], is_head) {
                        Err(_) => Self::Lost,
                        Ok((101, _)) if turns == Turns::Upgrade => {
                            tell(Told::Turned(101));
                            Self::Lost
                        }
                        Ok((100..=199, _)) => Self::new(),
                        Ok((status @ 200..=299, _)) if matches!(turns, Turns::Tunnel { .. }) => {
                            tell(Told::Turned(status));
                            Self::Lost
                        }
                        Ok((status, framing)) => {
                            tell(Told::Final(status));
                            match framing {
                                Framing::Length(0) => Self::new(),
                                framing => Self::Body(Body::of(framing)),
                            }
                        }
                    };
                }
            }
        }
    }
}
