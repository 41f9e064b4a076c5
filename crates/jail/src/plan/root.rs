//! What the private root holds before anything of the caller is mounted.
//!
//! Paths are relative to the new root. One tmpfs carries the root and all
//! private places, so one byte limit and one inode limit hold for them together.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Serialize, Serializer};

use capsule_spec::{Network, Task};

use crate::host::{Entry, Host, Kind};

/// One step in filling the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum RootStep {
    /// Makes a directory.
    Directory {
        /// Where.
        path: String,
        /// Its mode.
        #[serde(serialize_with = "octal")]
        mode: u32,
    },
    /// Makes a symbolic link.
    Link {
        /// Where.
        path: String,
        /// What it holds.
        target: String,
    },
    /// Writes a file.
    File {
        /// Where.
        path: String,
        /// What it holds.
        #[serde(serialize_with = "lossy")]
        contents: Vec<u8>,
    },
    /// Mounts a file or directory of the host, read-only.
    System {
        /// Where it is on the host.
        source: String,
        /// Where it goes.
        path: String,
        /// Which of the two it is.
        is_directory: bool,
    },
    /// Mounts a file or directory of the other root, read-only.
    Base {
        /// Where it is, there and here.
        path: String,
        /// Which of the two it is.
        is_directory: bool,
    },
}

fn octal<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{mode:04o}"))
}

fn lossy<S: Serializer>(contents: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(contents))
}

/// The private, writable places. The order is that of the mounts.
pub(crate) const PRIVATE: [(&str, u32); 3] =
    [("workspace", 0o755), ("tmp", 0o1777), ("dev/shm", 0o1777)];

/// Devices that are mounted from the host's `/dev`.
pub(crate) const DEVICES: [&str; 5] = ["full", "null", "random", "urandom", "zero"];

const PASSWD: &str = "root:x:0:0:root:/:/usr/sbin/nologin\n\
    capsule:x:1000:1000:capsule:/workspace:/bin/sh\n\
    nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\ncapsule:x:1000:\nnogroup:x:65534:\n";
const HOSTS: &str = "127.0.0.1 localhost capsule\n::1 localhost\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n\
    services: files\nprotocols: files\n";

pub(super) fn steps(task: &Task, host: &Host) -> Vec<RootStep> {
    let mut root = Root { has_base: host.base.is_some(), ..Root::default() };
    for directory in ["dev", "etc", "proc"] {
        root.directory(directory, 0o755);
    }
    for (path, mode) in PRIVATE {
        root.directory(path, mode);
    }
    for entry in &host.system {
        root.host_entry("", entry);
    }
    for (path, contents) in
        [("passwd", PASSWD), ("group", GROUP), ("hosts", HOSTS), ("nsswitch.conf", NSSWITCH)]
    {
        root.file(["etc/", path].concat(), contents.as_bytes());
    }
    if let (Network::Open, Some(contents)) = (&task.policy.network, &host.resolv_conf) {
        root.file("etc/resolv.conf".to_owned(), contents);
    }
    for entry in &host.etc {
        root.host_entry("etc/", entry);
    }
    for name in DEVICES {
        root.file(["dev/", name].concat(), b"");
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        root.link(["dev/", name].concat(), target);
    }
    root.directory("dev/pts", 0o755);
    for mount in &task.policy.files {
        root.parents(mount.destination.as_path());
    }
    let working_directory = task.working_directory.as_path();
    if PRIVATE.iter().any(|(path, _)| working_directory.starts_with(Path::new("/").join(path))) {
        root.parents(&working_directory.join("x"));
    }
    root.steps
}

/// Collects steps and makes each directory once.
#[derive(Default)]
struct Root {
    /// Entries are of another root than the host's.
    has_base: bool,
    steps: Vec<RootStep>,
    made: BTreeSet<String>,
}

impl Root {
    fn directory(&mut self, path: &str, mode: u32) {
        if self.made.insert(path.to_owned()) {
            self.steps.push(RootStep::Directory { path: path.to_owned(), mode });
        }
    }

    fn link(&mut self, path: String, target: &str) {
        self.steps.push(RootStep::Link { path, target: target.to_owned() });
    }

    fn file(&mut self, path: String, contents: &[u8]) {
        self.steps.push(RootStep::File { path, contents: contents.to_owned() });
    }

    /// A link stays a link (`/bin` of a merged `/usr`), anything else is mounted.
    fn host_entry(&mut self, directory: &str, entry: &Entry) {
        let path = [directory, &entry.name].concat();
        let source = ["/", &path].concat();
        self.parents(Path::new(&source));
        self.made.insert(path.clone());
        match &entry.kind {
            Kind::Link(target) => self.link(path, target),
            kind if self.has_base => {
                self.steps.push(RootStep::Base { path, is_directory: *kind == Kind::Directory })
            }
            kind => self.steps.push(RootStep::System {
                source,
                path,
                is_directory: *kind == Kind::Directory,
            }),
        }
    }

    /// The directories above `path`. Those below a system directory must exist there.
    fn parents(&mut self, path: &Path) {
        let parent = path.parent().and_then(|parent| parent.to_str()?.strip_prefix('/'));
        // Most often: it is the root, or was made, and so were those above it.
        if parent.is_some_and(|parent| parent.is_empty() || self.made.contains(parent)) {
            return;
        }
        let ancestors: Vec<_> = path.ancestors().skip(1).collect();
        for directory in ancestors.into_iter().rev() {
            let Some(directory) = directory.to_str().map(|d| d.trim_start_matches('/')) else {
                return;
            };
            if directory.is_empty() {
                continue;
            }
            let is_system = self.steps.iter().any(|step| match step {
                RootStep::System { path, .. }
                | RootStep::Base { path, .. }
                | RootStep::Link { path, .. } => path == directory,
                _ => false,
            });
            if is_system {
                return;
            }
            self.directory(directory, 0o755);
        }
    }
}
