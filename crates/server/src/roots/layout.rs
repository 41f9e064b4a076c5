//! Where the files of an image are: in a folder, or in an archive that is never unpacked.
//!
//! Owns: opening them by name, without following anything. Refuses to know: what they mean.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::error::RootError;
use super::stream::Part;
use crate::tar::{Kind, Reader, Step, TarError};

/// The most of a file that is read as text: indexes, manifests, configurations.
const TEXT: u64 = 4 << 20;
/// Files of an archive that may be an image's.
const MOST_FILES: usize = 20_000;
const BLOCK: usize = 512;

/// Files of an image.
pub(crate) enum Layout {
    /// In a folder.
    Folder(OwnedFd),
    /// In an archive.
    Archive(Archive),
}

/// An archive, and where in it the files are that an image could be made of.
pub(crate) struct Archive {
    file: File,
    places: HashMap<String, Place>,
}

enum Place {
    File {
        at: u64,
        length: u64,
    },
    /// Older engines write the same layer once.
    Link(String),
}

impl Layout {
    /// A folder with `oci-layout` in it.
    pub(crate) fn folder(path: &Path) -> Result<Self, RootError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::empty());
        Ok(Self::Folder(folder.map_err(|error| RootError::Read(error.into()))?))
    }

    /// A file by its name; none if there is none.
    pub(crate) fn open(&self, name: &str) -> Result<Option<Part>, RootError> {
        match self {
            Self::Folder(folder) => open_in(folder, name),
            Self::Archive(archive) => archive.open(name),
        }
    }

    /// A small file, whole.
    pub(crate) fn text(&self, name: &str) -> Result<Option<Vec<u8>>, RootError> {
        let Some(part) = self.open(name)? else { return Ok(None) };
        if part.length() > TEXT {
            return Err(RootError::Image(format!("{name:?} is larger than 4 MiB")));
        }
        let mut text = Vec::new();
        part.take(TEXT).read_to_end(&mut text).map_err(RootError::Read)?;
        Ok(Some(text))
    }
}

fn open_in(folder: &OwnedFd, name: &str) -> Result<Option<Part>, RootError> {
    // A pipe would be waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = match openat2(folder, name, flags, Mode::empty(), resolve) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(Errno::LOOP | Errno::XDEV) => {
            return Err(RootError::Image(format!("{name:?} is reached through a link")));
        }
        Err(error) => return Err(RootError::Read(error.into())),
    };
    let metadata = file.metadata().map_err(RootError::Read)?;
    match metadata.is_file() {
        true => Part::new(&file, 0, metadata.len()).map(Some),
        false => Err(RootError::Image(format!("{name:?} is no file"))),
    }
}

impl Archive {
    /// Looks at the heads of an archive's members, and at nothing between. `most` bounds how
    /// many there are.
    pub(crate) fn index(file: &File, most: u64) -> Result<Self, RootError> {
        let mut places = HashMap::new();
        let (mut reader, mut at, mut count) = (Reader::new(), 0_u64, 0_u64);
        let mut block = [0; BLOCK];
        loop {
            let read = file.read_at(&mut block, at).map_err(RootError::Read)?;
            if read == 0 {
                break;
            }
            at += read as u64;
            let mut bytes = Bytes::copy_from_slice(&block[..read]);
            loop {
                let step = reader.next(&mut bytes);
                let step = step.map_err(|source| broken(&reader, source))?;
                let Step::Member(member) = step else {
                    if step == Step::More {
                        break;
                    }
                    continue;
                };
                // What was read beyond the head is looked at again.
                at -= bytes.len() as u64;
                bytes.clear();
                count += 1;
                if count > most {
                    return Err(RootError::TooMany { member: member.path, most });
                }
                let place = match member.kind {
                    Kind::File(length) => Some(Place::File { at, length }),
                    Kind::Link(target) => Some(Place::Link(target)),
                    _ => None,
                };
                at = at.saturating_add(reader.pass_over());
                if let Some(place) = place.filter(|_| is_of_an_image(&member.path))
                    && places.len() < MOST_FILES
                {
                    places.insert(member.path, place);
                }
            }
            if reader.finish().is_ok() {
                break;
            }
        }
        reader.finish().map_err(|source| broken(&reader, source))?;
        Ok(Self { file: file.try_clone().map_err(RootError::Read)?, places })
    }

    /// Whether it is an image, and not the files of one.
    pub(crate) fn is_image(&self) -> bool {
        let has = |name: &str| matches!(self.places.get(name), Some(Place::File { .. }));
        has("oci-layout") && has("index.json") || has("manifest.json") && self.has_layers()
    }

    fn has_layers(&self) -> bool {
        self.places.keys().any(|name| name.starts_with("blobs/") || name.ends_with("/layer.tar"))
    }

    fn open(&self, name: &str) -> Result<Option<Part>, RootError> {
        let place = match self.places.get(name) {
            // `../ID/layer.tar`, and one step only.
            Some(Place::Link(target)) => {
                self.places.get(target.strip_prefix("../").unwrap_or(target))
            }
            place => place,
        };
        match place {
            Some(Place::File { at, length }) => Part::new(&self.file, *at, *length).map(Some),
            Some(Place::Link(_)) => Err(RootError::Image(format!("{name:?} is a link"))),
            None => Ok(None),
        }
    }
}

fn is_of_an_image(path: &str) -> bool {
    matches!(path, "oci-layout" | "index.json")
        || path.starts_with("blobs/sha256/")
        || path.ends_with("/layer.tar")
        || (path.ends_with(".json") && !path.contains('/'))
}

fn broken(reader: &Reader, source: TarError) -> RootError {
    RootError::Archive { member: reader.at().to_owned(), source }
}
