//! What a caller can ask for: one enum, which every transport parses into.
//!
//! Owns: the table of methods, the shape of each request and its answer, and their checks.
//! Refuses to know: JSON-RPC, HTTP, and how anything is done.

mod check;
mod exec;
mod expiry;
mod files;
mod install;
mod lifecycle;
mod network;
mod observe;
mod parse;
mod processes;
mod snapshots;
mod table;
mod volumes;

pub use check::{
    DEFAULT_DIRECTORY, LONGEST_EXEC, MOST_ENTRIES, MOST_OUTPUT, MOST_TIME, OUTPUT, TIMEOUT, TTL,
};
pub use exec::{
    Batch, BatchAnswer, BatchCommand, Exec, ExecAnswer, Language, OpenContext, RunCode, SetEnv,
};
pub use expiry::OnExpiry;
pub use files::{
    FileEntry, ListDir, ListDirAnswer, Listed, MakeDirectory, Move, ReadFile, ReadFileAnswer,
    Remove, Stat, WriteFile,
};
pub(crate) use install::check_packages;
pub use install::{Install, Manager};
pub use lifecycle::{
    Create, Created, Delete, Done, Extend, Get, List, ListAnswer, Pause, PoolAnswer,
    ResourceLimits, Resume, SandboxAnswer, TemplateAnswer, Templates, TemplatesAnswer,
};
pub use network::{NetworkPolicy, SetNetwork};
pub use observe::{
    Discover, ExecutionKind, FileEvent, LogEntry, Logs, LogsAnswer, Stats, StatsAnswer, Watch,
    WatchDir, WatchEvent,
};
pub use processes::{
    Attach, CloseInput, ExecStream, Exit, Exited, Input, Kill, ListProcesses, OutputEvent,
    ProcessAnswer, ProcessesAnswer, Resize, Size, Start, Started, Wait, Webhook,
};
pub use snapshots::{
    CloneSandbox, DeleteSnapshot, Restore, Snapshot, SnapshotAnswer, SnapshotInfo, Snapshots,
    SnapshotsAnswer,
};
pub use table::{Answers, Method, Request, RequestError};
pub use volumes::{
    CreateVolume, DeleteVolume, MountMode, VolumeAnswer, VolumeInfo, VolumeMount, Volumes,
    VolumesAnswer,
};

pub(crate) use snapshots::no_snapshot;
pub(crate) use volumes::no_volume;

pub(crate) use check::{absolute, decoded, environment as check_environment, no_sandbox};
