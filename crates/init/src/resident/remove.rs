//! Removes a directory with all that it holds, in constant memory.
//!
//! Goes down into the first directory that is not empty and up again when it is; each
//! time it comes back a directory is read anew, and as what was read before is gone by
//! then, every entry is looked at about once. Mount points are never entered.

use super::sys::{self, AT_FDCWD, Errno};
use super::table::Area;
use super::wire::PATH_BYTES;

/// Further down than any path can name from the top in one piece; a tree as deep was
/// made to be in the way.
const DEEPEST: usize = 4096;

pub(super) fn remove(path: &[u8], recursive: bool, area: Area) -> Result<(), Errno> {
    let old = sys::stat(AT_FDCWD, path, false)?;
    if old.is_mount {
        return Err(libc::EBUSY);
    }
    if old.mode & libc::S_IFMT != libc::S_IFDIR {
        return sys::unlink(AT_FDCWD, path, false);
    }
    match sys::unlink(AT_FDCWD, path, true) {
        Err(libc::ENOTEMPTY | libc::EEXIST) if recursive => {}
        result => return result,
    }
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let top = sys::open(path, flags, 0)?;
    let identity = sys::stat(top, &[0], false)?.identity;
    let (scratch, length) = area.scratch();
    let buffer = sys::bytes(scratch + PATH_BYTES, length - PATH_BYTES).ok_or(libc::ENOMEM)?;
    let mut here = top;
    let mut depth = 0;
    loop {
        match empty(here, buffer)? {
            Some(name_at) => {
                let name = buffer.get(name_at..).ok_or(libc::EIO)?;
                let end = name.iter().position(|byte| *byte == 0).ok_or(libc::EIO)?;
                let name = name.get(..=end).ok_or(libc::EIO)?;
                let below = sys::open_at(here, name, flags, 0)?;
                depth += 1;
                // Some kernels do not say what is a mount, but each has a device of its own.
                let stat = sys::stat(below, &[0], false)?;
                if stat.is_mount || stat.identity.0 != identity.0 {
                    return Err(libc::EBUSY);
                }
                if depth > DEEPEST {
                    return Err(libc::ENAMETOOLONG);
                }
                sys::close(std::mem::replace(&mut here, below));
            }
            None if depth == 0 => break,
            None => {
                let above = sys::open_at(here, b"..\0", flags, 0)?;
                depth -= 1;
                // Somebody moved a directory while this was in it.
                if depth == 0 && sys::stat(above, &[0], false)?.identity != identity {
                    return Err(libc::EBUSY);
                }
                sys::close(std::mem::replace(&mut here, above));
            }
        }
    }
    sys::unlink(AT_FDCWD, path, true)
}

/// Removes what can be removed at once. Answers where in `buffer` the name of a directory
/// is that is not empty; none when nothing is left.
fn empty(directory: i32, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
    // struct linux_dirent64: inode, offset, length of the entry, type, name.
    const LENGTH: usize = 16;
    const TYPE: usize = 18;
    const NAME: usize = 19;
    loop {
        sys::rewind(directory);
        let mut removed = false;
        loop {
            let filled = sys::entries(directory, buffer)?;
            if filled == 0 {
                break;
            }
            let mut at = 0;
            while at < filled {
                let entry = buffer.get(at..filled).ok_or(libc::EIO)?;
                let length = entry.get(LENGTH..LENGTH + 2).and_then(|two| two.try_into().ok());
                let length = usize::from(u16::from_ne_bytes(length.ok_or(libc::EIO)?));
                let name = entry.get(NAME..length).ok_or(libc::EIO)?;
                let end = name.iter().position(|byte| *byte == 0).ok_or(libc::EIO)?;
                let name = name.get(..=end).ok_or(libc::EIO)?;
                if name != b".\0" && name != b"..\0" {
                    let is_directory = entry.get(TYPE) == Some(&libc::DT_DIR);
                    match remove_entry(directory, name, is_directory) {
                        Ok(()) | Err(libc::ENOENT) => removed = true,
                        Err(libc::ENOTEMPTY | libc::EEXIST) => return Ok(Some(at + NAME)),
                        Err(errno) => return Err(errno),
                    }
                }
                at += length.max(NAME);
            }
        }
        // Removing while reading may skip entries.
        if !removed {
            return Ok(None);
        }
    }
}

fn remove_entry(directory: i32, name: &[u8], is_directory: bool) -> Result<(), Errno> {
    match sys::unlink(directory, name, is_directory) {
        // Its type was unknown, or has changed.
        Err(libc::EISDIR) if !is_directory => sys::unlink(directory, name, true),
        Err(libc::ENOTDIR) if is_directory => sys::unlink(directory, name, false),
        result => result,
    }
}
