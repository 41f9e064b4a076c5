//! The network namespace: loopback, and the listener of the door.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use capsule_init::Report;

use super::Inside;
use crate::sys;

/// Where the door listens, on loopback inside the jail.
pub(crate) const DOOR_PORT: u16 = 3128;

pub(super) fn raise_loopback(inside: &mut Inside<'_>) -> io::Result<()> {
    if inside.prepared.shares_network {
        return Ok(());
    }
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    Ok(sys::raise_loopback(socket.as_fd())?)
}

/// A socket keeps the network namespace that it was made in, so the door outside
/// can accept from it what only the jail can reach.
pub(super) fn open_listener(inside: &mut Inside<'_>) -> io::Result<()> {
    if !inside.prepared.has_door {
        return Ok(());
    }
    let listener =
        socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, DOOR_PORT))?;
    listen(&listener, 128)?;
    sys::send_with_descriptor(inside.control, &Report::Door.encode(), listener.as_fd())
}
