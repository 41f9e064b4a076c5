//! Each code that only a server gives has a cause here; its test is named after it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use capsule_tests::{Binary, path_of};
use serde_json::{Value, json};

use crate::server::Serve;
use crate::suite::exec::until;
use crate::suite::pace;

#[track_caller]
fn refused(serve: &Serve, method: &str, params: Value, code: &str) {
    let refused = serve.call(&format!("sandbox.v1.{method}"), params).unwrap_err();
    assert_eq!(refused.error_code, code, "{refused:?}");
}

fn file(id: &str, path: &str) -> Value {
    json!({ "id": id, "path": path })
}

fn written(id: &str, path: &str, bytes: usize) -> Value {
    json!({ "id": id, "path": path, "content": STANDARD.encode(vec![b'x'; bytes]) })
}

#[test]
fn e1014_unknown_template() {
    refused(&Serve::start(&[]), "create", json!({ "template": "shel" }), "E1014");
}

#[test]
fn e1015_unknown_sandbox() {
    refused(&Serve::start(&[]), "get", json!({ "id": "nobody" }), "E1015");
}

#[test]
fn e1016_unknown_process() {
    let serve = Serve::start(&[]);
    let id = serve.create();
    refused(&serve, "kill", json!({ "id": id, "process": 99_999 }), "E1016");
}

#[test]
fn e2011_server_that_is_not_there() {
    let ls = ["sandbox", "ls", "--unix", "/nowhere/socket"];
    let failed = capsule_tests::Run::new(&ls).binary(Binary::Capsule).finish().ended_with(1);
    assert_eq!(failed.error_code().as_deref(), Some("E2011"), "{failed}");
}

#[test]
fn e1017_unknown_snapshot() {
    refused(&Serve::start(&[]), "deleteSnapshot", json!({ "snapshot": "none" }), "E1017");
}

#[test]
fn e1020_archive_that_leads_out() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(folder.path().join("outside"), "x").unwrap();
    let mut tar = std::process::Command::new("tar");
    tar.arg("-P").arg("-cf").arg(folder.path().join("root.tar"));
    tar.arg("-C").arg(&inside).arg("../outside");
    assert!(tar.status().unwrap().success());
    let config = folder.path().join("capsule.toml");
    std::fs::write(&config, "[templates.own]\nroot = \"root.tar\"\n").unwrap();
    let data = folder.path().join("data");
    let (config, data) = (config.to_str().unwrap(), data.to_str().unwrap());
    let build = ["template", "build", "--backend", "jail", "--config", config, "--data", data];
    let failed = capsule_tests::Run::new(&build).binary(Binary::Capsule).finish().ended_with(1);
    assert_eq!(failed.error_code().as_deref(), Some("E1020"), "{failed}");
}

#[test]
fn e3010_missing_file() {
    let serve = Serve::start(&[]);
    let id = serve.create();
    refused(&serve, "readFile", file(&id, "nowhere"), "E3010");
}

#[test]
fn e3011_file_that_may_not_be_changed() {
    let serve = Serve::start(&[]);
    let id = serve.create();
    refused(&serve, "writeFile", written(&id, "/usr/bin/planted", 1), "E3011");
    assert!(!std::path::Path::new("/usr/bin/planted").exists());
}

#[test]
fn e3012_directory_that_is_read() {
    let serve = Serve::start(&[]);
    let id = serve.create();
    refused(&serve, "readFile", file(&id, "/workspace"), "E3012");
}

#[test]
fn e3013_directory_that_is_not_empty() {
    let serve = Serve::start(&[]);
    let id = serve.create();
    serve.shell(&id, "mkdir full; touch full/file");
    refused(&serve, "remove", file(&id, "full"), "E3013");
}

#[test]
fn e3014_sandbox_whose_time_is_over() {
    let serve = Serve::start(&[]);
    let id = serve.create_with(json!({ "template": "shell", "ttl_ms": 1_000 * pace() }));
    let sleep = json!({ "id": id, "cmd": ["sleep", "100"], "timeout_ms": 100_000 });
    refused(&serve, "exec", sleep, "E3014");
}

#[test]
fn e3015_process_that_has_ended() {
    let serve = Serve::start(&[]);
    let id = serve.create();
    let started = serve.call("sandbox.v1.start", json!({ "id": id, "cmd": ["true"] })).unwrap();
    let process = started["process"].clone();
    let asked = json!({ "id": id, "process": process, "timeout_ms": 100 });
    until(|| !serve.call("sandbox.v1.wait", asked.clone()).unwrap()["exit"].is_null());
    refused(&serve, "kill", json!({ "id": id, "process": process }), "E3015");
}

#[test]
fn e3016_command_in_a_paused_sandbox() {
    let serve = Serve::start(&[]);
    let id = serve.create();
    serve.call("sandbox.v1.pause", json!({ "id": id })).unwrap();
    refused(&serve, "exec", json!({ "id": id, "cmd": ["true"] }), "E3016");
}

#[test]
fn e4006_full_disk() {
    let serve = Serve::start(&[]);
    let limits = json!({ "disk_bytes": 4 << 20 });
    let id = serve.create_with(json!({ "template": "shell", "limits": limits }));
    refused(&serve, "writeFile", written(&id, "big", 8 << 20), "E4006");
}

#[test]
fn e4007_one_sandbox_too_many() {
    let serve = Serve::start(&["--max-sandboxes", "1"]);
    let _id = serve.create();
    refused(&serve, "create", json!({ "template": "shell" }), "E4007");
}

#[test]
fn e5004_request_without_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut keys = std::process::Command::new(path_of(Binary::Capsule));
    keys.args(["keys", "create", "--name", "ci", "--data"]).arg(&data);
    assert!(keys.output().unwrap().status.success());
    let serve = Serve::again(&data, &["--require-key"]);
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"sandbox.v1.templates"}"#;
    let headers = [("Content-Type", "application/json")];
    let answer = serve.http("POST", "/rpc", &headers, body);
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["error"]["data"]["details"]["error_code"], json!("E5004"));
}

#[test]
fn e5005_web_page_that_drives_the_server() {
    let serve = Serve::start(&[]);
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"sandbox.v1.templates"}"#;
    let headers = [("Content-Type", "application/json"), ("Origin", "http://attacker.example")];
    let answer = serve.http("POST", "/rpc", &headers, body);
    assert_eq!(answer.status, 403);
    assert_eq!(answer.json()["error"]["data"]["details"]["error_code"], json!("E5005"));
}

#[test]
fn e5006_network_that_the_operator_did_not_allow() {
    refused(
        &Serve::start(&[]),
        "create",
        json!({ "template": "shell", "network": "open" }),
        "E5006",
    );
}

#[test]
fn e6004_state_that_cannot_be_read() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(data.join("server.db"), "this is no database, and long enough").unwrap();
    let mut command = std::process::Command::new(path_of(Binary::Capsule));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error[E6004]"), "{said}");
    let kept = std::fs::read_to_string(data.join("server.db")).unwrap();
    assert!(kept.starts_with("this is no database"), "what it could not read is kept");
}
