//! `on_expiry = "pause"`: nothing is lost by expiry, and nothing is kept for ever.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use capsule_server::Settings;
use capsule_server::request::OnExpiry;
use serde_json::{Value, json};

use super::Own;
use crate::suite::client::Site;
use crate::suite::exec::until;
use crate::support::Folders;

/// Sandboxes of this server are paused unless they say otherwise.
fn start(data: &Path, backend: &Arc<Folders>, change: impl FnOnce(&mut Settings)) -> Own {
    let mut templates = crate::templates();
    for template in &mut templates {
        template.on_expiry = OnExpiry::Pause;
    }
    Own::try_start_with(data, backend, change, templates).unwrap()
}

fn state(site: &Site, id: &str) -> Option<Value> {
    site.call("sandbox.v1.get", json!({ "id": id })).ok().map(|found| found["state"].clone())
}

/// The ids of all snapshots, and of what sandboxes they are.
fn snapshots(site: &Site) -> Vec<(String, String)> {
    let all = site.call("sandbox.v1.snapshots", json!({})).unwrap();
    let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
    let all = all["snapshots"].as_array().unwrap().iter();
    all.map(|one| (text(one, "id"), text(one, "sandbox"))).collect()
}

fn kept(id: &str) -> Vec<(String, String)> {
    vec![(id.to_owned(), id.to_owned())]
}

/// A sandbox with a file whose time is over in a moment.
fn short(site: &Site) -> String {
    let id = site.create();
    site.shell(&id, "echo mine >file");
    site.call("sandbox.v1.extend", json!({ "id": id, "ttl_ms": 1 })).unwrap();
    id
}

#[test]
fn a_sandbox_whose_time_is_over_is_paused_and_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = start(data.path(), &backend, |_| {});
    let site = &own.site;
    let id = site.create_with(json!({ "template": "shell", "labels": { "a": "1" } }));
    site.shell(&id, "echo mine >file");
    let count = "while :; do echo x >>count; sleep 0.02; done";
    let params = json!({ "id": id, "cmd": ["/bin/sh", "-c", count] });
    site.call("sandbox.v1.start", params).unwrap();
    let mut watched = site.events("sandbox.v1.watch", json!({ "id": id }));
    assert_eq!(watched.next().unwrap().1, json!({ "state": "ready" }));
    site.call("sandbox.v1.extend", json!({ "id": id, "ttl_ms": 300 })).unwrap();
    // Who watches it is told, and it never expires.
    assert_eq!(watched.next().unwrap().1, json!({ "state": "paused" }));
    until(|| snapshots(site) == kept(&id));
    let found = site.call("sandbox.v1.get", json!({ "id": id })).unwrap();
    assert_eq!((&found["state"], &found["on_expiry"]), (&json!("paused"), &json!("pause")));
    assert_eq!(found["processes"], json!(1), "what ran is there");
    let params = json!({ "id": id, "cmd": ["true"] });
    assert_eq!(site.call("sandbox.v1.exec", params).unwrap_err().error_code, "E3016");
    let by_label = site.call("sandbox.v1.snapshots", json!({ "labels": { "a": "1" } })).unwrap();
    assert_eq!(by_label["snapshots"].as_array().unwrap().len(), 1);
    // It goes on where it stood, with as much time as it was given last; what was kept of it
    // is kept no longer.
    site.call("sandbox.v1.resume", json!({ "id": id })).unwrap();
    assert_eq!(snapshots(site), []);
    until(|| state(site, &id) == Some(json!("paused")));
    until(|| snapshots(site) == kept(&id));
    // Given more time while it is paused, it stays paused until somebody wants it.
    site.call("sandbox.v1.extend", json!({ "id": id, "ttl_ms": 60_000 })).unwrap();
    assert_eq!(state(site, &id), Some(json!("paused")));
    site.call("sandbox.v1.resume", json!({ "id": id })).unwrap();
    assert_eq!(snapshots(site), [], "nor is what was kept before it was given time");
    let lines = || site.shell(&id, "cat file; wc -l <count");
    let before = lines();
    assert!(before.starts_with("mine\n"), "{before}");
    until(|| lines() != before);
    // Who deletes it wants nothing of it.
    site.call("sandbox.v1.extend", json!({ "id": id, "ttl_ms": 1 })).unwrap();
    until(|| !snapshots(site).is_empty());
    site.delete(&id);
    assert_eq!((snapshots(site), backend.living()), (vec![], vec![]));
    // One that says so ends.
    let id = site.create_with(json!({ "template": "shell", "ttl_ms": 1, "on_expiry": "delete" }));
    until(|| state(site, &id).is_none());
    let templates = site.call("sandbox.v1.templates", json!({})).unwrap();
    let first = &templates["templates"][0];
    assert_eq!(
        (&first["on_expiry"], &first["backend"], &first["network"]),
        (&json!("pause"), &json!("folders"), &json!("denied"))
    );
    assert!(own.stop());
}

#[test]
fn idle_sandboxes_are_paused_too() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = start(data.path(), &backend, |_| {});
    let id = own.site.create_with(json!({ "template": "shell", "idle_ms": 100 }));
    until(|| state(&own.site, &id) == Some(json!("paused")));
    own.site.call("sandbox.v1.resume", json!({ "id": id })).unwrap();
    until(|| state(&own.site, &id) == Some(json!("paused")));
    assert!(own.stop());
}

#[test]
fn a_killed_server_loses_none_whose_time_is_over() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = start(data.path(), &backend, |_| {});
    let paused = short(&own.site);
    until(|| snapshots(&own.site) == kept(&paused));
    // The time of another one is over while there is no server.
    let alone = own.site.create();
    own.site.shell(&alone, "echo mine >file");
    own.site.call("sandbox.v1.extend", json!({ "id": alone, "ttl_ms": 500 })).unwrap();
    own.kill();
    std::thread::sleep(Duration::from_millis(600));

    let own = start(data.path(), &backend, |_| {});
    for id in [&paused, &alone] {
        until(|| state(&own.site, id) == Some(json!("paused")));
    }
    until(|| snapshots(&own.site).len() == 2);
    for id in [&paused, &alone] {
        own.site.call("sandbox.v1.extend", json!({ "id": id, "ttl_ms": 60_000 })).unwrap();
        own.site.call("sandbox.v1.resume", json!({ "id": id })).unwrap();
        assert_eq!(own.site.shell(id, "cat file"), "mine\n");
    }
    // One that is lost while it is paused, with its host or for want of a server, leaves
    // its files.
    own.site.call("sandbox.v1.extend", json!({ "id": alone, "ttl_ms": 1 })).unwrap();
    until(|| snapshots(&own.site).iter().any(|(id, _)| *id == alone));
    own.kill();
    backend.lose(&alone);
    let own = start(data.path(), &backend, |_| {});
    assert_eq!(state(&own.site, &alone), None);
    let again = own.site.create_with(json!({ "template": "shell", "snapshot": alone }));
    assert_eq!(own.site.shell(&again, "cat file"), "mine\n");
    assert!(own.stop());
}

#[test]
fn none_is_kept_for_ever_and_its_files_are_left() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = start(data.path(), &backend, |settings| {
        settings.keep_paused = Duration::from_millis(300);
    });
    let id = short(&own.site);
    until(|| state(&own.site, &id).is_none());
    assert_eq!((snapshots(&own.site), backend.living()), (kept(&id), vec![]));
    let again = own.site.create_with(json!({
        "template": "shell", "snapshot": id, "on_expiry": "delete",
    }));
    assert_eq!(own.site.shell(&again, "cat file"), "mine\n");
    assert!(own.stop());
}

/// Without room for its files a sandbox is not ended, and counts as one.
#[test]
fn one_whose_files_have_no_room_stays() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = start(data.path(), &backend, |settings| {
        settings.keep_paused = Duration::from_millis(50);
        settings.snapshot_bytes = 1;
        settings.sandboxes_each = 1;
    });
    let id = short(&own.site);
    until(|| state(&own.site, &id) == Some(json!("paused")));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(state(&own.site, &id), Some(json!("paused")));
    let refused = own.site.call("sandbox.v1.create", json!({ "template": "shell" })).unwrap_err();
    assert_eq!(refused.error_code, "E4007", "what is kept is counted");
    own.site.call("sandbox.v1.extend", json!({ "id": id, "ttl_ms": 60_000 })).unwrap();
    own.site.call("sandbox.v1.resume", json!({ "id": id })).unwrap();
    assert_eq!(own.site.shell(&id, "cat file"), "mine\n");
    assert!(own.stop());
}
