//! From a plan to a process that builds its own jail.

use std::cell::Cell;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use capsule_backend::guest::Channel;
use capsule_backend::{BackendError, Output};
use capsule_init::Command;
use capsule_spec::{Captured, ErrorCode, Failure, Stdin};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

use super::streams::{Feed, Sink, Stream};
use super::{Attendant, Caller, sources, system_error};
use crate::apply::{self, Prepared};
use crate::jail::Signals;
use crate::plan::{Identity, Plan};
use crate::seccomp;
use crate::sys::{self, Side};

/// A jail from outside.
pub(super) struct Jail {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    /// Reports come from here; the go-ahead went there.
    pub(super) control: OwnedFd,
    pub(super) signals: Option<OwnedFd>,
    pub(super) stdin: Option<Feed>,
    pub(super) stdout: Stream,
    pub(super) stderr: Stream,
    pub(super) started: Instant,
    /// For the outcome.
    pub(super) notes: Vec<String>,
    pub(super) attendant: Option<Arc<dyn Attendant>>,
}

/// Clones the process that becomes PID 1. It waits for [`Jail::release`].
pub(super) fn start(
    plan: &Plan,
    cgroup: Option<BorrowedFd<'_>>,
    caller: Caller,
) -> Result<Jail, BackendError> {
    let Caller { output, signals, attended } = caller;
    debug_assert_eq!(plan.has_channel, attended.is_some());
    let (attendant, channel) = attended
        .map_or((None, None), |attended| (Some(attended.attendant), Some(attended.channel)));
    let mut notes = Vec::new();
    let mounts = sources::open(&plan.mounts, &plan.identity, &mut notes)?;
    let mut prepared = Prepared::new(plan, mounts);
    let ends = Ends::open(plan).map_err(|error| system_error("open pipes", &error))?;
    let signals = match signals {
        Signals::Forwarded => Some(
            sys::signal_descriptor().map_err(|error| system_error("receive signals", &error))?,
        ),
        Signals::Ignored => None,
    };
    prepared.keep = ends.inside();
    prepared.keep.extend(channel.as_ref().map(AsRawFd::as_raw_fd));
    prepared.keep.extend(prepared.mounts.iter().filter_map(|m| Some(m.tree.as_ref()?.as_raw_fd())));
    prepared.keep.sort_unstable();
    let filter = prepared.command_filter;
    let confine = || seccomp::load(filter);
    let command = Command::new(
        &prepared.argv,
        &prepared.environment,
        &prepared.working_directory,
        [ends.stdin_inside.as_raw_fd(), ends.stdout.1.as_raw_fd(), ends.stderr.1.as_raw_fd()],
        &confine,
    )
    .with_channel(channel.as_ref().map(AsRawFd::as_raw_fd));
    let trees: Vec<Cell<Option<RawFd>>> = prepared.mounts.iter().map(|_| Cell::new(None)).collect();
    match sys::clone_into(namespaces(plan), cgroup) {
        Ok(Side::Inside) => apply::become_init(&prepared, &command, ends.control.1.as_fd(), &trees),
        Ok(Side::Outside { pid, pidfd }) => {
            let cap = plan.limits.max_output.bytes();
            let sink = |fd: BorrowedFd<'static>, channel| match (&attendant, output) {
                (Some(attendant), _) => Sink::told(attendant.clone(), channel),
                (None, Output::Captured) => Sink::captured(cap),
                (None, Output::Inherited) => Sink::inherited(fd, cap),
            };
            let [stdout, stderr] = [
                sink(rustix::stdio::stdout(), Channel::Stdout),
                sink(rustix::stdio::stderr(), Channel::Stderr),
            ];
            Ok(Jail {
                pid,
                pidfd,
                control: ends.control.0,
                signals,
                stdin: ends.stdin_outside.map(Feed::new),
                stdout: Stream::new(ends.stdout.0, stdout),
                stderr: Stream::new(ends.stderr.0, stderr),
                started: Instant::now(),
                notes,
                attendant,
            })
        }
        Err(error) => Err(clone_error(&error)),
    }
}

impl Jail {
    /// Gives the jail its identity and lets it go on.
    pub(super) fn release(&mut self, plan: &Plan) -> Result<(), BackendError> {
        sources::map_jail(self.pid, &plan.identity).map_err(|error| map_error(&error))?;
        self.started = Instant::now();
        rustix::net::send(&self.control, &[1], SendFlags::NOSIGNAL)
            .map(drop)
            .map_err(|error| system_error("reach the jail", &error.into()))
    }

    pub(super) fn take_stdout(&mut self) -> Captured {
        self.stdout.take_captured()
    }

    pub(super) fn take_stderr(&mut self) -> Captured {
        self.stderr.take_captured()
    }
}

impl Drop for Jail {
    /// No way out of this module leaves a process behind.
    fn drop(&mut self) {
        if self.pid != 0 {
            sys::kill(self.pidfd.as_fd(), libc::SIGKILL);
            let _ = sys::reap(self.pid);
        }
    }
}

pub(crate) fn namespaces(plan: &Plan) -> u64 {
    const CLONE_NEWTIME: u64 = 0x80;
    let flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP
        | if plan.shares_network { 0 } else { libc::CLONE_NEWNET };
    flags as u64 | CLONE_NEWTIME
}

/// Both ends of everything between supervisor and jail.
struct Ends {
    control: (OwnedFd, OwnedFd),
    stdout: (OwnedFd, OwnedFd),
    stderr: (OwnedFd, OwnedFd),
    stdin_inside: OwnedFd,
    stdin_outside: Option<OwnedFd>,
}

impl Ends {
    /// All above 2, as the Rust runtime fills 0 to 2 before `main`: none is overwritten
    /// when the command gets its streams.
    fn open(plan: &Plan) -> io::Result<Self> {
        let control =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let (stdin_inside, stdin_outside) = match plan.stdin {
            Stdin::Empty => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                (rustix::fs::open(sources::NULL, flags, Mode::empty())?, None)
            }
            Stdin::Inherited => {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
                rustix::io::ioctl_fionbio(&write, true)?;
                (read, Some(write))
            }
        };
        let ends = Self {
            control,
            stdout: output_pipe()?,
            stderr: output_pipe()?,
            stdin_inside,
            stdin_outside,
        };
        ends.give_to_jail(&plan.identity)?;
        Ok(ends)
    }

    /// Makes the pipes the jail's, so that it may open them by name: /dev/stderr.
    fn give_to_jail(&self, identity: &Identity) -> io::Result<()> {
        if !identity.mapped_by_supervisor {
            return Ok(());
        }
        let user = Some(rustix::fs::Uid::from_raw(identity.outside_user));
        let group = Some(rustix::fs::Gid::from_raw(identity.outside_group));
        let stdin = self.stdin_outside.as_ref().map(|_| &self.stdin_inside);
        for pipe in [&self.stdout.1, &self.stderr.1].into_iter().chain(stdin) {
            rustix::fs::fchown(pipe, user, group)?;
        }
        Ok(())
    }

    fn inside(&self) -> Vec<RawFd> {
        [&self.control.1, &self.stdout.1, &self.stderr.1, &self.stdin_inside]
            .map(AsRawFd::as_raw_fd)
            .to_vec()
    }
}

/// The reading end does not block; the writing end is the command's and does.
fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&read, true)?;
    Ok((read, write))
}

/// Why this host refused the namespaces, as precisely as it can be found out.
pub(crate) fn clone_error(error: &io::Error) -> BackendError {
    let limit = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default();
    let failure = |message: &str, hint: &str| {
        Failure::new(ErrorCode::NamespacesUnavailable, message).hint(hint)
    };
    let failure = match error.raw_os_error() {
        Some(libc::EAGAIN | libc::ENOMEM) => return system_error("start a process", error),
        Some(libc::ENOSPC) => failure(
            "the limit on user namespaces is reached, or is zero",
            "sysctl user.max_user_namespaces=15000",
        ),
        Some(libc::EPERM) if limit("kernel/unprivileged_userns_clone").trim() == "0" => failure(
            "this host forbids user namespaces to unprivileged users",
            "sysctl kernel.unprivileged_userns_clone=1, or run as root",
        ),
        Some(libc::EPERM)
            if limit("kernel/apparmor_restrict_unprivileged_userns").trim() == "1" =>
        {
            failure(
                "AppArmor forbids user namespaces to unprivileged users",
                "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with \"userns,\"",
            )
        }
        Some(libc::EPERM) if in_chroot() => failure(
            "a process in a chroot may not create user namespaces",
            "run Capsule outside the chroot, or use pivot_root in its place",
        ),
        Some(libc::EPERM) if is_filtered() => failure(
            "a seccomp filter round this process, a container's most likely, forbids namespaces",
            "docker run --security-opt seccomp=unconfined, or a profile that allows clone3 and mount",
        ),
        Some(libc::ENOSYS) if is_filtered() => failure(
            "a seccomp filter round this process, a container's most likely, forbids clone3",
            "docker run --security-opt seccomp=unconfined, or a profile that allows clone3 and mount",
        ),
        Some(libc::ENOSYS | libc::EINVAL) => failure(
            "this kernel lacks a namespace that the jail needs",
            "Linux 5.12 or newer with user, pid, net, ipc, uts, cgroup and time namespaces",
        ),
        _ => failure(
            "this host does not let this user create namespaces",
            "run \"capsule doctor\" to see what this host allows",
        ),
    };
    BackendError { failure, internal: format!("clone3: {error}") }
}

pub(crate) fn map_error(error: &io::Error) -> BackendError {
    BackendError {
        failure: Failure::new(
            ErrorCode::NamespacesUnavailable,
            "this host did not let the jail have a user of its own",
        )
        .hint("run \"capsule doctor\" to see what this host allows"),
        internal: format!("id map: {error}"),
    }
}

fn in_chroot() -> bool {
    // The root of the mount tree is a mount point; a chroot's seldom is.
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    !mounts.lines().any(|line| line.split(' ').nth(4) == Some("/"))
}

fn is_filtered() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.trim_end() == "Seccomp:\t2")
}
