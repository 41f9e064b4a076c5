//! Builds the jail from inside the cloned process: one table, in order.
//!
//! Nothing here allocates or locks (see [`crate::sys`]); what the steps need was
//! prepared by the supervisor.

mod identity;
mod network;
mod prepared;
mod privileges;
mod root;
mod view;

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use capsule_init::resident::Settings;
use capsule_init::{Command, Report};
use capsule_spec::ErrorCode;

pub(crate) use network::DOOR_PORT;
pub(crate) use prepared::{Prepared, PreparedMount};
pub(crate) use root::detach;

use crate::{seccomp, sys};

/// What a step works on.
pub(crate) struct Inside<'a> {
    prepared: &'a Prepared,
    control: BorrowedFd<'a>,
    /// Which item of a step is being worked on, for the report.
    item: Cell<u16>,
    /// Trees of the caller's mounts, opened here when the supervisor could not.
    trees: &'a [Cell<Option<RawFd>>],
    /// The other root, attached below the private one.
    base: Option<OwnedFd>,
    io_counters: Option<OwnedFd>,
}

/// One step of containment.
pub(crate) struct Step {
    /// What it does, for people.
    pub(crate) name: &'static str,
    /// What its failure means to the caller.
    pub(crate) code: ErrorCode,
    run: fn(&mut Inside<'_>) -> io::Result<()>,
}

const fn step(
    name: &'static str,
    code: ErrorCode,
    run: fn(&mut Inside<'_>) -> io::Result<()>,
) -> Step {
    Step { name, code, run }
}

/// The order of containment. Each step says why it stands where it stands.
pub(crate) const STEPS: &[Step] = &[
    // First: nothing that the caller had open may be reachable by any later mistake.
    step("close inherited descriptors", ErrorCode::SetupFailed, identity::close_descriptors),
    // Needs no identity, so it overlaps with the supervisor writing the maps.
    step("raise loopback", ErrorCode::SetupFailed, network::raise_loopback),
    // Files of a tmpfs cannot be made by a user that is not mapped.
    step("become the jail's user", ErrorCode::NamespacesUnavailable, identity::assume),
    // After the change of user, which clears it (prctl(2)).
    step("die with the supervisor", ErrorCode::SetupFailed, identity::die_with_supervisor),
    step("join a new keyring", ErrorCode::SetupFailed, identity::join_keyring),
    step("set the host name", ErrorCode::SetupFailed, identity::set_host_name),
    // Before any mount, or the host would see it.
    step("make mounts private", ErrorCode::SetupFailed, root::make_private),
    // Before the new root covers anything.
    step("open mount sources", ErrorCode::MountFailed, root::open_sources),
    step("mount the private root", ErrorCode::SetupFailed, root::mount_root),
    step("fill the private root", ErrorCode::SetupFailed, root::fill),
    // While the root can still be written.
    step("make mount points", ErrorCode::MountFailed, root::make_places),
    step("separate the private places", ErrorCode::SetupFailed, root::separate_private),
    // All that is mounted so far becomes read-only at once; what comes later is flagged singly.
    step("seal the root", ErrorCode::SetupFailed, root::seal),
    step("open the private places", ErrorCode::SetupFailed, root::open_private),
    step("mount devices", ErrorCode::SetupFailed, root::mount_devices),
    step("mount the caller's files", ErrorCode::MountFailed, root::mount_files),
    // Needs the process namespace of this process, and a /proc that is still visible outside.
    step("mount /proc", ErrorCode::SetupFailed, view::mount_proc),
    step("mask /proc", ErrorCode::SetupFailed, view::mask_proc),
    step("leave the old root", ErrorCode::SetupFailed, view::pivot),
    // The last thing that another process waits for.
    step("open the door's listener", ErrorCode::DoorFailed, network::open_listener),
    // While /proc/self still belongs to this user.
    step("open the I/O counters", ErrorCode::SetupFailed, view::open_counters),
    step("leave the out-of-memory shelter", ErrorCode::SetupFailed, view::leave_shelter),
    step("set resource limits", ErrorCode::SetupFailed, privileges::set_limits),
    // After the last privileged call. The bounding set goes first: dropping it needs a capability.
    step("drop capabilities", ErrorCode::SetupFailed, privileges::drop_capabilities),
    // Landlock and seccomp demand it of the unprivileged.
    step("forbid new privileges", ErrorCode::SetupFailed, privileges::forbid_new),
    step("enforce Landlock", ErrorCode::SetupFailed, privileges::enforce_landlock),
];

/// Steps after the table, which PID 1 takes between the fork and the execve.
pub(crate) const START_STEPS: [Step; 4] = [
    step("start a process", ErrorCode::OutOfResources, never),
    step("enter the working directory", ErrorCode::WorkdirMissing, never),
    step("load the seccomp filter", ErrorCode::SetupFailed, never),
    step("execute the command", ErrorCode::CommandNotFound, never),
];

fn never(_: &mut Inside<'_>) -> io::Result<()> {
    Ok(())
}

/// The step that a report names.
pub(crate) fn step_of(index: u16) -> Option<&'static Step> {
    let index = usize::from(index);
    STEPS.get(index).or_else(|| START_STEPS.get(index.checked_sub(STEPS.len())?))
}

/// Goes through the table; a step that fails is reported, and ends this process.
fn build(inside: &mut Inside<'_>) {
    for (index, step) in STEPS.iter().enumerate() {
        inside.item.set(0);
        if let Err(error) = (step.run)(inside) {
            let report = Report::Failed {
                step: index as u16,
                item: inside.item.get(),
                errno: error.raw_os_error().unwrap_or(libc::EIO),
            };
            let flags = rustix::net::SendFlags::NOSIGNAL;
            let _ = rustix::net::send(inside.control, &report.encode(), flags);
            sys::exit_now(1);
        }
    }
}

/// Builds the jail round this process, and becomes its PID 1 for as long as it lives.
pub(crate) fn become_resident(
    prepared: &Prepared,
    settings: Settings,
    control: BorrowedFd<'_>,
    trees: &[Cell<Option<RawFd>>],
) -> ! {
    let item = Cell::new(0);
    build(&mut Inside { prepared, control, item, trees, base: None, io_counters: None });
    capsule_init::resident::run(settings)
}

/// Builds the jail round this process, becomes its PID 1 and runs the command.
pub(crate) fn become_init(
    prepared: &Prepared,
    command: &Command<'_>,
    control: BorrowedFd<'_>,
    trees: &[Cell<Option<RawFd>>],
) -> ! {
    let item = Cell::new(0);
    let mut inside = Inside { prepared, control, item, trees, base: None, io_counters: None };
    build(&mut inside);
    let first = STEPS.len() as u16;
    capsule_init::run(
        command,
        control.as_raw_fd(),
        inside.io_counters.as_ref().map(AsRawFd::as_raw_fd),
        [first, first + 1, first + 2, first + 3],
        &|| {
            if seccomp::load(prepared.init_filter).is_err() {
                sys::exit_now(1);
            }
        },
    )
}
