//! A folder here that files of a stranger land in, and nowhere else.
//!
//! Every step takes one name below an open folder and follows no link, so no name and no link
//! that was made a moment ago leads out. Files appear whole, by a rename, which replaces a link
//! in place of writing through it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::is_name;

/// An open folder.
#[derive(Debug)]
pub(super) struct Landing(OwnedFd);

/// A file that is not there under its name yet; dropped, it never is.
#[derive(Debug)]
pub(super) struct Unfinished<'a> {
    folder: &'a Landing,
    name: String,
    while_unfinished: Option<String>,
    file: File,
}

impl Landing {
    /// A folder that the user named.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// A folder in it, made if it is not there.
    pub(super) fn folder(&self, name: &str) -> io::Result<Self> {
        checked(name)?;
        match rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(&self.0, name, flags, Mode::empty())?))
    }

    /// A file to fill.
    pub(super) fn file(&self, name: &str, mode: u32) -> io::Result<Unfinished<'_>> {
        checked(name)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for attempt in 0..100 {
            let while_unfinished = format!(".capsule-{}-{attempt}", std::process::id());
            let mode = Mode::from_raw_mode(mode & 0o777);
            match rustix::fs::openat(&self.0, &while_unfinished, flags, mode) {
                Ok(file) => {
                    return Ok(Unfinished {
                        folder: self,
                        name: name.to_owned(),
                        while_unfinished: Some(while_unfinished),
                        file: file.into(),
                    });
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// A link that does not lead out; what has its name and is no folder goes.
    pub(super) fn link(&self, name: &str, target: &str) -> io::Result<()> {
        checked(name)?;
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(rustix::fs::symlinkat(target, &self.0, name)?)
    }
}

impl Unfinished<'_> {
    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// It gets its name.
    pub(super) fn put_in_place(mut self) -> io::Result<()> {
        let Some(old) = self.while_unfinished.take() else { return Ok(()) };
        let folder = &self.folder.0;
        let renamed = rustix::fs::renameat(folder, old.as_str(), folder, self.name.as_str());
        if renamed.is_err() {
            self.while_unfinished = Some(old);
        }
        Ok(renamed?)
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.while_unfinished {
            let _ = rustix::fs::unlinkat(&self.folder.0, name.as_str(), AtFlags::empty());
        }
    }
}

fn checked(name: &str) -> io::Result<()> {
    match is_name(name) {
        true => Ok(()),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Whether a link leads out of the folder that is copied, `depth` folders above it.
///
/// `..` is allowed at its beginning only: there it is counted from the link's own folder,
/// which is a real one. After a name, which may be another link, it could count from anywhere.
pub(super) fn leads_out(target: &str, depth: usize) -> bool {
    let mut up = 0;
    let mut has_name = false;
    for part in target.split('/') {
        match part {
            ".." if has_name => return true,
            ".." => up += 1,
            "" | "." => {}
            _ => has_name = true,
        }
    }
    target.is_empty() || target.starts_with('/') || target.contains('\0') || up > depth
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_that_lead_out_are_told_from_those_that_do_not() {
        for (target, depth, expected) in [
            ("file", 0, false),
            ("a/b", 0, false),
            ("../b", 1, false),
            ("./../b", 1, false),
            ("../b", 0, true),
            ("../../b", 1, true),
            ("/etc/passwd", 3, true),
            ("a/../b", 3, true),
            ("link/../../../etc", 5, true),
            ("", 0, true),
        ] {
            assert_eq!(leads_out(target, depth), expected, "{target:?} at {depth}");
        }
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let place = tempfile::tempdir().unwrap();
        let (inside, outside) = (place.path().join("in"), place.path().join("out"));
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "kept").unwrap();
        symlink(&outside, inside.join("folder")).unwrap();
        symlink(outside.join("file"), inside.join("file")).unwrap();
        let landing = Landing::open(&inside).unwrap();
        assert!(landing.folder("folder").is_err());
        landing.file("file", 0o644).unwrap().put_in_place().unwrap();
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "kept");
        assert!(fs::symlink_metadata(inside.join("file")).unwrap().is_file());
        for name in ["..", "../x", "/x", ".", ""] {
            assert!(landing.folder(name).is_err(), "{name}");
            assert!(landing.file(name, 0o644).is_err(), "{name}");
            assert!(landing.link(name, "x").is_err(), "{name}");
        }
    }

    #[test]
    fn an_unfinished_file_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let landing = Landing::open(place.path()).unwrap();
        drop(landing.file("file", 0o644).unwrap());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
