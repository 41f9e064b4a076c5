//! One connection of the guest, from accept to close:
//!
//! ```text
//! read head -> parse -> admit -> connect -> exchange -> (keep) read head ...
//!                          `-> refuse          `-> tunnel -> close
//! ```
//!
//! Every request is judged by its own address, the tenth on a kept connection
//! like the first. Redirects need no care: the guest follows them with a request
//! of its own.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use capsule_backend::address::Host;

use super::body::{Body, Framing};
use super::connect::connect;
use super::head::{Version, find_end};
use super::hello::{ALERT, HelloGate};
use super::relay::{Fault, Lane, Open, Until, relay};
use super::reply::{Afterwards, TUNNEL_IS_OPEN, refusal};
use super::request::{Authority, Kind, Request};
use super::response::Response;
use super::visit::{Verdict, Visit};
use super::{Door, sys};

/// How long, and for how many bytes, a guest is listened to after its refusal.
/// Closing at once would reset the connection and take the refusal with it.
const FAREWELL: Duration = Duration::from_secs(1);
const FAREWELL_BYTES: usize = 1024 * 1024;

pub(super) struct Session<'d> {
    door: &'d Door,
    guest: TcpStream,
    /// Bytes of the guest that are read and not yet used.
    inbox: Vec<u8>,
    /// The connection of the last exchange, if it can carry another.
    origin: Option<Origin>,
    served: u64,
}

struct Origin {
    authority: Authority,
    address: IpAddr,
    stream: TcpStream,
}

/// What became of a try to read a head.
enum Arrival {
    /// The first bytes of the inbox are a head of this length.
    Head(usize),
    Refused(Verdict, String),
    /// The guest left, or never asked.
    Nothing,
}

impl<'d> Session<'d> {
    pub(super) fn new(door: &'d Door, guest: TcpStream) -> Self {
        Self { door, guest, inbox: Vec::new(), origin: None, served: 0 }
    }

    pub(super) fn run(mut self) {
        if self.guest.set_nonblocking(true).is_err() {
            return;
        }
        // Only costs speed if it fails.
        let _ = self.guest.set_nodelay(true);
        loop {
            let head = match self.read_head() {
                Arrival::Head(bytes) => bytes,
                Arrival::Refused(verdict, why) => {
                    (self.door.log)(&Visit::new(verdict, "", 0));
                    return self.dismiss(&refusal(verdict, &why, Afterwards::Close));
                }
                Arrival::Nothing => return,
            };
            let head: Vec<u8> = self.inbox.drain(..head).collect();
            let request = match Request::parse(&head) {
                Ok(request) => request,
                Err(why) => {
                    (self.door.log)(&Visit::new(Verdict::BadRequest, &target_of(&head), 0));
                    let reply = refusal(Verdict::BadRequest, &why.to_string(), Afterwards::Close);
                    return self.dismiss(&reply);
                }
            };
            self.served += 1;
            match request.kind {
                Kind::Tunnel => return self.tunnel(&request.authority),
                Kind::Page { ref head, framing } => {
                    if self.exchange(&request, head, framing) == Afterwards::Close {
                        return;
                    }
                }
            }
        }
    }

    /// Turns the guest away without reading more than one head.
    pub(super) fn turn_away(self) {
        if self.guest.set_nonblocking(true).is_ok() {
            (self.door.log)(&Visit::new(Verdict::OverCapacity, "", 0));
            self.dismiss(&refusal(Verdict::OverCapacity, "", Afterwards::Close));
        }
    }

    /// A head must be complete some time after its first byte, not after its last,
    /// or one byte a minute would hold a connection for ever.
    fn read_head(&mut self) -> Arrival {
        let limits = &self.door.limits;
        let is_first = self.served == 0 || !self.inbox.is_empty();
        let patience = if is_first { limits.head_patience } else { limits.idle };
        let mut deadline = Instant::now() + patience;
        let mut seen = 0;
        loop {
            match find_end(&self.inbox, seen) {
                Ok(Some(end)) if end <= limits.head_bytes => return Arrival::Head(end),
                Ok(None) if self.inbox.len() <= limits.head_bytes => {}
                Ok(_) => return Arrival::Refused(Verdict::LongRequest, String::new()),
                Err(why) => return Arrival::Refused(Verdict::BadRequest, why.to_string()),
            }
            seen = self.inbox.len();
            let mut buffer = [0; 4096];
            match read_before(&self.guest, &mut buffer, deadline) {
                Ok(count @ 1..) => {
                    if self.inbox.is_empty() {
                        deadline = Instant::now() + limits.head_patience;
                    }
                    self.inbox.extend_from_slice(&buffer[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut && seen > 0 => {
                    return Arrival::Refused(Verdict::SlowRequest, String::new());
                }
                Ok(_) | Err(_) => return Arrival::Nothing,
            }
        }
    }

    fn tunnel(mut self, wanted: &Authority) {
        let started = Instant::now();
        let mut visit = Visit::new(Verdict::Allowed, &wanted.host.to_string(), wanted.port);
        let origin = match self.open(wanted) {
            Ok(origin) => origin,
            Err(verdict) => {
                visit.verdict = verdict;
                visit.duration = started.elapsed();
                (self.door.log)(&visit);
                return self.dismiss(&refusal(verdict, &wanted.to_string(), Afterwards::Close));
            }
        };
        visit.address = Some(origin.address);
        // A server name that is allowed by itself leads nowhere new. Nor does any
        // name at an address that a rule spells out.
        let may_name = |name: &str| match &wanted.host {
            Host::Address(_) => true,
            Host::Name(host) => {
                name.eq_ignore_ascii_case(host) || self.door.may_name(name, wanted.port)
            }
        };
        let limits = &self.door.limits;
        let mut gate = HelloGate::new(&may_name, limits.head_patience);
        let mut open = Open::default();
        let mut up = Lane::new(&mut gate, Vec::new());
        let mut down = Lane::new(&mut open, TUNNEL_IS_OPEN.to_vec()).metered(self.door.meter());
        let inbox = std::mem::take(&mut self.inbox);
        let end = up.feed(&inbox).and_then(|()| {
            relay(&self.guest, &origin.stream, &mut up, &mut down, Until::BothEnd, limits.idle)
        });
        visit.bytes_up = up.moved;
        visit.bytes_down = down.moved.saturating_sub(TUNNEL_IS_OPEN.len() as u64);
        visit.duration = started.elapsed();
        let is_new = down.moved == 0;
        if end == Err(Fault::ServerName) {
            visit.verdict = Verdict::WrongServerName;
        }
        (self.door.log)(&visit);
        if end == Err(Fault::ServerName) {
            let opening = if is_new { TUNNEL_IS_OPEN } else { b"" };
            self.dismiss(&[opening, &ALERT].concat());
        }
    }

    fn exchange(&mut self, request: &Request, head: &[u8], framing: Option<Framing>) -> Afterwards {
        let started = Instant::now();
        let wanted = &request.authority;
        let mut visit = Visit::new(Verdict::Allowed, &wanted.host.to_string(), wanted.port);
        let used = self.take_used(request);
        let is_used = used.is_some();
        let mut result = self.attempt(request, head, framing, used, &mut visit);
        if is_used && result == Err(Attempt::Vanished) {
            // The origin closed the kept connection just as it was used again.
            result = self.attempt(request, head, framing, None, &mut visit);
        }
        visit.duration = started.elapsed();
        let verdict = match result {
            Ok(afterwards) => {
                (self.door.log)(&visit);
                return afterwards;
            }
            Err(Attempt::Broken) => {
                (self.door.log)(&visit);
                return Afterwards::Close;
            }
            Err(Attempt::Vanished) => Verdict::BadAnswer,
            Err(Attempt::Refused(verdict)) => verdict,
        };
        visit.verdict = verdict;
        (self.door.log)(&visit);
        let has_body = !matches!(framing, None | Some(Framing::Length(0)));
        let asked = match verdict {
            Verdict::BadRequest => "the body is not what the head says".to_owned(),
            _ => wanted.to_string(),
        };
        // A refused body would have to be read to its end to find the next head.
        if has_body || !request.keeps_connection || request.method == "HEAD" {
            self.dismiss(&refusal(verdict, &asked, Afterwards::Close));
            return Afterwards::Close;
        }
        match write_before(&self.guest, &refusal(verdict, &asked, Afterwards::Keep), FAREWELL) {
            Ok(()) => Afterwards::Keep,
            Err(_) => Afterwards::Close,
        }
    }

    /// The kept connection, if it leads where this request goes. Its address was
    /// checked when it was made; the name is checked again by `attempt`.
    fn take_used(&mut self, request: &Request) -> Option<Origin> {
        let origin = self.origin.take()?;
        let fits = origin.authority == request.authority && request.is_repeatable();
        // An origin that says something unasked, or has hung up, is of no use.
        let is_quiet = matches!(origin.stream.peek(&mut [0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        (fits && is_quiet).then_some(origin)
    }

    fn attempt(
        &mut self,
        request: &Request,
        head: &[u8],
        framing: Option<Framing>,
        used: Option<Origin>,
        visit: &mut Visit,
    ) -> Result<Afterwards, Attempt> {
        let origin = match used {
            Some(origin) => self.door.admit_name(&request.authority).map(|()| origin),
            None => self.open(&request.authority),
        };
        let origin = origin.map_err(Attempt::Refused)?;
        visit.address = Some(origin.address);
        let limits = &self.door.limits;
        let mut body = Body::new(framing);
        let mut response =
            Response::new(request.method == "HEAD", request.keeps_connection, limits.head_bytes);
        let mut up = Lane::new(&mut body, head.to_vec());
        let mut down = Lane::new(&mut response, Vec::new()).metered(self.door.meter());
        let inbox = std::mem::take(&mut self.inbox);
        let end = up.feed(&inbox).and_then(|()| {
            relay(&self.guest, &origin.stream, &mut up, &mut down, Until::AnswerEnds, limits.idle)
        });
        visit.bytes_up += up.moved;
        visit.bytes_down += down.moved;
        let (is_sent, answered, is_pure) = (up.is_done(), down.moved > 0, down.surplus.is_empty());
        self.inbox = std::mem::take(&mut up.surplus);
        match end {
            Ok(()) => {}
            Err(_) if answered => return Err(Attempt::Broken),
            Err(Fault::SinkOrSourceGone) => return Err(Attempt::Vanished),
            Err(Fault::Idle) => return Err(Attempt::Refused(Verdict::TimedOut)),
            Err(Fault::BadBody) => return Err(Attempt::Refused(Verdict::BadRequest)),
            Err(_) => return Err(Attempt::Refused(Verdict::BadAnswer)),
        }
        let one_more = request.version == Version::Http11 && is_sent && is_pure;
        if one_more && response.leaves_origin_open() {
            self.origin = Some(origin);
        }
        if is_sent && response.leaves_guest_open() {
            return Ok(Afterwards::Keep);
        }
        self.part();
        Ok(Afterwards::Close)
    }

    fn open(&self, wanted: &Authority) -> Result<Origin, Verdict> {
        let addresses = self.door.admit(wanted)?;
        let stream = connect(&addresses, self.door.limits.connect_patience)?;
        let address = stream.peer_addr().map_err(|_| Verdict::Unreachable)?.ip();
        (self.door.log)(&Visit::new(Verdict::Opened, &wanted.host.to_string(), wanted.port));
        Ok(Origin { authority: wanted.clone(), address, stream })
    }

    /// Says the last word and leaves.
    fn dismiss(&self, last_word: &[u8]) {
        if write_before(&self.guest, last_word, FAREWELL).is_ok() {
            self.part();
        }
    }

    /// Ends the connection so that the guest gets all that was sent: our end
    /// first, then what the guest still sends is thrown away for a while.
    fn part(&self) {
        if self.guest.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let deadline = Instant::now() + FAREWELL;
        let mut buffer = [0; 4096];
        let mut left = FAREWELL_BYTES;
        while let Ok(count @ 1..) = read_before(&self.guest, &mut buffer, deadline) {
            left = left.saturating_sub(count);
            if left == 0 {
                return;
            }
        }
    }
}

/// Why an exchange gave no answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Refused(Verdict),
    /// A connection ended before the first byte of an answer.
    Vanished,
    /// It broke in the middle of an answer: nothing can be said to the guest.
    Broken,
}

/// What a head that cannot be read asked for, for the log.
fn target_of(head: &[u8]) -> String {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    String::from_utf8_lossy(target).into_owned()
}

fn read_before(mut stream: &TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
        wait(stream, libc::POLLIN, deadline)?;
    }
}

fn write_before(mut stream: &TcpStream, mut bytes: &[u8], patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait(stream, libc::POLLOUT, deadline)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait(stream: &TcpStream, events: libc::c_short, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut fds = [libc::pollfd { fd: stream.as_raw_fd(), events, revents: 0 }];
    sys::poll(&mut fds, left).map(|_| ())
}
