//! Owns the translation of rules into classic BPF: a balanced binary search over ranges
//! of syscall numbers that share a verdict, with the argument checks at its leaves.
//!
//! A list of one comparison for each call took 333 us to load against 47 us for a tree,
//! and the load is paid in every sandbox. Only instructions that the kernel's
//! `seccomp_is_const_allow` understands are used in front of an Allow, so that from 5.11
//! on it answers plain Allows from a bitmap without running the program.
//!
//! Code is emitted backwards, last instruction first: then every jump target is known
//! when its jump is written, and BPF, which only jumps forward, needs no labels. A
//! position counts from the end of the program.
//!
//! All of it is `const`: the shipped tables are translated by the compiler, because
//! doing it at each start took as long as ten mounts. Hence arrays and loops where one
//! would write vectors and iterators.

use super::rule::{Action, Check, Condition, Group, Half, Rule, Test, Verdict};
use libc::sock_filter;

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xc000_003e; // AUDIT_ARCH_X86_64, include/uapi/linux/audit.h
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xc000_00b7; // AUDIT_ARCH_AARCH64, the same file

/// `__X32_SYSCALL_BIT`: the same architecture with another numbering, in which every
/// rule would miss.
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;

// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

#[cfg(not(target_endian = "little"))]
compile_error!("the low half of an argument is taken to come first");

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const IF_ABOVE: u32 = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
const IF_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;

/// How far a conditional jump may reach. Its offset is 8 bits; two instructions are kept
/// back for the long jumps that `reachable` may insert for its two branches.
const REACH: usize = u8::MAX as usize - 2;

/// The most instructions that the kernel takes (`BPF_MAXINSNS`).
const MOST: usize = 4096;
/// The most verdicts and checks that a program may hold, copies for distant jumps included.
const MOST_SHARED: usize = MOST / 2;

/// A program and the room that was kept for it.
pub(super) struct Compiled {
    code: [sock_filter; MOST],
    length: usize,
}

impl Compiled {
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    /// The program alone; `LENGTH` is its length.
    pub(super) const fn trimmed<const LENGTH: usize>(&self) -> [sock_filter; LENGTH] {
        assert!(LENGTH == self.length);
        let mut trimmed = [NOTHING; LENGTH];
        let mut at = 0;
        while at < LENGTH {
            trimmed[at] = self.code[at];
            at += 1;
        }
        trimmed
    }

    #[cfg(test)]
    pub(super) fn as_slice(&self) -> &[sock_filter] {
        &self.code[..self.length]
    }
}

const NOTHING: sock_filter = sock_filter { code: 0, jt: 0, jf: 0, k: 0 };

/// Numbers in no rule get `unknown`.
pub(super) const fn compile(groups: &[Group], unknown: Verdict) -> Compiled {
    let segments = segments(groups, unknown);
    let mut code = Backwards::new();
    let search = code.search(&segments, 0, segments.length);
    code.number_check(search);
    code.arch_check();
    let mut compiled = Compiled { code: [NOTHING; MOST], length: code.length };
    let mut at = 0;
    while at < code.length {
        compiled.code[at] = code.reversed[code.length - 1 - at];
        at += 1;
    }
    compiled
}

/// A run of numbers with one action; it ends where the next begins.
#[derive(Clone, Copy)]
struct Segment {
    first: u32,
    action: Action,
}

struct Segments {
    all: [Segment; MOST],
    length: usize,
}

impl Segments {
    const fn append(&mut self, first: u32, action: Action) {
        if self.length == 0 || !self.all[self.length - 1].action.is(&action) {
            self.all[self.length] = Segment { first, action };
            self.length += 1;
        }
    }
}

const fn segments(groups: &[Group], unknown: Verdict) -> Segments {
    let unknown = Action::Always(unknown);
    let filler = Segment { first: 0, action: unknown };
    let (calls, count) = sorted(groups, filler);
    let mut segments = Segments { all: [filler; MOST], length: 0 };
    let mut next = 0;
    let mut at = 0;
    while at < count {
        let Segment { first: number, action } = calls[at];
        if number > next {
            segments.append(next, unknown);
        }
        segments.append(number, action);
        next = number.saturating_add(1);
        at += 1;
    }
    segments.append(next, unknown);
    segments
}

/// Every call by its number, and how many there are.
const fn sorted(groups: &[Group], filler: Segment) -> ([Segment; MOST], usize) {
    let mut calls = [filler; MOST];
    let mut count = 0;
    let mut group = 0;
    while group < groups.len() {
        let rules = groups[group].rules;
        let mut rule = 0;
        while rule < rules.len() {
            let Rule { calls: named, action, .. } = rules[rule];
            let mut call = 0;
            while call < named.len() {
                // An insertion: tables are nearly in order.
                let mut place = count;
                while place > 0 && calls[place - 1].first > named[call].number {
                    calls[place] = calls[place - 1];
                    place -= 1;
                }
                calls[place] = Segment { first: named[call].number, action };
                count += 1;
                call += 1;
            }
            rule += 1;
        }
        group += 1;
    }
    (calls, count)
}

struct Backwards {
    reversed: [sock_filter; MOST],
    length: usize,
    /// Where the newest code for a verdict or a check stands, to be shared.
    verdicts: [(Verdict, usize); MOST_SHARED],
    verdict_count: usize,
    checks: [(Option<Check>, usize); MOST_SHARED],
    check_count: usize,
}

impl Backwards {
    const fn new() -> Self {
        Self {
            reversed: [NOTHING; MOST],
            length: 0,
            verdicts: [(Verdict::KillProcess, 0); MOST_SHARED],
            verdict_count: 0,
            checks: [(None, 0); MOST_SHARED],
            check_count: 0,
        }
    }

    /// The search among the segments from `low` to before `high`.
    const fn search(&mut self, segments: &Segments, low: usize, high: usize) -> usize {
        let all = &segments.all;
        match high - low {
            // `segments` never makes an empty list; killing is the safe reading of one.
            0 => self.verdict(Verdict::KillProcess),
            1 => self.action(all[low].action),
            // A single call inside a run of others: one comparison in place of two.
            3 if all[low].action.is(&all[low + 2].action)
                && all[low + 1].first + 1 == all[low + 2].first =>
            {
                let rest = self.action(all[low].action);
                let found = self.action(all[low + 1].action);
                self.branch(IF_EQUAL, all[low + 1].first, found, rest)
            }
            count => {
                let middle = low + count / 2;
                let above = self.search(segments, middle, high);
                let below = self.search(segments, low, middle);
                self.branch(IF_AT_LEAST, all[middle].first, above, below)
            }
        }
    }

    const fn number_check(&mut self, search: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            let kill = self.verdict(Verdict::KillProcess);
            self.branch(IF_ANY_BIT, X32_BIT, kill, search);
        }
        #[cfg(not(target_arch = "x86_64"))]
        self.fall_into(search);
        self.push(LOAD, NUMBER);
    }

    /// Numbers mean nothing until the architecture is known, so this comes first.
    const fn arch_check(&mut self) {
        let body = self.length - 1;
        let kill = self.verdict(Verdict::KillProcess);
        self.branch(IF_EQUAL, AUDIT_ARCH, body, kill);
        self.push(LOAD, ARCH);
    }

    const fn action(&mut self, action: Action) -> usize {
        match action {
            Action::Always(verdict) => self.verdict(verdict),
            Action::Check(check) => self.check(check),
        }
    }

    const fn verdict(&mut self, verdict: Verdict) -> usize {
        let mut at = self.verdict_count;
        while at > 0 {
            at -= 1;
            let (known, position) = self.verdicts[at];
            if known.is(verdict) {
                if self.length - position <= REACH {
                    return position;
                }
                break;
            }
        }
        let position = self.push(RETURN, return_value(verdict));
        self.verdicts[self.verdict_count] = (verdict, position);
        self.verdict_count += 1;
        position
    }

    const fn check(&mut self, check: Check) -> usize {
        let mut at = 0;
        while at < self.check_count {
            if let (Some(known), position) = &self.checks[at]
                && known.is(&check)
            {
                return *position;
            }
            at += 1;
        }
        let mut next = self.verdict(check.otherwise);
        let mut case = check.cases.len();
        while case > 0 {
            case -= 1;
            let when = check.cases[case].when;
            let mut pass = self.verdict(check.cases[case].verdict);
            let mut test = when.len();
            while test > 0 {
                test -= 1;
                pass = self.test(when[test], pass, next);
            }
            next = pass;
        }
        self.checks[self.check_count] = (Some(check), next);
        self.check_count += 1;
        next
    }

    const fn test(&mut self, test: Test, pass: usize, fail: usize) -> usize {
        match test.condition {
            Condition::AnyBit(bits) => {
                self.branch(IF_ANY_BIT, bits, pass, fail);
            }
            Condition::Above(limit) => {
                self.branch(IF_ABOVE, limit, pass, fail);
            }
            Condition::OneOf { mask, values } => self.compare(mask, values, pass, fail),
            Condition::NoneOf { mask, values } => self.compare(mask, values, fail, pass),
        }
        let half = match test.half {
            Half::Low => 0,
            Half::High => 4,
        };
        self.push(LOAD, ARGUMENTS + 8 * test.argument as u32 + half)
    }

    const fn compare(&mut self, mask: u32, values: &[u32], found: usize, missing: usize) {
        let mut next = missing;
        let mut at = values.len();
        while at > 0 {
            at -= 1;
            next = self.branch(IF_EQUAL, values[at], found, next);
        }
        self.fall_into(next);
        if mask != u32::MAX {
            self.push(AND, mask);
        }
    }

    const fn branch(&mut self, condition: u32, value: u32, yes: usize, no: usize) -> usize {
        let yes = self.reachable(yes);
        let no = self.reachable(no);
        let here = self.length;
        // `reachable` keeps both below 256.
        let (jt, jf) = ((here - yes - 1) as u8, (here - no - 1) as u8);
        self.emit(sock_filter { code: condition as u16, jt, jf, k: value })
    }

    /// `target` itself, or a long jump to it if a conditional jump could not reach.
    const fn reachable(&mut self, target: usize) -> usize {
        let distance = self.length - target;
        if distance <= REACH {
            return target;
        }
        self.push(JUMP, (distance - 1) as u32)
    }

    /// Makes sure that the instruction to be pushed next runs on into `target`.
    const fn fall_into(&mut self, target: usize) {
        let distance = self.length - target;
        if distance > 1 {
            self.push(JUMP, (distance - 1) as u32);
        }
    }

    const fn push(&mut self, code: u32, value: u32) -> usize {
        self.emit(sock_filter { code: code as u16, jt: 0, jf: 0, k: value })
    }

    const fn emit(&mut self, instruction: sock_filter) -> usize {
        let here = self.length;
        self.reversed[here] = instruction;
        self.length += 1;
        here
    }
}

const fn return_value(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Allow => libc::SECCOMP_RET_ALLOW,
        Verdict::Errno(number) => libc::SECCOMP_RET_ERRNO | number as u32,
        Verdict::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
    }
}
