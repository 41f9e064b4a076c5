//! How a PID 1 in walls of somebody else gets what a jail's PID 1 is born with: the socket
//! that it listens on, and its terms.
//!
//! The socket has a name in the server's state folder, where no guest can come, and is
//! handed over; the entrance is gone before the first guest runs. Whoever knocks must be
//! the process that the engine named.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use capsule_init::resident::{Entrance, Settings};
use capsule_init::{REPORT_BYTES, Report};
use capsule_spec::{ErrorCode, Failure, Limits, SeccompProfile};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix,
    SocketFlags, SocketType, accept_with, connect, recvmsg, socket_with,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::time::Timespec;

use super::walls::ENTRANCE;
use super::{build, errors};
use crate::sys;

/// How long a PID 1 may take from its start until it is ready.
const PATIENCE: Duration = Duration::from_secs(30);
/// Changes with the order.
const VERSION: u64 = 1;
pub(super) const ORDER_BYTES: usize = 32;

/// A PID 1's terms.
pub(super) struct Order {
    /// Nanoseconds without a server.
    pub(super) lease: u64,
    pub(super) open_files: u64,
    pub(super) seccomp: SeccompProfile,
}

impl Order {
    pub(super) fn new(lease: Duration, limits: &Limits, seccomp: SeccompProfile) -> Self {
        let lease = u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX);
        Self { lease, open_files: limits.open_files.into(), seccomp }
    }

    pub(super) fn encode(&self) -> [u8; ORDER_BYTES] {
        let is_strict = u64::from(self.seccomp == SeccompProfile::Strict);
        let mut bytes = [0; ORDER_BYTES];
        let words = [VERSION, self.lease, self.open_files, is_strict];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8; ORDER_BYTES]) -> Option<Self> {
        let mut words = bytes.chunks_exact(8).map(|word| {
            word.try_into().map(u64::from_ne_bytes).expect("each chunk has eight bytes")
        });
        let mut next = || words.next();
        let (version, lease, open_files, is_strict) = (next()?, next()?, next()?, next()?);
        let seccomp = match is_strict {
            0 => SeccompProfile::Default,
            _ => SeccompProfile::Strict,
        };
        (version == VERSION).then_some(Self { lease, open_files, seccomp })
    }
}

/// Waits for one PID 1, and hands it its socket. `entrance` listens; `process` is who is
/// expected. Blocks.
pub(super) fn admit(
    entrance: &OwnedFd,
    (pid, process): (i32, &OwnedFd),
    listener: &OwnedFd,
    order: &Order,
) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    let connection = loop {
        await_either(entrance.as_fd(), process, deadline)?;
        let accepted = accept_with(entrance, SocketFlags::CLOEXEC);
        let accepted = accepted.map_err(|error| errors::system("wait for the sandbox", error))?;
        let peer = rustix::net::sockopt::socket_peercred(&accepted);
        if peer.is_ok_and(|peer| peer.pid.as_raw_nonzero().get() == pid) {
            break accepted;
        }
    };
    sys::send_with_descriptor(connection.as_fd(), &order.encode(), listener.as_fd())
        .map_err(|error| errors::system("reach the sandbox", error))?;
    await_either(connection.as_fd(), process, deadline)?;
    let mut bytes = [0u8; REPORT_BYTES];
    let (_, length) = rustix::net::recv(&connection, &mut bytes[..], RecvFlags::DONTWAIT)
        .map_err(|error| errors::system("wait for the sandbox", error))?;
    match Report::decode(&bytes[..length]) {
        Some(Report::Ready) => Ok(()),
        Some(Report::Failed { errno, .. }) => {
            let error = io::Error::from_raw_os_error(errno);
            Err(errors::system("start the sandbox's first process", error))
        }
        Some(_) | None => Err(died()),
    }
}

fn died() -> Failure {
    Failure::new(ErrorCode::SetupFailed, "the sandbox ended while it was built")
        .hint("the container's runtime may not be able to run Capsule's first process")
}

/// Waits until there is something to read, or the process is gone.
fn await_either(
    readable: BorrowedFd<'_>,
    process: &OwnedFd,
    deadline: Instant,
) -> Result<(), Failure> {
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(readable, PollFlags::IN),
            PollFd::new(process, PollFlags::IN),
        ];
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(errors::no_answer());
        }
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut fds, Some(&left)) {
            Ok(_) if fds[0].revents().contains(PollFlags::IN) => return Ok(()),
            Ok(_) if !fds[1].revents().is_empty() => return Err(died()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(errors::system("wait for the sandbox", error)),
        }
    }
}

/// The life of a PID 1 in walls of somebody else: it gets its terms at the entrance, gives
/// up what it does not need, and becomes what a jail's PID 1 is. Answers only when that
/// fails.
pub fn enclosed() -> io::Error {
    match begin() {
        Ok(settings) => capsule_init::resident::run(settings),
        Err(error) => error,
    }
}

/// Apart, so that little of the stack is in use when it is over: PID 1 gives up what is further
/// above than it needs.
#[inline(never)]
fn begin() -> io::Result<Settings> {
    if std::process::id() != 1 || sys::effective_user() == 0 {
        return Err(io::Error::other("this is for the first process of a container"));
    }
    // A guest has the same user and must not write to this memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let control =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    connect(&control, &SocketAddrUnix::new(ENTRANCE)?)?;
    let mut bytes = [0u8; ORDER_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    let length = recvmsg(&control, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let listener = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let order = (length == ORDER_BYTES).then(|| Order::decode(&bytes)).flatten();
    let (Some(order), Some(listener)) = (order, listener) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    limit()?;
    sys::forget_streams()?;
    let mut keep = [control.as_raw_fd(), listener.as_raw_fd()];
    keep.sort_unstable();
    sys::close_all_but(&keep)?;
    rustix::thread::set_no_new_privs(true)?;
    let (seal, confine) = build::filters(order.seccomp);
    let settings = Settings {
        entrance: Entrance::Listener(listener.as_raw_fd()),
        control: control.as_raw_fd(),
        lease: order.lease,
        open_files: order.open_files,
        user: None,
        seal,
        confine,
    };
    // They live as long as this process.
    std::mem::forget((control, listener));
    Ok(settings)
}

/// What an engine may have left higher than a jail does.
fn limit() -> io::Result<()> {
    sys::schedule_ordinarily()?;
    for (resource, most) in [
        (Resource::Rtprio, 0),
        (Resource::Nice, 0),
        // Not 0: at 1, and only there, no handler of the host is started (kernel/coredump).
        (Resource::Core, 1),
        (Resource::Memlock, 64 << 10),
        // Kernel memory outside the memory limit.
        (Resource::Msgqueue, 0),
        (Resource::Sigpending, 1024),
    ] {
        let before = rustix::process::getrlimit(resource).maximum;
        let most = before.map_or(most, |before| before.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// Opens an entrance: a socket that listens, for its user's eyes outside and for anybody's
/// inside, where its folder is not.
pub(super) fn open(path: &std::path::Path, address: &SocketAddrUnix) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::bind(&socket, address)?;
    // Its folder is this user's alone, so the path means no other file.
    rustix::fs::chmod(path, Mode::from_raw_mode(0o666))?;
    rustix::net::listen(&socket, 4)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_survive_the_way() {
        let limits = Limits { open_files: 77, ..Limits::default() };
        let order = Order::new(Duration::from_secs(3), &limits, SeccompProfile::Strict);
        let read = Order::decode(&order.encode()).unwrap();
        assert_eq!(
            (read.lease, read.open_files, read.seccomp),
            (3_000_000_000, 77, SeccompProfile::Strict)
        );
        assert!(Order::decode(&[0; ORDER_BYTES]).is_none());
    }

    #[test]
    fn nobody_else_becomes_a_first_process() {
        assert!(enclosed().to_string().contains("first process"));
    }
}
