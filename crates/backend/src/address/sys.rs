//! The two libc calls that std does not offer: the resolver with a choice of family,
//! and the list of this host's own addresses. Knows nothing of rules.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

/// Which addresses to ask the resolver for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Families {
    V4,
    Both,
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
