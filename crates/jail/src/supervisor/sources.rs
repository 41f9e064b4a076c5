//! The caller's files as detached mounts, made outside where that is allowed.
//!
//! As root the jail runs as a user that owns nothing. So each mount is id-mapped:
//! what the owner of the source owns on disk, the jail's user owns inside, and
//! what it makes there belongs to that owner on disk. Set-id bits are kept from
//! such files by the seccomp filter.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use capsule_backend::BackendError;
use capsule_spec::{ErrorCode, Failure, Mount};

use crate::apply::{PreparedMount, detach};
use crate::plan::{Identity, Plan};
use crate::sys::{self, MountAttributes, Side};

/// Opens every mount of the plan. Without the right to do so, the cloned process
/// does it with the same rules.
pub(crate) fn open(
    mounts: &[Mount],
    identity: &Identity,
    notes: &mut Vec<String>,
) -> Result<Vec<PreparedMount>, BackendError> {
    mounts.iter().map(|mount| prepare(mount, identity, notes)).collect()
}

/// A mount of the plan whose tree was made by somebody else: what its owner owns belongs to
/// the jail's user. None where the kernel cannot do that.
pub(crate) fn adopt(
    mount: &Mount,
    tree: OwnedFd,
    identity: &Identity,
) -> io::Result<Option<PreparedMount>> {
    let is_mapped = identity.mapped_by_supervisor && map_owner(&tree, identity)?;
    Ok(is_mapped.then(|| prepared(mount, Some(tree))))
}

/// The other root of a plan, if it has one.
pub(crate) fn open_base(plan: &Plan) -> Result<Option<PreparedMount>, BackendError> {
    // Whether it could be id-mapped is told to nobody: most files of a root are for all.
    plan.base.as_ref().map(|base| prepare(base, &plan.identity, &mut Vec::new())).transpose()
}

fn prepare(
    mount: &Mount,
    identity: &Identity,
    notes: &mut Vec<String>,
) -> Result<PreparedMount, BackendError> {
    let source = c_path(mount.source.as_path());
    let tree = if identity.mapped_by_supervisor {
        detach_mapped(mount, &source, identity, notes)?
    } else {
        None
    };
    Ok(prepared(mount, tree))
}

fn prepared(mount: &Mount, tree: Option<OwnedFd>) -> PreparedMount {
    let destination = mount.destination.as_path();
    let destination = destination.strip_prefix("/").unwrap_or(destination);
    let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty());
    PreparedMount {
        source: c_path(mount.source.as_path()),
        parent: c_path(parent.unwrap_or(Path::new("."))),
        name: c_path(Path::new(destination.file_name().unwrap_or_default())),
        destination: c_path(destination),
        access: mount.access,
        tree,
    }
}

/// `None` where this process may not detach mounts, such as root without
/// CAP_SYS_ADMIN: then the jail does it, and sees what its user may see.
fn detach_mapped(
    mount: &Mount,
    source: &CStr,
    identity: &Identity,
    notes: &mut Vec<String>,
) -> Result<Option<OwnedFd>, BackendError> {
    let tree = match detach(source) {
        Ok(tree) => tree,
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Ok(None),
        Err(error) => return Err(refused(mount, &error)),
    };
    let mapped = map_owner(&tree, identity)
        .map_err(|error| super::system_error("map the owner of a mount", &error))?;
    if !mapped {
        notes.push(format!(
            "{} is on a file system that cannot be id-mapped: its files keep their owners, to whom \
             the command is a stranger",
            mount.source
        ));
    }
    Ok(Some(tree))
}

fn c_path(path: &Path) -> CString {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).expect("paths of a task hold no NUL bytes")
}

/// Why a mount source cannot be used, for the caller who named it.
pub(crate) fn refused(mount: &Mount, error: &io::Error) -> BackendError {
    let source = &mount.source;
    let failure = match error.raw_os_error() {
        Some(libc::ELOOP) => {
            let real = fs::canonicalize(source.as_path()).ok();
            let failure = Failure::new(
                ErrorCode::UnsafePath,
                format!("the mount source {source} goes through a symbolic link"),
            );
            match real {
                Some(real) => failure.hint(format!("name the real path: {}", real.display())),
                None => failure.hint("name the real path"),
            }
        }
        Some(libc::ENOENT | libc::ENOTDIR) => {
            Failure::new(ErrorCode::MountFailed, format!("there is no {source} to mount"))
                .hint("check the path; it is a path on the host")
        }
        Some(libc::EACCES) => {
            Failure::new(ErrorCode::MountFailed, format!("{source} may not be opened by this user"))
        }
        _ => Failure::new(ErrorCode::MountFailed, format!("{source} could not be mounted")),
    };
    BackendError {
        failure: failure.detail("source", source).detail("destination", &mount.destination),
        internal: format!("mount source {source}: {error}"),
    }
}

/// File systems that cannot be id-mapped keep their owners: the jail's user is
/// then a stranger to them, which is safe, only less useful. Says whether it was done.
fn map_owner(tree: &OwnedFd, identity: &Identity) -> io::Result<bool> {
    let owner = rustix::fs::fstat(tree)?;
    let namespace = id_map(owner.st_uid, owner.st_gid, identity)?;
    let attributes = MountAttributes {
        set: MountAttributes::IDMAP,
        user_namespace: namespace.as_raw_fd().cast_unsigned().into(),
        ..MountAttributes::default()
    };
    match sys::change_mount(tree.as_fd(), c"", true, attributes) {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EINVAL | libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS)
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// A user namespace that shows `user` and `group` as the jail's.
fn id_map(user: u32, group: u32, identity: &Identity) -> io::Result<OwnedFd> {
    let supervisor = rustix::process::getpid();
    match sys::clone_into(libc::CLONE_NEWUSER as u64, None)? {
        // It lives until it is killed; if this process dies first, so does it.
        Side::Inside => {
            let _ = rustix::process::set_parent_process_death_signal(Some(
                rustix::process::Signal::KILL,
            ));
            if rustix::process::getppid() != Some(supervisor) {
                sys::exit_now(1);
            }
            loop {
                rustix::event::pause();
            }
        }
        Side::Outside { pid, pidfd } => {
            let namespace = write_maps(pid, user, group, identity).and_then(|()| {
                let path = format!("/proc/{pid}/ns/user");
                Ok(fs::File::open(path)?.into())
            });
            sys::kill(pidfd.as_fd(), libc::SIGKILL);
            sys::reap(pid)?;
            namespace
        }
    }
}

fn write_maps(pid: i32, user: u32, group: u32, identity: &Identity) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/uid_map"), format!("{user} {} 1", identity.outside_user))?;
    fs::write(format!("/proc/{pid}/gid_map"), format!("{group} {} 1", identity.outside_group))
}

/// Writes the maps of a jail, from outside as root or as the caller itself.
pub(crate) fn map_jail(pid: i32, identity: &Identity) -> io::Result<()> {
    if !identity.mapped_by_supervisor {
        fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
    }
    let inside = identity.inside;
    fs::write(format!("/proc/{pid}/uid_map"), format!("{inside} {} 1", identity.outside_user))?;
    fs::write(format!("/proc/{pid}/gid_map"), format!("{inside} {} 1", identity.outside_group))
}

/// The null device, for commands that read nothing.
pub(super) const NULL: &CStr = c"/dev/null";
