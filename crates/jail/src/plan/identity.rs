//! Who the command is: one user inside, one harmless user outside.

use serde::Serialize;

use crate::host::Host;

/// The user inside the jail. Not 0: a program that believes to be root behaves
/// differently (it changes owners, it warns, it drops privileges that it has not).
const INSIDE: u32 = 1000;

/// Jails of root run as users from here on. systemd's table of ids
/// (UIDS-GIDS) leaves 0x70000000 to 0x7FFFFFFF unused; a process id is at most
/// 2^22 (`pid_max`).
///
/// A process may run several jails at a time: each gets one of 32 slots. Half of
/// the range is left to the doors.
const OUTSIDE_BASE: u32 = 0x7000_0000;
const SLOT_BITS: u32 = 5;

/// One user and one group, inside and outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The user and group inside.
    pub inside: u32,
    /// The user that the host sees: never 0, but for root of a nested user namespace
    /// that can map nobody else (the wall `user` is weaker then).
    pub outside_user: u32,
    /// The group that the host sees.
    pub outside_group: u32,
    /// Whether the supervisor writes the maps (it may map any user), or the
    /// caller is mapped to itself.
    pub mapped_by_supervisor: bool,
}

impl Identity {
    /// As root, a user of its own for each jail, so that two jails share
    /// nothing, not even a process count; else the caller.
    pub(super) fn new(host: &Host) -> Self {
        if host.may_map_any_user {
            let own = OUTSIDE_BASE + (host.pid << SLOT_BITS) + host.serial % (1 << SLOT_BITS);
            Self {
                inside: INSIDE,
                outside_user: own,
                outside_group: own,
                mapped_by_supervisor: true,
            }
        } else {
            Self {
                inside: INSIDE,
                outside_user: host.uid,
                outside_group: host.gid,
                mapped_by_supervisor: false,
            }
        }
    }
}
