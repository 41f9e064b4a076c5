//! Sandboxes from their making to their end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Site;
use super::exec::until;
use super::pace;

fn state(site: &Site, id: &str) -> Option<String> {
    match site.call("sandbox.v1.get", json!({ "id": id })) {
        Ok(found) => Some(found["state"].as_str().unwrap().to_owned()),
        Err(refused) => {
            assert_eq!((refused.code, &*refused.error_code), (-32002, "E1015"));
            None
        }
    }
}

/// A TTL of a second is a second, whoever watches is told before the end, and what runs
/// then is ended.
pub fn time_is_kept(site: &Site) {
    let began = Instant::now();
    let id = site.create_with(json!({ "template": "shell", "ttl_ms": 1_000 * pace() }));
    let watched = site.events("sandbox.v1.watch", json!({ "id": id }));
    let cmd = ["sleep", "100"];
    let params = json!({ "id": id, "cmd": cmd, "timeout_ms": 100_000 });
    let ended = site.call("sandbox.v1.exec", params);
    let took = began.elapsed();
    let (least, most) = (Duration::from_millis(990 * pace()), Duration::from_secs(2 * pace()));
    assert!((least..most).contains(&took), "{took:?}");
    let ended = ended.unwrap_err();
    assert_eq!((ended.code, &*ended.error_code), (-32005, "E3014"));
    until(|| state(site, &id).is_none());
    let states: Vec<Value> =
        watched.all().into_iter().map(|(_, data)| data["state"].clone()).collect();
    let told: Vec<&str> = states.iter().map(|state| state.as_str().unwrap()).collect();
    assert_eq!(told.first(), Some(&"ready"));
    assert!(told.contains(&"expiring") && told.last() == Some(&"gone"), "{told:?}");
    // More time in time.
    let id = site.create_with(json!({ "template": "shell", "ttl_ms": 1_000 * pace() }));
    site.call("sandbox.v1.extend", json!({ "id": id, "ttl_ms": 60_000 })).unwrap();
    std::thread::sleep(Duration::from_millis(1_500 * pace()));
    assert_eq!(state(site, &id).as_deref(), Some("ready"));
    // And less.
    site.call("sandbox.v1.extend", json!({ "id": id, "ttl_ms": 1 })).unwrap();
    until(|| state(site, &id).is_none());
}

pub fn idle_time_is_kept(site: &Site) {
    let id = site.create_with(json!({ "template": "shell", "idle_ms": 700 * pace() }));
    // Use keeps it, also one long one.
    for _ in 0..2 {
        site.exec(&id, &["sleep", "1"]);
    }
    let began = Instant::now();
    // `get` is no use of it.
    until(|| state(site, &id).is_none());
    let took = began.elapsed();
    let (least, most) = (Duration::from_millis(500), Duration::from_millis(1_800 * pace()));
    assert!((least..most).contains(&took), "{took:?}");
}

pub fn keys_make_one(site: &Site) {
    let key = format!("key-{:?}", Instant::now());
    let params = json!({ "template": "shell", "key": key, "labels": { "a": "1" } });
    let ids: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| site.create_with(params.clone()))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let other = json!({ "template": "shell", "key": key, "labels": { "a": "2" } });
    let refused = site.call("sandbox.v1.create", other).unwrap_err();
    assert_eq!((refused.code, &*refused.error_code), (-32001, "E1006"));
    site.delete(&ids[0]);
    let again = site.create_with(params);
    assert_ne!(again, ids[0]);
    site.delete(&again);
}

pub fn labels_and_pages(site: &Site) {
    let label = format!("{:?}", Instant::now());
    let make = |number: &str| {
        let labels = json!({ "run": label, "number": number });
        let metadata = json!({ "note": "x" });
        site.create_with(json!({ "template": "shell", "labels": labels, "metadata": metadata }))
    };
    let mut ids = [make("1"), make("2"), make("3")];
    ids.sort();
    let list = |params: Value| site.call("sandbox.v1.list", params).unwrap();
    let found = list(json!({ "labels": { "run": label } }));
    let found_ids: Vec<_> =
        found["sandboxes"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(
        found_ids,
        ids.iter().map(|id| json!(id)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    assert_eq!(found["sandboxes"][0]["metadata"], json!({ "note": "x" }));
    let page = list(json!({ "labels": { "run": label }, "limit": 2 }));
    assert_eq!((page["sandboxes"].as_array().unwrap().len(), &page["more"]), (2, &json!(true)));
    let page = list(json!({ "labels": { "run": label }, "after": ids[1] }));
    assert_eq!((&page["sandboxes"][0]["id"], &page["more"]), (&json!(ids[2]), &json!(false)));
    let none = list(json!({ "labels": { "run": label, "number": "4" } }));
    assert_eq!(none["sandboxes"], json!([]));
    ids.iter().for_each(|id| site.delete(id));
}

pub fn pauses(site: &Site) {
    let id = site.create();
    let script = "i=0; while :; do i=$((i+1)); echo $i >count; sleep 0.02; done";
    let started = json!({ "id": id, "cmd": ["/bin/sh", "-c", script] });
    let process = site.call("sandbox.v1.start", started).unwrap()["process"].clone();
    until(|| site.call("sandbox.v1.stat", json!({ "id": id, "path": "count" })).is_ok());
    let paused = site.call("sandbox.v1.pause", json!({ "id": id })).unwrap();
    assert_eq!(paused["state"], json!("paused"));
    let refused = site.call("sandbox.v1.exec", json!({ "id": id, "cmd": ["true"] })).unwrap_err();
    assert_eq!((refused.code, &*refused.error_code), (-32012, "E3016"));
    let twice = site.call("sandbox.v1.pause", json!({ "id": id })).unwrap_err();
    assert_eq!(twice.error_code, "E3016");
    site.call("sandbox.v1.resume", json!({ "id": id })).unwrap();
    let count = || site.shell(&id, "cat count").trim().parse::<u64>().unwrap_or_default();
    let before = count();
    until(|| count() > before);
    site.call("sandbox.v1.kill", json!({ "id": id, "process": process })).unwrap();
    // A paused one ends like any other.
    site.call("sandbox.v1.pause", json!({ "id": id })).unwrap();
    site.delete(&id);
}

pub fn deletion_is_final(site: &Site) {
    let id = site.create();
    site.call("sandbox.v1.start", json!({ "id": id, "cmd": ["sleep", "1000"] })).unwrap();
    site.delete(&id);
    assert_eq!(state(site, &id), None);
    let twice = site.call("sandbox.v1.delete", json!({ "id": id })).unwrap_err();
    assert_eq!((twice.code, &*twice.error_code), (-32002, "E1015"));
}

pub fn unknown_is_unknown(site: &Site) {
    let create = |params: Value| site.call("sandbox.v1.create", params).unwrap_err();
    let refused = create(json!({ "template": "shel" }));
    assert_eq!((refused.code, &*refused.error_code), (-32001, "E1014"));
    assert_eq!(refused.hint.as_deref(), Some("did you mean \"shell\"?"));
    let refused = create(json!({ "template": "shell", "ttl": 1 }));
    assert_eq!((refused.code, &*refused.error_code), (-32001, "E1002"));
    assert_eq!(refused.hint.as_deref(), Some("did you mean \"ttl_ms\"?"));
    assert_eq!(create(json!({ "template": "shell", "ttl_ms": 0 })).error_code, "E1003");
    assert_eq!(create(json!({ "template": "shell", "ttl_ms": -1 })).error_code, "E1003");
    assert_eq!(create(json!({ "template": "shell", "ttl_ms": 1e300 })).error_code, "E1003");
    for id in ["nothing", "../../x", "", "a b", "💥"] {
        for method in ["get", "delete", "stats", "processes"] {
            let refused = site.call(&format!("sandbox.v1.{method}"), json!({ "id": id }));
            assert_eq!(refused.unwrap_err().code, -32002, "{method} {id:?}");
        }
    }
}
