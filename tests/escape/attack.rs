//! The attack suites as the product ships them: against the jail, as root and without
//! privileges, against tasks, and against a server. Containers are attacked where there is an
//! engine, in `tests/containers`.

use std::time::Duration;

use capsule_tests::{Binary, Caller, Run};
use serde_json::Value;

fn attack(arguments: &[&str], caller: Caller) -> Value {
    let run = Run::new(&[&["attack", "--json"][..], arguments].concat())
        .binary(Binary::Capsule)
        .caller(caller)
        // Made ready once for all tests, as on a user's machine.
        .variable("CAPSULE_CACHE", &capsule_tests::cache())
        .within(Duration::from_mins(20))
        .finish();
    let report = run.json();
    assert_eq!(run.code, Some(0), "{report:#}");
    report
}

fn count(report: &Value, verdict: &str) -> u64 {
    report["counts"][verdict]
        .as_u64()
        .unwrap_or_else(|| panic!("no count of {verdict}: {report:#}"))
}

fn nothing_got_through(report: &Value, least: u64) {
    assert_eq!(count(report, "escaped"), 0);
    assert_eq!(count(report, "inconclusive"), 0);
    assert!(count(report, "held") >= least, "{report:#}");
}

#[test]
fn nothing_gets_through_the_jail() {
    for caller in [Caller::Current, Caller::Unprivileged] {
        nothing_got_through(&attack(&[], caller), 60);
    }
}

#[test]
fn nothing_gets_through_a_task() {
    nothing_got_through(&attack(&["--backend", "wasm"], Caller::Current), 150);
}

#[test]
fn nothing_gets_through_a_server() {
    nothing_got_through(&attack(&["--backend", "serve"], Caller::Current), 35);
}

/// The same attempts, each with its wall taken away: what cannot fail shows nothing.
#[test]
fn an_attempt_at_a_server_gets_through_without_its_wall() {
    let report = attack(&["--backend", "serve", "--walls-down"], Caller::Current);
    assert_eq!(count(&report, "held") + count(&report, "inconclusive"), 0, "{report:#}");
    assert!(count(&report, "escaped") >= 15, "{report:#}");
}
