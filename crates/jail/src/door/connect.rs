//! From a host that rules cover to a connected socket: resolve once, check every
//! address, connect to a checked address and to nothing else. No name is looked
//! up twice, so an answer that changes between check and use changes nothing.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use capsule_backend::address::{Host, Reach};

use super::request::Authority;
use super::visit::Verdict;
use super::{Door, sys};

/// How long one address may keep the next one waiting (RFC 8305 suggests it).
const HEAD_START: Duration = Duration::from_millis(250);

impl Door {
    /// The addresses that a connection for `wanted` may use, best first.
    pub(super) fn admit(&self, wanted: &Authority) -> Result<Vec<SocketAddr>, Verdict> {
        self.admit_name(wanted)?;
        let found = match &wanted.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => (self.resolve)(name).map_err(|_| Verdict::NameNotFound)?,
        };
        if found.is_empty() {
            return Err(Verdict::NameNotFound);
        }
        let admitted = self.reach().admit(&found, wanted.port);
        if admitted.is_empty() { Err(Verdict::InsideAddress) } else { Ok(admitted) }
    }

    /// The first half of [`Door::admit`]: for a request that goes out on a
    /// connection whose address was checked when it was made.
    pub(super) fn admit_name(&self, wanted: &Authority) -> Result<(), Verdict> {
        if self.reach().names(&wanted.host, wanted.port) { Ok(()) } else { Err(Verdict::NotListed) }
    }

    pub(super) fn may_name(&self, host: &str, port: u16) -> bool {
        self.reach().may_name(host, port)
    }

    fn reach(&self) -> Reach<'_> {
        Reach { rules: &self.rules, own: &self.own_addresses }
    }
}

/// Connects to the first of `addresses` that answers. Each has a head start, then
/// the next one is tried beside it; a refusal starts the next one at once. The
/// socket comes back non-blocking.
pub(super) fn connect(addresses: &[SocketAddr], patience: Duration) -> Result<TcpStream, Verdict> {
    let deadline = Instant::now() + patience;
    let mut waiting = addresses.iter();
    let mut racing: Vec<TcpStream> = Vec::new();
    let mut next_start = Instant::now();
    loop {
        while waiting.len() > 0 && (racing.is_empty() || Instant::now() >= next_start) {
            let Some(address) = waiting.next() else { break };
            racing.extend(sys::start_connect(*address));
            next_start = Instant::now() + HEAD_START;
        }
        if racing.is_empty() {
            return Err(Verdict::Unreachable);
        }
        let until = if waiting.len() > 0 { deadline.min(next_start) } else { deadline };
        let decided = wait_for_any(&racing, until).map_err(|_| Verdict::Unreachable)?;
        for index in decided.into_iter().rev() {
            let stream = racing.remove(index);
            if let Ok(None) = stream.take_error() {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            next_start = Instant::now();
        }
        if Instant::now() >= deadline {
            return Err(Verdict::TimedOut);
        }
    }
}

fn wait_for_any(racing: &[TcpStream], until: Instant) -> io::Result<Vec<usize>> {
    let interest = |stream: &TcpStream| libc::pollfd {
        fd: stream.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    let mut fds: Vec<_> = racing.iter().map(interest).collect();
    sys::poll(&mut fds, until.saturating_duration_since(Instant::now()))?;
    Ok((0..fds.len()).filter(|index| fds[*index].revents != 0).collect())
}
