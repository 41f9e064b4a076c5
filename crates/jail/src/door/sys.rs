//! The four kernel and libc calls of the door that std does not offer: poll,
//! a connect that does not wait, the resolver with a choice of family, and the
//! list of this host's own addresses. Knows nothing of rules.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// Which addresses to ask the resolver for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Families {
    V4,
    Both,
}

/// Waits until one of `fds` is ready, or the time is over. True if one is.
pub(super) fn poll(fds: &mut [libc::pollfd], timeout: Duration) -> io::Result<bool> {
    // Rounded up: rounding down would spin through the last millisecond.
    let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
    let milliseconds = i32::try_from(milliseconds).unwrap_or(i32::MAX);
    let count = fds.len() as libc::nfds_t;
    // SAFETY: pointer and count are of one live, exclusively borrowed slice.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), count, milliseconds) };
    match ready {
        0 => Ok(false),
        1.. => Ok(true),
        _ => match io::Error::last_os_error() {
            // A caller loops on its own deadline, so an early end is harmless.
            error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        },
    }
}

/// Starts a connect and returns at once; the socket turns writable when it is
/// decided, and `take_error` then tells how. It stays non-blocking.
pub(super) fn start_connect(address: SocketAddr) -> io::Result<TcpStream> {
    let family = match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes three integers, touches no memory of ours.
    let fd = unsafe { libc::socket(family, kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fd was opened just above and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let result = match address {
        SocketAddr::V4(address) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            };
            let size = mem::size_of_val(&raw) as libc::socklen_t;
            // SAFETY: raw is a live sockaddr_in, and size is its size.
            unsafe { libc::connect(socket.as_raw_fd(), ptr::from_ref(&raw).cast(), size) }
        }
        SocketAddr::V6(address) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: 0,
            };
            let size = mem::size_of_val(&raw) as libc::socklen_t;
            // SAFETY: raw is a live sockaddr_in6, and size is its size.
            unsafe { libc::connect(socket.as_raw_fd(), ptr::from_ref(&raw).cast(), size) }
        }
    };
    if result < 0 {
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINPROGRESS) {
            return Err(error);
        }
    }
    Ok(TcpStream::from(socket))
}

/// Asks the host's resolver (hosts file, then DNS) for the addresses of `name`,
/// best first. Blocks as long as resolv.conf allows. An error is `TimedOut`, if a
/// server did not answer, or `NotFound`, without detail: the guest must not see
/// one, and each libc words it differently.
pub(super) fn resolve(name: &str, families: Families) -> io::Result<Vec<IpAddr>> {
    let name = CString::new(name)?;
    // SAFETY: addrinfo is integers and pointers, for which all zeroes is valid.
    let mut hints: libc::addrinfo = unsafe { mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    hints.ai_family = match families {
        Families::V4 => libc::AF_INET,
        Families::Both => libc::AF_UNSPEC,
    };
    let mut list: *mut libc::addrinfo = ptr::null_mut();
    // SAFETY: name ends in NUL, hints and list live across the call.
    let code = unsafe { libc::getaddrinfo(name.as_ptr(), ptr::null(), &hints, &mut list) };
    match code {
        0 => {}
        libc::EAI_AGAIN => return Err(io::ErrorKind::TimedOut.into()),
        _ => return Err(io::ErrorKind::NotFound.into()),
    }
    let mut addresses = Vec::new();
    let mut entry = list;
    while !entry.is_null() {
        // SAFETY: entry is a node of the list, which is freed only below.
        let node = unsafe { &*entry };
        addresses.extend(ip_of(node.ai_addr));
        entry = node.ai_next;
    }
    // SAFETY: list came from getaddrinfo above, and no node of it is used again.
    unsafe { libc::freeaddrinfo(list) };
    Ok(addresses)
}

/// The addresses of this host's interfaces, whether they are up or not.
pub(super) fn interface_addresses() -> io::Result<Vec<IpAddr>> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: list lives across the call, which stores a list in it or fails.
    if unsafe { libc::getifaddrs(&mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut addresses = Vec::new();
    let mut entry = list;
    while !entry.is_null() {
        // SAFETY: entry is a node of the list, which is freed only below.
        let node = unsafe { &*entry };
        addresses.extend(ip_of(node.ifa_addr));
        entry = node.ifa_next;
    }
    // SAFETY: list came from getifaddrs above, and no node of it is used again.
    unsafe { libc::freeifaddrs(list) };
    Ok(addresses)
}

/// Reads an address that libc made; `None` for null and for other families.
fn ip_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: not null, and both callers pass a sockaddr of a list still alive.
    match i32::from(unsafe { (*address).sa_family }) {
        libc::AF_INET => {
            // SAFETY: the family says that a sockaddr_in is what it points to.
            let raw = unsafe { &*address.cast::<libc::sockaddr_in>() };
            Some(Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes()).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that a sockaddr_in6 is what it points to.
            let raw = unsafe { &*address.cast::<libc::sockaddr_in6>() };
            Some(Ipv6Addr::from(raw.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}
