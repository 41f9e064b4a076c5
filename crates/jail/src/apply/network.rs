//! The network namespace: made beside the other steps, then entered.
//!
//! Making one costs the kernel about as much as all other namespaces together.
//! A second process that shares this one's memory and descriptors does it while
//! this one mounts.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use capsule_init::Report;

use super::Inside;
use crate::sys;

/// Where the door listens, on loopback inside the jail.
pub(crate) const DOOR_PORT: u16 = 3128;

/// The process that makes the network.
pub(super) struct Hand {
    pid: i32,
}

/// What the hand leaves behind: a descriptor of the namespace.
#[derive(Debug)]
pub(crate) struct Made(AtomicI32);

impl Default for Made {
    fn default() -> Self {
        Self(AtomicI32::new(-1))
    }
}

pub(super) fn start(inside: &mut Inside<'_>) -> io::Result<()> {
    if inside.prepared.shares_network {
        return Ok(());
    }
    let mut stack = inside.prepared.hand_stack.borrow_mut();
    let pid = sys::lend_hand(&mut stack, make, &inside.prepared.network)?;
    inside.hand = Some(Hand { pid });
    Ok(())
}

/// The work of the hand; the exit code is an errno. No libc call that sets errno,
/// which both processes share.
extern "C" fn make(made: &Made) -> i32 {
    match make_namespace() {
        Ok(namespace) => {
            made.0.store(namespace.into_raw_fd(), Ordering::Release);
            0
        }
        Err(errno) => errno.raw_os_error(),
    }
}

fn make_namespace() -> rustix::io::Result<OwnedFd> {
    sys::leave_network()?;
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sys::raise_loopback(socket.as_fd())?;
    sys::network_namespace(socket.as_fd())
}

pub(super) fn enter(inside: &mut Inside<'_>) -> io::Result<()> {
    let Some(hand) = inside.hand.take() else { return Ok(()) };
    match sys::join_hand(hand.pid)? {
        0 => {}
        errno => return Err(io::Error::from_raw_os_error(errno)),
    }
    let namespace: RawFd = inside.prepared.network.0.load(Ordering::Acquire);
    let namespace = sys::borrow(namespace);
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
    Ok(())
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
