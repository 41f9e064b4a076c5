//! What a task wants, in the runner's words, and what of it the broker grants.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use capsule_backend::guest::{Grant, Granted, Meter};
use capsule_engine::{DISK, DOWNLOAD, Project};
use capsule_spec::{Access, ByteSize, ErrorCode, Failure, HostRule};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};

use crate::program;

/// Entries of each list.
const MOST_ENTRIES: usize = 1000;
/// Bytes of a path or a name.
const MOST_NAME: usize = 4096;
/// More fuel than this no task can declare.
const MOST_FUEL: u64 = i64::MAX as u64;

/// A grant as the runner asks for it: no values of variables, and no trust.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    pub(super) fuel: u64,
    pub(super) ram: u64,
    pub(super) disk: u64,
    pub(super) download: u64,
    pub(super) files: Vec<WantedFile>,
    pub(super) hosts: Vec<HostRule>,
    pub(super) environment: Vec<String>,
}

/// A file or folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedFile {
    pub(super) source: PathBuf,
    pub(super) destination: String,
    pub(super) access: Access,
}

impl Wanted {
    /// What the runner asks for.
    pub(super) fn new(grant: &Grant) -> Self {
        let file = |file: &Granted| WantedFile {
            source: file.source.clone(),
            destination: file.destination.clone(),
            access: file.access,
        };
        Self {
            fuel: grant.meter.left(),
            ram: grant.ram.bytes(),
            disk: grant.disk.bytes(),
            download: grant.download.bytes(),
            files: grant.files.iter().map(file).collect(),
            hosts: grant.hosts.clone(),
            environment: grant.environment.iter().map(|(name, _)| name.clone()).collect(),
        }
    }
}

/// The most that may be granted: what the operator named when the run began.
pub(super) struct Bounds {
    places: Vec<Place>,
    environment: BTreeMap<String, String>,
    memory: u64,
}

/// A folder or file of the host, and how it may be granted.
struct Place {
    path: PathBuf,
    /// What it was when the run began, whatever its name comes to mean.
    opened: OwnedFd,
    access: Access,
}

impl Bounds {
    pub(super) fn of(project: &Project) -> io::Result<Self> {
        let mut places = vec![Place::open(project.root(), Access::ReadWrite)?];
        for granted in project.always().iter().chain(project.mounts()) {
            places.push(Place::open(&granted.source, granted.access)?);
        }
        let environment = program::environment();
        let system = rustix::system::sysinfo();
        #[allow(clippy::useless_conversion, reason = "its type differs between architectures")]
        let memory = u64::from(system.totalram).saturating_mul(u64::from(system.mem_unit));
        Ok(Self { places, environment, memory })
    }

    /// Grants what is wanted, or nothing.
    ///
    /// # Errors
    /// A file that the operator did not name, or a list without end. Limits that are too
    /// high become the highest; variables that are not there are left out.
    pub(super) fn grant(&self, wanted: Wanted) -> Result<Grant, Failure> {
        let lists = [wanted.files.len(), wanted.hosts.len(), wanted.environment.len()];
        if lists.iter().any(|length| *length > MOST_ENTRIES) {
            let message = format!("a task has more than {MOST_ENTRIES} files, hosts or variables");
            return Err(Failure::new(ErrorCode::InvalidValue, message));
        }
        let files = wanted.files.into_iter().map(|file| self.file(file));
        let variable = |name: String| {
            let value = self.environment.get(&name)?.clone();
            Some((name, value))
        };
        Ok(Grant {
            meter: Meter::new(wanted.fuel.min(MOST_FUEL)),
            ram: ByteSize::from_bytes(wanted.ram.min(self.memory)),
            disk: ByteSize::from_bytes(wanted.disk.min(DISK.bytes())),
            files: files.collect::<Result<_, _>>()?,
            hosts: wanted.hosts,
            download: ByteSize::from_bytes(wanted.download.min(DOWNLOAD.bytes())),
            environment: wanted.environment.into_iter().filter_map(variable).collect(),
        })
    }

    fn file(&self, wanted: WantedFile) -> Result<Granted, Failure> {
        let WantedFile { source, destination, access } = wanted;
        let is_granted = self.places.iter().any(|place| place.holds(&source, access));
        if !is_granted {
            let message = format!(
                "{} lies neither in the project nor in a mount of this run",
                source.display()
            );
            return Err(Failure::new(ErrorCode::UnsafePath, message));
        }
        let is_plain = destination == "/"
            || destination.strip_prefix('/').is_some_and(|rest| {
                rest.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'))
            });
        if !is_plain || destination.len() > MOST_NAME {
            let message = format!("{destination:?} is no place in a sandbox");
            return Err(Failure::new(ErrorCode::InvalidPath, message));
        }
        Ok(Granted { source, destination, access })
    }
}

impl Place {
    fn open(path: &Path, access: Access) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let opened = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { path: path.to_owned(), opened, access })
    }

    /// Whether `source` is this place or lies in it, with no link on the way. Who opens
    /// it later follows none either, so nothing that is put there meanwhile leads out.
    fn holds(&self, source: &Path, access: Access) -> bool {
        if access == Access::ReadWrite && self.access == Access::ReadOnly {
            return false;
        }
        let is_plain =
            |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
        let bytes = source.as_os_str().len();
        let Ok(rest) = source.strip_prefix(&self.path) else { return false };
        if bytes > MOST_NAME || !source.components().all(is_plain) {
            return false;
        }
        if rest.as_os_str().is_empty() {
            return true;
        }
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.opened, rest, flags, Mode::empty(), resolve).is_ok()
    }
}
