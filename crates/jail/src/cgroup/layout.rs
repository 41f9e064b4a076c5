//! Which control groups this process may use.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};

const ROOT: &str = "/sys/fs/cgroup";
/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP2_MAGIC: u32 = 0x6367_7270;

/// A controller that a jail uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Controller {
    /// Memory of all processes together.
    Memory,
    /// The number of processes.
    Pids,
    /// Processor weight and quota.
    Cpu,
}

impl Controller {
    pub(super) const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    /// The kernel's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }
}

/// Which control groups this process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Version 2: groups are made in `parent`.
    V2 {
        /// A group that may have children with controllers.
        parent: PathBuf,
        /// The controllers that its children have, or can be given.
        controllers: Vec<Controller>,
    },
    /// Version 1: a hierarchy for each controller.
    V1 {
        /// Where groups of a controller are made.
        parents: Vec<(Controller, PathBuf)>,
    },
    /// None.
    None {
        /// Why, for people.
        why: String,
    },
}

impl Layout {
    /// Looks; changes nothing.
    pub fn find() -> Self {
        let mut own = [0u8; 4096];
        let own = crate::sys::read_small(c"/proc/self/cgroup", &mut own).unwrap_or_default();
        let version2 = rustix::fs::statfs(ROOT)
            .is_ok_and(|filesystem| filesystem.f_type as u32 == CGROUP2_MAGIC);
        if version2 { find_v2(own) } else { find_v1(own) }
    }

    /// Whether a limit of this controller can be enforced.
    pub fn has(&self, controller: Controller) -> bool {
        match self {
            Self::V2 { controllers, .. } => controllers.contains(&controller),
            Self::V1 { parents } => parents.iter().any(|(found, _)| *found == controller),
            Self::None { .. } => false,
        }
    }

    /// Why a controller cannot be used.
    pub(crate) fn why_not(&self, controller: Controller) -> String {
        match self {
            Self::None { why } => why.clone(),
            _ => format!("the {} controller is not available to this process", controller.name()),
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V2 { .. } => f.write_str("cgroup v2"),
            Self::V1 { .. } => f.write_str("cgroup v1"),
            Self::None { why } => write!(f, "none: {why}"),
        }
    }
}

fn writable(path: &Path) -> bool {
    access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

fn none(why: &str) -> Layout {
    Layout::None { why: why.to_owned() }
}

/// In version 2 a group with processes cannot give controllers to its children,
/// unless it is the root (cgroups(7), "no internal processes").
fn find_v2(own: &str) -> Layout {
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    // This process may have moved to a leaf for an earlier run.
    let own = own.strip_suffix(super::LEAF).unwrap_or(own).trim_matches('/');
    let own = Path::new(ROOT).join(own);
    let mut why = none("no control group may be written by this user");
    for parent in [own.as_path(), Path::new(ROOT)] {
        if !writable(parent) {
            continue;
        }
        let given = controllers(&parent.join("cgroup.subtree_control"));
        let controllers = if given.len() == Controller::ALL.len() || may_give(parent) {
            controllers(&parent.join("cgroup.controllers"))
        } else {
            given
        };
        if controllers.is_empty() {
            why = none("the own control group holds processes, so it cannot give controllers on");
            continue;
        }
        return Layout::V2 { parent: parent.to_owned(), controllers };
    }
    why
}

/// Whether `parent` can give controllers to its children: it is the root, or
/// this process alone is in it and can move to a leaf.
fn may_give(parent: &Path) -> bool {
    let alone = || {
        let processes = fs::read_to_string(parent.join("cgroup.procs")).unwrap_or_default();
        processes.split_whitespace().all(|pid| pid.parse() == Ok(std::process::id()))
    };
    // The root has no cgroup.type.
    !parent.join("cgroup.type").exists() || alone()
}

fn controllers(file: &Path) -> Vec<Controller> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let has = |controller: &Controller| text.split_whitespace().any(|n| n == controller.name());
    Controller::ALL.into_iter().filter(has).collect()
}

fn find_v1(own: &str) -> Layout {
    let parents: Vec<_> = Controller::ALL
        .into_iter()
        .filter_map(|controller| Some((controller, v1_parent(own, controller)?)))
        .collect();
    if parents.is_empty() {
        return none("no control group may be written by this user");
    }
    Layout::V1 { parents }
}

/// The own group of a hierarchy, so that limits from above go on to hold. In a
/// container its path may not exist; then what is mounted is the own group.
fn v1_parent(own: &str, controller: Controller) -> Option<PathBuf> {
    named_parent(own, controller.name())
}

/// Where groups of the freezer are made, which only version 1 has.
pub(super) fn freezer_parent() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    named_parent(&own, "freezer")
}

fn named_parent(own: &str, wanted: &str) -> Option<PathBuf> {
    let mount = Path::new(ROOT).join(wanted);
    let path = path_of(own, wanted)?;
    let own = mount.join(path.trim_start_matches('/'));
    [own, mount].into_iter().find(|parent| writable(parent))
}

/// The groups that a process is in, as far as they can be seen from here.
pub(crate) fn places_of(pid: i32) -> Vec<(Option<Controller>, PathBuf)> {
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let is_version2 =
        rustix::fs::statfs(ROOT).is_ok_and(|found| found.f_type as u32 == CGROUP2_MAGIC);
    // The root group of a hierarchy is everybody's, and counts for nobody.
    let is_own = |path: &str| !path.trim_matches('/').is_empty() && !path.contains("..");
    if is_version2 {
        let path = own.lines().find_map(|line| line.strip_prefix("0::"));
        let place = path.filter(|path| is_own(path)).map(|path| (None, below(ROOT, path)));
        return place.into_iter().filter(|(_, path)| path.is_dir()).collect();
    }
    let place = |controller: Controller| {
        let path = path_of(&own, controller.name()).filter(|path| is_own(path))?;
        Some((Some(controller), below(&format!("{ROOT}/{}", controller.name()), path)))
    };
    Controller::ALL.into_iter().filter_map(place).filter(|(_, path)| path.is_dir()).collect()
}

fn below(root: &str, path: &str) -> PathBuf {
    Path::new(root).join(path.trim_start_matches('/'))
}

/// The path of a version 1 controller in a list of groups.
fn path_of<'a>(list: &'a str, wanted: &str) -> Option<&'a str> {
    list.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers = fields.next()?;
        controllers.split(',').any(|name| name == wanted).then(|| fields.next())?
    })
}
