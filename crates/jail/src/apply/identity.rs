//! Who this process is, and what it brings with it.

use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvFlags, recv};
use rustix::process::{
    DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal,
};
use rustix::thread::{
    set_keep_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::Inside;
use crate::sys;

pub(super) fn close_descriptors(inside: &mut Inside<'_>) -> io::Result<()> {
    sys::close_all_but(&inside.prepared.keep)?;
    sys::forget_streams()
}

/// Waits until the supervisor has written the maps, and takes the one user that they name.
pub(super) fn assume(inside: &mut Inside<'_>) -> io::Result<()> {
    let mut go = [0u8; 1];
    let (_, length) = recv(inside.control, &mut go[..], RecvFlags::empty())?;
    if length != 1 {
        return Err(io::Error::from_raw_os_error(libc::ECONNRESET));
    }
    let identity = &inside.prepared.identity;
    let user = rustix::process::Uid::from_raw(identity.inside);
    let group = rustix::process::Gid::from_raw(identity.inside);
    set_keep_capabilities(true)?;
    if identity.mapped_by_supervisor {
        // Unprivileged, the kernel forbids it, and the caller's groups stay.
        set_thread_groups(&[])?;
    }
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    // The change of user made /proc/self root's; until the counters are open it must be ours.
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    Ok(())
}

pub(super) fn die_with_supervisor(inside: &mut Inside<'_>) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before: then its end of the socket is closed.
    let mut control = [PollFd::from_borrowed_fd(inside.control, PollFlags::empty())];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut control, Some(&now))?;
    if control[0].revents().contains(PollFlags::HUP) { sys::exit_now(1) } else { Ok(()) }
}

pub(super) fn join_keyring(_: &mut Inside<'_>) -> io::Result<()> {
    sys::join_new_keyring()
}

pub(super) fn set_host_name(_: &mut Inside<'_>) -> io::Result<()> {
    Ok(rustix::system::sethostname(b"capsule")?)
}
