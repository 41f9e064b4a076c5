//! The log: whoever asks for an execution, and however, it is there when it is over.

use std::io::Write;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::client::{Site, read_until};
use super::exec::until;
use super::pace;

fn logged(site: &Site, params: Value) -> Vec<Value> {
    let found = site.call("sandbox.v1.logs", params).unwrap();
    found["executions"].as_array().unwrap().clone()
}

/// The newest execution of a kind, once it is over.
fn newest(site: &Site, id: &str, kind: &str) -> Value {
    let params = json!({ "id": id, "kind": kind, "limit": 1 });
    until(|| !logged(site, params.clone()).is_empty());
    logged(site, params).remove(0)
}

pub fn logs_are_found(site: &Site) {
    let id = site.create();
    site.exec(&id, &["echo", "needle-in-output"]);
    site.exec(&id, &["false"]);
    let find = |rest: Value| {
        let mut params = json!({ "id": id });
        params.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        let found = logged(site, params).into_iter();
        found.map(|one| one["cmd"][0].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(find(json!({})), ["false", "echo"]);
    assert_eq!(find(json!({ "contains": "needle" })), ["echo"]);
    assert_eq!(find(json!({ "contains": "%" })), [""; 0]);
    assert_eq!(find(json!({ "failed": true })), ["false"]);
    assert_eq!(find(json!({ "kind": "exec" })), ["false", "echo"]);
    assert_eq!(find(json!({ "kind": "start" })), [""; 0]);
    let refused = site.call("sandbox.v1.logs", json!({ "kind": "anything" })).unwrap_err();
    assert_eq!(refused.code, -32001, "{refused:?}");
    site.delete(&id);
    assert_eq!(find(json!({ "limit": 1 })), ["false"], "the log outlives the sandbox");
}

/// Each way to run something leaves one line, with all that is known of it.
pub fn every_way_is_logged(site: &Site) {
    let id = site.create();
    let script = "echo out; echo err >&2; head -c 5000 /dev/zero | tr '\\0' x; exit 7";
    let cmd = json!(["/bin/sh", "-c", script]);
    let begin = |more: Value| {
        let mut params = json!({ "id": id, "cmd": cmd, "cwd": "/tmp" });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    site.call("sandbox.v1.exec", begin(json!({}))).unwrap();
    let batch = json!({ "id": id, "commands": [{ "cmd": cmd, "cwd": "/tmp" }] });
    site.call("sandbox.v1.batch", batch).unwrap();
    let code = json!({ "id": id, "code": script, "language": "shell", "cwd": "/tmp" });
    site.call("sandbox.v1.runCode", code).unwrap();
    site.events("sandbox.v1.execStream", begin(json!({}))).all();
    site.call("sandbox.v1.start", begin(json!({}))).unwrap();
    let mut numbers = Vec::new();
    for kind in ["exec", "batch", "code", "stream", "start"] {
        let one = newest(site, &id, kind);
        assert_eq!((&one["kind"], &one["id"]), (&json!(kind), &json!(id)), "{one}");
        assert_eq!((&one["cmd"][2], &one["cwd"]), (&json!(script), &json!("/tmp")), "{one}");
        assert_eq!((&one["exit_code"], &one["stderr"]), (&json!(7), &json!("err\n")), "{one}");
        let stdout = one["stdout"].as_str().unwrap();
        assert!(stdout.starts_with("out\nxx") && stdout.len() == 2_048, "{one}");
        let cut = (&one["stdout_truncated"], &one["stderr_truncated"]);
        assert_eq!(cut, (&json!(true), &json!(false)), "{one}");
        for field in ["timed_out", "out_of_memory", "lost"] {
            assert_eq!(one[field], json!(false), "{one}");
        }
        assert!(one["process"].is_u64() && one["duration_ms"].is_u64(), "{one}");
        let request = one["request"].as_str().unwrap();
        assert!(!request.is_empty() && one["started_at"].is_string(), "{one}");
        numbers.push(one["number"].as_u64().unwrap());
    }
    assert!(numbers.is_sorted(), "the order is that in which they began: {numbers:?}");
    // A socket, and a terminal.
    let mut socket = site.socket(&format!("/sandbox/{id}/exec"));
    let first = json!({ "cmd": ["/bin/sh", "-c", "read line; exit 5"] });
    socket.send(Message::text(first.to_string())).unwrap();
    socket.send(Message::binary(b"go\n".to_vec())).unwrap();
    while socket.read().is_ok_and(|message| !message.is_close()) {}
    let one = newest(site, &id, "stream");
    assert_eq!((&one["cmd"][2], &one["exit_code"]), (&first["cmd"][2], &json!(5)), "{one}");
    let mut socket = site.socket(&format!("/terminal/{id}"));
    socket.send(Message::text("echo sum-$((40+2)); exit 6\n")).unwrap();
    read_until(&mut socket, "sum-42\r\n");
    while socket.read().is_ok_and(|message| !message.is_close()) {}
    let one = newest(site, &id, "terminal");
    assert_eq!(one["exit_code"], json!(6), "{one}");
    assert!(one["stdout"].as_str().unwrap().contains("sum-42"), "{one}");
    assert_eq!(logged(site, json!({ "id": id })).len(), 7, "each is there once");
    site.delete(&id);
}

/// Clients that go, times that are over, and the end of the sandbox.
pub fn ends_of_all_kinds_are_logged(site: &Site) {
    let id = site.create();
    let slow = ["/bin/sh", "-c", "echo begun; : >begun; sleep 1000"];
    let params = json!({ "id": id, "cmd": slow, "timeout_ms": 100_000 });
    let running = || site.call("sandbox.v1.get", json!({ "id": id })).unwrap()["processes"].clone();
    // One whose caller waits for it goes in the middle of it.
    let request =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "sandbox.v1.exec", "params": params });
    let body = request.to_string();
    let length = body.len().to_string();
    let headers = [("Content-Type", "application/json"), ("Content-Length", &*length)];
    let mut stream = site.connect();
    stream.write_all((site.head("POST", "/rpc", &headers) + &body).as_bytes()).unwrap();
    until(|| running() == json!(1));
    let begun = json!({ "id": id, "path": "begun" });
    until(|| site.call("sandbox.v1.stat", begun.clone()).is_ok());
    assert!(logged(site, json!({ "id": id })).is_empty(), "it is not over");
    drop(stream);
    // One that listens goes.
    let mut events = site.events("sandbox.v1.execStream", params.clone());
    while events.next().unwrap().0 != "stdout" {}
    drop(events);
    for kind in ["exec", "stream"] {
        let one = newest(site, &id, kind);
        let how = (&one["exit_code"], &one["signal"], &one["stdout"]);
        assert_eq!(how, (&json!(137), &json!(9), &json!("begun\n")), "{one}");
        assert_eq!((&one["timed_out"], &one["lost"]), (&json!(false), &json!(false)), "{one}");
    }
    // Their time is over.
    let short = json!({ "id": id, "cmd": slow, "timeout_ms": 300 * pace() });
    site.call("sandbox.v1.exec", short.clone()).unwrap();
    site.call("sandbox.v1.start", short).unwrap();
    for kind in ["exec", "start"] {
        until(|| newest(site, &id, kind)["timed_out"] == json!(true));
        let one = newest(site, &id, kind);
        assert_eq!((&one["exit_code"], &one["stdout"]), (&json!(124), &json!("begun\n")), "{one}");
    }
    // The sandbox goes, with what runs in it.
    let mut begun = json!({ "id": id, "cmd": slow });
    let process = site.call("sandbox.v1.start", begun.clone()).unwrap()["process"].clone();
    begun["process"] = process.clone();
    site.delete(&id);
    until(|| newest(site, &id, "start")["process"] == process);
    let one = newest(site, &id, "start");
    assert_eq!((&one["exit_code"], &one["lost"]), (&json!(137), &json!(false)), "{one}");
    assert_eq!(logged(site, json!({ "id": id, "failed": true })).len(), 5);
}
