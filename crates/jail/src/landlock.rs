//! The Landlock wall: what may be done beneath which path (landlock(7)).
//!
//! The mounts already decide what is visible and writable. This wall holds when
//! a mount flag does not: it knows nothing of mounts, only of files.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::sys::{self, RulesetAttributes};

const EXECUTE: u64 = 1 << 0;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const MAKE_SOCK: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_BLOCK: u64 = 1 << 11;
const MAKE_SYM: u64 = 1 << 12;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;

const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1 << 0;
const SCOPE_SIGNAL: u64 = 1 << 1;

const BIND_TCP: u64 = 1 << 0;
const CONNECT_TCP: u64 = 1 << 1;
/// ABI from which on TCP ports are handled (Linux 6.7, landlock(7)).
const NETWORK: u32 = 4;

const READ: u64 = EXECUTE | READ_FILE | READ_DIR;
/// Device nodes are never made, anywhere.
const WRITE: u64 = READ
    | WRITE_FILE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_SYM
    | REFER
    | TRUNCATE;
/// What a rule on something that is not a directory may hold.
const FILE: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/// The rules of one jail, ready to be enforced without an allocation.
pub(crate) struct Rules {
    version: u32,
    beneath: Vec<(CString, u64)>,
    /// What is denied of TCP, on every port.
    network: u64,
    /// Whether a path that cannot be reached is nothing to worry about: it needs no right.
    may_be_unreachable: bool,
}

impl Rules {
    /// Reading and executing everywhere; writing beneath `writable`, to devices and in `/proc`.
    pub(crate) fn new<'a>(version: u32, writable: impl Iterator<Item = &'a str>) -> Self {
        let fixed = [
            ("/", READ),
            ("/dev", READ | WRITE_FILE),
            ("/dev/pts", READ | WRITE_FILE | IOCTL_DEV),
            ("/proc", READ | WRITE_FILE),
        ];
        let writable = writable.map(|path| (path, WRITE));
        let beneath = fixed.into_iter().chain(writable);
        let beneath = beneath.filter_map(|(path, access)| Some((CString::new(path).ok()?, access)));
        Self { version, beneath: beneath.collect(), network: 0, may_be_unreachable: false }
    }

    /// Reading `files` and nothing else, for a helper process on the host.
    pub(crate) fn reading(version: u32, files: &[&str]) -> Self {
        let existing = files.iter().filter(|file| std::path::Path::new(file).exists());
        let beneath = existing.filter_map(|file| Some((CString::new(*file).ok()?, READ_FILE)));
        Self { version, beneath: beneath.collect(), network: 0, may_be_unreachable: false }
    }

    /// Reading `files` and beneath `read`, writing beneath `write`, TCP to others if `connect`: for
    /// a process of the host that hosts guests. Nothing can be executed.
    pub(crate) fn granting<'a>(
        version: u32,
        files: impl Iterator<Item = &'a Path>,
        read: impl Iterator<Item = &'a Path>,
        write: impl Iterator<Item = &'a Path>,
        connect: bool,
    ) -> Self {
        const PLAIN: u64 = WRITE & !(EXECUTE | MAKE_SOCK | MAKE_FIFO);
        let files = files.map(|path| (path, READ_FILE));
        let read = files.chain(read.map(|path| (path, READ_FILE | READ_DIR)));
        let beneath = read.chain(write.map(|path| (path, PLAIN))).filter_map(|(path, access)| {
            Some((CString::new(path.as_os_str().as_bytes()).ok()?, access))
        });
        let network = if connect { BIND_TCP } else { BIND_TCP | CONNECT_TCP };
        Self { version, beneath: beneath.collect(), network, may_be_unreachable: true }
    }

    /// Enforces the rules on this process and all that it starts.
    pub(crate) fn enforce(&self) -> io::Result<()> {
        use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
        if self.version == 0 {
            return Ok(());
        }
        let handled = handled(self.version);
        let attributes = RulesetAttributes {
            handled_access_fs: handled,
            handled_access_net: if self.version >= NETWORK { self.network } else { 0 },
            scoped: SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL,
        };
        // A kernel that does not know a field refuses a larger struct.
        let size = match self.version {
            crate::walls::LANDLOCK_SCOPES.. => 24,
            NETWORK.. => 16,
            _ => 8,
        };
        let ruleset = sys::create_ruleset(&attributes, size)?;
        for (path, access) in &self.beneath {
            let is_unreachable = |error: &io::Error| {
                matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
            };
            match allow(ruleset.as_fd(), path, access & handled) {
                Err(error) if self.may_be_unreachable && is_unreachable(&error) => {}
                result => result?,
            }
        }
        sys::restrict_self(ruleset.as_fd())
    }
}

fn allow(ruleset: std::os::fd::BorrowedFd<'_>, path: &CStr, access: u64) -> io::Result<()> {
    let target = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    match sys::allow_beneath(ruleset, target.as_fd(), access) {
        // Rights of directories on a file: a mount of a single file.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            sys::allow_beneath(ruleset, target.as_fd(), access & FILE)
        }
        result => result,
    }
}

/// Everything that a version knows is handled, and so denied where no rule allows it.
fn handled(version: u32) -> u64 {
    let first = WRITE & !(REFER | TRUNCATE) | MAKE_CHAR | MAKE_BLOCK;
    [(2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)]
        .into_iter()
        .filter(|(since, _)| version >= *since)
        .fold(first, |handled, (_, access)| handled | access)
}
