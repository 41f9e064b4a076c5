//! The plan in the form that the kernel takes, made before the clone.

use std::ffi::CString;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

use capsule_spec::Access;

use crate::landlock::Rules;
use crate::plan::{Identity, Plan, ProcessRlimit, RootStep};
use crate::seccomp;

/// All that the steps need, without anything left to allocate.
pub(crate) struct Prepared {
    pub(crate) identity: Identity,
    pub(crate) shares_network: bool,
    pub(crate) has_door: bool,
    /// Whether the supervisor must add up what the private files hold.
    pub(crate) shows_files: bool,
    /// Descriptors that stay open, sorted.
    pub(crate) keep: Vec<RawFd>,
    /// Options of the private tmpfs.
    pub(crate) tmpfs: CString,
    /// The other root, if there is one.
    pub(crate) base: Option<PreparedMount>,
    pub(crate) root: Vec<PreparedStep>,
    pub(crate) mounts: Vec<PreparedMount>,
    pub(crate) landlock: Rules,
    pub(crate) processes: Option<ProcessRlimit>,
    pub(crate) open_files: u64,
    pub(crate) command_filter: &'static [libc::sock_filter],
    pub(crate) init_filter: &'static [libc::sock_filter],
    pub(crate) argv: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    pub(crate) working_directory: CString,
}

/// A [`RootStep`] with strings for the kernel.
pub(crate) enum PreparedStep {
    Directory { path: CString, mode: u32 },
    Link { path: CString, target: CString },
    File { path: CString, contents: Vec<u8> },
    System { source: CString, path: CString, is_directory: bool },
    Base { path: CString, is_directory: bool },
}

/// A mount of the caller.
pub(crate) struct PreparedMount {
    pub(crate) source: CString,
    /// Relative to the new root, as are the next two, which it consists of.
    pub(crate) destination: CString,
    pub(crate) parent: CString,
    pub(crate) name: CString,
    pub(crate) access: Access,
    /// The source as a detached mount, when the supervisor may make one.
    pub(crate) tree: Option<OwnedFd>,
}

/// `spec` refuses NUL bytes in all that reaches a plan.
fn c_string(text: &str) -> CString {
    CString::new(text).expect("the plan holds no NUL bytes")
}

impl Prepared {
    pub(crate) fn new(plan: &Plan, mounts: Vec<PreparedMount>) -> Self {
        let mut writable = crate::plan::private_places();
        // A private place that the caller's files cover has the caller's rights.
        writable.retain(|place| {
            plan.mounts.iter().all(|mount| mount.destination.as_path() != Path::new(place))
        });
        let mounted = plan.mounts.iter().filter(|mount| mount.access == Access::ReadWrite);
        let mounted: Vec<String> = mounted.map(|mount| mount.destination.to_string()).collect();
        let writable: Vec<&str> =
            writable.iter().map(String::as_str).chain(mounted.iter().map(String::as_str)).collect();
        Self {
            identity: plan.identity,
            shares_network: plan.shares_network,
            has_door: !plan.door.is_empty(),
            shows_files: plan.adds_up_memory,
            keep: Vec::new(),
            tmpfs: c_string(&format!(
                "size={},nr_inodes={},mode=0755",
                plan.limits.disk.bytes(),
                plan.limits.disk_inodes
            )),
            base: None,
            root: plan.root.iter().map(prepare).collect(),
            mounts,
            landlock: Rules::new(plan.landlock, writable.into_iter()),
            processes: plan.process_rlimit,
            open_files: u64::from(plan.limits.open_files),
            command_filter: seccomp::program(plan.seccomp),
            init_filter: seccomp::init_program(),
            argv: plan.command.iter().map(|text| c_string(text)).collect(),
            environment: plan.environment.iter().map(|text| c_string(text)).collect(),
            working_directory: c_string(&plan.working_directory),
        }
    }
}

fn prepare(step: &RootStep) -> PreparedStep {
    match step {
        RootStep::Directory { path, mode } => {
            PreparedStep::Directory { path: c_string(path), mode: *mode }
        }
        RootStep::Link { path, target } => {
            PreparedStep::Link { path: c_string(path), target: c_string(target) }
        }
        RootStep::File { path, contents } => {
            PreparedStep::File { path: c_string(path), contents: contents.clone() }
        }
        RootStep::System { source, path, is_directory } => PreparedStep::System {
            source: c_string(source),
            path: c_string(path),
            is_directory: *is_directory,
        },
        RootStep::Base { path, is_directory } => {
            PreparedStep::Base { path: c_string(path), is_directory: *is_directory }
        }
    }
}
