//! Owns the argument checks of the Default profile (Strict borrows some), as data.
//! Why only low halves are compared is told at `Test`.

use super::rule::{Action, Case, Check, Condition, EPERM, Half, Test, Verdict};

pub(super) const EVERY_BIT: u32 = u32::MAX;

pub(super) const fn any_bit(argument: u8, bits: u32) -> Test {
    let condition = Condition::AnyBit(bits);
    Test { argument, half: Half::Low, condition }
}

const fn above(argument: u8, limit: u32) -> Test {
    let condition = Condition::Above(limit);
    Test { argument, half: Half::Low, condition }
}

pub(super) const fn one_of(argument: u8, mask: u32, values: &'static [u32]) -> Test {
    let condition = Condition::OneOf { mask, values };
    Test { argument, half: Half::Low, condition }
}

const fn none_of(argument: u8, mask: u32, values: &'static [u32]) -> Test {
    let condition = Condition::NoneOf { mask, values };
    Test { argument, half: Half::Low, condition }
}

/// Everything but these cases is allowed.
const fn allow_except(cases: &'static [Case]) -> Action {
    let otherwise = Verdict::Allow;
    Action::Check(Check { cases, otherwise })
}

const fn deny_when(when: &'static [Test]) -> Case {
    let verdict = EPERM;
    Case { when, verdict }
}

const fn errno_when(when: &'static [Test], errno: i32) -> Case {
    let verdict = Verdict::Errno(errno as u16);
    Case { when, verdict }
}

const fn allow_when(when: &'static [Test]) -> Case {
    let verdict = Verdict::Allow;
    Case { when, verdict }
}

// ---- Limits ----
// PID 1 has the guest's user, so the kernel would let a guest limit it. And
// RLIMIT_CORE is 1 in a jail, the one value at which the kernel starts no handler
// that `core_pattern` pipes to: a root program of the host, fed by the guest. A
// guest may ask for that limit; setting it seems to succeed, as `ulimit -c 0` at
// the head of a script must, and changes nothing.

#[allow(clippy::unnecessary_cast, reason = "glibc has it unsigned, musl signed")]
const CORE: &[u32] = &[libc::RLIMIT_CORE as u32];
const DONE_NOTHING: Verdict = Verdict::Errno(0);

const fn is_zero(argument: u8, half: Half) -> Test {
    let condition = Condition::OneOf { mask: EVERY_BIT, values: &[0] };
    Test { argument, half, condition }
}

pub(super) const PRLIMIT: Action = allow_except(&[
    deny_when(&[none_of(0, EVERY_BIT, &[0])]),
    allow_when(&[is_zero(2, Half::Low), is_zero(2, Half::High)]),
    Case { when: &[one_of(1, EVERY_BIT, CORE)], verdict: DONE_NOTHING },
]);
/// Own limits may be asked for, not set.
pub(super) const PRLIMIT_QUERY: Action = Action::Check(Check {
    cases: &[allow_when(&[
        one_of(0, EVERY_BIT, &[0]),
        is_zero(2, Half::Low),
        is_zero(2, Half::High),
    ])],
    otherwise: EPERM,
});
pub(super) const SETRLIMIT: Action =
    allow_except(&[Case { when: &[one_of(0, EVERY_BIT, CORE)], verdict: DONE_NOTHING }]);

// ---- Set-id bits ----
// A host folder can be shared with the guest, and a set-id file left in it would be
// run by somebody on the host who has no `no_new_privs`. The other way to privilege
// in a file, the xattr `security.capability`, needs CAP_SETFCAP and is left to the
// kernel. mkdir and mq_open drop or cannot export these bits.

const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;

/// `WILL_CREATE` in fs/open.c: without these the mode argument is not read, and a
/// caller of the variadic `open` leaves garbage in it. O_TMPFILE contains
/// O_DIRECTORY, which says nothing about creation.
const WILL_CREATE: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;

pub(super) const MODE_SECOND: Action = allow_except(&[deny_when(&[any_bit(1, SET_ID)])]);
pub(super) const MODE_THIRD: Action = allow_except(&[deny_when(&[any_bit(2, SET_ID)])]);
#[cfg(target_arch = "x86_64")]
pub(super) const OPEN_SET_ID: &[Test] = &[any_bit(1, WILL_CREATE), any_bit(2, SET_ID)];
#[cfg(target_arch = "x86_64")]
pub(super) const OPEN: Action = allow_except(&[deny_when(OPEN_SET_ID)]);
pub(super) const OPENAT_SET_ID: &[Test] = &[any_bit(2, WILL_CREATE), any_bit(3, SET_ID)];
pub(super) const OPENAT: Action = allow_except(&[deny_when(OPENAT_SET_ID)]);

/// Type 0 means a regular file (mknod(2)).
const PLAIN_NODES: &[u32] = &[0, libc::S_IFREG, libc::S_IFIFO, libc::S_IFSOCK];

#[cfg(target_arch = "x86_64")]
pub(super) const MKNOD: Action = allow_except(&[
    deny_when(&[any_bit(1, SET_ID)]),
    deny_when(&[none_of(1, libc::S_IFMT, PLAIN_NODES)]),
]);
pub(super) const MKNODAT: Action = allow_except(&[
    deny_when(&[any_bit(2, SET_ID)]),
    deny_when(&[none_of(2, libc::S_IFMT, PLAIN_NODES)]),
]);

// ---- Processes ----

/// CLONE_NEWTIME is not here: its bit belongs to the exit signal in `clone`, so only
/// `clone3` and `unshare` can ask for it. CLONE_PARENT is here because it gives the
/// caller's own parent, which may be Capsule's init, a child it never asked for.
pub(super) const CLONE_DENIED: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_PARENT) as u32;
pub(super) const CLONE_NAMESPACES: &[Test] = &[any_bit(0, CLONE_DENIED)];
pub(super) const CLONE: Action = allow_except(&[deny_when(CLONE_NAMESPACES)]);

/// 0, PER_LINUX32 (changes only what `uname` says), ADDR_NO_RANDOMIZE (sanitizers and
/// `setarch -R` restart themselves with it) and the query. Not READ_IMPLIES_EXEC, nor
/// MMAP_PAGE_ZERO.
pub(super) const PERSONALITY: Action = allow_except(&[deny_when(&[none_of(
    0,
    EVERY_BIT,
    &[0, 0x0008, libc::ADDR_NO_RANDOMIZE as u32, 0xffff_ffff],
)])]);

pub(super) const SECCOMP: Action = allow_except(&[deny_when(&[
    one_of(0, EVERY_BIT, &[libc::SECCOMP_SET_MODE_FILTER]),
    any_bit(1, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32),
])]);

/// The last option of include/uapi/linux/prctl.h (6.18) that this table was checked
/// against: PR_FUTEX_HASH. EINVAL is what an older kernel says to a newer option.
const LAST_KNOWN_OPTION: u32 = 78;

/// The two options that are numbered with letters: names for memory areas, and the
/// crash handlers' wish to be traced, which only widens access to the caller itself.
const LETTERED_OPTIONS: &[u32] = &[libc::PR_SET_VMA as u32, libc::PR_SET_PTRACER as u32];

pub(super) const PRCTL: Action = allow_except(&[
    deny_when(&[one_of(0, EVERY_BIT, &[libc::PR_SET_MM as u32])]),
    allow_when(&[one_of(0, EVERY_BIT, LETTERED_OPTIONS)]),
    errno_when(&[above(0, LAST_KNOWN_OPTION)], libc::EINVAL),
]);

// ---- Sockets ----

pub(super) const UNIX: u32 = libc::AF_UNIX as u32;
pub(super) const INTERNET: &[u32] = &[libc::AF_INET as u32, libc::AF_INET6 as u32];
pub(super) const NETLINK: u32 = libc::AF_NETLINK as u32;

/// SOCK_TYPE_MASK in include/linux/net.h; above it are SOCK_CLOEXEC and SOCK_NONBLOCK.
pub(super) const TYPE_MASK: u32 = 0xf;

/// The types and protocols of TCP, UDP and unprivileged ping. SOCK_RAW is refused, and
/// SOCK_PACKET, which the kernel turns from AF_INET into AF_PACKET. The protocols are
/// listed because naming SCTP, DCCP, SMC or the like makes the kernel load its module
/// for anybody; they get the errno of a kernel built without them, on which Go
/// (MPTCP listeners) and others fall back.
pub(super) const STREAM_TYPES: &[u32] = &[libc::SOCK_STREAM as u32, libc::SOCK_DGRAM as u32];
const PROTOCOLS: &[u32] = &[
    0,
    libc::IPPROTO_TCP as u32,
    libc::IPPROTO_UDP as u32,
    libc::IPPROTO_ICMP as u32,
    libc::IPPROTO_ICMPV6 as u32,
];

pub(super) const SOCKET: Action = allow_except(&[
    allow_when(&[one_of(0, EVERY_BIT, &[UNIX])]),
    allow_when(&[
        one_of(0, EVERY_BIT, &[NETLINK]),
        one_of(2, EVERY_BIT, &[libc::NETLINK_ROUTE as u32]),
    ]),
    errno_when(&[none_of(0, EVERY_BIT, INTERNET)], libc::EAFNOSUPPORT),
    deny_when(&[none_of(1, TYPE_MASK, STREAM_TYPES)]),
    errno_when(&[none_of(2, EVERY_BIT, PROTOCOLS)], libc::EPROTONOSUPPORT),
]);

pub(super) const SOCKETPAIR: Action =
    allow_except(&[errno_when(&[none_of(0, EVERY_BIT, &[UNIX])], libc::EAFNOSUPPORT)]);

// ---- Terminals ----

/// `cmd` is an `unsigned int` in the kernel, so the high half of the register is
/// ignored there and must be ignored here (CVE-2019-10063 of Flatpak was a 64-bit
/// compare). TIOCSTI and TIOCLINUX type into the terminal that the task was started
/// from, TIOCCONS diverts the console, TIOCSETD loads line disciplines, a long row of
/// kernel bugs that needs no privilege. FIOSETOWN is left: it is fcntl(F_SETOWN), and
/// the kernel checks each signal as `kill` would.
pub(super) const IOCTL: Action = allow_except(&[deny_when(&[one_of(
    1,
    EVERY_BIT,
    &[libc::TIOCSTI as u32, libc::TIOCLINUX as u32, libc::TIOCCONS as u32, libc::TIOCSETD as u32],
)])]);
