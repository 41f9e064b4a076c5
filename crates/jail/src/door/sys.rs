//! The two kernel calls of the door that std does not offer: poll, and a connect
//! that does not wait. Knows nothing of rules.

#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

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
