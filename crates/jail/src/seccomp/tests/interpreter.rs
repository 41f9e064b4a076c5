//! Owns a classic-BPF interpreter, small enough to be believed, and a reading of the
//! tables that has nothing to do with trees.

use crate::seccomp::{Action, Condition, Group, Half, Test, Verdict};
use libc::sock_filter;

/// `struct seccomp_data`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Invocation {
    pub(super) number: u32,
    pub(super) arch: u32,
    pub(super) arguments: [u64; 6],
}

impl Invocation {
    fn word(&self, offset: u32) -> u32 {
        let argument = |offset: u32| self.arguments[(offset as usize - 16) / 8];
        match offset {
            0 => self.number,
            4 => self.arch,
            16..64 if offset.is_multiple_of(8) => argument(offset) as u32,
            16..64 if offset.is_multiple_of(4) => (argument(offset) >> 32) as u32,
            _ => panic!("the kernel would refuse a load from {offset}"),
        }
    }
}

pub(super) fn interpret(program: &[sock_filter], invocation: &Invocation) -> u32 {
    let mut accumulator = 0;
    let mut next = 0;
    loop {
        let sock_filter { code, jt, jf, k } = program[next];
        next += 1;
        let taken = match code {
            0x20 => {
                accumulator = invocation.word(k);
                continue;
            }
            0x54 => {
                accumulator &= k;
                continue;
            }
            0x05 => {
                next += k as usize;
                continue;
            }
            0x06 => return k,
            0x15 => accumulator == k,
            0x25 => accumulator > k,
            0x35 => accumulator >= k,
            0x45 => accumulator & k != 0,
            _ => panic!("instruction {code:#x} is not one that the tree uses"),
        };
        next += usize::from(if taken { jt } else { jf });
    }
}

/// What the tables say, read from top to bottom.
pub(super) fn expected(groups: &[Group], unknown: Verdict, invocation: &Invocation) -> Verdict {
    let rules = groups.iter().flat_map(|group| group.rules);
    let mut matching = rules.filter(|rule| {
        let mut numbers = rule.calls.iter().map(|call| call.number);
        numbers.any(|number| number == invocation.number)
    });
    match matching.next().map(|rule| rule.action) {
        None => unknown,
        Some(Action::Always(verdict)) => verdict,
        Some(Action::Check(check)) => {
            let holds = |test: &Test| test_holds(test, &invocation.arguments);
            let mut cases = check.cases.iter();
            cases
                .find(|case| case.when.iter().all(holds))
                .map_or(check.otherwise, |case| case.verdict)
        }
    }
}

fn test_holds(test: &Test, arguments: &[u64; 6]) -> bool {
    let value = arguments[usize::from(test.argument)];
    let value = match test.half {
        Half::Low => value as u32,
        Half::High => (value >> 32) as u32,
    };
    match test.condition {
        Condition::AnyBit(bits) => value & bits != 0,
        Condition::Above(limit) => value > limit,
        Condition::OneOf { mask, values } => values.contains(&(value & mask)),
        Condition::NoneOf { mask, values } => !values.contains(&(value & mask)),
    }
}

pub(super) fn return_value(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Allow => 0x7fff_0000,
        Verdict::Errno(number) => 0x0005_0000 | u32::from(number),
        Verdict::KillProcess => 0x8000_0000,
    }
}
