//! The private root: one tmpfs, read-only system directories, devices, the caller's files.
//!
//! Mount points and sources that a stranger could have prepared are resolved by
//! openat2(2) without following any link. No clean-up ever touches these mounts:
//! they end with the namespace.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};

use rustix::fs::{
    CWD, FileType, Mode, OFlags, ResolveFlags, mkdirat, mknodat, open, openat, openat2, symlinkat,
};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_bind,
    mount_bind_recursive, mount_change, move_mount, open_tree,
};

use capsule_init::Report;
use capsule_spec::Access;

use super::Inside;
use super::prepared::PreparedStep;
use crate::sys::{self, MountAttributes};

/// Where the new root is mounted until it becomes `/`. It must exist on every
/// host, and nothing that is mounted later comes from there.
const STAGE: &CStr = c"/proc";

pub(super) fn make_private(_: &mut Inside<'_>) -> io::Result<()> {
    Ok(mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

pub(super) fn open_sources(inside: &mut Inside<'_>) -> io::Result<()> {
    for (index, mount) in inside.prepared.mounts.iter().enumerate() {
        inside.item.set(index as u16);
        if mount.tree.is_none() {
            let tree = detach(&mount.source)?;
            inside.trees[index].set(Some(tree.into_raw_fd()));
        }
    }
    if let Some(base) = &inside.prepared.base
        && base.tree.is_none()
    {
        inside.item.set(u16::MAX);
        inside.base = Some(detach(&base.source)?);
    }
    Ok(())
}

/// The file or directory at `source`, with all that is mounted below it, as a
/// mount of its own. No component of the path may be a link: whoever can write
/// to a directory above could otherwise choose what is mounted.
pub(crate) fn detach(source: &CStr) -> io::Result<OwnedFd> {
    let file = openat2(
        CWD,
        source,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(&file, c"", flags)?;
    // A copy of a shared mount is its peer: what is mounted below one appears below
    // the other, so the jail's mounts on the host and the host's in the jail.
    let private = MountAttributes { propagation: libc::MS_PRIVATE, ..MountAttributes::default() };
    sys::change_mount(tree.as_fd(), c"", true, private)?;
    Ok(tree)
}

pub(super) fn mount_root(inside: &mut Inside<'_>) -> io::Result<()> {
    if let Some(base) = &inside.prepared.base {
        if let Some(tree) = &base.tree {
            inside.base = Some(rustix::io::fcntl_dupfd_cloexec(tree, 0)?);
        }
        attach_base(inside)?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount(c"tmpfs", STAGE, c"tmpfs", flags, &*inside.prepared.tmpfs)?;
    rustix::process::chdir(STAGE)?;
    if inside.prepared.shows_files {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(c".", flags, Mode::empty())?;
        sys::send_with_descriptor(inside.control, &Report::Files.encode(), root.as_fd())?;
    }
    Ok(())
}

/// Attaches the other root where the private one will cover it: parts of it can be mounted
/// from there, and it goes with the old root.
fn attach_base(inside: &Inside<'_>) -> io::Result<()> {
    let Some(base) = &inside.base else { return Ok(()) };
    let set = MountAttributes::RDONLY | MountAttributes::NOSUID | MountAttributes::NODEV;
    let attributes = MountAttributes { set, ..MountAttributes::default() };
    sys::change_mount(base.as_fd(), c"", true, attributes)?;
    Ok(move_mount(base, c"", CWD, STAGE, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Mounts a part of the other root at the same place. It was a directory or a file when it
/// was looked at; whatever it is now, no link of it is followed.
fn mount_of_base(inside: &Inside<'_>, path: &CStr) -> io::Result<()> {
    let Some(base) = &inside.base else { return Err(io::ErrorKind::NotFound.into()) };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let part = openat2(base, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(&part, c"", flags)?;
    Ok(move_mount(&tree, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

fn make_target(path: &CStr, is_directory: bool) -> io::Result<()> {
    if is_directory {
        Ok(mkdirat(CWD, path, Mode::from_raw_mode(0o755))?)
    } else {
        write_file(path, b"")
    }
}

pub(super) fn fill(inside: &mut Inside<'_>) -> io::Result<()> {
    // Modes are exact, whatever the caller's mask is.
    rustix::process::umask(Mode::empty());
    for (index, step) in inside.prepared.root.iter().enumerate() {
        inside.item.set(index as u16);
        match step {
            PreparedStep::Directory { path, mode } => {
                mkdirat(CWD, path.as_c_str(), Mode::from_raw_mode(*mode))?;
            }
            PreparedStep::Link { path, target } => {
                symlinkat(target.as_c_str(), CWD, path.as_c_str())?;
            }
            PreparedStep::File { path, contents } => write_file(path, contents)?,
            PreparedStep::System { source, path, is_directory } => {
                make_target(path, *is_directory)?;
                mount_bind_recursive(source.as_c_str(), path.as_c_str())?;
            }
            PreparedStep::Base { path, is_directory } => {
                make_target(path, *is_directory)?;
                mount_of_base(inside, path)?;
            }
        }
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    inside.base = None;
    Ok(())
}

fn write_file(path: &CStr, contents: &[u8]) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o644);
    if contents.is_empty() {
        // One call in place of two, and most files here are only places to mount at.
        return Ok(mknodat(CWD, path, FileType::RegularFile, mode, 0)?);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = open(path, flags, mode)?;
    let mut rest = contents;
    while !rest.is_empty() {
        rest = &rest[rustix::io::write(&file, rest)?..];
    }
    Ok(())
}

fn tree<'a>(inside: &'a Inside<'_>, index: usize) -> Option<BorrowedFd<'a>> {
    match &inside.prepared.mounts[index].tree {
        Some(tree) => Some(tree.as_fd()),
        None => inside.trees[index].get().map(sys::borrow),
    }
}

/// Makes what is missing, in our own tmpfs only: `NO_XDEV` keeps every mount of the host out.
pub(super) fn make_places(inside: &mut Inside<'_>) -> io::Result<()> {
    for (index, mount) in inside.prepared.mounts.iter().enumerate() {
        inside.item.set(index as u16);
        let Some(tree) = tree(inside, index) else { continue };
        let is_directory =
            FileType::from_raw_mode(rustix::fs::fstat(tree)?.st_mode) == FileType::Directory;
        let name = mount.name.as_c_str();
        let Ok(parent) = place(&mount.parent, ResolveFlags::NO_XDEV) else { continue };
        let made = if is_directory {
            mkdirat(&parent, name, Mode::from_raw_mode(0o755))
        } else {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            openat(&parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        };
        match made {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Opens a place below the new root, which is the current directory.
fn place(path: &CStr, more: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | more;
    openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

const PRIVATE: [&CStr; 3] = [c"workspace", c"tmp", c"dev/shm"];

/// Gives each private place a mount of its own, so that it can differ from the root.
pub(super) fn separate_private(_: &mut Inside<'_>) -> io::Result<()> {
    for path in PRIVATE {
        mount_bind(path, path)?;
    }
    Ok(())
}

pub(super) fn seal(_: &mut Inside<'_>) -> io::Result<()> {
    let set = MountAttributes::RDONLY | MountAttributes::NOSUID | MountAttributes::NODEV;
    sys::change_mount(CWD, c"", true, MountAttributes { set, ..MountAttributes::default() })
}

pub(super) fn open_private(_: &mut Inside<'_>) -> io::Result<()> {
    let attributes =
        MountAttributes { clear: MountAttributes::RDONLY, ..MountAttributes::default() };
    for path in PRIVATE {
        sys::change_mount(CWD, path, false, attributes)?;
    }
    Ok(())
}

pub(super) fn mount_devices(inside: &mut Inside<'_>) -> io::Result<()> {
    for (index, (source, path)) in [
        (c"/dev/full", c"dev/full"),
        (c"/dev/null", c"dev/null"),
        (c"/dev/random", c"dev/random"),
        (c"/dev/urandom", c"dev/urandom"),
        (c"/dev/zero", c"dev/zero"),
    ]
    .into_iter()
    .enumerate()
    {
        inside.item.set(index as u16);
        mount_bind(source, path)?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    // All instances share the host's number of terminals (kernel.pty.max, 4096), so one
    // jail must not be able to take them all.
    let options = c"newinstance,ptmxmode=0666,mode=0620,max=256";
    mount(c"devpts", c"dev/pts", c"devpts", flags, options)?;
    Ok(())
}

pub(super) fn mount_files(inside: &mut Inside<'_>) -> io::Result<()> {
    for (index, mount) in inside.prepared.mounts.iter().enumerate() {
        inside.item.set(index as u16);
        let Some(tree) = tree(inside, index) else { continue };
        let mut set = MountAttributes::NOSUID | MountAttributes::NODEV;
        if mount.access == Access::ReadOnly {
            set |= MountAttributes::RDONLY;
        }
        sys::change_mount(tree, c"", true, MountAttributes { set, ..MountAttributes::default() })?;
        // A mount below another one of the caller must find its place there: nothing
        // is ever made on the host.
        let target = place(&mount.destination, ResolveFlags::empty())?;
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(tree, c"", &target, c"", flags)?;
    }
    Ok(())
}
