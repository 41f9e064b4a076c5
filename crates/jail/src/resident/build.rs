//! From a recipe to a PID 1 that is ready for its server. Blocks for some milliseconds.

use std::cell::Cell;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use capsule_backend::sandbox::{Recipe, Root};
use capsule_init::resident::{Entrance, Settings};
use capsule_init::{REPORT_BYTES, Report};
use capsule_spec::{
    ByteSize, ErrorCode, ExecutionId, Failure, GuestPath, Isolation, Limits, Network, Policy,
    Program, SeccompProfile, Stdin, Task,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendFlags, SocketFlags, SocketType, recvmsg,
    socketpair,
};
use rustix::time::Timespec;

use super::{errors, volumes};
use crate::apply::{self, Prepared, PreparedMount};
use crate::host::Host;
use crate::plan::Plan;
use crate::seccomp;
use crate::supervisor::{clone_error, map_error, namespaces, not_started, sources};
use crate::sys::{self, Side};
use crate::volume::Images;

/// Processes of ours in the sandbox, beside its own: for each process that was started
/// from outside there is a keeper.
pub(super) const OUR_PROCESSES: u32 = 32;
/// Descriptors that PID 1 may have: three for each process whose end was not told.
pub(super) const OUR_FILES: u64 = 1024;
/// The longest that a jail may take to build itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// The plan of a sandbox.
pub(super) fn plan(
    recipe: &Recipe,
    host: &Host,
    images: &Images,
    user: impl FnOnce() -> u32,
) -> Result<Plan, Failure> {
    let host = match &recipe.root {
        Root::Host => host.clone(),
        Root::Directory(path) => host.clone().with_root(path)?,
        Root::Image(_) => {
            let what = "a jail has no images; its root is the host's or a directory";
            return Err(Failure::new(ErrorCode::InvalidValue, what)
                .hint("unpack the image, and name the directory"));
        }
    };
    let mut limits = recipe.limits.clone();
    limits.max_pids = limits.max_pids.saturating_add(OUR_PROCESSES);
    leave_room(&mut limits);
    // The door of a sandbox opens and closes while it lives, so it is none of the plan's;
    // either way the sandbox has a network of its own.
    let network = match recipe.policy.network {
        Network::Open => Network::Open,
        Network::Denied | Network::Hosts(_) => Network::Denied,
    };
    let mut policy = Policy { network, ..recipe.policy.clone() };
    policy.files.extend(volumes::mounts(recipe, images)?);
    let working_directory = GuestPath::new("/workspace")
        .map_err(|_| Failure::new(ErrorCode::InvalidPath, "the workspace is no path"))?;
    let task = Task {
        id: ExecutionId::random(),
        // Never executed: PID 1 of Capsule is what runs.
        program: Program::Command(vec!["sandbox".to_owned()]),
        working_directory,
        stdin: Stdin::Empty,
        limits,
        policy,
        isolation: Isolation::Jail,
        require: recipe.require.clone(),
    };
    let mut host = host;
    if network_is_closed(recipe) {
        host.resolv_conf = None;
    }
    let mut plan = Plan::new(&task, &host)?;
    if plan.identity.mapped_by_supervisor {
        let user = user();
        plan.identity.outside_user = user;
        plan.identity.outside_group = user;
    }
    Ok(plan)
}

/// Private files are memory. If they alone could be all of it, a sandbox could fill itself
/// up so that nothing runs in it any more, and the kernel would find nobody to end but
/// PID 1. So they get three quarters at most, and names an eighth.
fn leave_room(limits: &mut Limits) {
    /// Of the kernel's memory, an inode and its name.
    const INODE_BYTES: u64 = 1024;
    let memory = limits.memory.bytes();
    limits.disk = limits.disk.min(ByteSize::from_bytes(memory / 4 * 3));
    limits.disk_inodes = limits.disk_inodes.min((memory / 8 / INODE_BYTES).max(1024));
}

fn network_is_closed(recipe: &Recipe) -> bool {
    recipe.policy.network != Network::Open
}

/// A process that becomes a PID 1. Dropped, it is killed.
pub(super) struct Building {
    pub(super) pid: i32,
    pidfd: Option<OwnedFd>,
    control: OwnedFd,
}

impl Drop for Building {
    fn drop(&mut self) {
        if let Some(pidfd) = &self.pidfd {
            sys::kill(pidfd.as_fd(), libc::SIGKILL);
            let _ = sys::reap(self.pid);
        }
    }
}

type Filter = fn() -> std::io::Result<()>;

/// What PID 1 takes up, and what each process that it starts does. PID 1 carries the ordinary
/// filter, so what it starts need not load it.
pub(super) fn filters(profile: SeccompProfile) -> (Filter, Filter) {
    let confine = match profile {
        SeccompProfile::Default => no_more,
        SeccompProfile::Strict => strict_filter,
    };
    (default_filter, confine)
}

fn default_filter() -> std::io::Result<()> {
    seccomp::load(seccomp::program(SeccompProfile::Default))
}

fn strict_filter() -> std::io::Result<()> {
    seccomp::load(seccomp::program(SeccompProfile::Strict))
}

fn no_more() -> std::io::Result<()> {
    Ok(())
}

/// Clones the process. It waits for [`Building::finish`].
pub(super) fn start(
    plan: &Plan,
    volumes: Vec<PreparedMount>,
    listener: &OwnedFd,
    lease: Duration,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Building, Failure> {
    // Whether files of the host could be id-mapped is told to nobody yet.
    let files = &plan.mounts[..plan.mounts.len() - volumes.len()];
    let mut mounts =
        sources::open(files, &plan.identity, &mut Vec::new()).map_err(|error| error.failure)?;
    mounts.extend(volumes);
    let mut prepared = Prepared::new(plan, mounts);
    prepared.base = sources::open_base(plan).map_err(|error| error.failure)?;
    let open_files = prepared.open_files;
    prepared.open_files = open_files.max(OUR_FILES);
    prepared.shows_files = false;
    let (outside, inside) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|error| errors::system("open a socket", error))?;
    prepared.keep = vec![inside.as_raw_fd(), listener.as_raw_fd()];
    prepared.keep.extend(prepared.mounts.iter().filter_map(|m| Some(m.tree.as_ref()?.as_raw_fd())));
    let base = prepared.base.as_ref().and_then(|base| Some(base.tree.as_ref()?.as_raw_fd()));
    prepared.keep.extend(base);
    prepared.keep.sort_unstable();
    let (seal, confine) = filters(plan.seccomp);
    let settings = Settings {
        entrance: Entrance::Listener(listener.as_raw_fd()),
        control: inside.as_raw_fd(),
        lease: u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX),
        open_files,
        user: None,
        seal,
        confine,
    };
    let trees: Vec<Cell<Option<RawFd>>> = prepared.mounts.iter().map(|_| Cell::new(None)).collect();
    match sys::clone_into(namespaces(plan), cgroup) {
        Ok(Side::Inside) => apply::become_resident(&prepared, settings, inside.as_fd(), &trees),
        Ok(Side::Outside { pid, pidfd }) => {
            Ok(Building { pid, pidfd: Some(pidfd), control: outside })
        }
        Err(error) => Err(clone_error(&error).failure),
    }
}

impl Building {
    /// Gives it its identity, lets it go on, and waits until it is ready.
    pub(super) fn finish(mut self, plan: &Plan) -> Result<OwnedFd, Failure> {
        sources::map_jail(self.pid, &plan.identity).map_err(|error| map_error(&error).failure)?;
        rustix::net::send(&self.control, &[1], SendFlags::NOSIGNAL)
            .map_err(|error| errors::system("reach the sandbox", error))?;
        loop {
            match self.report()? {
                Some(Report::Ready) => break,
                Some(Report::Failed { step, item, errno }) => {
                    return Err(not_started(plan, (step, item, errno))
                        .unwrap_or_else(|error| error.failure));
                }
                Some(_) => {}
                None => {
                    return Err(Failure::new(
                        ErrorCode::SetupFailed,
                        "the sandbox ended while it was built",
                    ));
                }
            }
        }
        Ok(self.pidfd.take().expect("it is taken here only, and this ends the building"))
    }

    fn report(&self) -> Result<Option<Report>, Failure> {
        let failed = |error| errors::system("wait for the sandbox", error);
        let mut fds = [PollFd::new(&self.control, PollFlags::IN)];
        let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        match poll(&mut fds, Some(&patience)) {
            Ok(0) => return Err(errors::no_answer()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return self.report(),
            Err(error) => return Err(failed(error)),
        }
        let mut bytes = [0u8; REPORT_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let received =
            recvmsg(&self.control, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        let length = received.map_err(failed)?.bytes;
        Ok(Report::decode(&bytes[..length]))
    }
}
