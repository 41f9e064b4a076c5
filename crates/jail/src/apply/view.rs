//! What the jail sees of the kernel: its own `/proc`, and no old root.

use std::ffi::CStr;
use std::io;

use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use rustix::process::{chdir, pivot_root};

use super::Inside;
use crate::sys::{self, MountAttributes};

pub(super) fn mount_proc(_: &mut Inside<'_>) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Processes that the guest may not trace are hidden from it: PID 1, whose
    // command line is the supervisor's and names paths and variables of the host.
    Ok(mount(c"proc", c"proc", c"proc", flags, c"hidepid=ptraceable")?)
}

/// Files that show the host or act on it. The jail's user has no right to most
/// of them; they are covered because a mode bit is too little to stand on.
const MASKED: [&CStr; 9] = [
    c"proc/cmdline",
    c"proc/kallsyms",
    c"proc/kcore",
    c"proc/key-users",
    c"proc/keys",
    c"proc/kmsg",
    c"proc/modules",
    c"proc/sysrq-trigger",
    c"proc/timer_list",
];

pub(super) fn mask_proc(inside: &mut Inside<'_>) -> io::Result<()> {
    for (index, path) in MASKED.into_iter().enumerate() {
        inside.item.set(index as u16);
        match mount_bind(c"dev/null", path) {
            // Not in every kernel's configuration.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    mount_bind(c"proc/sys", c"proc/sys")?;
    let read_only = MountAttributes { set: MountAttributes::RDONLY, ..MountAttributes::default() };
    sys::change_mount(CWD, c"proc/sys", false, read_only)
}

pub(super) fn pivot(_: &mut Inside<'_>) -> io::Result<()> {
    // pivot_root(2), "pivot_root(".", ".")": the old root ends up on top of the
    // new one and is detached from there, with all that is mounted in it.
    pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    chdir(c"/")?;
    Ok(())
}

pub(super) fn open_counters(inside: &mut Inside<'_>) -> io::Result<()> {
    // Absent without CONFIG_TASK_IO_ACCOUNTING: then there is nothing to report.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    inside.io_counters = open(c"/proc/self/io", flags, Mode::empty()).ok();
    Ok(())
}

/// A service that the kernel must not kill passes that on to its children: with it
/// a guest could not be killed for its own memory limit (proc_pid_oom_score_adj(5)).
pub(super) fn leave_shelter(_: &mut Inside<'_>) -> io::Result<()> {
    let file = open(c"/proc/self/oom_score_adj", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let mut sign = [0u8; 1];
    rustix::io::read(&file, &mut sign[..])?;
    if sign == *b"-" {
        rustix::io::write(&file, b"0")?;
    }
    Ok(())
}
