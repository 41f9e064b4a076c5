//! Snapshots over restarts, between keys, and up to their limits.

use std::path::Path;
use std::sync::Arc;

use capsule_server::create_key;
use serde_json::{Value, json};

use super::Own;
use crate::suite::client::Site;
use crate::suite::exec::until;
use crate::support::Folders;

fn take(site: &Site, id: &str) -> String {
    let made = site.call("sandbox.v1.snapshot", json!({ "id": id })).unwrap();
    made["snapshot"]["id"].as_str().unwrap().to_owned()
}

fn contents(data: &Path) -> usize {
    std::fs::read_dir(data.join("data/snapshots")).unwrap().count()
}

#[test]
fn a_snapshot_outlives_its_server_and_half_of_one_does_not() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = Own::start(data.path(), &backend, |_| {});
    let id = own.site.create();
    own.site.shell(&id, "echo kept >file");
    let snapshot = take(&own.site, &id);
    assert_eq!(take(&own.site, &id).len(), snapshot.len());
    assert_eq!(contents(data.path()), 1, "equal contents are one");
    own.kill();
    // What a server that was killed leaves: a part, and a whole one that nobody remembers.
    for name in ["new-part", &"0".repeat(64)] {
        std::fs::write(data.path().join("data/snapshots").join(name), "part").unwrap();
    }
    let own = Own::start(data.path(), &backend, |_| {});
    assert_eq!(contents(data.path()), 1);
    let all = own.site.call("sandbox.v1.snapshots", json!({ "limit": 1 })).unwrap();
    assert_eq!((all["snapshots"].as_array().unwrap().len(), &all["more"]), (1, &json!(true)));
    let copy = own.site.create_with(json!({ "template": "shell", "snapshot": snapshot }));
    assert_eq!(own.site.shell(&copy, "cat file"), "kept\n");
    let all = own.site.call("sandbox.v1.snapshots", json!({})).unwrap();
    for one in all["snapshots"].as_array().unwrap() {
        assert_eq!(contents(data.path()), 1);
        own.site.call("sandbox.v1.deleteSnapshot", json!({ "snapshot": one["id"] })).unwrap();
    }
    assert_eq!(contents(data.path()), 0, "the last one takes the content along");
    assert!(own.stop());
}

/// A content that was damaged, by whomever, makes no sandbox.
#[test]
fn a_sandbox_is_filled_wholly_or_not_made() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = Own::start(data.path(), &backend, |_| {});
    let id = own.site.create();
    own.site.shell(&id, "head -c 100000 /dev/urandom >a; cp a b");
    let snapshot = take(&own.site, &id);
    let folder = data.path().join("data/snapshots");
    let content = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let file = std::fs::File::options().write(true).open(content).unwrap();
    file.set_len(120_000).unwrap();
    let params = json!({ "template": "shell", "snapshot": snapshot });
    let refused = own.site.call("sandbox.v1.create", params).unwrap_err();
    assert_eq!(refused.error_code, "E1003", "{refused:?}");
    // And nothing of it is left.
    until(|| {
        let listed = own.site.call("sandbox.v1.list", json!({})).unwrap();
        backend.living() == [id.clone()] && listed["sandboxes"].as_array().unwrap().len() == 1
    });
    assert!(own.stop());
}

#[test]
fn a_key_has_its_own_snapshots_and_no_more_than_it_may() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let (one, two) = (create_key(&folder, "one").unwrap(), create_key(&folder, "two").unwrap());
    let own = Own::start(data.path(), &Arc::default(), |settings| {
        settings.require_key = true;
        settings.snapshot_bytes = 150_000;
    });
    let (mine, other) = (own.site.with_key(&one.key), own.site.with_key(&two.key));
    let id = mine.create();
    mine.shell(&id, "head -c 100000 /dev/urandom >file");
    let snapshot = take(&mine, &id);
    // Somebody else's is answered like one that never was.
    let ask = |method: &str, params: Value| {
        let refused = other.call(method, params).unwrap_err();
        (refused.code, refused.error_code)
    };
    let theirs = other.create();
    for (method, params) in [
        ("sandbox.v1.create", json!({ "template": "shell", "snapshot": snapshot })),
        ("sandbox.v1.deleteSnapshot", json!({ "snapshot": snapshot })),
        ("sandbox.v1.restore", json!({ "id": theirs, "snapshot": snapshot })),
    ] {
        assert_eq!(ask(method, params), (-32002, "E1017".to_owned()), "{method}");
    }
    let all = other.call("sandbox.v1.snapshots", json!({})).unwrap();
    assert_eq!(all["snapshots"], json!([]));
    // The second one is too large; the sandbox goes on, and nothing of it is left.
    let refused = mine.call("sandbox.v1.snapshot", json!({ "id": id })).unwrap_err();
    assert_eq!((refused.code, &*refused.error_code), (-32013, "E4007"));
    assert_eq!(contents(data.path()), 1);
    assert_eq!(mine.shell(&id, "wc -c <file").trim(), "100000");
    mine.call("sandbox.v1.deleteSnapshot", json!({ "snapshot": snapshot })).unwrap();
    take(&mine, &id);
    assert!(own.stop());
}
