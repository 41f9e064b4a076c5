//! The door's process: started when the jail's listener arrives, confined before
//! it accepts anything, ended with the run.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use capsule_backend::BackendError;
use capsule_spec::{ByteSize, ErrorCode, Failure, HostRule};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use crate::door::{self, DoorLimits, Verdict, Visit, VisitBook};
use crate::landlock::Rules;
use crate::plan::{Identity, Plan};
use crate::seccomp;
use crate::sys::{self, Side};

/// Offset of the door's host user from the jail's: two strangers to each other.
const USER_OFFSET: u32 = 0x0800_0000;

/// What the resolver reads (resolv.conf(5), gai.conf(5), nsswitch.conf(5)).
const RESOLVER_FILES: [&str; 6] = [
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/services",
];

/// What a door goes by.
#[derive(Clone)]
pub(crate) struct Terms {
    /// Hosts that it connects to.
    pub(crate) rules: Vec<HostRule>,
    /// Bytes that may come in; none is no limit.
    pub(crate) download: Option<ByteSize>,
    /// The Landlock ABI of this host.
    pub(crate) landlock: u32,
    /// The jail's; the door gets a host user beside it.
    pub(crate) identity: Identity,
}

impl Terms {
    /// Those of a run.
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            rules: plan.door.clone(),
            download: plan.download,
            landlock: plan.landlock,
            identity: plan.identity,
        }
    }
}

/// A door at work. It ends with the thread that opened it.
pub(crate) struct Door {
    pid: i32,
    pidfd: OwnedFd,
    log: OwnedFd,
    unread: Vec<u8>,
    /// The door's process is gone: nothing more will be said.
    silent: bool,
    book: VisitBook,
}

impl Door {
    /// Starts the door on a listener that lives in the jail's network.
    pub(crate) fn open(terms: &Terms, listener: OwnedFd) -> Result<Self, BackendError> {
        let failed = |error: &io::Error| BackendError {
            failure: Failure::new(ErrorCode::DoorFailed, "the network door could not be opened"),
            internal: format!("door: {error}"),
        };
        let (log, log_inside) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(&error.into()))?;
        rustix::io::ioctl_fionbio(&log, true).map_err(|error| failed(&error.into()))?;
        let supervisor = rustix::process::getpid();
        match sys::fork().map_err(|error| failed(&error))? {
            Side::Inside => stand(terms, supervisor, listener, log_inside),
            Side::Outside { pid, pidfd } => Ok(Self {
                pid,
                pidfd,
                log,
                unread: Vec::new(),
                silent: false,
                book: VisitBook::default(),
            }),
        }
    }

    /// Where to listen, as long as there is anything to be heard.
    pub(crate) fn log(&self) -> Option<BorrowedFd<'_>> {
        (!self.silent).then(|| self.log.as_fd())
    }

    /// Whether the door's process ended before anybody asked it to.
    pub(super) fn has_died(&self) -> bool {
        self.silent
    }

    /// Reads what the door has said; returns the visits that are new.
    pub(super) fn read(&mut self) -> Vec<Visit> {
        let mut visits = Vec::new();
        let mut chunk = [0u8; 4096];
        // Not for ever: a guest can knock faster than anybody reads.
        for _ in 0..64 {
            let Ok(length) = rustix::io::read(&self.log, &mut chunk[..]) else { break };
            if length == 0 {
                self.silent = true;
                break;
            }
            self.unread.extend_from_slice(&chunk[..length]);
            while let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line[..end]);
                if let Some(visit) = Visit::from_line(&line) {
                    if visit.verdict != Verdict::Opened {
                        self.book.record(&visit);
                    }
                    visits.push(visit);
                }
            }
            // A line is shorter than PIPE_BUF: more is not a line.
            self.unread.truncate(4096);
        }
        visits
    }

    /// Ends the door; what it said is in the book.
    pub(super) fn close(mut self) -> VisitBook {
        self.end();
        self.read();
        std::mem::take(&mut self.book)
    }

    fn end(&mut self) {
        if self.pid != 0 {
            sys::kill(self.pidfd.as_fd(), libc::SIGKILL);
            let _ = sys::reap(self.pid);
            self.pid = 0;
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.end();
    }
}

/// The life of the door's process.
fn stand(terms: &Terms, supervisor: Pid, listener: OwnedFd, log: OwnedFd) -> ! {
    let confined = confine(terms, supervisor, &listener, &log);
    if confined.is_ok() {
        let mut limits = DoorLimits::default();
        if let Some(most) = terms.download {
            limits.download = most.bytes();
        }
        serve(listener, terms.rules.clone(), limits, log);
    }
    sys::exit_now(1)
}

/// Takes everything away that a proxy does not need, before a stranger speaks to it.
fn confine(terms: &Terms, supervisor: Pid, listener: &OwnedFd, log: &OwnedFd) -> io::Result<()> {
    use rustix::process::{
        DumpableBehavior, Signal, getppid, set_dumpable_behavior, set_parent_process_death_signal,
        setsid,
    };
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    const NONE: CapabilitySet = CapabilitySet::empty();
    let mut keep = [listener.as_raw_fd(), log.as_raw_fd()];
    keep.sort_unstable();
    sys::close_all_but(&keep)?;
    sys::forget_streams()?;
    // A signal from the terminal is the supervisor's to act on.
    setsid()?;
    let resolver = Rules::reading(terms.landlock, &RESOLVER_FILES);
    let identity = &terms.identity;
    if identity.mapped_by_supervisor {
        let user = identity.outside_user + USER_OFFSET;
        sys::become_user(user, user)?;
    }
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before.
    if getppid() != Some(supervisor) {
        return Err(io::ErrorKind::NotFound.into());
    }
    set_capabilities(None, CapabilitySets { effective: NONE, permitted: NONE, inheritable: NONE })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    resolver.enforce()?;
    seccomp::load(seccomp::program(capsule_spec::SeccompProfile::Default))
}

fn serve(listener: OwnedFd, rules: Vec<HostRule>, limits: DoorLimits, log: OwnedFd) {
    let log = std::fs::File::from(log);
    let write = move |visit: &Visit| {
        // One write of less than PIPE_BUF is never mixed with another's.
        let _ = (&log).write_all(format!("{}\n", visit.to_line()).as_bytes());
    };
    let _ = door::serve(listener.into(), rules, limits, write);
}
