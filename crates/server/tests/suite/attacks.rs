//! What strangers do to the doors, beyond what they are told when they do it wrong: each
//! attempt is seen to be denied, and the server to serve others meanwhile.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Site;

const TEMPLATES: &str = r#"{"jsonrpc":"2.0","method":"sandbox.v1.templates","id":1}"#;

/// Everything that is said until the other side closes.
fn said(site: &Site, request: &[u8]) -> String {
    let mut stream = site.connect();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// JSON that is made to be misread: deep, huge, doubled.
pub fn hostile_json(site: &Site) {
    let id = site.create();
    let deep = |open: &str, close: &str, times: usize| {
        format!("{}1{}", open.repeat(times), close.repeat(times))
    };
    let request = |params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"sandbox.v1.exec","params":{params}}}"#)
    };
    let with = |field: &str| request(&format!(r#"{{"id":"{id}","cmd":["true"],{field}}}"#));
    for body in [
        request(&deep("[", "]", 100_000)),
        request(&deep(r#"{"id":"#, "}", 100_000)),
        request(&format!(r#"{{"id":{}}}"#, deep("[", "]", 100_000))),
        with(&format!(r#""env":{}"#, deep(r#"{"a":"#, "}", 50_000))),
        with(r#""timeout_ms":1e999"#),
        with(r#""timeout_ms":1e400"#),
        with(r#""timeout_ms":-1"#),
        with(r#""timeout_ms":5000.5"#),
        with(r#""timeout_ms":184467440737095516160"#),
        with(&format!(r#""timeout_ms":{}"#, "9".repeat(100_000))),
        with(r#""timeout_ms":"5000""#),
        with(r#""timeout_ms":NaN"#),
        with(r#""timeout_ms":1,"timeout_ms":2"#),
        with(&format!(r#""id":"{id}""#)),
        with(r#""__proto__":{"admin":true}"#),
        with(r#""cwd":"\ud800""#),
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"sandbox.v1.get","method":"sandbox.v1.delete","params":{{"id":"{id}"}}}}"#
        ),
    ] {
        let answer = site.post(&body);
        let code = answer.json()["error"]["code"].as_i64();
        let shown: String = body.chars().take(200).collect();
        assert!(matches!(code, Some(-32700 | -32600 | -32001)), "{shown}: {}", answer.json());
    }
    assert_eq!(site.shell(&id, "echo fine"), "fine\n");
    site.delete(&id);
}

/// Two requests in one for whoever stands in between, and heads that are none.
pub fn smuggled_requests(site: &Site) {
    let host = format!("Host: {}\r\nContent-Type: application/json\r\n", site.address);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let second = format!(
        "POST /rpc HTTP/1.1\r\n{host}Content-Length: {}\r\n\r\n{TEMPLATES}",
        TEMPLATES.len()
    );
    for head in [
        format!("POST /rpc HTTP/1.1\r\n{host}Content-Length: 4\r\nContent-Length: 5\r\n\r\n"),
        format!("POST /rpc HTTP/1.1\r\n{host}Content-Length: +4\r\n\r\n"),
        format!("POST /rpc HTTP/1.1\r\n{host}Content-Length: 4, 5\r\n\r\n"),
        format!("POST /rpc HTTP/1.1\r\n{host}Transfer-Encoding: identity, x\r\n\r\n"),
        format!("POST /rpc HTTP/1.1\r\n{host}Transfer-Encoding : chunked\r\n\r\n"),
        format!("POST /rpc HTTP/1.1\r\n{host}{chunked}\r\nffffffffffffffffff\r\n"),
        format!("POST /rpc HTTP/1.1\r\n{host}{chunked}\r\n-1\r\n"),
        format!("POST /rpc HTTP/9.9\r\n{host}\r\n"),
        format!("POST /rpc HTTP/1.1\r\n {host}\r\n"),
        format!("P\0ST /rpc HTTP/1.1\r\n{host}\r\n"),
    ] {
        let answer = said(site, format!("{head}{second}").as_bytes());
        assert!(!answer.contains("HTTP/1.1 200"), "{head:?}: {answer}");
    }
    // With both lengths the chunks count, and the connection ends.
    let both = format!("POST /rpc HTTP/1.1\r\n{host}Content-Length: 1\r\n{chunked}\r\n0\r\n\r\n");
    let answer = said(site, format!("{both}{second}").as_bytes());
    assert!(answer.matches("HTTP/1.1").count() <= 1 || !answer.contains("templates"), "{answer}");
}

/// Paths of HTTP lead to doors, and nowhere else.
pub fn paths_that_climb(site: &Site) {
    let id = site.create();
    for path in [
        "/../etc/passwd".to_owned(),
        "/sandbox/../../etc/passwd".to_owned(),
        format!("/sandbox/{id}/../{id}/files?path=/etc/hostname"),
        "/%2e%2e/%2e%2e/etc/passwd".to_owned(),
        format!("/sandbox/{id}%2ffiles?path=x"),
        format!("/sandbox/{id}%00/files?path=x"),
        format!("/sandbox/{id}/files/../../rpc"),
        format!("//sandbox/{id}/files?path=x"),
        "/sandbox/..%2f..%2fserver.db/files?path=x".to_owned(),
        "/terminal/..".to_owned(),
        format!("/terminal/{id}/"),
    ] {
        let answer = site.http("GET", &path, &[], b"");
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.head);
        assert!(!String::from_utf8_lossy(&answer.body).contains("root:"), "{path}");
    }
    // Inside of a sandbox, `..` is the sandbox's.
    for path in
        ["../../../../etc/shadow", "/proc/1/root/etc/shadow", "/proc/self/environ", "/dev/mem"]
    {
        let params = json!({ "id": id, "path": path });
        assert!(site.call("sandbox.v1.readFile", params).is_err(), "{path}");
    }
    site.delete(&id);
}

/// Bytes for a terminal, where a person looks: in answers they are text in JSON, in errors
/// they are spelled out.
pub fn terminal_escapes(site: &Site) {
    let id = site.create();
    let clear = "\u{1b}]52;c;cHduZWQ=\u{7}\u{1b}[2J\u{9b}31m\u{202e}";
    let done = site.exec(&id, &["printf", "%s", clear]);
    assert_eq!(done["stdout"], json!(clear));
    let bodies = [
        json!({ "jsonrpc": "2.0", "id": 1, "method": "sandbox.v1.exec", "params": { "id": id, "cmd": ["printf", "%s", clear] } }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": clear }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "sandbox.v1.get", "params": { "id": clear } }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "sandbox.v1.create", "params": { "template": clear } }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "sandbox.v1.get", "params": { clear: 1 } }),
    ];
    for body in bodies {
        let answer = site.post(&body.to_string());
        assert!(
            !answer.body.iter().any(|byte| *byte < b' '),
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        let error: &Value = &answer.json()["error"]["message"];
        assert!(!error.as_str().unwrap_or_default().contains('\u{1b}'), "{error}");
    }
    let headers = [("X-Request-Id", "a\u{9b}31m"), ("Content-Type", "application/json")];
    let answer = site.http("POST", "/rpc", &headers, TEMPLATES.as_bytes());
    assert!(!answer.head.contains("31m"), "{}", answer.head);
    site.delete(&id);
}

/// Hundreds who begin a request and never end it, and do not read what they are told.
pub fn slow_clients(site: &Site) {
    let id = site.create();
    let mut slow = Vec::new();
    let terminal = site.head(
        "GET",
        &format!("/terminal/{id}"),
        &[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ],
    );
    let body = site.head(
        "POST",
        "/rpc",
        &[("Content-Type", "application/json"), ("Content-Length", "16000000")],
    );
    for turn in 0..300 {
        let mut stream = site.connect();
        let part: &[u8] = match turn % 5 {
            0 => b"",
            1 => b"POST /rpc HT",
            2 => b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nX-Slow: a",
            3 => body.as_bytes(),
            // Ten terminals, each a process, and the rest cut off before their last byte.
            _ if turn < 50 => terminal.as_bytes(),
            _ => &terminal.as_bytes()[..terminal.len() - 1],
        };
        stream.write_all(part).unwrap();
        slow.push(stream);
    }
    for _ in 0..20 {
        assert_eq!(site.shell(&id, "echo served"), "served\n");
    }
    for stream in &mut slow {
        // One byte more keeps nobody in for ever; what is closed by now is as well.
        let _ = stream.write_all(b"a");
    }
    drop(slow);
    super::exec::until(|| {
        site.call("sandbox.v1.get", json!({ "id": id })).unwrap()["processes"] == json!(0)
    });
    site.delete(&id);
}
