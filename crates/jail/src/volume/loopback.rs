//! Loop devices: a file as a block device. None is ever taken away from anybody: each goes
//! by itself with its last user.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use super::sys;

/// A device that stays as long as this is held.
pub(super) struct Device {
    pub(super) path: String,
    _file: File,
}

/// The device that a file has already: that of another sandbox, which an earlier server may
/// have made. By the file itself, since names can lie.
pub(super) fn find(image: &File) -> io::Result<Option<Device>> {
    let wanted = image.metadata()?;
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with("loop")) else { continue };
        // Only those that have a file have this.
        if !entry.path().join("loop").exists() {
            continue;
        }
        let path = format!("/dev/{name}");
        let Ok(file) = File::open(&path) else { continue };
        match sys::backing(file.as_fd()) {
            Ok(backing) if backing == (wanted.dev(), wanted.ino()) => {
                return Ok(Some(Device { path, _file: file }));
            }
            // Another one's, or it has just gone.
            _ => {}
        }
    }
    Ok(None)
}

/// A new device for a file.
pub(super) fn attach(image: &File) -> io::Result<Device> {
    /// Others may take a free one first.
    const TRIES: usize = 64;
    let control = File::options().read(true).write(true).open("/dev/loop-control")?;
    for _ in 0..TRIES {
        let number = sys::free_device(control.as_fd())?;
        let path = format!("/dev/loop{number}");
        let file = File::options().read(true).write(true).open(&path)?;
        match sys::attach(file.as_fd(), image.as_fd()) {
            Ok(()) => return Ok(Device { path, _file: file }),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from_raw_os_error(libc::EBUSY))
}
