//! Owns the proof that the compiled tree says what the tables say: every number, every
//! argument value near a boundary of some test, both halves of each register.

use super::interpreter::{Invocation, expected, interpret, return_value};
use crate::seccomp::rule::{Call, Rule};
use crate::seccomp::{Action, Condition, Group, Profile, Verdict, groups, program, rules, unknown};

const PROFILES: [Profile; 2] = [Profile::Default, Profile::Strict];

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

fn numbers() -> impl Iterator<Item = u32> {
    let large = [1023, 0x3fff, 0x3fff_ffff, 0x8000_0000, 0xbfff_ffff];
    (0..=600).chain(large)
}

/// Every number that a test of `profile` names, and its neighbours.
fn interesting_values(profile: Profile) -> Vec<u32> {
    let mut values = vec![0, 1, u32::MAX];
    for rule in rules(profile) {
        let Action::Check(check) = rule.action else {
            continue;
        };
        for test in check.cases.iter().flat_map(|case| case.when) {
            match test.condition {
                Condition::AnyBit(bits) => {
                    values.extend((0..32).map(|shift| bits & (1 << shift)));
                    values.push(!bits);
                }
                Condition::Above(limit) => values.extend([limit, limit + 1]),
                Condition::OneOf { values: listed, mask }
                | Condition::NoneOf { values: listed, mask } => {
                    values.extend(listed.iter().map(|value| value | !mask));
                    for value in listed {
                        values.extend([*value, value.wrapping_add(1), value.wrapping_sub(1)]);
                    }
                }
            }
        }
    }
    values.sort_unstable();
    values.dedup();
    values
}

fn assert_agrees(profile: Profile, code: &[libc::sock_filter], invocation: &Invocation) {
    let expected = expected(groups(profile), unknown(profile), invocation);
    let actual = interpret(code, invocation);
    assert_eq!(actual, return_value(expected), "{profile:?} {invocation:x?}");
}

#[test]
fn every_number_gets_the_verdict_of_the_tables() {
    for profile in PROFILES {
        let code = program(profile);
        for number in numbers() {
            for arguments in [[0; 6], [u64::MAX; 6], [u64::MAX << 32; 6]] {
                let arch = NATIVE;
                let invocation = Invocation { number, arch, arguments };
                assert_agrees(profile, code, &invocation);
            }
        }
    }
}

#[test]
fn every_argument_check_gets_the_verdict_of_the_tables() {
    const GARBAGE: u64 = 0xdead_beef << 32;
    for profile in PROFILES {
        let code = program(profile);
        let values = interesting_values(profile);
        let checked = rules(profile).filter(|rule| matches!(rule.action, Action::Check(_)));
        for call in checked.flat_map(|rule| rule.calls) {
            for (a, b) in pairs(&values) {
                // Whichever two arguments a rule reads, some row pairs them.
                for row in [[a, b, a, b], [a, a, b, b], [a, b, b, a], [b, a, a, b]] {
                    let mut arguments = [0; 6];
                    for (argument, value) in arguments.iter_mut().zip(row) {
                        *argument = GARBAGE | u64::from(value);
                    }
                    let number = call.number;
                    let arch = NATIVE;
                    let invocation = Invocation { number, arch, arguments };
                    assert_agrees(profile, code, &invocation);
                }
            }
        }
    }
}

fn pairs(values: &[u32]) -> impl Iterator<Item = (u32, u32)> {
    let each = values.iter();
    each.flat_map(|a| values.iter().map(move |b| (*a, *b)))
}

#[test]
fn sockets_are_decided_by_all_three_arguments() {
    let code = program(Profile::Default);
    for domain in 0..50 {
        for kind in 0..16 {
            for protocol in 0..300 {
                let arguments = [domain, kind | 0x80000, protocol, 0, 0, 0];
                let number = libc::SYS_socket as u32;
                let arch = NATIVE;
                let invocation = Invocation { number, arch, arguments };
                assert_agrees(Profile::Default, code, &invocation);
            }
        }
    }
}

#[test]
fn a_foreign_architecture_or_numbering_kills() {
    const I386: u32 = 0x4000_0003;
    const ARM: u32 = 0x4000_0028;
    let kill = return_value(Verdict::KillProcess);
    for profile in PROFILES {
        let code = program(profile);
        for number in numbers() {
            for arch in [0, I386, ARM, NATIVE ^ 1, u32::MAX] {
                let arguments = [0; 6];
                let invocation = Invocation { number, arch, arguments };
                assert_eq!(interpret(code, &invocation), kill);
            }
            if cfg!(target_arch = "x86_64") {
                let number = number | 0x4000_0000;
                let (arch, arguments) = (NATIVE, [0; 6]);
                let invocation = Invocation { number, arch, arguments };
                assert_eq!(interpret(code, &invocation), kill, "{number:#x}");
            }
        }
    }
}

/// The measured load time belongs to this size.
#[test]
fn programs_stay_small() {
    let sizes = PROFILES.map(|profile| program(profile).len());
    assert!(sizes[0] <= 200, "Default has {} instructions", sizes[0]);
    assert!(sizes[1] <= 130, "Strict has {} instructions", sizes[1]);
}

/// The real tables fit the 8-bit offsets; this one does not, so it takes the long jumps.
#[test]
fn a_tree_beyond_the_reach_of_a_jump_still_agrees() {
    let verdict = |number: u32| Action::Always(Verdict::Errno((number % 97 + 1) as u16));
    let rules: Vec<Rule> = (0..900)
        .map(|number| Rule {
            calls: vec![Call { constant: "SYS_made_up", number: number * 2 }].leak(),
            action: verdict(number),
            reason: "a test",
        })
        .collect();
    let groups = [Group { title: "made up", rules: rules.leak() }];
    let compiled = crate::seccomp::tree::compile(&groups, Verdict::Allow);
    let code = compiled.as_slice();
    let jumps_far = code.iter().any(|instruction| instruction.code == 0x05);
    assert!(jumps_far, "the table is meant to need a long jump");
    for number in 0..2000 {
        let (arch, arguments) = (NATIVE, [0; 6]);
        let invocation = Invocation { number, arch, arguments };
        let expected = expected(&groups, Verdict::Allow, &invocation);
        assert_eq!(interpret(code, &invocation), return_value(expected));
    }
}
