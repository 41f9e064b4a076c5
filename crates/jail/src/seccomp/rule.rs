//! Owns the vocabulary of a rule: which calls, what the kernel answers, and why.
//! Knows nothing of BPF (see `tree`) and nothing of any particular call.

/// What the kernel does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel runs it.
    Allow,
    /// The call returns this errno and nothing else happens.
    Errno(u16),
    /// The whole process dies with SIGSYS, which no handler can catch.
    KillProcess,
}

/// One decision, the calls that share it, and the reason.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Never empty.
    pub calls: &'static [Call],
    /// What happens to each of them.
    pub action: Action,
    /// Why, for `doctor` and the docs; no final period.
    pub reason: &'static str,
}

/// Rules that belong together, for listings.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// A heading in lower case.
    pub title: &'static str,
    /// In reading order; the order has no effect.
    pub rules: &'static [Rule],
}

/// A system call of this architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The name of the libc constant, `SYS_openat`.
    pub constant: &'static str,
    /// Its number on this architecture.
    pub number: u32,
}

impl Call {
    /// The name as `strace` and the man pages print it, `openat`.
    pub fn name(&self) -> &'static str {
        self.constant.strip_prefix("SYS_").unwrap_or(self.constant)
    }
}

/// How a rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Whatever the arguments are.
    Always(Verdict),
    /// By the arguments.
    Check(Check),
}

/// Cases are tried in order; the first whose tests all hold gives the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Tried from first to last.
    pub cases: &'static [Case],
    /// When no case applies.
    pub otherwise: Verdict,
}

/// A verdict and when it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// All of them must hold.
    pub when: &'static [Test],
    /// What happens then.
    pub verdict: Verdict,
}

/// A test of one half of one argument.
///
/// No rule looks at the high half of a number, and none may: for each one tested here
/// the kernel itself takes an `int`, an `unsigned int` or a `umode_t` and drops
/// the rest, so a test of all 64 bits could be dodged with garbage in the high
/// half. `clone` takes an `unsigned long` but applies `lower_32_bits` to it
/// (kernel/fork.c); `prctl` is tested on its `int option` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// 0 for the first argument, up to 5.
    pub argument: u8,
    /// Which half of it.
    pub half: Half,
    /// What that half must satisfy.
    pub condition: Condition,
}

/// A half of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The low 32 bits: all that there is of a number.
    Low,
    /// The high 32 bits: only to tell a pointer from null.
    High,
}

/// What half an argument is tested for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// At least one of these bits is set.
    AnyBit(u32),
    /// The value, unsigned, is greater.
    Above(u32),
    /// The value, after masking, is listed.
    OneOf {
        /// The bits to look at.
        mask: u32,
        /// What they may be.
        values: &'static [u32],
    },
    /// The value, after masking, is not listed.
    NoneOf {
        /// The bits to look at.
        mask: u32,
        /// What they may not be.
        values: &'static [u32],
    },
}

// Equality as above, for `tree`, which runs in the compiler: derived traits do not.

impl Verdict {
    pub(super) const fn is(self, other: Self) -> bool {
        match (self, other) {
            (Self::Allow, Self::Allow) | (Self::KillProcess, Self::KillProcess) => true,
            (Self::Errno(one), Self::Errno(other)) => one == other,
            _ => false,
        }
    }
}

impl Action {
    pub(super) const fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Always(one), Self::Always(other)) => one.is(*other),
            (Self::Check(one), Self::Check(other)) => one.is(other),
            _ => false,
        }
    }
}

impl Check {
    pub(super) const fn is(&self, other: &Self) -> bool {
        let mut same = self.cases.len() == other.cases.len() && self.otherwise.is(other.otherwise);
        let mut at = 0;
        while same && at < self.cases.len() {
            same = self.cases[at].is(&other.cases[at]);
            at += 1;
        }
        same
    }
}

impl Case {
    const fn is(&self, other: &Self) -> bool {
        let mut same = self.when.len() == other.when.len() && self.verdict.is(other.verdict);
        let mut at = 0;
        while same && at < self.when.len() {
            same = self.when[at].is(&other.when[at]);
            at += 1;
        }
        same
    }
}

impl Test {
    const fn is(&self, other: &Self) -> bool {
        self.argument == other.argument
            && matches!(self.half, Half::Low) == matches!(other.half, Half::Low)
            && self.condition.is(&other.condition)
    }
}

impl Condition {
    const fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::AnyBit(one), Self::AnyBit(other)) | (Self::Above(one), Self::Above(other)) => {
                *one == *other
            }
            (
                Self::OneOf { mask, values },
                Self::OneOf { mask: other_mask, values: other_values },
            )
            | (
                Self::NoneOf { mask, values },
                Self::NoneOf { mask: other_mask, values: other_values },
            ) => *mask == *other_mask && same_values(values, other_values),
            _ => false,
        }
    }
}

const fn same_values(one: &[u32], other: &[u32]) -> bool {
    let mut same = one.len() == other.len();
    let mut at = 0;
    while same && at < one.len() {
        same = one[at] == other[at];
        at += 1;
    }
    same
}

pub(super) const ALLOW: Action = Action::Always(Verdict::Allow);
/// The call is known and refused.
pub(super) const DENY: Action = Action::Always(EPERM);
/// The call is known, and answered as an older kernel would, because its callers
/// have a fallback that they take on ENOSYS and on nothing else.
pub(super) const ABSENT: Action = Action::Always(Verdict::Errno(libc::ENOSYS as u16));

/// The call is known, and answered as a file system that lacks the feature would.
pub(super) const UNSUPPORTED: Action = Action::Always(Verdict::Errno(libc::EOPNOTSUPP as u16));

pub(super) const EPERM: Verdict = Verdict::Errno(libc::EPERM as u16);

/// `rule!(ACTION, "reason" => [SYS_read, SYS_write])`. Numbers come from `numbers`,
/// so a constant that libc lacks is still written the same way. The arrow keeps rustfmt,
/// which gives each call a line of its own, out of the tables.
macro_rules! rule {
    ($action:expr, $reason:literal => [$($call:ident),+ $(,)?]) => {
        $crate::seccomp::rule::Rule {
            calls: &[$($crate::seccomp::rule::Call {
                constant: stringify!($call),
                number: $crate::seccomp::numbers::$call as u32,
            }),+],
            action: $action,
            reason: $reason,
        }
    };
}
pub(super) use rule;
