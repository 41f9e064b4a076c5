//! The leak audit: what a whole run of the suite left on the host.

use std::collections::BTreeMap;
use std::time::Duration;

use capsule_jail::groups;
use serde::Serialize;

use super::host;
use super::suite::{Scene, marker_base};

/// Something that was not there before, or is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Leak {
    /// `process`, `child`, `mount`, `cgroup`, `directory`, `setting`.
    pub(crate) kind: &'static str,
    pub(crate) what: String,
}

/// Groups of dying processes take a moment on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The host before the run.
pub(super) struct Audit {
    mounts: Vec<String>,
    groups: groups::Audit,
    settings: BTreeMap<String, String>,
}

impl Audit {
    pub(super) fn begin() -> Self {
        Self { mounts: host::mounts(), groups: groups::Audit::begin(), settings: host::settings() }
    }

    /// Compares, and removes the suite's own directory.
    pub(super) fn end(self, scene: Scene) -> Vec<Leak> {
        let mut leaks = Vec::new();
        let mut add = |kind, what: String| leaks.push(Leak { kind, what });
        for pid in host::processes_with(&marker_base()) {
            add("process", pid.to_string());
        }
        for pid in host::children() {
            add("child", pid);
        }
        for mount in host::mounts() {
            // Others may mount meanwhile; what concerns us names the suite or a jail.
            if !self.mounts.contains(&mount) && mount.contains("capsule") {
                add("mount", mount);
            }
        }
        for group in self.groups.left(PATIENCE) {
            add("cgroup", group.display().to_string());
        }
        let now = host::settings();
        for (name, before) in &self.settings {
            if now.get(name) != Some(before) {
                add("setting", format!("{name} was {before:?}, is {:?}", now.get(name)));
            }
        }
        if let Err(error) = scene.close() {
            add("directory", error.to_string());
        }
        leaks
    }
}
