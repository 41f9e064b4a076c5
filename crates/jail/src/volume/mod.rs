//! Volumes: files that outlive sandboxes, each in a file system of its own.
//!
//! ```text
//!  ID.new ── mke2fs, looked into ──▶ ID.img ──▶ a loop device ──▶ a mount for each sandbox
//!                                               while one is mounted; goes with the last
//! ```
//!
//! The size of the file system is the quota: it holds for bytes and for names, for what was
//! removed and is still open, for all sandboxes together, and the kernel answers ENOSPC.
//! Rejected: project quotas, which few file systems of hosts have switched on; adding up what
//! a folder holds from outside, which a guest outruns, and hides from by files without a name.
//!
//! Nothing is ever mounted on the host: a mount goes straight into a sandbox, and with its
//! last one the kernel lets go of the loop device, also when no server is there any more.
//!
//! Owns: the folder of images. Refuses to know: whose they are, and what they are called.

mod loopback;
mod sys;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use capsule_spec::{ByteSize, ErrorCode, Failure};
use rustix::fs::{AtFlags, unlinkat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

/// The user whose everything in an image is: nobody's in particular, and never root.
const OWNER: &str = "1000:1000";
const IMAGE: &str = ".img";
const INTERIM: &str = ".new";
/// Bytes for each name that an image has room for.
const BYTES_EACH: u64 = 16 << 10;
/// Where distributions have the program that makes file systems.
const MAKERS: [&str; 4] = ["/usr/sbin/mke2fs", "/sbin/mke2fs", "/usr/bin/mke2fs", "/bin/mke2fs"];

/// All images of one folder.
pub(crate) struct Images {
    folder: PathBuf,
    /// Two that mounted one image at a time could give it two devices, which would destroy it.
    turn: Mutex<()>,
}

impl Images {
    /// The folder is made when the first image is.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, turn: Mutex::default() }
    }

    /// Where an image is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{IMAGE}"))
    }

    /// Makes an image, sees that it can be mounted, and gives it its name.
    pub(crate) fn create(&self, name: &str, size: ByteSize) -> Result<(), Failure> {
        let failed = |error: io::Error| not_kept(&error);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(failed)?;
        let interim = self.folder.join(format!("{name}{INTERIM}"));
        let made = self.fill(&interim, size).and_then(|()| {
            fs::rename(&interim, self.path(name)).map_err(failed)?;
            File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed)
        });
        if made.is_err() {
            let _ = fs::remove_file(&interim);
        }
        made
    }

    fn fill(&self, path: &Path, size: ByteSize) -> Result<(), Failure> {
        let _ = fs::remove_file(path);
        let file = File::options().create_new(true).read(true).write(true).mode(0o600).open(path);
        let file = file.map_err(|error| not_kept(&error))?;
        file.set_len(size.bytes()).map_err(|error| not_kept(&error))?;
        make_file_system(path, size)?;
        let mount = self.mount_file(&file).map_err(|error| unavailable(&error))?;
        // The kernel has no use for it, and a guest could take it for its own.
        unlinkat(mount.as_fd(), c"lost+found", AtFlags::REMOVEDIR)
            .map_err(|error| unavailable(&error.into()))?;
        drop(mount);
        file.sync_all().map_err(|error| not_kept(&error))
    }

    /// An image as a mount that is nowhere yet.
    pub(crate) fn mount(&self, name: &str) -> Result<OwnedFd, Failure> {
        let image = File::options().read(true).write(true).open(self.path(name));
        let image = image.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Failure::new(ErrorCode::VolumeNotFound, "the volume is not there any more")
            }
            _ => not_kept(&error),
        })?;
        self.mount_file(&image).map_err(|error| unavailable(&error))
    }

    fn mount_file(&self, image: &File) -> io::Result<OwnedFd> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Held until the mount holds it: it would be let go of otherwise.
        let device = match loopback::find(image)? {
            Some(device) => device,
            None => loopback::attach(image)?,
        };
        let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", device.path.as_str())?;
        // What is removed inside is room on the host again.
        fsconfig_set_flag(&context, "discard")?;
        fsconfig_set_string(&context, "errors", "remount-ro")?;
        fsconfig_create(&context)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
    }

    /// Bytes of the host's disk that it takes.
    pub(crate) fn used(&self, name: &str) -> Result<u64, Failure> {
        const BLOCK: u64 = 512;
        let found = fs::metadata(self.path(name)).map_err(|error| not_kept(&error))?;
        Ok(found.blocks() * BLOCK)
    }

    /// Removes an image. A mount of it, if there is one, keeps its bytes until it goes.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Failure> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(not_kept(&error)),
            _ => Ok(()),
        }
    }

    /// Removes all images but some, and what is half-made. How many there were.
    pub(crate) fn sweep(&self, keep: &[String]) -> Result<usize, Failure> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(not_kept(&error)),
        };
        let mut removed = 0;
        for entry in entries {
            let entry = entry.map_err(|error| not_kept(&error))?;
            let name = entry.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(IMAGE));
            if stem.is_some_and(|stem| keep.iter().any(|kept| kept == stem)) {
                continue;
            }
            fs::remove_file(entry.path()).map_err(|error| not_kept(&error))?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// ext4 with a small journal: what is in it survives the end of the host at any point.
fn make_file_system(path: &Path, size: ByteSize) -> Result<(), Failure> {
    const MIB: u64 = 1 << 20;
    let maker = MAKERS.iter().find(|maker| Path::new(maker).exists());
    let Some(maker) = maker else {
        let message = "mke2fs, which makes the file system of a volume, is not installed";
        return Err(Failure::new(ErrorCode::VolumesUnavailable, message)
            .hint("install e2fsprogs where the server runs"));
    };
    let names = (size.bytes() / BYTES_EACH).max(1024).to_string();
    let journal = format!("size={}", (size.bytes() / MIB / 64).clamp(4, 64));
    let options = format!("root_owner={OWNER},lazy_itable_init=1");
    let mut command = Command::new(maker);
    command
        // A host's own ideas of a file system are for the host.
        .env_clear()
        .env("MKE2FS_CONFIG", "/dev/null")
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0"])
        .args(["-O", FEATURES, "-N", &names, "-J", &journal, "-E", &options])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::new(ErrorCode::StoreFailed, "the file system could not be made")
            .hint("the server's disk may be full")),
        Err(error) => Err(not_kept(&error)),
    }
}

/// Of ext4, whatever the host's mke2fs would choose.
const FEATURES: &str = "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,\
     sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

fn not_kept(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Failure::new(ErrorCode::StoreFailed, "the server's disk is full")
        }
        kind => Failure::new(ErrorCode::StoreFailed, "a volume could not be read or written")
            .detail("reason", kind),
    }
}

/// The kernel does not let this process mount an image.
fn unavailable(error: &io::Error) -> Failure {
    let failure = Failure::new(
        ErrorCode::VolumesUnavailable,
        "the size of a volume could not be enforced: no file system of its own can be mounted here",
    )
    .detail("reason", error.kind());
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            failure.hint("only root can; in a container, it needs CAP_SYS_ADMIN and loop devices")
        }
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            failure.hint("the kernel needs loop devices and ext4: modprobe loop ext4")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests;
