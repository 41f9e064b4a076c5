//! The attack suite as the product ships it, as root and without privileges.

use capsule_tests::{Binary, Caller, Run};
use serde_json::Value;

fn attack(caller: Caller) -> Value {
    let run = Run::new(&["attack", "--json"]).binary(Binary::Capsule).caller(caller).finish();
    let report = run.json();
    assert_eq!(run.code, Some(0), "{report:#}");
    report
}

fn count(report: &Value, verdict: &str) -> u64 {
    report["counts"][verdict]
        .as_u64()
        .unwrap_or_else(|| panic!("no count of {verdict}: {report:#}"))
}

#[test]
fn nothing_gets_through() {
    for caller in [Caller::Current, Caller::Unprivileged] {
        let report = attack(caller);
        assert_eq!(count(&report, "escaped"), 0);
        assert_eq!(count(&report, "inconclusive"), 0);
        assert!(count(&report, "held") >= 60, "{report:#}");
    }
}
