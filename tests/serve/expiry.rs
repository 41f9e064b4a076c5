//! `on_expiry = "pause"` in jails: nothing is lost by expiry, whoever is killed.

use std::path::Path;

use capsule_tests::{Signal, send_signal};
use serde_json::{Value, json};

use crate::server::Serve;
use crate::suite::client::Site;
use crate::suite::exec::until;

fn state(site: &Site, id: &str) -> Option<Value> {
    site.call("sandbox.v1.get", json!({ "id": id })).ok().map(|found| found["state"].clone())
}

fn is_kept(site: &Site, id: &str) -> bool {
    let all = site.call("sandbox.v1.snapshots", json!({})).unwrap();
    all["snapshots"].as_array().unwrap().iter().any(|one| one["id"] == id)
}

fn init_of(data: &Path, id: &str) -> u32 {
    let record = std::fs::read(data.join(format!("jails/{id}.json"))).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    u32::try_from(record["pid"].as_u64().unwrap()).unwrap()
}

#[test]
fn a_paused_sandbox_goes_on_after_its_server_was_killed() {
    let serve = Serve::start(&[]);
    let id = serve.create_with(json!({ "template": "shell", "on_expiry": "pause" }));
    let script = "echo mine >file; while :; do echo x >>count; sleep 0.01; done";
    let params = json!({ "id": id, "cmd": ["/bin/sh", "-c", script] });
    serve.call("sandbox.v1.start", params).unwrap();
    serve.call("sandbox.v1.extend", json!({ "id": id, "ttl_ms": 300 })).unwrap();
    until(|| state(&serve, &id) == Some(json!("paused")));
    until(|| is_kept(&serve, &id));
    let (data, _folder) = serve.kill();

    let serve = Serve::again(&data, &[]);
    assert_eq!(state(&serve, &id), Some(json!("paused")));
    serve.call("sandbox.v1.extend", json!({ "id": id, "ttl_ms": 60_000 })).unwrap();
    serve.call("sandbox.v1.resume", json!({ "id": id })).unwrap();
    assert!(!is_kept(&serve, &id));
    let look = || serve.shell(&id, "cat file; wc -l <count");
    let before = look();
    assert!(before.starts_with("mine\n"), "{before}");
    until(|| look() != before);
}

/// The end of a lease without a server is the end of PID 1; so is that of the host.
#[test]
fn the_files_of_a_paused_sandbox_outlive_it() {
    let serve = Serve::start(&[]);
    let id = serve.create_with(json!({ "template": "shell", "on_expiry": "pause" }));
    serve.shell(&id, "mkdir -p a/b; echo mine >a/b/file; ln -s b a/link");
    serve.call("sandbox.v1.extend", json!({ "id": id, "ttl_ms": 1 })).unwrap();
    until(|| is_kept(&serve, &id));
    let (data, _folder) = serve.kill();
    send_signal(init_of(&data, &id), Signal::Kill);

    let serve = Serve::again(&data, &[]);
    assert_eq!(state(&serve, &id), None);
    let again = serve.create_with(json!({ "template": "shell", "snapshot": id }));
    assert_eq!(serve.shell(&again, "cat a/link/file"), "mine\n");
}

#[test]
fn what_is_kept_ends_in_time() {
    let serve = Serve::start(&["--keep-paused", "500ms"]);
    let id = serve.create_with(json!({ "template": "shell", "on_expiry": "pause", "ttl_ms": 1 }));
    until(|| state(&serve, &id).is_none());
    assert!(is_kept(&serve, &id));
}
