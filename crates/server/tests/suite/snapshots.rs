//! File states that are kept, and sandboxes that begin with one.

use serde_json::{Value, json};

use super::client::Site;
use super::exec::until;

fn snapshot(site: &Site, id: &str, name: &str) -> Value {
    let params = json!({ "id": id, "name": name, "labels": { "of": id } });
    site.call("sandbox.v1.snapshot", params).unwrap()["snapshot"].clone()
}

const FILL: &str = "mkdir -p deep/empty deep/er; echo one >deep/file; echo run >deep/er/run; \
                    chmod 755 deep/er/run; ln -s ../file deep/er/link; ln -s /etc/hostname out; \
                    head -c 300000 /dev/zero >zeros; printf '' >nothing; mkfifo pipe";
const LOOK: &str = "find . | sort; cat deep/file deep/er/link; find deep/er/run -printf '%m\\n'; \
                    readlink out; wc -c <zeros; wc -c <nothing";

pub fn a_snapshot_is_what_was_there(site: &Site) {
    let id = site.create();
    site.shell(&id, FILL);
    let expected = site.shell(&id, LOOK).replace("./pipe\n", "");
    let kept = snapshot(site, &id, "first");
    assert_eq!((&kept["sandbox"], &kept["name"]), (&json!(id), &json!("first")));
    assert!(kept["bytes"].as_u64().unwrap() > 300_000, "{kept}");
    // What changes later is no part of it, nor is the end of its sandbox an end of it.
    site.shell(&id, "rm -r deep; echo new >new");
    let later = snapshot(site, &id, "second");
    site.delete(&id);
    let snapshot = &kept["id"];
    for _ in 0..2 {
        let params = json!({ "template": "shell", "snapshot": snapshot });
        let copy = site.create_with(params);
        assert_eq!(site.shell(&copy, LOOK), expected);
        site.shell(&copy, "rm -r deep zeros");
        // And back to what it was, without what runs.
        let start = json!({ "id": copy, "cmd": ["sleep", "1000"] });
        site.call("sandbox.v1.start", start).unwrap();
        site.shell(&copy, "echo more >more");
        let params = json!({ "id": copy, "snapshot": snapshot });
        let found = site.call("sandbox.v1.restore", params).unwrap();
        assert_eq!(found["id"], json!(copy));
        assert_eq!(site.shell(&copy, LOOK), expected);
        until(|| {
            let found = site.call("sandbox.v1.get", json!({ "id": copy })).unwrap();
            found["processes"] == json!(0)
        });
        site.delete(&copy);
    }
    let list = |labels: Value| {
        let found = site.call("sandbox.v1.snapshots", json!({ "labels": labels })).unwrap();
        found["snapshots"].as_array().unwrap().clone()
    };
    assert_eq!(list(json!({ "of": id })).len(), 2);
    assert_eq!(list(json!({ "of": "nobody" })).len(), 0);
    for one in [&kept, &later] {
        let params = json!({ "snapshot": one["id"] });
        site.call("sandbox.v1.deleteSnapshot", params.clone()).unwrap();
        let refused = site.call("sandbox.v1.deleteSnapshot", params).unwrap_err();
        assert_eq!((refused.code, &*refused.error_code), (-32002, "E1017"));
    }
    let params = json!({ "template": "shell", "snapshot": snapshot });
    let refused = site.call("sandbox.v1.create", params).unwrap_err();
    assert_eq!((refused.code, &*refused.error_code), (-32002, "E1017"));
}

/// Somebody writes without end; what is kept is of one moment, and the writer goes on.
pub fn processes_stand_still_while_they_are_read(site: &Site) {
    let id = site.create();
    let count = "i=0; while :; do i=$((i+1)); echo $i >a; echo $i >b; done";
    let start = json!({ "id": id, "cmd": ["/bin/sh", "-c", count] });
    site.call("sandbox.v1.start", start).unwrap();
    until(|| site.shell(&id, "cat b 2>/dev/null; :").trim().parse::<u64>().is_ok());
    for _ in 0..5 {
        let copy = site.call("sandbox.v1.clone", json!({ "id": id })).unwrap()["id"].clone();
        let copy = copy.as_str().unwrap().to_owned();
        let read = |name| site.shell(&copy, &format!("cat {name}")).trim().parse::<i64>().ok();
        // A shell empties a file before it writes: then it was caught between the two.
        if let (Some(a), Some(b)) = (read("a"), read("b")) {
            assert!(a == b || a == b + 1, "{a} {b}");
        }
        site.delete(&copy);
    }
    let before = site.shell(&id, "cat b");
    until(|| site.shell(&id, "cat b") != before);
    assert_eq!(site.call("sandbox.v1.get", json!({ "id": id })).unwrap()["state"], json!("ready"));
    site.delete(&id);
}

pub fn a_clone_has_files_and_variables(site: &Site) {
    let id = site.create_with(json!({ "template": "shell", "env": { "X": "1", "Y": "1" } }));
    site.shell(&id, "echo mine >file");
    // Also while it is paused, which it stays.
    site.call("sandbox.v1.pause", json!({ "id": id })).unwrap();
    let params = json!({ "id": id, "env": { "Y": "2" }, "labels": { "copy": "yes" } });
    let copy = site.call("sandbox.v1.clone", params).unwrap();
    assert_eq!(copy["template"], json!("shell"));
    let copy = copy["id"].as_str().unwrap().to_owned();
    assert_eq!(site.shell(&copy, "cat file; echo $X $Y"), "mine\n1 2\n");
    site.shell(&copy, "echo other >file");
    let found = site.call("sandbox.v1.get", json!({ "id": id })).unwrap();
    assert_eq!(found["state"], json!("paused"));
    site.call("sandbox.v1.resume", json!({ "id": id })).unwrap();
    assert_eq!(site.shell(&id, "cat file"), "mine\n");
    site.delete(&copy);
    site.delete(&id);
}
