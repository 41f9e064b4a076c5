//! Servers that stop, or are killed, and those that come after them.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use capsule_server::ServeError;
use serde_json::json;

use super::Own;
use crate::suite::exec::until;
use crate::support::Folders;

#[test]
fn a_killed_server_loses_nothing_and_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = Own::start(data.path(), &backend, |_| {});
    let kept = own.site.create_with(json!({
        "template": "shell", "env": { "X": "kept" }, "labels": { "a": "1" }, "key": "once",
    }));
    own.site.call("sandbox.v1.setEnv", json!({ "id": kept, "env": { "Y": "too" } })).unwrap();
    let script = "echo before; read line; echo $line; exit 6";
    let params = json!({ "id": kept, "cmd": ["/bin/sh", "-c", script] });
    let process = own.site.call("sandbox.v1.start", params).unwrap()["process"].clone();
    let short = own.site.create_with(json!({ "template": "shell", "ttl_ms": 1_500 }));
    let lost = own.site.create();
    // Somebody waits for a command when it happens.
    let site = own.site.clone();
    let id = kept.clone();
    let waiting = std::thread::spawn(move || {
        let params = json!({ "id": id, "cmd": ["sleep", "1000"], "timeout_ms": 100_000 });
        let _ = std::panic::catch_unwind(|| site.call("sandbox.v1.exec", params));
    });
    until(|| {
        own.site.call("sandbox.v1.get", json!({ "id": kept })).unwrap()["processes"] == json!(2)
    });
    own.kill();
    waiting.join().unwrap();
    backend.lose(&lost);
    backend.stray("stray");

    let own = Own::start(data.path(), &backend, |_| {});
    let site = &own.site;
    let mut names = backend.names();
    names.sort();
    let mut expected = [kept.clone(), short.clone()];
    expected.sort();
    assert_eq!(names, expected, "what nobody remembers is gone");
    let refused = site.call("sandbox.v1.get", json!({ "id": lost })).unwrap_err();
    assert_eq!(refused.error_code, "E1015");
    let found = site.call("sandbox.v1.get", json!({ "id": kept })).unwrap();
    assert_eq!(found["labels"], json!({ "a": "1" }));
    assert_eq!(site.shell(&kept, "echo $X $Y"), "kept too\n");
    // The command whose caller is gone was ended; the one that was to stay goes on.
    until(|| site.call("sandbox.v1.get", json!({ "id": kept })).unwrap()["processes"] == json!(1));
    let input = json!({ "id": kept, "process": process, "data": STANDARD.encode("after\n") });
    site.call("sandbox.v1.input", input).unwrap();
    let params = json!({ "id": kept, "process": process });
    let exit = site.call("sandbox.v1.wait", params.clone()).unwrap();
    assert_eq!(exit["exit"]["exit_code"], json!(6));
    let events = site.events("sandbox.v1.attach", params).all();
    assert!(events.iter().any(|(name, _)| name == "stdout"), "{events:?}");
    // The log has both: the one that was lost, and how the other one ended.
    let logged = |kind: &str| {
        let params = json!({ "id": kept, "kind": kind, "failed": true });
        site.call("sandbox.v1.logs", params).unwrap()["executions"].clone()
    };
    let one = &logged("exec")[0];
    assert_eq!((&one["cmd"][0], &one["lost"]), (&json!("sleep"), &json!(true)), "{one}");
    assert_eq!((&one["exit_code"], &one["timed_out"]), (&json!(null), &json!(false)), "{one}");
    let one = &logged("start")[0];
    assert_eq!((&one["exit_code"], &one["lost"]), (&json!(6), &json!(false)), "{one}");
    let told = (&one["stdout"], &one["stdout_truncated"]);
    assert_eq!(told, (&json!("after\n"), &json!(true)), "what the first server heard is gone");
    // Keys and times hold over the restart.
    let again = json!({
        "template": "shell", "env": { "X": "kept" }, "labels": { "a": "1" }, "key": "once",
    });
    assert_eq!(site.create_with(again), kept);
    until(|| site.call("sandbox.v1.get", json!({ "id": short })).is_err());
    assert!(own.stop());
}

#[test]
fn a_stopped_server_ends_its_sandboxes_or_keeps_them() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = Own::start(data.path(), &backend, |settings| settings.keep_sandboxes = true);
    let id = own.site.create();
    let events = own.site.events("sandbox.v1.watch", json!({ "id": id }));
    assert!(own.stop(), "a stream that is open does not hold it up");
    drop(events);
    let own = Own::start(data.path(), &backend, |_| {});
    assert_eq!(own.site.shell(&id, "echo here"), "here\n");
    // A request that is under way is answered before the end.
    let site = own.site.clone();
    let sandbox = id.clone();
    let slow = std::thread::spawn(move || site.shell(&sandbox, "sleep 1; echo done"));
    until(|| {
        own.site.call("sandbox.v1.get", json!({ "id": id })).unwrap()["processes"] == json!(1)
    });
    assert!(own.stop());
    assert_eq!(slow.join().unwrap(), "done\n");
    let own = Own::start(data.path(), &backend, |_| {});
    assert_eq!(own.site.call("sandbox.v1.list", json!({})).unwrap()["sandboxes"], json!([]));
    own.stop();
}

#[test]
fn a_data_folder_has_one_server() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = Own::start(data.path(), &backend, |_| {});
    let id = own.site.create();
    let second = Own::try_start(data.path(), &backend, |_| {}).err().unwrap();
    assert!(matches!(second, ServeError::Store(_)), "{second}");
    assert_eq!(own.site.shell(&id, "echo here"), "here\n", "and the first one's are untouched");
    own.stop();
    std::thread::sleep(Duration::from_millis(10));
    Own::start(data.path(), &backend, |_| {}).stop();
}
