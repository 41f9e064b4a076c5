//! File states of sandboxes: kept, listed, forgotten, and what begins with one.

use std::collections::BTreeMap;

use capsule_spec::{ErrorCode, Failure};
use serde::{Deserialize, Serialize};

use super::check::{self, Checked};
use super::{Create, NetworkPolicy, OnExpiry, ResourceLimits, VolumeMount};

/// A file state to keep.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The sandbox. Its processes stand still meanwhile.
    pub id: String,
    /// A name for people; it need not be unique.
    #[serde(default)]
    pub name: Option<String>,
    /// What it is found by: see `sandbox.v1.snapshots`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Checked for Snapshot {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        if let Some(name) = &self.name {
            check::range("the length of name", name.len() as u64, 1, 255)?;
        }
        check::labels("labels", &self.labels)
    }
}

/// A snapshot that is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SnapshotAnswer {
    /// All about it.
    pub snapshot: SnapshotInfo,
}

/// The files of a sandbox, as they were at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SnapshotInfo {
    /// What other methods name it by.
    pub id: String,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of which sandbox; it may be gone.
    pub sandbox: String,
    /// Of which template that was.
    pub template: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// What it takes of the disk, counted as if it were alone.
    pub bytes: u64,
    /// Files, directories and links in it.
    pub files: u64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Which snapshots to list.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Snapshots {
    /// Those that carry all of these labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// At most so many.
    #[serde(default = "hundred")]
    pub limit: u64,
    /// Those after this id: the last one of the page before.
    #[serde(default)]
    pub after: Option<String>,
}

fn hundred() -> u64 {
    100
}

impl Checked for Snapshots {
    fn check(&self) -> Result<(), Failure> {
        check::range("limit", self.limit, 1, 1_000)
    }
}

/// Snapshots, ordered by id.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SnapshotsAnswer {
    /// This page of them.
    pub snapshots: Vec<SnapshotInfo>,
    /// Whether there are more after the last one.
    pub more: bool,
}

/// The snapshot to forget.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeleteSnapshot {
    /// Its id.
    pub snapshot: String,
}

impl Checked for DeleteSnapshot {
    fn check(&self) -> Result<(), Failure> {
        snapshot_id(&self.snapshot)
    }
}

/// A sandbox whose files are to be as they were.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The sandbox. What runs in it is ended.
    pub id: String,
    /// The snapshot, of this or another sandbox.
    pub snapshot: String,
}

impl Checked for Restore {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        snapshot_id(&self.snapshot)
    }
}

/// A sandbox that begins with the files of another one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CloneSandbox {
    /// The sandbox whose files and template it has. Its processes stand still meanwhile.
    pub id: String,
    /// As in `sandbox.v1.create`.
    #[serde(default = "ttl")]
    pub ttl_ms: u64,
    /// As in `sandbox.v1.create`.
    #[serde(default)]
    pub idle_ms: Option<u64>,
    /// Over the variables of the other one.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// As in `sandbox.v1.create`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// As in `sandbox.v1.create`.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// As in `sandbox.v1.create`.
    #[serde(default)]
    pub key: Option<String>,
    /// Other than the template's, as in `sandbox.v1.create`.
    #[serde(default)]
    pub limits: ResourceLimits,
    /// Other than the template's, as in `sandbox.v1.create`.
    #[serde(default)]
    pub network: Option<NetworkPolicy>,
    /// Other than the template's, as in `sandbox.v1.create`.
    #[serde(default)]
    pub on_expiry: Option<OnExpiry>,
    /// As in `sandbox.v1.create`; those of the other one are not taken over.
    #[serde(default)]
    pub volumes: Vec<VolumeMount>,
}

fn ttl() -> u64 {
    check::TTL
}

impl CloneSandbox {
    /// What is to be made, from this template.
    pub(crate) fn create(self, template: String) -> Create {
        Create {
            template,
            ttl_ms: self.ttl_ms,
            idle_ms: self.idle_ms,
            env: self.env,
            labels: self.labels,
            metadata: self.metadata,
            key: self.key,
            limits: self.limits,
            network: self.network,
            snapshot: None,
            on_expiry: self.on_expiry,
            volumes: self.volumes,
        }
    }
}

impl Checked for CloneSandbox {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        self.clone().create(String::new()).check()
    }
}

/// An id that no snapshot can have is answered like one that none has.
pub(super) fn snapshot_id(id: &str) -> Result<(), Failure> {
    check::id(id).map_err(|_| no_snapshot(id))
}

pub(crate) fn no_snapshot(id: &str) -> Failure {
    let shown: String = id.chars().take(64).collect();
    Failure::new(ErrorCode::SnapshotNotFound, format!("there is no snapshot {shown:?}"))
        .hint("sandbox.v1.snapshots lists them")
}
