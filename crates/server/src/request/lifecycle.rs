//! Sandboxes as a whole: made, found, given time, stopped, ended.

use std::collections::BTreeMap;

use capsule_spec::{Failure, WallStatus};
use serde::{Deserialize, Serialize};

use super::check::{self, Checked, MOST_TIME, TTL};
use super::{Language, NetworkPolicy, OnExpiry, VolumeMount};

/// A sandbox to make.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// The template's name: `sandbox.v1.templates` lists them.
    #[serde(default = "python")]
    pub template: String,
    /// Milliseconds from now after which it expires; at most 30 days.
    #[serde(default = "ttl")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 2_592_000_000u64)))]
    pub ttl_ms: u64,
    /// Milliseconds without a request or an attached client after which it expires.
    #[serde(default)]
    pub idle_ms: Option<u64>,
    /// Variables of all its processes, over the template's.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What it is found by: see `sandbox.v1.list`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whatever the caller wants to keep with it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// A name for this creation: a second request with the same key answers with the
    /// sandbox of the first, as long as that lives.
    #[serde(default)]
    pub key: Option<String>,
    /// Limits other than the template's.
    #[serde(default)]
    pub limits: ResourceLimits,
    /// Its network, if not the template's.
    #[serde(default)]
    pub network: Option<NetworkPolicy>,
    /// The snapshot whose files it begins with.
    #[serde(default)]
    pub snapshot: Option<String>,
    /// What happens when its time is over, if not what the template says.
    #[serde(default)]
    pub on_expiry: Option<OnExpiry>,
    /// Volumes that it has.
    #[serde(default)]
    pub volumes: Vec<VolumeMount>,
}

/// Limits of all processes of a sandbox together.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ResourceLimits {
    /// Memory, private files included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Private files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pids: Option<u32>,
    /// Weight when processors are contended, 2 to 262144.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u32>,
}

fn python() -> String {
    "python".to_owned()
}

fn ttl() -> u64 {
    TTL
}

impl Checked for Create {
    fn check(&self) -> Result<(), Failure> {
        check::range("ttl_ms", self.ttl_ms, 1, MOST_TIME)?;
        if let Some(idle) = self.idle_ms {
            check::range("idle_ms", idle, 1, MOST_TIME)?;
        }
        if let Some(key) = &self.key {
            check::range("the length of key", key.len() as u64, 1, 255)?;
        }
        if let Some(snapshot) = &self.snapshot {
            super::snapshots::snapshot_id(snapshot)?;
        }
        super::volumes::mounts(&self.volumes)?;
        check::environment(&self.env)?;
        check::labels("labels", &self.labels)?;
        check::labels("metadata", &self.metadata)?;
        let limits = &self.limits;
        let mib = 1 << 20;
        for (name, value, least, most) in [
            ("memory_bytes", limits.memory_bytes, mib, 1 << 50),
            ("disk_bytes", limits.disk_bytes, mib, 1 << 50),
            ("max_pids", limits.max_pids.map(u64::from), 2, 1 << 20),
            ("cpu_shares", limits.cpu_shares.map(u64::from), 2, 262_144),
        ] {
            if let Some(value) = value {
                check::range(name, value, least, most)?;
            }
        }
        self.network.as_ref().map_or(Ok(()), |network| network.resolve().map(drop))
    }
}

/// A sandbox that was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Created {
    /// What other methods name it by.
    pub id: String,
    /// The template.
    pub template: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC.
    pub expires_at: String,
    /// Walls that stand less than fully.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<serde_json::Value>"))]
    pub weaker: Vec<WallStatus>,
}

macro_rules! only_an_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// The sandbox.
            pub id: String,
        }

        impl Checked for $name {
            fn check(&self) -> Result<(), Failure> {
                check::id(&self.id)
            }
        }
    )*};
}

only_an_id! {
    /// The sandbox to end.
    Delete;
    /// The sandbox to tell about.
    Get;
    /// The sandbox to stop.
    Pause;
    /// The sandbox to let go on.
    Resume;
}

/// Time for a sandbox.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Extend {
    /// The sandbox.
    pub id: String,
    /// Milliseconds from now after which it expires; can be less than it had.
    pub ttl_ms: u64,
    /// Another idle time; without it, the old one holds.
    #[serde(default)]
    pub idle_ms: Option<u64>,
}

impl Checked for Extend {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        check::range("ttl_ms", self.ttl_ms, 1, MOST_TIME)?;
        self.idle_ms.map_or(Ok(()), |idle| check::range("idle_ms", idle, 1, MOST_TIME))
    }
}

/// Which sandboxes to list.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct List {
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

impl Checked for List {
    fn check(&self) -> Result<(), Failure> {
        check::range("limit", self.limit, 1, 1_000)
    }
}

/// Sandboxes, ordered by id.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListAnswer {
    /// This page of them.
    pub sandboxes: Vec<SandboxAnswer>,
    /// Whether there are more after the last one.
    pub more: bool,
}

/// Everything about a sandbox.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SandboxAnswer {
    /// What other methods name it by.
    pub id: String,
    /// The template.
    pub template: String,
    /// `creating`, `ready`, `paused`, `expiring` or `ending`.
    pub state: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC.
    pub expires_at: String,
    /// Idle time in milliseconds, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// Processes that run.
    pub processes: usize,
    /// Its network.
    pub network: NetworkPolicy,
    /// What happens when its time is over. With `pause`, `expires_at` of a sandbox that is
    /// paused for that is when it ends, and its files are a snapshot of the same id.
    pub on_expiry: OnExpiry,
    /// Volumes that it has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeMount>,
    /// Walls that stand less than fully.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<serde_json::Value>"))]
    pub weaker: Vec<WallStatus>,
}

/// It is done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Done {
    /// Always true: what is not done is an error.
    pub ok: bool,
}

impl Done {
    /// The only value.
    pub const OK: Self = Self { ok: true };
}

/// Which templates there are.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Templates {}

impl Checked for Templates {
    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// The templates.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TemplatesAnswer {
    /// Ordered by name.
    pub templates: Vec<TemplateAnswer>,
}

/// A template.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TemplateAnswer {
    /// Its name.
    pub name: String,
    /// The language of code that names none.
    pub language: Language,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `host`: the host's system directories; `directory`, `archive`, `dockerfile`: other files,
    /// and what they are from; `image`: a container's.
    pub root: &'static str,
    /// What makes its sandboxes: `jail` or `docker`.
    pub backend: &'static str,
    /// Its limits.
    pub limits: ResourceLimits,
    /// The network of its sandboxes.
    pub network: NetworkPolicy,
    /// What happens when the time of one is over.
    pub on_expiry: OnExpiry,
    /// Its spare sandboxes; templates that differ only in their language share them.
    pub pool: PoolAnswer,
}

/// Sandboxes that are kept ready for who asks next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PoolAnswer {
    /// How many there are to be.
    pub size: usize,
    /// How many there are.
    pub ready: usize,
}
