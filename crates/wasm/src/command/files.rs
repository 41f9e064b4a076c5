//! The folders of the host that a program sees.
//!
//! The source is opened without following a link, and what was opened is what is
//! mounted. Below it, paths are resolved by wasmtime-wasi, which does not leave it.

use std::os::fd::{AsRawFd, OwnedFd};

use capsule_backend::BackendError;
use capsule_spec::{Access, ErrorCode, Failure, Mount};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// Opens the source of a mount, and gives it to the program.
pub(super) fn mount(wasi: &mut WasiCtxBuilder, mount: &Mount) -> Result<(), BackendError> {
    let folder = open(mount).map_err(|error| refused(mount, error))?;
    let permissions = match mount.access {
        Access::ReadOnly => FsPerms::ReadOnly,
        Access::ReadWrite => FsPerms::ReadWrite,
    };
    // Through /proc it is the same folder, whoever renames what in between.
    let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
    wasi.preopened_dir(path, mount.destination.to_string(), permissions).map_err(|error| {
        let errno = error
            .downcast_ref::<std::io::Error>()
            .and_then(Errno::from_io_error)
            .unwrap_or(Errno::IO);
        refused(mount, errno)
    })?;
    Ok(())
}

fn open(mount: &Mount) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(CWD, mount.source.as_path(), flags, Mode::empty(), resolve)
}

fn refused(mount: &Mount, error: Errno) -> BackendError {
    let source = &mount.source;
    let failure = match error {
        Errno::LOOP => {
            let failure = Failure::new(
                ErrorCode::UnsafePath,
                format!("the mount source {source} goes through a symbolic link"),
            );
            match std::fs::canonicalize(source.as_path()) {
                Ok(real) => failure.hint(format!("name the real path: {}", real.display())),
                Err(_) => failure.hint("name the real path"),
            }
        }
        Errno::NOTDIR if source.as_path().is_file() => {
            Failure::new(ErrorCode::MountFailed, format!("{source} is a file"))
                .hint("a program in WebAssembly sees folders: mount the one that it is in")
        }
        Errno::NOENT | Errno::NOTDIR => {
            Failure::new(ErrorCode::MountFailed, format!("there is no {source} to mount"))
                .hint("check the path; it is a path on the host")
        }
        Errno::ACCESS => {
            Failure::new(ErrorCode::MountFailed, format!("{source} may not be opened by this user"))
        }
        _ => Failure::new(ErrorCode::MountFailed, format!("{source} could not be mounted")),
    };
    BackendError {
        failure: failure.detail("source", source).detail("destination", &mount.destination),
        internal: format!("mount source {source}: {error}"),
    }
}
