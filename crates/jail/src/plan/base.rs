//! Another root than the host's: a directory whose files take the place of the system
//! directories. What of it a jail sees is decided by looking once, one name at a time and
//! without following anything; the jail is built from the same directory later, and refuses
//! what has become something else.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use capsule_spec::{Access, ErrorCode, Failure, GuestPath, HostPath, Mount};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, openat2, readlinkat, statat,
};

use crate::host::{Entry, Host, Kind};

/// Names at the top that are the jail's own, or mean nothing in it.
const OWN: [&str; 7] = ["dev", "etc", "proc", "run", "sys", "tmp", "workspace"];
/// Names in `/etc` that the jail writes itself, or that only a running system needs: some
/// of them hold secrets, if the directory was copied from one.
const OWN_ETC: [&str; 13] = [
    "group",
    "group-",
    "gshadow",
    "gshadow-",
    "hosts",
    "mtab",
    "nsswitch.conf",
    "passwd",
    "passwd-",
    "resolv.conf",
    "shadow",
    "shadow-",
    "ssh",
];
/// Names that are looked at in one directory: each becomes a mount of every sandbox.
const MOST: usize = 512;

impl Host {
    /// This host with the files of another root.
    ///
    /// # Errors
    /// A directory that is not there, is reached by way of a link, cannot be read or has
    /// too many names; or the host's own root.
    pub(crate) fn with_root(mut self, path: &Path) -> Result<Self, Failure> {
        let named = path.to_str().and_then(|path| HostPath::new(path).ok());
        let destination = GuestPath::new("/").ok();
        let (Some(source), Some(destination)) = (named, destination) else {
            let message = "the root of a template is not an absolute path";
            return Err(
                Failure::new(ErrorCode::InvalidPath, message).detail("path", path.display())
            );
        };
        if source.as_path() == Path::new("/") {
            let message = "the host's own root cannot be the root of a template";
            return Err(Failure::new(ErrorCode::InvalidPath, message).hint(
                "leave the root out: the host's system directories are there, without its secrets",
            ));
        }
        let base = Mount { source, destination, access: Access::ReadOnly };
        let failed = |error: rustix::io::Errno| {
            crate::supervisor::sources::refused(&base, &error.into()).failure
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let root = openat2(CWD, path, flags, Mode::empty(), resolve).map_err(failed)?;
        self.system = entries(&root, &OWN, &base)?;
        let beneath = resolve | ResolveFlags::BENEATH;
        self.etc = match openat2(&root, c"etc", flags, Mode::empty(), beneath) {
            Ok(etc) => entries(&etc, &OWN_ETC, &base)?,
            Err(_) => Vec::new(),
        };
        self.base = Some(base);
        Ok(self)
    }
}

/// Directories, files and links of a directory, in order of their names.
fn entries(directory: &OwnedFd, own: &[&str], base: &Mount) -> Result<Vec<Entry>, Failure> {
    let refused = |message: String| {
        Failure::new(ErrorCode::MountFailed, message).detail("source", &base.source)
    };
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut names = RawDir::new(directory, &mut buffer);
    let mut found = Vec::new();
    while let Some(name) = names.next() {
        let name =
            name.map_err(|error| crate::supervisor::sources::refused(base, &error.into()).failure)?;
        let Some(kind) = kind(directory, name.file_name()) else { continue };
        // A name that is no text cannot be shown in a plan, nor needed by a program.
        let Ok(name) = name.file_name().to_str() else { continue };
        if name == "." || name == ".." || own.contains(&name) {
            continue;
        }
        if found.len() == MOST {
            return Err(refused(format!(
                "the root of a template has more than {MOST} names in one place"
            )));
        }
        found.push(Entry { name: name.to_owned(), kind });
    }
    found.sort_by(|one: &Entry, other| one.name.cmp(&other.name));
    Ok(found)
}

/// What a name stands for; none for devices, sockets and pipes, which are left out: a
/// read-only mount does not keep anybody from writing to them.
fn kind(directory: &OwnedFd, name: &CStr) -> Option<Kind> {
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Some(Kind::Directory),
        FileType::RegularFile => Some(Kind::File),
        FileType::Symlink => {
            let target = readlinkat(directory, name, Vec::new()).ok()?;
            Some(Kind::Link(target.into_string().ok()?))
        }
        _ => None,
    }
}
