//! The state folder: for each sandbox the socket of its PID 1 and a record.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use capsule_spec::{ErrorCode, Failure};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with,
};

use super::record::Record;

const SOCKET: &str = ".sock";
const RECORD: &str = ".json";
const ENTRANCE: &str = ".entrance";
const DOOR: &str = ".door";
const LOCK: &str = "lock";

pub(super) struct State {
    folder: PathBuf,
    /// The folder itself: a path of any length is reached by way of its number, as the
    /// address of a socket has room for 108 bytes (unix(7)).
    directory: File,
    _lock: File,
}

impl State {
    pub(super) fn open(folder: PathBuf) -> Result<Self, Failure> {
        let failed = |error: &io::Error| {
            Failure::new(
                ErrorCode::StoreFailed,
                format!("the state folder cannot be used: {}", error.kind()),
            )
            .detail("folder", folder.display())
        };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder).map_err(|error| failed(&error))?;
        let directory = File::open(&folder).map_err(|error| failed(&error))?;
        let metadata = directory.metadata().map_err(|error| failed(&error))?;
        let own = crate::sys::effective_user();
        if !metadata.is_dir() || metadata.uid() != own || metadata.mode() & 0o077 != 0 {
            return Err(Failure::new(
                ErrorCode::StoreFailed,
                "the state folder is not this user's alone",
            )
            .hint("chmod 700 it, or name another one")
            .detail("folder", folder.display()));
        }
        let lock = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK));
        let lock = lock.map_err(|error| failed(&error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(
                    ErrorCode::StoreFailed,
                    "another server uses the state folder",
                )
                .hint("end it first, or name another folder")
                .detail("folder", folder.display()));
            }
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        Ok(Self { folder, directory, _lock: lock })
    }

    /// Where volumes are, once there is one.
    pub(super) fn volumes(&self) -> PathBuf {
        self.folder.join("volumes")
    }

    fn address(&self, name: &str) -> io::Result<SocketAddrUnix> {
        let directory = self.directory.as_raw_fd();
        Ok(SocketAddrUnix::new(format!("/proc/self/fd/{directory}/{name}{SOCKET}"))?)
    }

    /// The socket that a new PID 1 is to listen on. A dead one's is replaced.
    pub(super) fn bind(&self, name: &str) -> io::Result<OwnedFd> {
        let socket = socket()?;
        let address = self.address(name)?;
        match bind(&socket, &address) {
            Err(rustix::io::Errno::ADDRINUSE) => {
                if self.connect(name)?.is_some() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                self.remove(name)?;
                bind(&socket, &address)?;
            }
            result => result?,
        }
        Ok(socket)
    }

    /// The socket at which a PID 1 in walls of somebody else is let in, and where it is.
    pub(super) fn open_entrance(&self, name: &str) -> io::Result<(OwnedFd, PathBuf)> {
        let path = self.folder.join(format!("{name}{ENTRANCE}"));
        remove_file(&path)?;
        let directory = self.directory.as_raw_fd();
        let address = SocketAddrUnix::new(format!("/proc/self/fd/{directory}/{name}{ENTRANCE}"))?;
        Ok((super::enclosed::open(&path, &address)?, path))
    }

    /// A listener for a door that no network leads to, and a way to knock at it.
    pub(super) fn open_door(&self, name: &str) -> io::Result<(OwnedFd, SocketAddrUnix)> {
        remove_file(&self.folder.join(format!("{name}{DOOR}")))?;
        let directory = self.directory.as_raw_fd();
        let address = SocketAddrUnix::new(format!("/proc/self/fd/{directory}/{name}{DOOR}"))?;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &address)?;
        rustix::net::listen(&socket, 64)?;
        Ok((socket, address))
    }

    pub(super) fn close_entrance(&self, name: &str) -> io::Result<()> {
        remove_file(&self.folder.join(format!("{name}{ENTRANCE}")))
    }

    /// A connection to a PID 1; none if there is none any more.
    pub(super) fn connect(&self, name: &str) -> io::Result<Option<OwnedFd>> {
        let socket = socket()?;
        match connect(&socket, &self.address(name)?) {
            Ok(()) => Ok(Some(socket)),
            Err(rustix::io::Errno::CONNREFUSED | rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Names of which anything is there.
    pub(super) fn names(&self) -> Result<Vec<String>, Failure> {
        let failed = |_| Failure::new(ErrorCode::StoreFailed, "the state folder could not be read");
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_str().unwrap_or_default();
            let mut suffixes = [SOCKET, RECORD, ENTRANCE, DOOR].iter();
            let stem = suffixes.find_map(|suffix| name.strip_suffix(suffix));
            names.extend(stem.filter(|stem| is_name(stem)).map(str::to_owned));
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Whether anything of this name is there.
    pub(super) fn has(&self, name: &str) -> bool {
        let file = |suffix: &&str| self.folder.join(format!("{name}{suffix}"));
        [SOCKET, RECORD, ENTRANCE, DOOR].iter().any(|suffix| file(suffix).exists())
    }

    pub(super) fn write(&self, name: &str, record: &Record) -> io::Result<()> {
        let interim = self.folder.join(format!("{name}.new"));
        fs::write(&interim, serde_json::to_vec(record)?)?;
        fs::rename(&interim, self.folder.join(format!("{name}{RECORD}")))
    }

    pub(super) fn read(&self, name: &str) -> Option<Record> {
        let text = fs::read(self.folder.join(format!("{name}{RECORD}"))).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Removes what is there of a name.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        for suffix in [SOCKET, RECORD, ENTRANCE, DOOR, ".new"] {
            remove_file(&self.folder.join(format!("{name}{suffix}")))?;
        }
        Ok(())
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// What a sandbox may be called: it becomes the name of a file.
pub(super) fn is_name(name: &str) -> bool {
    const LONGEST: usize = 64;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !name.is_empty() && name.len() <= LONGEST && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_are_names_of_files() {
        assert!(is_name("box-7f"));
        for wrong in ["", ".", "..", "a/b", "a.b", "a\n", "ä", &"a".repeat(65)] {
            assert!(!is_name(wrong), "{wrong:?}");
        }
    }
}
