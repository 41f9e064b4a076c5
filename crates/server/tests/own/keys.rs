//! Keys: who gets in, and what they see.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use capsule_server::request::Request;
use capsule_server::{Listen, ServeError, create_key, revoke_key};
use serde_json::json;

use super::Own;
use crate::suite::exec::until;
use crate::support::Folders;

const TEMPLATES: &str = r#"{"jsonrpc":"2.0","method":"sandbox.v1.templates","id":1}"#;

#[test]
fn another_address_wants_a_key() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let everywhere = |settings: &mut capsule_server::Settings| {
        settings.listen = Listen::Tcp("0.0.0.0:0".parse().unwrap());
    };
    let refused = Own::try_start(data.path(), &backend, everywhere).err().unwrap();
    assert!(matches!(refused, ServeError::NoKey { .. }), "{refused}");
    let key = create_key(&data.path().join("data"), "first").unwrap();
    let own = Own::start(data.path(), &backend, everywhere);
    let port = own.site.address.port();
    let site = crate::suite::client::Site::new(([127, 0, 0, 1], port).into());
    assert_eq!(site.post(TEMPLATES).status, 401);
    assert_eq!(site.with_key(&key.key).post(TEMPLATES).status, 200);
    own.stop();
}

#[test]
fn a_key_opens_its_own_sandboxes_only() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let [one, two] = ["one", "two"].map(|name| create_key(&folder, name).unwrap());
    let own = Own::start(data.path(), &Arc::default(), |settings| settings.require_key = true);
    let site = &own.site;
    // Without a key, or with a wrong one, there is nothing but health.
    assert_eq!(site.http("GET", "/health", &[], b"").status, 200);
    let id = one.key.split('_').nth(1).unwrap();
    let wrong = [
        String::new(),
        "x".to_owned(),
        one.key[..one.key.len() - 1].to_owned(),
        format!("{}0", one.key),
        format!("cap_{id}_{}", "0".repeat(64)),
        two.key.replace(two.key.split('_').nth(1).unwrap(), id),
    ];
    for key in &wrong {
        let answer = site.with_key(key).post(TEMPLATES);
        assert_eq!(answer.status, 401, "{key}");
        let code = &answer.json()["error"]["data"]["details"]["error_code"];
        assert_eq!(*code, json!("E5004"));
        assert!(answer.head.to_ascii_lowercase().contains("www-authenticate: bearer"));
    }
    assert_eq!(site.http("GET", "/metrics", &[], b"").status, 401);
    let (mine, other) = (site.with_key(&one.key), site.with_key(&two.key));
    let id = mine.create();
    mine.call("sandbox.v1.writeFile", json!({ "id": id, "path": "f", "content": "" })).unwrap();
    // Whatever another key asks is answered like a question for what never was.
    for method in Request::METHODS {
        // Those are looked at in `volumes`.
        if method.name.starts_with("volume.") {
            continue;
        }
        let name = method.name.rsplit('.').next().unwrap();
        let Some((_, params)) = parameters().into_iter().find(|(known, _)| *known == name) else {
            panic!("{} needs a line in parameters()", method.name);
        };
        // Those that name no sandbox are looked at below.
        let Some(params) = params else { continue };
        let ask = |id: &str| {
            let mut params = params.clone();
            params["id"] = json!(id);
            let refused = other.call(method.name, params).unwrap_err();
            (refused.code, refused.error_code, refused.message.replace(id, "ID"))
        };
        assert_eq!(ask(&id), ask("aaaaaaaaaaaaaaaa"), "{name}");
        assert_eq!(ask(&id).0, -32002, "{name}");
    }
    assert_eq!(other.http("GET", &format!("/sandbox/{id}/files?path=f"), &[], b"").status, 404);
    assert_eq!(other.http("PUT", &format!("/sandbox/{id}/files?path=f"), &[], b"x").status, 404);
    let tar = format!("/sandbox/{id}/files?path=/workspace&archive=tar");
    assert_eq!(other.http("GET", &tar, &[], b"").status, 404);
    assert_eq!(other.http("PUT", &tar, &[], b"x").status, 404);
    for path in [format!("/terminal/{id}"), format!("/sandbox/{id}/exec")] {
        assert_eq!(other.try_socket(&path, &[]).err(), Some(404));
    }
    assert_eq!(other.call("sandbox.v1.list", json!({})).unwrap()["sandboxes"], json!([]));
    assert_eq!(
        other.call("sandbox.v1.logs", json!({ "id": id })).unwrap()["executions"],
        json!([])
    );
    assert_eq!(mine.exec(&id, &["ls"])["stdout"], json!("f\n"), "and nothing happened to it");
    // A browser's terminal sends its key as a protocol.
    let protocols = format!("capsule.v1, capsule.key.{}", one.key);
    let header = [("Sec-WebSocket-Protocol", protocols.as_str())];
    assert!(site.try_socket(&format!("/terminal/{id}"), &header).is_ok());
    assert_eq!(site.try_socket(&format!("/terminal/{id}"), &[]).err(), Some(401));
    own.stop();
}

/// Of each method, parameters that are in order but for the sandbox; none for those that
/// name no sandbox, or, as `logs`, answer with nothing.
fn parameters() -> Vec<(&'static str, Option<serde_json::Value>)> {
    vec![
        ("create", None),
        ("list", None),
        ("logs", None),
        ("templates", None),
        ("snapshots", None),
        ("deleteSnapshot", None),
        ("snapshot", Some(json!({}))),
        ("restore", Some(json!({ "snapshot": "aaaaaaaaaaaaaaaa" }))),
        ("clone", Some(json!({}))),
        ("discover", None),
        ("exec", Some(json!({ "cmd": ["true"] }))),
        ("execStream", Some(json!({ "cmd": ["true"] }))),
        ("start", Some(json!({ "cmd": ["true"] }))),
        ("runCode", Some(json!({ "code": "true" }))),
        ("batch", Some(json!({ "commands": [{ "cmd": ["true"] }] }))),
        ("readFile", Some(json!({ "path": "f" }))),
        ("writeFile", Some(json!({ "path": "f", "content": "" }))),
        ("listDir", Some(json!({}))),
        ("stat", Some(json!({ "path": "f" }))),
        ("mkdir", Some(json!({ "path": "d" }))),
        ("move", Some(json!({ "from": "f", "to": "g" }))),
        ("remove", Some(json!({ "path": "f" }))),
        ("get", Some(json!({}))),
        ("extend", Some(json!({ "ttl_ms": 1 }))),
        ("pause", Some(json!({}))),
        ("resume", Some(json!({}))),
        ("setEnv", Some(json!({}))),
        ("setNetwork", Some(json!({ "network": "denied" }))),
        ("install", Some(json!({ "manager": "pip", "packages": ["six"] }))),
        ("openContext", Some(json!({ "context": "c" }))),
        ("processes", Some(json!({}))),
        ("attach", Some(json!({ "process": 1 }))),
        ("wait", Some(json!({ "process": 1 }))),
        ("input", Some(json!({ "process": 1, "data": "" }))),
        ("closeInput", Some(json!({ "process": 1 }))),
        ("kill", Some(json!({ "process": 1 }))),
        ("resize", Some(json!({ "process": 1, "columns": 1, "rows": 1 }))),
        ("stats", Some(json!({}))),
        ("watch", Some(json!({}))),
        ("watchDir", Some(json!({}))),
        ("delete", Some(json!({}))),
    ]
}

#[test]
fn a_revoked_key_is_out_at_once() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let key = create_key(&folder, "one").unwrap();
    let own = Own::start(data.path(), &Arc::default(), |settings| settings.require_key = true);
    let site = own.site.with_key(&key.key);
    let id = site.create();
    let mut socket = site.socket(&format!("/terminal/{id}"));
    assert!(revoke_key(&folder, &key.id).unwrap());
    until(|| site.post(TEMPLATES).status == 401);
    // Who was in already is sent out.
    let closed = std::iter::from_fn(|| Some(socket.read()))
        .find_map(|read| match read {
            Ok(tokio_tungstenite::tungstenite::Message::Close(frame)) => Some(frame),
            Ok(_) => None,
            Err(_) => Some(None),
        })
        .flatten();
    assert_eq!(
        closed.map(|frame| frame.reason.to_string()).as_deref(),
        Some("the API key was revoked")
    );
    own.stop();
}

/// A socket in the file system: its user needs no key and may call the server anything.
#[test]
fn a_unix_socket_knows_its_user() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("socket");
    // What a killed server left is no hindrance.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listen = Listen::Unix(path.clone());
    let own = Own::start(data.path(), &Arc::default(), |settings| {
        settings.listen = listen;
        settings.require_key = true;
    });
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).unwrap();
    let head = own.site.head("GET", "/metrics", &[("Host", "anything"), ("Connection", "close")]);
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(own.stop());
    assert!(!path.exists());
}

/// Who guesses waits for every answer, learns nothing from any, and holds up nobody else.
#[test]
fn guessing_is_slow_and_alone() {
    let data = tempfile::tempdir().unwrap();
    let key = create_key(&data.path().join("data"), "one").unwrap();
    let own = Own::start(data.path(), &Arc::default(), |settings| settings.require_key = true);
    let id = key.key.split('_').nth(1).unwrap();
    let guess = |turn: usize| match turn % 3 {
        0 => format!("cap_{id}_{turn:064}"),
        1 => format!("cap_{turn:016}_{turn:064}"),
        _ => format!("{turn}"),
    };
    let guessing: Vec<_> = (0..60)
        .map(|turn| (own.site.with_key(&guess(turn)), turn))
        .map(|(site, turn)| {
            std::thread::spawn(move || {
                let answer = site.post(TEMPLATES);
                (turn, answer.status, String::from_utf8_lossy(&answer.body).into_owned())
            })
        })
        .collect();
    let mine = own.site.with_key(&key.key);
    for _ in 0..20 {
        assert_eq!(mine.post(TEMPLATES).status, 200);
    }
    let answers: Vec<_> = guessing.into_iter().map(|one| one.join().unwrap()).collect();
    assert!(
        answers.iter().all(|(_, status, text)| *status == 401 && *text == answers[0].2),
        "{answers:?}"
    );
    own.stop();
}
