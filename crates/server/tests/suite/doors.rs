//! The doors themselves: JSON-RPC, pages, bounds, frames.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::client::{Site, parse};

fn id_and_code(answer: &Value) -> (Value, i64) {
    (answer["id"].clone(), answer["error"]["code"].as_i64().unwrap_or_default())
}

pub fn json_rpc_is_complete(site: &Site) {
    let templates = r#"{"jsonrpc":"2.0","method":"sandbox.v1.templates","id":"a"}"#;
    assert_eq!(site.post(templates).json()["id"], json!("a"));
    // Notifications have no answer, whatever becomes of them.
    for body in [
        r#"{"jsonrpc":"2.0","method":"sandbox.v1.templates"}"#,
        r#"{"jsonrpc":"2.0","method":"no.such"}"#,
        r#"[{"jsonrpc":"2.0","method":"no.such"}]"#,
    ] {
        let answer = site.post(body);
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{body}");
    }
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        ("[]", -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"2.0","method":"no.such","id":null}"#, -32601),
        (r#"{"jsonrpc":"2.0","method":"sandbox.v1.get","id":null,"params":{}}"#, -32001),
    ] {
        let answer = site.post(body);
        assert_eq!(answer.status, 200);
        assert_eq!(id_and_code(&answer.json()), (Value::Null, code), "{body}");
    }
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "sandbox.v1.templates" },
        { "jsonrpc": "2.0", "method": "sandbox.v1.templates" },
        1,
        { "jsonrpc": "2.0", "id": "x", "method": "sandbox.v1.exce" },
        { "jsonrpc": "2.0", "id": 2, "method": "sandbox.v1.watch", "params": { "id": "a" } },
    ]);
    let answers = site.post(&batch.to_string()).json();
    let found: Vec<_> = answers.as_array().unwrap().iter().map(id_and_code).collect();
    let expected = [(json!(1), 0), (Value::Null, -32600), (json!("x"), -32601), (json!(2), -32600)];
    assert_eq!(found, expected);
    let hint = &answers[2]["error"]["data"]["details"]["hint"];
    assert_eq!(*hint, json!("did you mean \"sandbox.v1.exec\"?"));
    // Calls of a batch are made in order.
    let id = site.create();
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "sandbox.v1.writeFile",
          "params": { "id": id, "path": "f", "content": "YQ==" } },
        { "jsonrpc": "2.0", "id": 2, "method": "sandbox.v1.exec",
          "params": { "id": id, "cmd": ["cat", "f"] } },
    ]);
    assert_eq!(site.post(&batch.to_string()).json()[1]["result"]["stdout"], json!("a"));
    site.delete(&id);
}

/// What a page in a browser on this machine can send is refused before it does anything.
pub fn pages_are_kept_out(site: &Site) {
    let body = r#"{"jsonrpc":"2.0","method":"sandbox.v1.templates","id":1}"#.as_bytes();
    let json_type = ("Content-Type", "application/json");
    let host = site.address.to_string();
    let own = format!("http://{host}");
    for (headers, status) in [
        (vec![json_type], 200),
        (vec![json_type, ("Origin", own.as_str())], 200),
        (vec![("Content-Type", "application/json; charset=utf-8")], 200),
        (vec![], 415),
        (vec![("Content-Type", "text/plain")], 415),
        (vec![("Content-Type", "application/x-www-form-urlencoded")], 415),
        (vec![("Content-Type", "multipart/form-data")], 415),
        (vec![json_type, ("Origin", "http://attacker.example")], 403),
        (vec![json_type, ("Origin", "http://localhost:1")], 403),
        (vec![json_type, ("Origin", "null")], 403),
        (vec![json_type, ("Host", "attacker.example")], 403),
        (vec![json_type, ("Host", "127.0.0.1.attacker.example")], 403),
        (vec![json_type, ("Sec-Fetch-Site", "cross-site")], 403),
    ] {
        let answer = site.http("POST", "/rpc", &headers, body);
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 403 {
            let code = &answer.json()["error"]["data"]["details"]["error_code"];
            assert_eq!(*code, json!("E5005"));
        }
    }
    let id = site.create();
    for path in [format!("/terminal/{id}"), format!("/sandbox/{id}/exec")] {
        for headers in [("Origin", "http://attacker.example"), ("Host", "attacker.example:80")] {
            assert_eq!(site.try_socket(&path, &[headers]).err(), Some(403), "{path}");
        }
    }
    let path = format!("/sandbox/{id}/files?path=x");
    let foreign = [("Origin", "http://attacker.example")];
    assert_eq!(site.http("PUT", &path, &foreign, b"x").status, 403);
    assert_eq!(site.http("OPTIONS", "/rpc", &foreign, b"").status, 403);
    assert_eq!(site.http("GET", "/metrics", &[("Host", "attacker.example")], b"").status, 403);
    let running = site.call("sandbox.v1.get", json!({ "id": id })).unwrap();
    assert_eq!(running["processes"], json!(0), "and nothing was started");
    site.delete(&id);
}

pub fn bodies_are_bounded(site: &Site) {
    let json_type = ("Content-Type", "application/json");
    // Told beforehand, and not.
    let headers = [json_type, ("Content-Length", "99999999999"), ("Connection", "close")];
    let mut stream = site.connect();
    stream.write_all(site.head("POST", "/rpc", &headers).as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(parse(&answer).status, 413);
    let headers = [json_type, ("Transfer-Encoding", "chunked"), ("Connection", "close")];
    let mut stream = site.connect();
    stream.write_all(site.head("POST", "/rpc", &headers).as_bytes()).unwrap();
    let chunk = [&b"100000\r\n"[..], &vec![b' '; 1 << 20], b"\r\n"].concat();
    for _ in 0..40 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || parse(&answer).status == 413);
    assert_eq!(site.http("GET", "/health", &[], b"").status, 200);
}

pub fn heads_are_bounded(site: &Site) {
    let send = |head: &str| {
        let mut stream = site.connect();
        let _ = stream.write_all(head.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    };
    let many: String = (0..1000).map(|number| format!("X-{number}: 1\r\n")).collect();
    let answer = send(&format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"));
    assert_eq!(parse(&answer).status, 431);
    let long = "a".repeat(200_000);
    let answer = send(&format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"));
    assert!(answer.is_empty() || parse(&answer).status == 431);
    let answer = send(&format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert!(answer.is_empty() || [414, 431].contains(&parse(&answer).status));
    let answer = send("BROKEN\r\n\r\n");
    assert!(answer.is_empty() || parse(&answer).status == 400);
    // A head that never ends is not waited for.
    let began = Instant::now();
    let answer = send("GET /health HTTP/1.1\r\nHost: local");
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert!(began.elapsed() < Duration::from_secs(30));
}

pub fn broken_frames(site: &Site) {
    let id = site.create();
    let path = format!("/terminal/{id}");
    for frame in [
        // Not masked, reserved bits, an unknown kind, a length that is too large.
        &[0x81, 0x01, b'a'][..],
        &[0xf1, 0x80, 0, 0, 0, 0],
        &[0x83, 0x80, 0, 0, 0, 0],
        &[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        &[0x82, 0xff, 0, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let mut socket = site.socket(&path);
        socket.get_mut().write_all(frame).unwrap();
        let ended = std::iter::from_fn(|| Some(socket.read()))
            .find(|read| matches!(read, Err(_) | Ok(Message::Close(_))));
        assert!(ended.is_some(), "{frame:?}");
    }
    super::exec::until(|| {
        site.call("sandbox.v1.get", json!({ "id": id })).unwrap()["processes"] == json!(0)
    });
    site.delete(&id);
}

pub fn metrics_and_health(site: &Site) {
    let health = site.http("GET", "/health", &[], b"").json();
    assert_eq!(health["status"], json!("ok"));
    let id = site.create();
    let text = String::from_utf8(site.http("GET", "/metrics", &[], b"").body).unwrap();
    assert!(text.contains("capsule_request_seconds_count{method=\"sandbox.v1.create\"}"), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    // A request's id is the caller's, if it can stand in a log.
    let answer = site.http("GET", "/metrics", &[("X-Request-Id", "mine-1")], b"");
    assert!(answer.head.contains("x-request-id: mine-1"), "{}", answer.head);
    let answer = site.http("GET", "/metrics", &[("X-Request-Id", "{\"forged\":1}")], b"");
    assert!(!answer.head.contains("forged"));
    assert_eq!(site.http("GET", "/nowhere", &[], b"").status, 404);
    assert_eq!(site.http("GET", "/rpc", &[], b"").status, 405);
    site.delete(&id);
}

pub fn discovery(site: &Site) {
    let document = site.call("rpc.discover", json!({})).unwrap();
    let methods = document["methods"].as_array().unwrap();
    let names: Vec<_> = methods.iter().map(|method| method["name"].as_str().unwrap()).collect();
    for name in ["sandbox.v1.create", "sandbox.v1.exec", "sandbox.v1.execStream", "rpc.discover"] {
        assert!(names.contains(&name), "{name}");
    }
}
