//! Owns the tests of the tables for a process that runs guests itself. What the kernel
//! does with them is tried by whole programs in `tests/lockdown`.

use std::collections::BTreeMap;

use super::interpreter::{Invocation, expected, interpret, return_value};
use crate::seccomp::{Action, Condition, Lockdown, Rule, Verdict};

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

fn rules(table: Lockdown) -> impl Iterator<Item = &'static Rule> {
    table.groups().iter().flat_map(|group| group.rules)
}

#[test]
fn every_rule_has_a_reason_and_no_call_appears_twice() {
    for table in Lockdown::ALL {
        let mut numbers = BTreeMap::new();
        for rule in rules(table) {
            assert!(rule.reason.len() > 10 && !rule.reason.ends_with('.'), "{}", rule.reason);
            for call in rule.calls {
                assert_eq!(numbers.insert(call.number, call.name()), None, "{table:?} {call:?}");
            }
        }
    }
}

/// Values at which some test of a table turns.
fn values(table: Lockdown) -> Vec<u32> {
    let mut values = vec![0, 1, u32::MAX];
    for rule in rules(table) {
        let Action::Check(check) = rule.action else { continue };
        for test in check.cases.iter().flat_map(|case| case.when) {
            match test.condition {
                Condition::AnyBit(bits) => values.extend([bits, !bits]),
                Condition::Above(limit) => values.extend([limit, limit + 1]),
                Condition::OneOf { values: listed, .. }
                | Condition::NoneOf { values: listed, .. } => {
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

#[test]
fn the_programs_say_what_the_tables_say() {
    const GARBAGE: u64 = 0xdead_beef << 32;
    for table in Lockdown::ALL {
        let check = |number: u32, arguments: [u64; 6]| {
            let invocation = Invocation { number, arch: NATIVE, arguments };
            let expected = expected(table.groups(), table.unknown(), &invocation);
            let actual = interpret(table.program(), &invocation);
            assert_eq!(actual, return_value(expected), "{table:?} {invocation:x?}");
        };
        for number in (0..=600).chain([1023, 0x3fff, 0x3fff_ffff]) {
            for arguments in [[0; 6], [u64::MAX; 6], [u64::MAX << 32; 6]] {
                check(number, arguments);
            }
        }
        let values = values(table);
        let checked = rules(table).filter(|rule| matches!(rule.action, Action::Check(_)));
        for call in checked.flat_map(|rule| rule.calls) {
            for (a, b) in values.iter().flat_map(|a| values.iter().map(move |b| (*a, *b))) {
                for row in [[a, b, a, b], [a, a, b, b], [a, b, b, a]] {
                    for high in [0, GARBAGE] {
                        let mut arguments = [0; 6];
                        for (argument, value) in arguments.iter_mut().zip(row) {
                            *argument = high | u64::from(value);
                        }
                        check(call.number, arguments);
                    }
                }
            }
        }
    }
}

#[test]
fn a_foreign_architecture_kills() {
    for table in Lockdown::ALL {
        let invocation = Invocation { number: 1, arch: NATIVE ^ 1, arguments: [0; 6] };
        assert_eq!(interpret(table.program(), &invocation), return_value(Verdict::KillProcess));
    }
}

/// A call that slips into an allowed rule is caught here.
#[test]
fn what_undoes_a_lock_down_is_never_allowed() {
    const NEVER: &str = "execve execveat fork vfork clone3 ptrace process_vm_readv \
        process_vm_writev pidfd_getfd kill tkill tgkill pidfd_send_signal unshare setns mount \
        umount2 pivot_root chroot open_tree move_mount fsopen mount_setattr bpf \
        perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register keyctl \
        add_key request_key open_by_handle_at memfd_create shmat pkey_mprotect personality \
        remap_file_pages fchmod fchmodat mknodat fchownat setxattr truncate listen accept \
        accept4 setuid setresuid capset arch_prctl modify_ldt inotify_init1 fanotify_init";
    for table in [Lockdown::Connected, Lockdown::Alone] {
        assert_ne!(table.unknown(), Verdict::Allow);
        for name in NEVER.split_whitespace() {
            let named = rules(table).find(|rule| rule.calls.iter().any(|call| call.name() == name));
            let allowed = match named.map(|rule| rule.action) {
                None => false,
                Some(Action::Always(verdict)) => verdict == Verdict::Allow,
                Some(Action::Check(_)) => true,
            };
            assert!(!allowed, "{table:?} {name}");
        }
    }
}

#[test]
fn programs_stay_small() {
    let [connected, alone, seal] = Lockdown::ALL.map(|table| table.program().len());
    assert!(connected <= 260 && alone <= 250 && seal <= 16, "{connected} {alone} {seal}");
}
