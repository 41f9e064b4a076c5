//! Servers that are killed or stopped, keys, and addresses: the binary as a whole.

use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use capsule_tests::{Binary, path_of};
use serde_json::{Value, json};

use crate::server::Serve;
use crate::suite::exec::until;
use crate::suite::{is_gvisor, pace};

fn capsule(arguments: &[&str]) -> Output {
    Command::new(path_of(Binary::Capsule)).args(arguments).output().unwrap()
}

/// Whether a process of the host has this as its last argument. Those in a kernel of their own
/// are none of the host's.
fn runs(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|one| std::fs::read(one.path().join("cmdline")).ok());
    lines.any(|line| {
        let mut words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        words.next_back() == Some(argument.as_bytes())
    })
}

#[test]
fn a_killed_server_is_followed_by_one_that_knows_everything() {
    let serve = Serve::start(&[]);
    let id = serve.create_with(json!({ "template": "shell", "labels": { "a": "1" } }));
    serve.shell(&id, "echo kept >file");
    let mark = format!("3000.{}", serve.process());
    let script = format!("echo before; read line; echo got $line; sleep {mark}");
    let params = json!({ "id": id, "cmd": ["/bin/sh", "-c", script] });
    let process = serve.call("sandbox.v1.start", params).unwrap()["process"].clone();
    let (data, _folder) = serve.kill();

    let mut serve = Serve::again(&data, &[]);
    let found = serve.call("sandbox.v1.get", json!({ "id": id })).unwrap();
    assert_eq!((&found["labels"], &found["state"]), (&json!({ "a": "1" }), &json!("ready")));
    assert_eq!(serve.shell(&id, "cat file"), "kept\n");
    let data = STANDARD.encode("again\n");
    let input = json!({ "id": id, "process": process, "data": data });
    serve.call("sandbox.v1.input", input).unwrap();
    let mut events = serve.events("sandbox.v1.attach", json!({ "id": id, "process": process }));
    let mut seen = String::new();
    while !seen.contains("got again\n") {
        let (name, event) = events.next().unwrap();
        assert_eq!(name, "stdout", "{event}");
        let bytes = STANDARD.decode(event["stdout"]["data"].as_str().unwrap()).unwrap();
        seen += std::str::from_utf8(&bytes).unwrap();
    }
    until(|| is_gvisor() || runs(&mark));
    drop(events);
    assert_eq!(serve.stop(), Some(0));
    assert!(!runs(&mark), "a server that stops leaves no process");
}

#[test]
fn sandboxes_can_be_kept_over_a_restart() {
    let mut serve = Serve::start(&["--keep-sandboxes"]);
    let id = serve.create();
    serve.shell(&id, "echo kept >file");
    assert_eq!(serve.stop(), Some(0));
    let next = Serve::again(&serve.data, &[]);
    assert_eq!(next.shell(&id, "cat file"), "kept\n");
    next.delete(&id);
}

/// What expired while no server was there is ended by the next one.
#[test]
fn time_goes_on_without_a_server() {
    let serve = Serve::start(&[]);
    let id = serve.create_with(json!({ "template": "shell", "ttl_ms": 1_000 * pace() }));
    let (data, _folder) = serve.kill();
    std::thread::sleep(std::time::Duration::from_millis(1_100 * pace()));
    let next = Serve::again(&data, &[]);
    until(|| next.call("sandbox.v1.get", json!({ "id": id })).is_err());
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let refused = capsule(&["serve", "--listen", "0.0.0.0:0", "--data", data]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains("error[E5004]") && said.contains("hint: make one with"), "{said}");
    let made = capsule(&["keys", "create", "--name", "ci\u{1b}[31m", "--data", data]);
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let list = || {
        let list = capsule(&["keys", "list", "--json", "--data", data]);
        serde_json::from_slice::<Value>(&list.stdout).unwrap()
    };
    let found = list();
    let id = found[0]["id"].as_str().unwrap();
    assert!(key.starts_with(&format!("cap_{id}_")));
    let shown = capsule(&["keys", "list", "--data", data]).stdout;
    assert!(!shown.contains(&0x1b), "{}", String::from_utf8_lossy(&shown));
    let serve = Serve::again(data.as_ref(), &["--require-key"]);
    let templates = r#"{"jsonrpc":"2.0","method":"sandbox.v1.templates","id":1}"#;
    assert_eq!(serve.post(templates).status, 401);
    let caller = serve.with_key(&key);
    assert_eq!(caller.post(templates).status, 200);
    assert_eq!(capsule(&["keys", "revoke", id, "--data", data]).status.code(), Some(0));
    until(|| caller.post(templates).status == 401);
    assert_eq!(capsule(&["keys", "revoke", id, "--data", data]).status.code(), Some(1));
    assert!(list()[0]["revoked_at"].is_string());
}

#[test]
fn a_data_folder_has_one_server() {
    let serve = Serve::start(&[]);
    let data = serve.data.to_str().unwrap();
    let second = capsule(&["serve", "--listen", "127.0.0.1:0", "--data", data]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1));
    assert!(said.contains("error[E6004]: another server uses the data folder"), "{said}");
}
