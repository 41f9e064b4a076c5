//! From a path to what lies there.
//!
//! The guest's tree is made of three kinds of directories: virtual ones on the way to a
//! mount, its own in memory, and folders of the host. A walk goes through them name by
//! name and follows links as text, so no link leads anywhere but into this tree; links
//! of the host only as far as they stay in their mount.

use std::sync::Arc;

use rustix::fs::{FileType, Stat};

use super::error::{ErrorCode, Result};
use super::folder::Folder;
use super::memory::{Held, Kind};
use super::mount::{Mount, Mounts, PRIVATE, Point};
use super::path;

/// A directory of the guest's tree.
#[derive(Clone, Debug)]
pub(super) enum Directory {
    /// On the way to a mount; its path, which is empty for the root.
    Virtual(Box<str>),
    Memory(Held),
    Host(Folder),
}

/// What lies at a path.
pub(super) enum Place {
    /// A directory that was reached without its name: the start, a parent.
    Directory(Directory),
    Entry(Entry),
}

/// A name in a directory.
pub(super) struct Entry {
    pub(super) parent: Directory,
    pub(super) name: String,
    pub(super) found: Found,
    /// The path says that it is a directory.
    pub(super) wants_directory: bool,
}

/// What a name means.
pub(super) enum Found {
    Missing,
    /// A mount point, or a directory on the way to one.
    Point(Directory),
    /// A mount point that is a file.
    File(Arc<Mount>),
    /// Something else than a link.
    Memory(Held),
    /// Something else than a link.
    Host(Stat),
    Link(Link),
}

pub(super) enum Link {
    Memory(Held),
    Host(Stat),
}

/// What to do with a link at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Follow,
    Keep,
}

/// How many links one path may lead through; as on Linux.
const MOST_LINKS: usize = 40;
/// How many steps a walk may have, links included.
const MOST_STEPS: usize = 8192;

/// A name still to be looked up, and the depth above which it may not lead.
struct Step {
    name: Box<str>,
    floor: usize,
}

/// Why a walk is given up.
enum Halt {
    Failed(ErrorCode),
    /// A link leads upwards, and the parents are not known: walk in small steps.
    Restart,
}

impl From<ErrorCode> for Halt {
    fn from(error: ErrorCode) -> Self {
        Self::Failed(error)
    }
}

pub(super) struct Walk<'a> {
    pub(super) mounts: &'a Mounts,
    pub(super) private: &'a Held,
    /// Whether it came by a place where more may be mounted one day.
    pub(super) looked: bool,
}

impl Mounts {
    /// The root of the guest's tree.
    pub(super) fn root(&self) -> Directory {
        match self.at("") {
            Some(Point::Mount(mount)) => Directory::Host(Folder::root(mount, Some("".into()))),
            _ => Directory::Virtual("".into()),
        }
    }
}

impl Walk<'_> {
    /// Where `path` leads from `base`.
    pub(super) fn find(&mut self, base: &Directory, path: &str, last: Last) -> Result<Place> {
        path::check(path)?;
        if path.starts_with('/') {
            return Err(ErrorCode::NotPermitted);
        }
        match self.walk(base, path, last, true) {
            Err(Halt::Restart) => match self.walk(base, path, last, false) {
                Err(Halt::Failed(error)) => Err(error),
                Err(Halt::Restart) => Err(ErrorCode::Io),
                Ok(place) => Ok(place),
            },
            Err(Halt::Failed(error)) => Err(error),
            Ok(place) => Ok(place),
        }
    }

    fn walk(
        &mut self,
        base: &Directory,
        path: &str,
        last: Last,
        may_leap: bool,
    ) -> std::result::Result<Place, Halt> {
        let mut stack = vec![base.clone()];
        let mut ahead: Vec<Step> = Vec::new();
        push(&mut ahead, path, 0);
        let mut wants_directory = path::ends_in_directory(path);
        let (mut links, mut steps) = (0, 0);
        while let Some(step) = ahead.pop() {
            steps += 1;
            if steps + ahead.len() > MOST_STEPS {
                return Err(ErrorCode::NameTooLong.into());
            }
            if &*step.name == ".." {
                if stack.len() - 1 > step.floor {
                    stack.pop();
                } else if step.floor > 0 || !is_root(&stack[0]) {
                    return Err(ErrorCode::NotPermitted.into());
                }
                continue;
            }
            let top = stack.last().expect("the base is never popped");
            let link = if ahead.is_empty() {
                let parent = top.clone();
                match self.look(&parent, &step.name)? {
                    Found::Link(link) if last == Last::Follow || wants_directory => link,
                    found => {
                        let name = step.name.into();
                        return Ok(Place::Entry(Entry { parent, name, found, wants_directory }));
                    }
                }
            } else {
                if may_leap && let Some(next) = leap(top, &step, &mut ahead)? {
                    stack.push(next);
                    continue;
                }
                match self.enter(top, &step.name)? {
                    Entered::Directory(next) => {
                        stack.push(next);
                        continue;
                    }
                    Entered::Link(link) => link,
                }
            };
            links += 1;
            if links > MOST_LINKS {
                return Err(ErrorCode::Loop.into());
            }
            let (target, floor) = match link {
                Link::Memory(held) => (held.tree().target(held.number()), 0),
                Link::Host(_) => {
                    let Directory::Host(folder) = top else {
                        return Err(ErrorCode::Io.into());
                    };
                    let floor = stack.iter().rposition(|below| !is_of(below, &folder.mount));
                    (Some(folder.target(&step.name)?), floor.map_or(0, |index| index + 1))
                }
            };
            let target = target.ok_or(ErrorCode::Io)?;
            let is_host = matches!(top, Directory::Host(_));
            if target.starts_with('/') {
                if is_host {
                    return Err(ErrorCode::NotPermitted.into());
                }
                stack = vec![self.mounts.root()];
                // The depths of what is still ahead belong to the old stack.
                ahead.iter_mut().for_each(|step| step.floor = 0);
            } else if may_leap && path::steps(&target).any(|name| name == "..") {
                return Err(Halt::Restart);
            }
            if ahead.is_empty() {
                wants_directory |= path::ends_in_directory(&target);
            }
            push(&mut ahead, &target, floor);
        }
        let end = stack.pop().expect("the base is never popped");
        Ok(Place::Directory(end))
    }

    /// What `name` means in `parent`, be it a link.
    pub(super) fn look(&mut self, parent: &Directory, name: &str) -> Result<Found> {
        path::check_name(name)?;
        if let Some(found) = self.point(parent, name)? {
            return Ok(found);
        }
        match parent {
            Directory::Virtual(_) => {
                self.looked = true;
                Ok(Found::Missing)
            }
            Directory::Memory(directory) => {
                let held = directory
                    .other(|tree, number| tree.lookup(number, name)?.ok_or(ErrorCode::NoEntry));
                match held {
                    Err(ErrorCode::NoEntry) => Ok(Found::Missing),
                    Err(error) => Err(error),
                    Ok(held) if held.facts().kind == Kind::Link => {
                        Ok(Found::Link(Link::Memory(held)))
                    }
                    Ok(held) => Ok(Found::Memory(held)),
                }
            }
            Directory::Host(folder) => Ok(match folder.stat(name)? {
                None => Found::Missing,
                Some(stat) if is(&stat, FileType::Symlink) => Found::Link(Link::Host(stat)),
                Some(stat) => Found::Host(stat),
            }),
        }
    }

    /// What mounts make of `name` in `parent`.
    fn point(&self, parent: &Directory, name: &str) -> Result<Option<Found>> {
        let within = match parent {
            Directory::Virtual(path) => path,
            Directory::Host(Folder { path: Some(path), .. }) => path,
            _ => return Ok(None),
        };
        let path = format!("{within}/{name}");
        let directory = match self.mounts.at(&path) {
            None => return Ok(None),
            Some(Point::Private) => {
                debug_assert_eq!(path, PRIVATE);
                Directory::Memory(self.private.clone())
            }
            Some(Point::Mount(mount)) if mount.file.is_some() => {
                return Ok(Some(Found::File(mount.clone())));
            }
            Some(Point::Mount(mount)) => {
                let path = self.mounts.is_above(&path).then(|| path.into());
                Directory::Host(Folder::root(mount, path))
            }
            Some(Point::Above) => {
                let real = match parent {
                    Directory::Host(folder) => folder.enter(name, Some(path.clone().into())).ok(),
                    _ => None,
                };
                real.map_or_else(|| Directory::Virtual(path.into()), Directory::Host)
            }
        };
        Ok(Some(Found::Point(directory)))
    }

    /// Goes into `name`.
    fn enter(&mut self, parent: &Directory, name: &str) -> Result<Entered> {
        path::check_name(name)?;
        if let (Directory::Host(folder), None) = (parent, self.point(parent, name)?) {
            match folder.enter(name, None) {
                Err(ErrorCode::Loop) => {}
                entered => return Ok(Entered::Directory(Directory::Host(entered?))),
            }
        }
        match self.look(parent, name)? {
            Found::Missing => Err(ErrorCode::NoEntry),
            Found::File(_) => Err(ErrorCode::NotDirectory),
            Found::Link(link) => Ok(Entered::Link(link)),
            found => self.directory(parent, name, found).map(Entered::Directory),
        }
    }

    /// The directory that was found.
    pub(super) fn directory(
        &self,
        parent: &Directory,
        name: &str,
        found: Found,
    ) -> Result<Directory> {
        match (found, parent) {
            (Found::Point(directory), _) => Ok(directory),
            (Found::Memory(held), _) if held.facts().kind == Kind::Directory => {
                Ok(Directory::Memory(held))
            }
            (Found::Host(stat), Directory::Host(folder)) if is(&stat, FileType::Directory) => {
                Ok(Directory::Host(folder.enter(name, None)?))
            }
            (Found::Missing, _) => Err(ErrorCode::NoEntry),
            _ => Err(ErrorCode::NotDirectory),
        }
    }
}

enum Entered {
    Directory(Directory),
    Link(Link),
}

/// Goes through all but the last of what is ahead in one system call, if nothing there
/// can be a mount point or lead upwards.
fn leap(
    top: &Directory,
    first: &Step,
    ahead: &mut Vec<Step>,
) -> std::result::Result<Option<Directory>, Halt> {
    let Directory::Host(folder @ Folder { path: None, .. }) = top else { return Ok(None) };
    if ahead.len() < 2 || ahead.iter().any(|step| &*step.name == "..") {
        return Ok(None);
    }
    let mut steps = String::from(&*first.name);
    for step in ahead.iter().skip(1).rev() {
        path::check_name(&step.name)?;
        steps.push('/');
        steps.push_str(&step.name);
    }
    match folder.enter(&steps, None) {
        Ok(next) => {
            ahead.truncate(1);
            Ok(Some(Directory::Host(next)))
        }
        // One of them is a link.
        Err(ErrorCode::Loop) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn push(ahead: &mut Vec<Step>, path: &str, floor: usize) {
    ahead.extend(path::steps(path).rev().map(|name| Step { name: name.into(), floor }));
}

pub(super) fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}

fn is_root(directory: &Directory) -> bool {
    match directory {
        Directory::Virtual(path) => path.is_empty(),
        Directory::Host(folder) => folder.path.as_deref() == Some(""),
        Directory::Memory(_) => false,
    }
}

fn is_of(directory: &Directory, mount: &Arc<Mount>) -> bool {
    matches!(directory, Directory::Host(folder) if Arc::ptr_eq(&folder.mount, mount))
}
