//! The door: the only way out of a jail whose network policy is an allow-list.
//!
//! It is an HTTP proxy in a process of its own. Guests connect from inside their
//! network namespace, through a listener that was made there; the door's own
//! sockets live in the host's. The guest is hostile, and so may be the origin.
//!
//! What holds, for each request and tunnel:
//! 1. a rule covers the host and port that it asks for ([`HostRule`]);
//! 2. the door resolves the name, once, and the guest's resolver is never asked;
//! 3. an inside address (`capsule_backend::address`) is used only if a rule spells it out;
//! 4. the connection goes to an address that was checked, or nowhere;
//! 5. TLS in a tunnel names a server that a rule covers, if it names one.
//!
//! What does not: names that a wild card covers carry data to whoever runs their
//! name servers, and what a guest says inside TLS to an allowed host is its own
//! affair.
//!
//! One thread per connection, up to a limit, with small stacks: the code reads
//! from top to bottom, and a request costs no second process.

mod body;
mod connect;
mod environment;
mod head;
mod hello;
mod relay;
mod reply;
mod request;
mod response;
mod session;
mod sys;
#[cfg(test)]
mod tests;
mod visit;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use capsule_backend::address::{Resolver, own_addresses};
use capsule_spec::HostRule;

pub(crate) use environment::proxy_environment;
pub(crate) use visit::{Verdict, Visit, VisitBook};

/// musl's resolver is the deepest user, with some 20 KiB; glibc's takes more.
const STACK_BYTES: usize = 128 * 1024;
/// How many connections over the limit may wait for their refusal.
const TURNED_AWAY: usize = 16;
/// How long to rest when no connection can be accepted (out of descriptors).
const REST: Duration = Duration::from_millis(50);

/// What one guest may take of the door. A connection costs a thread, two
/// descriptors and about 150 KiB at most. The resolver's time is not limited
/// here but by resolv.conf.
#[derive(Clone, Debug)]
pub(crate) struct DoorLimits {
    /// Connections at once; more get a 503. Default: 128.
    pub connections: usize,
    /// A request or answer head. Default: 32 KiB.
    pub head_bytes: usize,
    /// From the first byte of a head to its last. Default: 10 s.
    pub head_patience: Duration,
    /// All tries to connect for one request. Default: 10 s.
    pub connect_patience: Duration,
    /// Without a byte moving either way. Default: 120 s.
    pub idle: Duration,
    /// Bytes from all origins together, heads and TLS included. Default: no limit.
    pub download: u64,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            connections: 128,
            head_bytes: 32 * 1024,
            head_patience: Duration::from_secs(10),
            connect_patience: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            download: u64::MAX,
        }
    }
}

/// Why there is no door. Nothing was let out.
#[derive(Debug)]
pub(crate) enum DoorError {
    /// The host's own addresses could not be listed, so they cannot be protected.
    OwnAddresses(io::Error),
    Accept(io::Error),
    Thread(io::Error),
}

impl fmt::Display for DoorError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::OwnAddresses(_) => "cannot list the addresses of this host",
            Self::Accept(_) => "cannot accept connections",
            Self::Thread(_) => "cannot start a thread",
        })
    }
}

impl std::error::Error for DoorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::OwnAddresses(source) | Self::Accept(source) | Self::Thread(source) => {
                Some(source)
            }
        }
    }
}

type Resolve = Box<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;
type Log = Box<dyn Fn(&Visit) + Send + Sync>;

/// What every connection shares.
struct Door {
    rules: Vec<HostRule>,
    limits: DoorLimits,
    own_addresses: Vec<IpAddr>,
    resolve: Resolve,
    log: Log,
    /// Bytes that came from origins.
    received: AtomicU64,
}

impl Door {
    /// Counts what one more connection brings.
    fn meter(&self) -> relay::Meter<'_> {
        relay::Meter { count: &self.received, most: self.limits.download }
    }
}

/// Serves guests until the process ends.
///
/// `log` is called once per request or tunnel, when it is over, from many threads
/// at once. While it blocks, so does that one connection.
///
/// # Errors
/// Returns only if the door cannot stand at all; connections still open then end
/// with the process.
pub(crate) fn serve(
    listener: TcpListener,
    rules: Vec<HostRule>,
    limits: DoorLimits,
    log: impl Fn(&Visit) + Send + Sync + 'static,
) -> Result<Infallible, DoorError> {
    let own_addresses = own_addresses().map_err(DoorError::OwnAddresses)?;
    let resolver = Resolver::new(&own_addresses);
    let resolve: Resolve = Box::new(move |name| resolver.resolve(name));
    let (log, received) = (Box::new(log), AtomicU64::new(0));
    stand(listener, Door { rules, limits, own_addresses, resolve, log, received })
}

fn stand(listener: TcpListener, door: Door) -> Result<Infallible, DoorError> {
    let door = Arc::new(door);
    let inside = Arc::new(AtomicUsize::new(0));
    let turn_away = start_turning_away(Arc::clone(&door))?;
    loop {
        let guest = match accept(&listener) {
            Ok(guest) => guest,
            Err(error) if is_passing(&error) => {
                thread::sleep(REST);
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(DoorError::Accept(error)),
        };
        let Some(place) = Place::take(&inside, door.limits.connections) else {
            // A full queue drops the guest: refusing must not cost without bound.
            let _ = turn_away.try_send(guest);
            continue;
        };
        let door = Arc::clone(&door);
        let attend = move || {
            session::Session::new(&door, guest).run();
            drop(place);
        };
        // Without a thread the guest is dropped, and with it its place.
        let _ = thread::Builder::new().stack_size(STACK_BYTES).spawn(attend);
    }
}

/// Whoever knocks, whatever their address is: the listener may be a Unix socket, at which those
/// are passed on who knocked in a network that is out of reach.
fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    Ok(rustix::net::accept_with(listener, rustix::net::SocketFlags::CLOEXEC)?.into())
}

/// Whether waiting helps: descriptors or memory are short, or a signal came.
fn is_passing(error: &io::Error) -> bool {
    let short = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|code| short.contains(&code))
        || error.kind() == io::ErrorKind::Interrupted
}

/// Refusals are said by one thread, one after the other: the accepting thread must
/// not wait for a guest, and a closed connection without an answer tells nothing.
fn start_turning_away(door: Arc<Door>) -> Result<SyncSender<TcpStream>, DoorError> {
    let (sender, receiver) = sync_channel(TURNED_AWAY);
    thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || {
            for guest in receiver {
                session::Session::new(&door, guest).turn_away();
            }
        })
        .map_err(DoorError::Thread)?;
    Ok(sender)
}

/// One of the places inside; free again when dropped, after a panic as well.
struct Place(Arc<AtomicUsize>);

impl Place {
    /// Only the accepting thread takes places, so looking before adding is safe.
    fn take(inside: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        if inside.load(Ordering::Acquire) >= limit {
            return None;
        }
        inside.fetch_add(1, Ordering::AcqRel);
        Some(Self(Arc::clone(inside)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
