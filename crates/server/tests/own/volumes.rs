//! Volumes: whose they are, what they outlive, how many there can be.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use capsule_server::create_key;
use serde_json::{Value, json};

use super::Own;
use crate::suite::client::{Refused, Site};
use crate::suite::exec::until;
use crate::support::Folders;

const SIZE: u64 = 16 << 20;

fn make(site: &Site, name: &str, size: u64) -> Result<Value, Refused> {
    site.call("volume.v1.create", json!({ "name": name, "size_bytes": size }))
}

fn names(site: &Site) -> Vec<String> {
    let all = site.call("volume.v1.list", json!({})).unwrap();
    let all = all["volumes"].as_array().unwrap().iter();
    all.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

fn delete(site: &Site, name: &str) -> Result<Value, Refused> {
    site.call("volume.v1.delete", json!({ "name": name }))
}

fn mounts(volume: &str) -> Value {
    json!([{ "volume": volume, "path": "/data" }])
}

#[track_caller]
fn refused(answer: Result<Value, Refused>, code: i64, error_code: &str) {
    let refused = answer.unwrap_err();
    assert_eq!((refused.code, &*refused.error_code), (code, error_code), "{}", refused.message);
}

#[test]
fn a_volume_outlives_sandboxes_and_servers() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = Own::start(data.path(), &backend, |_| {});
    let site = &own.site;
    let made = make(site, "v", SIZE).unwrap();
    assert_eq!(
        (&made["volume"]["name"], &made["volume"]["size_bytes"]),
        (&json!("v"), &json!(SIZE))
    );
    refused(make(site, "v", SIZE), -32001, "E1006");
    let id = site.create_with(json!({ "template": "shell", "volumes": mounts("v") }));
    let found = site.call("sandbox.v1.get", json!({ "id": id })).unwrap();
    let told = json!([{ "volume": "v", "path": "/data", "mode": "rw" }]);
    assert_eq!(found["volumes"], told);
    site.shell(&id, "echo kept >../data/file");
    let all = site.call("volume.v1.list", json!({})).unwrap();
    assert_eq!(all["volumes"][0]["used_bytes"], json!(5));
    refused(delete(site, "v"), -32012, "E3017");
    // A clone has volumes of its own.
    let copy = site.call("sandbox.v1.clone", json!({ "id": id })).unwrap()["id"].clone();
    let found = site.call("sandbox.v1.get", json!({ "id": copy })).unwrap();
    assert!(found.get("volumes").is_none(), "{found}");
    let params = json!({ "id": id, "volumes": mounts("v") });
    let copy = site.call("sandbox.v1.clone", params).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(site.shell(&copy, "cat ../data/file"), "kept\n");
    site.delete(&copy);
    own.kill();
    backend.stray_volume("half-made");

    let own = Own::start(data.path(), &backend, |_| {});
    let site = &own.site;
    assert_eq!((names(site), backend.volume_count()), (vec!["v".to_owned()], 1));
    let found = site.call("sandbox.v1.get", json!({ "id": id })).unwrap();
    assert_eq!(found["volumes"], told, "the next server knows who has it");
    refused(delete(site, "v"), -32012, "E3017");
    site.delete(&id);
    let again = site.create_with(json!({ "template": "shell", "volumes": mounts("v") }));
    assert_eq!(site.shell(&again, "cat ../data/file"), "kept\n");
    // What ends by itself lets go of it.
    backend.lose(&again);
    until(|| delete(site, "v").is_ok());
    assert_eq!((names(site), backend.volume_count()), (vec![], 0));
    assert!(own.stop());
}

#[test]
fn a_volume_is_its_owners() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let (one, two) = (create_key(&folder, "one").unwrap(), create_key(&folder, "two").unwrap());
    let backend = Arc::new(Folders::default());
    let own = Own::start(data.path(), &backend, |settings| {
        settings.require_key = true;
        settings.volume_bytes = 2 * SIZE;
    });
    let (mine, other) = (own.site.with_key(&one.key), own.site.with_key(&two.key));
    make(&mine, "v", SIZE).unwrap();
    mine.shell(
        &mine.create_with(json!({ "template": "shell", "volumes": mounts("v") })),
        "echo secret >../data/file",
    );
    // Another key's question is answered like one for what never was.
    let ask = |name: &str| {
        let params = json!({ "template": "shell", "volumes": mounts(name) });
        let refused = other.call("sandbox.v1.create", params).unwrap_err();
        let gone = delete(&other, name).unwrap_err();
        assert_eq!((refused.code, gone.code), (-32002, -32002));
        [refused, gone]
            .map(|one| (one.error_code, one.message.replace(&format!("{name:?}"), "NAME")))
    };
    assert_eq!(ask("v"), ask("w"));
    assert_eq!(ask("v")[0].0, "E1018");
    assert_eq!(names(&other), Vec::<String>::new());
    // The same name is another volume.
    make(&other, "v", SIZE).unwrap();
    let id = other.create_with(json!({ "template": "shell", "volumes": mounts("v") }));
    assert_eq!(other.shell(&id, "ls -A ../data"), "");
    // Each has so much, and no more.
    make(&mine, "w", SIZE).unwrap();
    refused(make(&mine, "x", SIZE), -32013, "E4007");
    delete(&mine, "w").unwrap();
    make(&mine, "x", SIZE).unwrap();
    assert!(own.stop());
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = Own::start(data.path(), &backend, |_| {});
    let site = &own.site;
    for (name, size) in [("", SIZE), ("../a", SIZE), ("a/b", SIZE), ("v", 1), ("v", 1 << 60)] {
        refused(make(site, name, size), -32001, "E1003");
    }
    make(site, "v", SIZE).unwrap();
    make(site, "w", SIZE).unwrap();
    let create = |volumes: Value| {
        site.call("sandbox.v1.create", json!({ "template": "shell", "volumes": volumes }))
    };
    for path in ["/", "data", "/etc", "/workspace/v", "/a/../etc", "/proc/1"] {
        refused(create(json!([{ "volume": "v", "path": path }])), -32001, "E1005");
    }
    let both = json!([{ "volume": "v", "path": "/a" }, { "volume": "w", "path": "/a/b" }]);
    refused(create(both), -32001, "E1006");
    refused(create(json!([{ "volume": "v", "path": "/a", "mode": "rwx" }])), -32001, "E1003");
    refused(create(json!([{ "volume": "../v", "path": "/a" }])), -32002, "E1018");
    assert_eq!(backend.living(), Vec::<String>::new());
    // The same request with the same key is the same sandbox; with another volume it is not.
    let keyed = |volume: &str| {
        let params = json!({ "template": "shell", "key": "k", "volumes": mounts(volume) });
        site.call("sandbox.v1.create", params)
    };
    assert_eq!(keyed("v").unwrap()["id"], keyed("v").unwrap()["id"]);
    refused(keyed("w"), -32001, "E1006");
    backend.is_broken.store(true, Ordering::SeqCst);
    refused(make(site, "x", SIZE), -32003, "E2012");
    assert_eq!(names(site), ["v", "w"]);
    backend.is_broken.store(false, Ordering::SeqCst);
    assert!(own.stop());
}
