//! Watches what one connection says, before it leaves.
//!
//! ```text
//!            ┌── head ⇄ body ──(101, or 2xx to CONNECT)──┐
//!   fresh ───┤                                           ├──▶ opaque
//!            └── not HTTP ───────────────────────────────┘
//! ```
//!
//! A head is held back until it is whole. What may yet turn out to be no head leaves
//! after a moment, because the guest may wait for an answer to it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use capsule_backend::address::Host;

use super::super::interface::bindings::capsule::guest::types::Failure;
use super::failure::failure;
use super::head::{
    Body, FIRST_LINE_BYTES, Framing, HEAD_BYTES, RequestHead, end_of, is_token_byte,
};
use super::log::{Entry, Log};
use super::policy::{Policy, not_listed};
use super::response::{Awaited, Responses, Told, Turns};

/// More requests than this without an answer are not told apart any more.
const MOST_AWAITED: usize = 1000;

pub(super) struct Watch {
    policy: Arc<Policy>,
    log: Log,
    /// Whom the connection leads to, as the guest asked for it.
    pub(super) host: Host,
    pub(super) port: u16,
    /// Whom TLS is spoken with.
    server: Option<Host>,
    says: Says,
    hears: Responses,
    awaited: VecDeque<Awaited>,
    /// The connection's own record, until a request takes its place.
    entry: Option<Entry>,
    is_refused: bool,
}

enum Says {
    /// Of `bytes`, so many have left. `is_http` once that is certain.
    Head {
        bytes: Vec<u8>,
        left: usize,
        is_first: bool,
        is_http: bool,
    },
    Body(Body),
    Opaque,
}

/// What the first bytes of a message are.
#[derive(Debug, PartialEq, Eq)]
enum Nature {
    Undecided,
    Http,
    Opaque,
    OwnTls,
    /// Looks like HTTP to some, and not to others.
    Odd,
}

impl Watch {
    pub(super) fn new(
        policy: Arc<Policy>,
        log: Log,
        host: Host,
        port: u16,
        entry: Option<Entry>,
    ) -> Self {
        Self {
            policy,
            log,
            host,
            port,
            server: None,
            says: Says::fresh(),
            hears: Responses::new(),
            awaited: VecDeque::new(),
            entry,
            is_refused: false,
        }
    }

    /// Whether TLS may be spoken with this name.
    pub(super) fn may_secure(&self, name: &Host) -> Result<(), Failure> {
        if *name == self.host || self.policy.names(name, self.port) {
            Ok(())
        } else {
            self.log.connect(&name.to_string(), self.port, false);
            Err(not_listed(name, self.port))
        }
    }

    /// From here on everything is inside TLS.
    pub(super) fn secured(&mut self, name: Host) {
        self.server = Some(name);
        self.says = Says::fresh();
        self.hears = Responses::new();
        self.awaited.clear();
    }

    /// What may leave now, of `bytes` and of what was held.
    ///
    /// # Errors
    /// The connection is to be given up: nothing of `bytes` may leave, nor of what is held.
    pub(super) fn say(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let said = self.weigh(bytes);
        if said.is_err() && !self.is_refused {
            self.refused();
        }
        said
    }

    fn weigh(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
        if matches!(self.says, Says::Opaque) {
            return Ok(bytes);
        }
        let mut out = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match &mut self.says {
                Says::Opaque => {
                    out.extend_from_slice(rest);
                    break;
                }
                Says::Body(body) => {
                    let (taken, ends) = body.follow(rest).map_err(ambiguous)?;
                    out.extend_from_slice(&rest[..taken]);
                    rest = &rest[taken..];
                    if ends {
                        self.says = Says::head(false);
                    }
                }
                Says::Head { bytes: head, .. } => {
                    let seen = head.len();
                    let room = (HEAD_BYTES - seen).min(rest.len());
                    head.extend_from_slice(&rest[..room]);
                    let taken = self.head(seen, &mut out)?;
                    rest = &rest[taken.unwrap_or(room)..];
                }
            }
        }
        Ok(out)
    }

    /// Whether something is held back that may not be HTTP.
    pub(super) fn is_holding(&self) -> bool {
        matches!(&self.says, Says::Head { bytes, left, is_http: false, .. } if bytes.len() > *left)
    }

    /// What was held back, because the guest waits for an answer to it. It stays watched.
    /// No server needs the front of a head, so once that is what it is, it stays here.
    pub(super) fn release(&mut self) -> Vec<u8> {
        if self.is_holding() { self.unsent() } else { Vec::new() }
    }

    fn unsent(&mut self) -> Vec<u8> {
        match &mut self.says {
            Says::Head { bytes, left, .. } => {
                let unsent = bytes[*left..].to_vec();
                *left = bytes.len();
                unsent
            }
            Says::Body(_) | Says::Opaque => Vec::new(),
        }
    }

    /// Hears what the other side said.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        let mut turned = None;
        let log = &self.log;
        // Both closures look at the queue, one after the other.
        let awaited = RefCell::new(&mut self.awaited);
        self.hears.follow(
            bytes,
            || awaited.borrow().front().map(|request| (request.is_head, request.turns.clone())),
            |told| {
                let (Told::Final(status) | Told::Turned(status)) = told;
                let Some(request) = awaited.borrow_mut().pop_front() else { return };
                if let Some(entry) = request.entry {
                    log.answer(entry, status);
                }
                if matches!(told, Told::Turned(_)) {
                    turned = Some(request.turns);
                }
            },
        );
        let Some(turned) = turned else { return };
        // What is still held goes the way of all that follows.
        let bytes = self.unsent();
        let mut is_watched = !bytes.is_empty();
        if let Turns::Tunnel { host, port } = turned {
            (self.host, self.port) = (host, port);
            is_watched = true;
        }
        self.says = match is_watched {
            true => Says::Head { bytes, left: 0, is_first: true, is_http: false },
            false => Says::Opaque,
        };
    }

    /// The connection, or something else than a request on it, is not allowed.
    pub(super) fn refused(&mut self) {
        self.is_refused = true;
        match self.entry.take() {
            Some(entry) => self.log.refuse(entry),
            None => {
                self.log.connect(&self.host.to_string(), self.port, false);
            }
        }
    }

    /// Looks at the head so far; how many of the new bytes belong to it, if it is whole.
    fn head(&mut self, seen: usize, out: &mut Vec<u8>) -> Result<Option<usize>, Failure> {
        let Says::Head { bytes, left, is_first, is_http } = &mut self.says else { return Ok(None) };
        let is_bare = self.server.is_none() && *is_first;
        let nature = if *is_http { Nature::Http } else { nature(bytes, is_bare) };
        match nature {
            Nature::OwnTls => {
                let message = "TLS is spoken by the host: use ssl, which goes through it";
                return Err(failure("Denied", message));
            }
            Nature::Odd => return Err(ambiguous("it begins as not every server expects it")),
            Nature::Opaque if *is_first => {
                out.extend_from_slice(&bytes[*left..]);
                self.says = Says::Opaque;
                return Ok(None);
            }
            Nature::Opaque => return Err(ambiguous("something else than HTTP follows HTTP")),
            Nature::Undecided if bytes.len() >= FIRST_LINE_BYTES => {
                return Err(ambiguous("its first line does not end"));
            }
            Nature::Undecided => return Ok(None),
            Nature::Http => *is_http = true,
        }
        // Empty lines in front of a request are not its end (RFC 9112, 2.2).
        let start = bytes.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        let Some(end) = end_of(bytes, seen.max(start + 3)) else {
            // Line ends are looked at as they come: what follows must not hide behind them.
            let lone = |at: usize| bytes[at] == b'\n' && (at == 0 || bytes[at - 1] != b'\r');
            if (seen..bytes.len()).any(lone) {
                return Err(ambiguous("a line ends without a carriage return"));
            }
            if bytes.len() >= HEAD_BYTES {
                return Err(failure(
                    "TooLarge",
                    format!("a request's head may have {HEAD_BYTES} bytes"),
                ));
            }
            return Ok(None);
        };
        let head = RequestHead::parse(&bytes[..end]).map_err(ambiguous)?;
        let leaving = bytes[(*left).min(end)..end].to_vec();
        self.judge(&head)?;
        out.extend_from_slice(&leaving);
        self.says = Says::Body(Body::of(head.framing));
        if head.framing == Framing::Length(0) {
            self.says = Says::head(false);
        }
        Ok(Some(end - seen))
    }

    fn judge(&mut self, head: &RequestHead) -> Result<(), Failure> {
        let method = head.method.as_str();
        let url = self.url(head);
        let mut foreign =
            head.hosts.iter().filter(|(host, port)| !self.may_say(method, host, *port));
        if let Some((host, _)) = foreign.next() {
            self.is_refused = true;
            self.record(method, &url, false);
            return Err(not_listed(host, self.port));
        }
        let entry = self.record(method, &url, true);
        let turns = match head.hosts.first() {
            // Its target has a port, else it would not have been read.
            Some((host, Some(port))) if method == "CONNECT" => {
                Turns::Tunnel { host: host.clone(), port: *port }
            }
            _ if head.upgrades => Turns::Upgrade,
            _ => Turns::Never,
        };
        if self.awaited.len() < MOST_AWAITED {
            self.awaited.push_back(Awaited { entry, is_head: method == "HEAD", turns });
        } else {
            self.hears = Responses::Lost;
        }
        Ok(())
    }

    fn record(&mut self, method: &str, url: &str, allowed: bool) -> Option<Entry> {
        match self.entry.take() {
            Some(entry) => {
                self.log.replace(entry, method, url, allowed);
                Some(entry)
            }
            None => self.log.request(method, url, allowed),
        }
    }

    /// Whether a request may say that it is for `host`. Its port counts only where it
    /// leads somewhere: the connection is to this one, whatever the Host field says.
    fn may_say(&self, method: &str, host: &Host, port: Option<u16>) -> bool {
        let port = match method {
            "CONNECT" => port.unwrap_or(0),
            _ if *host == self.host || Some(host) == self.server.as_ref() => return true,
            _ => self.port,
        };
        self.policy.may_address(host, port)
    }

    fn url(&self, head: &RequestHead) -> String {
        if head.method == "CONNECT" || !head.target.starts_with(['/', '*']) {
            return head.target.clone();
        }
        let scheme = if self.server.is_some() { "https" } else { "http" };
        let usual = if self.server.is_some() { 443 } else { 80 };
        let (host, port) = match head.hosts.first() {
            Some((host, port)) => (host, port.unwrap_or(usual)),
            None => (&self.host, self.port),
        };
        let path = if head.target == "*" { "" } else { &head.target };
        if port == usual {
            format!("{scheme}://{host}{path}")
        } else {
            format!("{scheme}://{host}:{port}{path}")
        }
    }
}

impl Says {
    fn fresh() -> Self {
        Self::head(true)
    }

    fn head(is_first: bool) -> Self {
        Self::Head { bytes: Vec::new(), left: 0, is_first, is_http: false }
    }
}

/// What `bytes` begin. Whatever some server could take for a request counts as HTTP,
/// so that it is then read strictly. `is_bare`: TLS could begin here.
fn nature(bytes: &[u8], is_bare: bool) -> Nature {
    if is_bare && bytes.first() == Some(&0x16) {
        return match bytes.get(1) {
            None => Nature::Undecided,
            Some(3) => Nature::OwnTls,
            Some(_) => Nature::Opaque,
        };
    }
    // Servers skip these.
    let start = bytes.iter().position(|byte| !b"\r\n \t".contains(byte));
    let Some(start) = start else { return Nature::Undecided };
    let text = &bytes[start..];
    let word = text.iter().take_while(|byte| is_token_byte(**byte)).count();
    // Version 1 and 2 of what proxies put before a request.
    if text.starts_with(b"PROXY ") || (start > 0 && text[0] == 0) {
        return Nature::Odd;
    }
    match text.get(word) {
        _ if word == 0 => return Nature::Opaque,
        None => return Nature::Undecided,
        Some(b' ' | b'\t' | b'\r' | b'\n') => {}
        Some(_) => return Nature::Opaque,
    }
    let end = text.iter().position(|byte| *byte == b'\n');
    let line = &text[..end.unwrap_or(text.len())];
    let is_http = line.windows(5).any(|five| five.eq_ignore_ascii_case(b"HTTP/"));
    let lone = line.strip_suffix(b"\r").unwrap_or(line).contains(&b'\r');
    match (is_http, end) {
        (true, _) if lone => Nature::Odd,
        (true, Some(_)) => Nature::Http,
        (false, Some(_)) => Nature::Opaque,
        (_, None) => Nature::Undecided,
    }
}

fn ambiguous(doubt: &str) -> Failure {
    failure(
        "Denied",
        format!("this request is not let out, because servers could read it in two ways: {doubt}"),
    )
}
