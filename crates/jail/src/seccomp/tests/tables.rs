//! Owns the rules about rules: each has a reason, none appears twice, none of the calls
//! that matter most has slipped into the wrong list.

use crate::seccomp::{Action, Profile, Verdict, rules, unknown};
use std::collections::BTreeMap;

const PROFILES: [Profile; 2] = [Profile::Default, Profile::Strict];

fn action(profile: Profile, name: &str) -> Option<Action> {
    let mut rules = rules(profile);
    let found = rules.find(|rule| rule.calls.iter().any(|call| call.name() == name));
    found.map(|rule| rule.action)
}

#[test]
fn every_rule_has_a_reason_and_a_call() {
    for rule in PROFILES.into_iter().flat_map(rules) {
        assert!(!rule.calls.is_empty(), "{}", rule.reason);
        assert!(rule.reason.len() > 10, "{:?}", rule.calls);
        assert!(!rule.reason.ends_with('.'), "{}", rule.reason);
    }
}

#[test]
fn no_number_and_no_name_appears_twice() {
    for profile in PROFILES {
        let mut numbers = BTreeMap::new();
        let mut names = BTreeMap::new();
        for call in rules(profile).flat_map(|rule| rule.calls) {
            assert_eq!(numbers.insert(call.number, call.name()), None, "{call:?}");
            assert_eq!(names.insert(call.name(), call.number), None, "{call:?}");
        }
    }
}

#[test]
fn strict_allows_nothing_that_default_refuses() {
    for rule in rules(Profile::Strict) {
        if matches!(rule.action, Action::Always(Verdict::Errno(_))) {
            continue;
        }
        for call in rule.calls {
            let action = action(Profile::Default, call.name());
            let refused = matches!(action, None | Some(Action::Always(Verdict::Errno(_))));
            assert!(!refused, "{}", call.name());
        }
    }
}

/// About sixty is the promise; old forms of the same call on x86_64 are not counted.
#[test]
fn strict_is_short() {
    let groups = crate::seccomp::groups(Profile::Strict);
    let common = groups.iter().filter(|group| group.title != "x86_64 only");
    let rules = common.flat_map(|group| group.rules);
    let allowed = rules.filter(|rule| match rule.action {
        Action::Always(verdict) => verdict == Verdict::Allow,
        Action::Check(check) => {
            let mut cases = check.cases.iter().map(|case| case.verdict);
            check.otherwise == Verdict::Allow || cases.any(|verdict| verdict == Verdict::Allow)
        }
    });
    let calls: usize = allowed.map(|rule| rule.calls.len()).sum();
    assert!(calls <= 65, "{calls} calls");
}

#[test]
fn calls_whose_flags_hide_behind_a_pointer_look_absent() {
    let absent = Some(Action::Always(Verdict::Errno(libc::ENOSYS as u16)));
    assert_eq!(action(Profile::Default, "clone3"), absent);
    assert_eq!(action(Profile::Default, "openat2"), absent);
    assert_eq!(action(Profile::Strict, "clone3"), absent);
}

/// A call that slips from a refused rule into an allowed one is caught here.
#[test]
fn no_profile_allows_the_calls_that_undo_a_jail() {
    const NEVER: &str = "unshare setns mount umount2 pivot_root chroot open_tree \
        open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr ptrace \
        process_vm_readv process_vm_writev pidfd_getfd kcmp bpf perf_event_open userfaultfd \
        io_uring_setup io_uring_enter io_uring_register keyctl add_key request_key kexec_load \
        kexec_file_load init_module finit_module delete_module reboot swapon swapoff quotactl \
        quotactl_fd acct syslog open_by_handle_at name_to_handle_at fanotify_init \
        fanotify_mark vmsplice settimeofday clock_settime adjtimex clock_adjtime iopl ioperm \
        modify_ldt vhangup lookup_dcookie nfsservctl memfd_secret mbind set_mempolicy \
        move_pages migrate_pages sethostname setdomainname clone3 openat2";
    for profile in PROFILES {
        for name in NEVER.split_whitespace() {
            let refused = match action(profile, name) {
                // Absent from the tables: no errno of 0, nor Allow, is ever the answer.
                None => true,
                Some(action) => matches!(action, Action::Always(Verdict::Errno(1 | 38))),
            };
            assert!(refused, "{profile:?} {name}");
        }
        assert_ne!(unknown(profile), Verdict::Allow);
    }
}
