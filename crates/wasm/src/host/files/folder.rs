//! Folders of the host: every system call that takes a name.
//!
//! A folder is a descriptor that was reached from a granted one step by step. Each name
//! goes to the kernel relative to such a descriptor, with openat2(2) where it opens
//! something: the kernel follows no link, goes to no parent, and crosses no mount
//! without our looking at what is there. Links are followed by `walk`, as text.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, Timestamps, fstat, fstatfs, linkat,
    mkdirat, openat2, readlinkat, renameat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::error::{self, ErrorCode, Result};
use super::handle::Handle;
use super::mount::Mount;
use super::path;

/// A directory of the host, below or at a granted one.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) mount: Arc<Mount>,
    handle: Arc<Handle>,
    /// Its path in the guest's tree, while other mounts may lie below it.
    pub(super) path: Option<Box<str>>,
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) read: bool,
    pub(super) write: bool,
}

impl Folder {
    /// The folder of a mount, or the one that its file is in.
    pub(super) fn root(mount: &Arc<Mount>, path: Option<Box<str>>) -> Self {
        Self { mount: mount.clone(), handle: mount.root().clone(), path }
    }

    /// The directory at `steps`, which may be several, none of them `..`. If any is a
    /// link the error is `Loop`.
    pub(super) fn enter(&self, steps: &str, path: Option<Box<str>>) -> Result<Self> {
        self.mount.readable()?;
        let handle = Handle::open(&self.mount.slots, || {
            find(self.handle.as_fd(), steps, OFlags::PATH | OFlags::DIRECTORY)
        })?;
        Ok(Self { mount: self.mount.clone(), handle: Arc::new(handle), path })
    }

    /// What `name` is, be it a link.
    pub(super) fn stat(&self, name: &str) -> Result<Option<Stat>> {
        self.mount.readable()?;
        path::check_name(name)?;
        match statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error::of(error)),
        }
    }

    /// What it is itself.
    pub(super) fn stat_self(&self) -> Result<Stat> {
        self.mount.readable()?;
        fstat(&self.handle).map_err(error::of)
    }

    pub(super) fn target(&self, name: &str) -> Result<String> {
        self.mount.readable()?;
        let target = readlinkat(&self.handle, name, Vec::new()).map_err(error::of)?;
        target.into_string().map_err(|_| ErrorCode::IllegalByteSequence)
    }

    /// Opens a regular file that is there. Anything else would act when it is opened, or
    /// block: it is refused, and not opened to see what it is.
    pub(super) fn open(&self, name: &str, how: Use) -> Result<(Handle, Stat)> {
        self.allow(how)?;
        match self.stat(name)? {
            None => return Err(ErrorCode::NoEntry),
            Some(stat) => regular(&stat, how)?,
        }
        let handle = Handle::open(&self.mount.slots, || {
            find(self.handle.as_fd(), name, how.flags() | OFlags::NONBLOCK | OFlags::NOCTTY)
        })?;
        // It may have been replaced since.
        let stat = fstat(&handle).map_err(error::of)?;
        regular(&stat, how)?;
        Ok((handle, stat))
    }

    /// Makes a file that is not there yet.
    pub(super) fn create(&self, name: &str, how: Use) -> Result<(Handle, Stat)> {
        self.add(name)?;
        let flags = how.flags() | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let handle = Handle::open(&self.mount.slots, || {
            let mode = Mode::from_raw_mode(0o644);
            openat2(&self.handle, name, flags | OFlags::CLOEXEC, mode, BENEATH)
        })?;
        let stat = fstat(&handle).map_err(error::of)?;
        Ok((handle, stat))
    }

    pub(super) fn make_directory(&self, name: &str) -> Result<()> {
        self.add(name)?;
        mkdirat(&self.handle, name, Mode::from_raw_mode(0o755)).map_err(error::of)
    }

    /// Makes a link that leads downwards. Others are refused: the guest could not follow
    /// one out, but a person or program of the host might, and where a link with `..`
    /// leads changes when it is moved.
    pub(super) fn make_link(&self, name: &str, target: &str) -> Result<()> {
        self.mount.writable()?;
        if target.starts_with('/') || path::steps(target).any(|step| step == "..") {
            return Err(ErrorCode::NotPermitted);
        }
        self.add(name)?;
        symlinkat(target, &self.handle, name).map_err(error::of)
    }

    pub(super) fn link(&self, name: &str, to: &Self, new_name: &str) -> Result<()> {
        self.same_mount(to)?;
        to.add(new_name)?;
        linkat(&self.handle, name, &to.handle, new_name, AtFlags::empty()).map_err(error::of)
    }

    pub(super) fn rename(&self, name: &str, to: &Self, new_name: &str) -> Result<()> {
        self.same_mount(to)?;
        path::check_name(new_name)?;
        renameat(&self.handle, name, &to.handle, new_name).map_err(error::of)
    }

    pub(super) fn unlink(&self, name: &str) -> Result<()> {
        self.mount.writable()?;
        unlinkat(&self.handle, name, AtFlags::empty()).map_err(error::of)
    }

    pub(super) fn remove_directory(&self, name: &str) -> Result<()> {
        self.mount.writable()?;
        unlinkat(&self.handle, name, AtFlags::REMOVEDIR).map_err(error::of)
    }

    /// Sets the times of an entry, or of itself if there is no name.
    pub(super) fn set_times(&self, name: Option<&str>, times: &Timestamps) -> Result<()> {
        self.mount.writable()?;
        utimensat(&self.handle, name.unwrap_or("."), times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(error::of)
    }

    /// Opens it to be read, or to be synchronised.
    pub(super) fn reopen(&self) -> Result<Handle> {
        self.mount.readable()?;
        Handle::open(&self.mount.slots, || {
            find(self.handle.as_fd(), ".", OFlags::RDONLY | OFlags::DIRECTORY)
        })
    }

    fn allow(&self, how: Use) -> Result<()> {
        match how.write {
            true => self.mount.writable(),
            false => self.mount.readable(),
        }
    }

    /// Whether one more entry may be made.
    fn add(&self, name: &str) -> Result<()> {
        self.mount.writable()?;
        path::check_name(name)?;
        self.mount.budget.name()
    }

    fn same_mount(&self, to: &Self) -> Result<()> {
        if !Arc::ptr_eq(&self.mount, &to.mount) {
            return Err(ErrorCode::CrossDevice);
        }
        self.mount.writable()
    }
}

impl Use {
    fn flags(self) -> OFlags {
        match self {
            Self { read: true, write: true } => OFlags::RDWR,
            Self { write: true, .. } => OFlags::WRONLY,
            Self { .. } => OFlags::RDONLY,
        }
    }
}

/// An opened directory, to be listed.
pub(super) fn list(handle: Handle) -> Result<(Dir, super::handle::Slot)> {
    let (fd, slot) = handle.into_parts();
    Ok((Dir::new(fd).map_err(error::of)?, slot))
}

const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

fn find(folder: BorrowedFd<'_>, steps: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    let open = |resolve| openat2(folder, steps, flags, Mode::empty(), resolve);
    match open(BENEATH | ResolveFlags::NO_XDEV) {
        Err(Errno::XDEV) => {
            let fd = open(BENEATH)?;
            if is_strange(&fd) { Err(Errno::PERM) } else { Ok(fd) }
        }
        result => result,
    }
}

/// Refuses what is no file, and the writing of programs that run as somebody else.
fn regular(stat: &Stat, how: Use) -> Result<()> {
    const SET_ID: u32 = 0o6000;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if how.write && stat.st_mode & SET_ID != 0 => {
            Err(ErrorCode::NotPermitted)
        }
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(ErrorCode::IsDirectory),
        FileType::Symlink => Err(ErrorCode::Loop),
        _ => Err(ErrorCode::NotPermitted),
    }
}

/// Whether this is on a file system that is a door to the kernel or to processes.
/// Whoever grants a whole root does not mean `/proc/self/mem`.
pub(super) fn is_strange(fd: impl AsFd) -> bool {
    /// From linux/magic.h: proc, sysfs, debugfs, tracefs, securityfs, cgroup, cgroup2,
    /// devpts, bpf, configfs, pstore, efivarfs, mqueue, selinuxfs, smackfs, nsfs,
    /// binfmt_misc, fusectl, resctrl, anonymous inodes.
    const STRANGE: [u64; 20] = [
        0x9fa0,
        0x6265_6572,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0x0027_e0eb,
        0x6367_7270,
        0x1cd1,
        0xcafe_4a11,
        0x6265_6570,
        0x6165_676c,
        0xde5e_81e4,
        0x1980_0202,
        0xf97c_ff8c,
        0x4341_5d53,
        0x6e73_6673,
        0x4249_4e4d,
        0x6573_5543,
        0x0765_5821,
        0x0904_1934,
    ];
    match fstatfs(fd) {
        Ok(system) => STRANGE.contains(&(system.f_type as u64 & 0xffff_ffff)),
        Err(_) => true,
    }
}
