//! What can be done to files by name.

use std::sync::Arc;

use rustix::fs::{FileType, Timestamps};
use wasmtime_wasi::p2::bindings::filesystem::types::OpenFlags;

use super::error::{ErrorCode, Result};
use super::file::{About, File, change_times};
use super::folder::{Folder, Use};
use super::memory::Kind;
use super::mount::Mount;
use super::walk::{Directory, Entry, Found, Last, Link, Place, is};
use super::{Descriptor, Files};

/// How often a file may appear or vanish on the host while it is being opened.
const MOST_RACES: usize = 8;

impl Files {
    pub(super) fn open_at(
        &mut self,
        base: u32,
        path: &str,
        last: Last,
        flags: OpenFlags,
        how: Use,
    ) -> Result<u32> {
        if self.open.is_full() {
            // Before anything is made.
            return Err(ErrorCode::InsufficientMemory);
        }
        // POSIX: a link in the place of a file that must not be there is there.
        let is_new = flags.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE);
        let last = if is_new { Last::Keep } else { last };
        let mut races = 0;
        let descriptor = loop {
            let place = self.find(base, path, last)?;
            match self.open_place(place, flags, how) {
                // Somebody on the host was quicker.
                Err(ErrorCode::Exist) if !is_new && races < MOST_RACES => races += 1,
                result => break result?,
            }
        };
        self.open.insert(descriptor)
    }

    fn open_place(&self, place: Place, flags: OpenFlags, how: Use) -> Result<Descriptor> {
        let Entry { parent, name, found, wants_directory } = match place {
            Place::Entry(entry) => entry,
            Place::Directory(directory) => return open_directory(directory, flags, how),
        };
        let wants_directory = wants_directory || flags.contains(OpenFlags::DIRECTORY);
        let creates = flags.contains(OpenFlags::CREATE);
        let truncates = flags.contains(OpenFlags::TRUNCATE);
        let file = match found {
            Found::Missing if !creates => return Err(ErrorCode::NoEntry),
            Found::Missing if wants_directory => return Err(ErrorCode::Invalid),
            Found::Missing => return create(&parent, &name, how).map(Descriptor::File),
            _ if flags.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE) => {
                return Err(ErrorCode::Exist);
            }
            Found::Link(_) => return Err(ErrorCode::Loop),
            Found::Point(directory) => return open_directory(directory, flags, how),
            Found::Memory(held) if held.facts().kind == Kind::Directory => {
                return open_directory(Directory::Memory(held), flags, how);
            }
            Found::Host(stat) if is(&stat, FileType::Directory) => {
                let Directory::Host(folder) = parent else { return Err(ErrorCode::Io) };
                let folder = folder.enter(&name, None)?;
                return open_directory(Directory::Host(folder), flags, how);
            }
            _ if wants_directory => return Err(ErrorCode::NotDirectory),
            Found::Memory(held) => File::memory(held, how),
            Found::File(mount) => open_mounted(&mount, how, truncates)?,
            Found::Host(_) => {
                let Directory::Host(folder) = parent else { return Err(ErrorCode::Io) };
                open_on_host(&folder, &name, how, truncates)?
            }
        };
        if truncates {
            file.resize(0)?;
        }
        Ok(Descriptor::File(Arc::new(file)))
    }

    pub(super) fn stat_at(&mut self, base: u32, path: &str, last: Last) -> Result<About> {
        let entry = match self.find(base, path, last)? {
            Place::Directory(directory) => return self.about(&directory),
            Place::Entry(entry) => entry,
        };
        let about = match entry.found {
            Found::Missing => return Err(ErrorCode::NoEntry),
            Found::Point(directory) => return self.about(&directory),
            Found::File(mount) => mounted(&mount)?,
            Found::Memory(held) | Found::Link(Link::Memory(held)) => About::Memory(held.facts()),
            Found::Host(stat) | Found::Link(Link::Host(stat)) => About::Host(stat),
        };
        let is_directory = match &about {
            About::Memory(facts) => facts.kind == Kind::Directory,
            About::Host(stat) => is(stat, FileType::Directory),
            About::Virtual(..) => true,
        };
        match entry.wants_directory && !is_directory {
            true => Err(ErrorCode::NotDirectory),
            false => Ok(about),
        }
    }

    pub(super) fn about(&self, directory: &Directory) -> Result<About> {
        Ok(match directory {
            Directory::Virtual(path) => About::Virtual(path.clone(), self.begun),
            Directory::Memory(held) => About::Memory(held.facts()),
            Directory::Host(folder) => About::Host(folder.stat_self()?),
        })
    }

    pub(super) fn set_times_at(
        &mut self,
        base: u32,
        path: &str,
        last: Last,
        times: &Timestamps,
    ) -> Result<()> {
        let entry = match self.find(base, path, last)? {
            Place::Directory(directory) => return set_times(&directory, times),
            Place::Entry(entry) => entry,
        };
        match (entry.found, &entry.parent) {
            (Found::Missing, _) => Err(ErrorCode::NoEntry),
            (Found::Point(directory), _) => set_times(&directory, times),
            (Found::Memory(held) | Found::Link(Link::Memory(held)), _) => {
                held.tree().set_times(held.number(), |all| change_times(all, times));
                Ok(())
            }
            (Found::File(mount), _) => {
                let name = mount.file.clone();
                Folder::root(&mount, None).set_times(name.as_deref(), times)
            }
            (_, Directory::Host(folder)) => folder.set_times(Some(&entry.name), times),
            _ => Err(ErrorCode::Io),
        }
    }

    pub(super) fn create_directory_at(&mut self, base: u32, path: &str) -> Result<()> {
        let entry = self.new_entry(base, path)?;
        match &entry.parent {
            Directory::Virtual(_) => Err(ErrorCode::ReadOnly),
            Directory::Memory(parent) => {
                parent.tree().create_directory(parent.number(), &entry.name).map(drop)
            }
            Directory::Host(folder) => folder.make_directory(&entry.name),
        }
    }

    pub(super) fn symlink_at(&mut self, target: &str, base: u32, path: &str) -> Result<()> {
        super::path::check(target)?;
        let entry = self.new_entry(base, path)?;
        match &entry.parent {
            _ if entry.wants_directory => Err(ErrorCode::NoEntry),
            Directory::Virtual(_) => Err(ErrorCode::ReadOnly),
            Directory::Memory(parent) => {
                parent.tree().create_link(parent.number(), &entry.name, target).map(drop)
            }
            Directory::Host(folder) => folder.make_link(&entry.name, target),
        }
    }

    pub(super) fn read_link_at(&mut self, base: u32, path: &str) -> Result<String> {
        match self.entry(base, path)? {
            Entry { found: Found::Missing, .. } => Err(ErrorCode::NoEntry),
            Entry { found: Found::Link(Link::Memory(held)), .. } => {
                held.tree().target(held.number()).ok_or(ErrorCode::Invalid)
            }
            Entry { found: Found::Link(_), parent: Directory::Host(folder), name, .. } => {
                folder.target(&name)
            }
            _ => Err(ErrorCode::Invalid),
        }
    }

    pub(super) fn link_at(
        &mut self,
        (base, path, last): (u32, &str, Last),
        (new_base, new_path): (u32, &str),
    ) -> Result<()> {
        let Place::Entry(old) = self.find(base, path, last)? else {
            return Err(ErrorCode::NotPermitted);
        };
        let new = self.new_entry(new_base, new_path)?;
        if new.wants_directory {
            return Err(ErrorCode::NoEntry);
        }
        match (old.found, &old.parent, &new.parent) {
            (Found::Missing, ..) => Err(ErrorCode::NoEntry),
            (_, _, Directory::Virtual(_)) => Err(ErrorCode::ReadOnly),
            (
                Found::Memory(held) | Found::Link(Link::Memory(held)),
                Directory::Memory(_),
                Directory::Memory(to),
            ) => to.tree().link(held.number(), to.number(), &new.name),
            (Found::Host(stat), ..) if is(&stat, FileType::Directory) => {
                Err(ErrorCode::NotPermitted)
            }
            (Found::Host(_) | Found::Link(_), Directory::Host(from), Directory::Host(to)) => {
                from.link(&old.name, to, &new.name)
            }
            _ => Err(ErrorCode::CrossDevice),
        }
    }

    pub(super) fn rename_at(
        &mut self,
        (base, path): (u32, &str),
        (new_base, new_path): (u32, &str),
    ) -> Result<()> {
        let old = self.entry(base, path)?;
        let new = self.entry(new_base, new_path)?;
        if matches!(old.found, Found::Missing) {
            return Err(ErrorCode::NoEntry);
        }
        // Mount points and what leads to them stay: below a directory that moved, a
        // mount would no longer cover what it covers.
        movable(&old)?;
        movable(&new)?;
        let is_directory = match &old.found {
            Found::Memory(held) => held.facts().kind == Kind::Directory,
            Found::Host(stat) => is(stat, FileType::Directory),
            _ => false,
        };
        if (old.wants_directory || new.wants_directory) && !is_directory {
            return Err(ErrorCode::NotDirectory);
        }
        match (&old.parent, &new.parent) {
            (Directory::Memory(from), Directory::Memory(to)) => {
                let (from, number) = (from.number(), to.number());
                to.tree().rename((from, &old.name), (number, &new.name))
            }
            (Directory::Host(from), Directory::Host(to)) => from.rename(&old.name, to, &new.name),
            (_, Directory::Virtual(_)) => Err(ErrorCode::ReadOnly),
            _ => Err(ErrorCode::CrossDevice),
        }
    }

    pub(super) fn unlink_at(&mut self, base: u32, path: &str) -> Result<()> {
        let entry = self.entry(base, path)?;
        match (&entry.found, &entry.parent) {
            (Found::Missing, _) => Err(ErrorCode::NoEntry),
            (Found::Point(_), _) => Err(ErrorCode::IsDirectory),
            (Found::File(_), _) => Err(ErrorCode::Busy),
            (Found::Host(stat), _) if is(stat, FileType::Directory) => Err(ErrorCode::IsDirectory),
            _ if entry.wants_directory => Err(ErrorCode::NotDirectory),
            (_, Directory::Memory(parent)) => parent.tree().unlink(parent.number(), &entry.name),
            (_, Directory::Host(folder)) => folder.unlink(&entry.name),
            (_, Directory::Virtual(_)) => Err(ErrorCode::ReadOnly),
        }
    }

    pub(super) fn remove_directory_at(&mut self, base: u32, path: &str) -> Result<()> {
        let entry = self.entry(base, path)?;
        movable(&entry)?;
        match (&entry.found, &entry.parent) {
            (Found::Missing, _) => Err(ErrorCode::NoEntry),
            (_, Directory::Memory(parent)) => {
                parent.tree().remove_directory(parent.number(), &entry.name)
            }
            (_, Directory::Host(folder)) => folder.remove_directory(&entry.name),
            (_, Directory::Virtual(_)) => Err(ErrorCode::ReadOnly),
        }
    }

    /// A name, not what a link there leads to.
    fn entry(&mut self, base: u32, path: &str) -> Result<Entry> {
        match self.find(base, path, Last::Keep)? {
            Place::Entry(entry) => Ok(entry),
            // `.`, `..` and the root.
            Place::Directory(_) => Err(ErrorCode::Invalid),
        }
    }

    /// A name that is free.
    fn new_entry(&mut self, base: u32, path: &str) -> Result<Entry> {
        match self.find(base, path, Last::Keep)? {
            Place::Entry(entry @ Entry { found: Found::Missing, .. }) => Ok(entry),
            _ => Err(ErrorCode::Exist),
        }
    }
}

fn open_directory(directory: Directory, flags: OpenFlags, how: Use) -> Result<Descriptor> {
    if flags.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE) {
        return Err(ErrorCode::Exist);
    }
    if how.write || flags.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE) {
        return Err(ErrorCode::IsDirectory);
    }
    Ok(Descriptor::Directory(directory))
}

fn create(parent: &Directory, name: &str, how: Use) -> Result<Arc<File>> {
    Ok(Arc::new(match parent {
        Directory::Virtual(_) => return Err(ErrorCode::ReadOnly),
        Directory::Memory(parent) => {
            File::memory(parent.other(|tree, number| tree.create_file(number, name))?, how)
        }
        Directory::Host(folder) => File::host(folder.create(name, how)?, folder.mount.clone(), how),
    }))
}

fn open_on_host(folder: &Folder, name: &str, how: Use, truncates: bool) -> Result<File> {
    if truncates {
        folder.mount.writable()?;
    }
    Ok(File::host(folder.open(name, how)?, folder.mount.clone(), how))
}

fn open_mounted(mount: &Arc<Mount>, how: Use, truncates: bool) -> Result<File> {
    let name = mount.file.as_deref().ok_or(ErrorCode::IsDirectory)?;
    open_on_host(&Folder::root(mount, None), name, how, truncates)
}

fn mounted(mount: &Arc<Mount>) -> Result<About> {
    let name = mount.file.as_deref().ok_or(ErrorCode::IsDirectory)?;
    match Folder::root(mount, None).stat(name)? {
        Some(stat) if is(&stat, FileType::RegularFile) => Ok(About::Host(stat)),
        _ => Err(ErrorCode::NoEntry),
    }
}

pub(super) fn set_times(directory: &Directory, times: &Timestamps) -> Result<()> {
    match directory {
        Directory::Virtual(_) => Err(ErrorCode::ReadOnly),
        Directory::Memory(held) => {
            held.tree().set_times(held.number(), |all| change_times(all, times));
            Ok(())
        }
        Directory::Host(folder) => folder.set_times(None, times),
    }
}

fn movable(entry: &Entry) -> Result<()> {
    match entry.found {
        Found::Point(_) | Found::File(_) => Err(ErrorCode::Busy),
        _ => Ok(()),
    }
}
