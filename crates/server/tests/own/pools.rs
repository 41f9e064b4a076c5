//! Spare sandboxes: given away once, replaced, never in anybody's way, never left.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use capsule_server::Settings;
use serde_json::{Value, json};

use super::Own;
use crate::suite::exec::until;
use crate::support::Folders;

fn start(data: &Path, backend: &Arc<Folders>, change: impl FnOnce(&mut Settings)) -> Own {
    Own::try_start_with(data, backend, change, crate::templates_with(2)).unwrap()
}

fn pool(own: &Own) -> Value {
    own.site.call("sandbox.v1.templates", json!({})).unwrap()["templates"][0]["pool"].clone()
}

fn is_full(own: &Own) -> bool {
    pool(own) == json!({ "size": 2, "ready": 2 })
}

#[test]
fn spares_are_given_away_once_and_replaced() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = start(data.path(), &backend, |_| {});
    until(|| is_full(&own));
    let mut seen = BTreeSet::new();
    for round in 0..3 {
        until(|| is_full(&own));
        let spares = backend.living();
        assert_eq!(spares.len(), 2 + round, "two, and those that were given away");
        let id = own.site.create();
        assert!(spares.contains(&id), "it is one of the spares");
        assert!(seen.insert(id.clone()), "nobody else's");
        assert_eq!(own.site.shell(&id, "ls -A"), "");
        own.site.shell(&id, "echo mine >file");
    }
    // Nobody sees a spare, by any way.
    until(|| is_full(&own));
    let list = own.site.call("sandbox.v1.list", json!({})).unwrap();
    let listed: Vec<&str> = list["sandboxes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert_eq!(listed, seen.iter().map(String::as_str).collect::<Vec<_>>());
    for spare in backend.living().iter().filter(|name| !seen.contains(*name)) {
        let refused = own.site.call("sandbox.v1.get", json!({ "id": spare })).unwrap_err();
        assert_eq!(refused.error_code, "E1015");
        let refused = own.site.call("sandbox.v1.delete", json!({ "id": spare })).unwrap_err();
        assert_eq!(refused.error_code, "E1015");
    }
    let metrics = own.site.http("GET", "/metrics", &[], b"");
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in [
        "capsule_pool_size{templates=\"python,shell\"} 2",
        "capsule_pool_ready{templates=\"python,shell\"} 2",
        "capsule_pool_taken_total 3",
        "capsule_pool_missed_total 0",
        "capsule_sandboxes{state=\"ready\"} 3",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    assert!(own.stop());
    assert_eq!(backend.living(), Vec::<String>::new(), "spares end with the server");
}

/// A spare is given away only as it is. Variables are not settled when it is made.
#[test]
fn who_wants_anything_else_gets_a_fresh_one() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = start(data.path(), &backend, |_| {});
    until(|| is_full(&own));
    let spares = backend.living();
    let small = json!({ "template": "shell", "limits": { "max_pids": 7 } });
    assert!(!spares.contains(&own.site.create_with(small)));
    let same =
        own.site.call("sandbox.v1.templates", json!({})).unwrap()["templates"][1]["limits"].clone();
    let params = json!({ "template": "python", "limits": same, "env": { "X": "mine" } });
    let id = own.site.create_with(params);
    assert!(spares.contains(&id));
    assert_eq!(own.site.shell(&id, "echo $X"), "mine\n");
    until(|| is_full(&own));
    let other = own.site.create();
    assert_eq!(own.site.shell(&other, "echo $X"), "\n");
    assert!(own.stop());
}

#[test]
fn a_spare_that_ends_by_itself_is_replaced() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = start(data.path(), &backend, |_| {});
    until(|| is_full(&own));
    let lost = backend.living()[0].clone();
    backend.lose(&lost);
    until(|| is_full(&own) && backend.living().len() == 2);
    assert_ne!(own.site.create(), lost);
    assert!(own.stop());
}

#[test]
fn spares_are_in_nobodys_way() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = start(data.path(), &backend, |settings| settings.sandboxes = 3);
    until(|| is_full(&own));
    let fresh = json!({ "template": "shell", "limits": { "max_pids": 7 } });
    let ids: Vec<String> = (0..3).map(|_| own.site.create_with(fresh.clone())).collect();
    until(|| backend.living().len() == 3);
    assert_eq!(pool(&own)["ready"], json!(0));
    let refused = own.site.call("sandbox.v1.create", fresh).unwrap_err();
    assert_eq!(refused.error_code, "E4007");
    own.site.delete(&ids[0]);
    until(|| pool(&own)["ready"] == json!(1));
    assert_eq!(backend.living().len(), 3);
    assert!(own.stop());
}

#[test]
fn a_backend_that_fails_for_a_while_fills_the_pool_later() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    backend.is_broken.store(true, Ordering::SeqCst);
    let own = start(data.path(), &backend, |_| {});
    let refused = own.site.call("sandbox.v1.create", json!({ "template": "shell" })).unwrap_err();
    assert_eq!(refused.error_code, "E2002");
    backend.is_broken.store(false, Ordering::SeqCst);
    until(|| is_full(&own));
    assert!(own.stop());
}

#[test]
fn no_spare_outlives_its_server() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = start(data.path(), &backend, |_| {});
    until(|| is_full(&own));
    let kept = own.site.create();
    own.site.shell(&kept, "echo kept >file");
    until(|| is_full(&own));
    own.kill();
    assert_eq!(backend.living().len(), 3);
    let own = Own::start(data.path(), &backend, |settings| settings.keep_sandboxes = true);
    assert_eq!(backend.living(), std::slice::from_ref(&kept), "swept");
    assert_eq!(own.site.shell(&kept, "cat file"), "kept\n");
    assert!(own.stop());
    // Sandboxes can be kept; spares are not.
    let own = start(data.path(), &backend, |settings| settings.keep_sandboxes = true);
    until(|| is_full(&own));
    assert!(own.stop());
    assert_eq!(backend.living(), [kept]);
}
