//! What verbs ask for, to the last field, where a server may know more or less than this one.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use capsule_tests::{Binary, Finished, Run};
use serde_json::{Value, json};

/// Somebody who notes what is asked and answers all of it with the same.
struct Listener {
    url: String,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Listener {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        let sandbox = json!({ "id": "new1", "template": "shell", "state": "ready" });
        let mut result = sandbox;
        result["snapshot"] = json!({ "id": "snap1" });
        result["snapshots"] = json!([{ "id": "snap1", "name": "a\u{1b}b", "sandbox": "k3v9",
            "template": "shell", "created_at": "2026-01-19T10:00:00Z", "bytes": 2_048, "files": 3,
            "labels": { "a": "1" } }]);
        result["volume"] = json!({ "name": "data" });
        result["volumes"] = json!([{ "name": "data", "size_bytes": 1 << 30, "used_bytes": 5,
            "created_at": "2026-01-19T10:00:00Z" }]);
        result["more"] = json!(false);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                while let Some(body) = request(&mut stream) {
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    let method = body["method"].as_str().unwrap().to_owned();
                    noted.lock().unwrap().push((method, body["params"].clone()));
                    let answer = json!({ "jsonrpc": "2.0", "id": body["id"], "result": result });
                    let answer = answer.to_string();
                    let head =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
                    stream.get_mut().write_all((head + &answer).as_bytes()).unwrap();
                }
            }
        });
        Self { url, asked }
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Finished {
        let run = Run::new(arguments).binary(Binary::Capsule);
        run.variable("CAPSULE_SERVER", &self.url).finish().ended_with(0)
    }

    fn asked(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// The body of the next request; none at the end.
fn request(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

#[test]
fn snapshots_volumes_and_networks_are_asked_for_as_agreed() {
    let listener = Listener::start();
    let snapshot = ["sandbox", "snapshot", "k3v9", "--name", "before", "-l", "a=1"];
    assert_eq!(listener.run(&snapshot).text(), "snap1\n");
    let listed = listener.run(&["sandbox", "snapshots", "-l", "a=1"]);
    assert!(listed.text().contains("2.0 KiB") && listed.text().contains("a\\u{1b}b"), "{listed}");
    listener.run(&["sandbox", "snapshots", "--rm", "snap1"]);
    listener.run(&["sandbox", "restore", "k3v9", "snap1"]);
    assert_eq!(listener.run(&["sandbox", "clone", "k3v9", "--ttl", "1h"]).text(), "new1\n");
    let create = [
        "sandbox",
        "create",
        "--snapshot",
        "snap1",
        "--allow-host",
        "pypi.org",
        "--allow-host",
        "*.example.org:443",
        "--volume",
        "data:/data:ro",
    ];
    listener.run(&create);
    listener.run(&["sandbox", "create", "--network", "open"]);
    listener.run(&["volume", "create", "data", "--size", "1G"]);
    let volumes = listener.run(&["volume", "ls"]);
    assert!(volumes.text().contains("data  1.0 GiB  5 B"), "{volumes}");
    listener.run(&["volume", "rm", "data"]);
    let network = json!({ "allow": ["pypi.org", "*.example.org:443"] });
    let volume = json!([{ "volume": "data", "path": "/data", "mode": "ro" }]);
    let expected = [
        ("sandbox.v1.snapshot", json!({ "id": "k3v9", "name": "before", "labels": { "a": "1" } })),
        ("sandbox.v1.snapshots", json!({ "labels": { "a": "1" }, "limit": 100 })),
        ("sandbox.v1.deleteSnapshot", json!({ "snapshot": "snap1" })),
        ("sandbox.v1.restore", json!({ "id": "k3v9", "snapshot": "snap1" })),
        ("sandbox.v1.clone", json!({ "id": "k3v9", "ttl_ms": 3_600_000 })),
        (
            "sandbox.v1.create",
            json!({ "snapshot": "snap1", "network": network, "volumes": volume }),
        ),
        ("sandbox.v1.create", json!({ "network": "open" })),
        ("volume.v1.create", json!({ "name": "data", "size_bytes": 1 << 30 })),
        ("volume.v1.list", json!({})),
        ("volume.v1.delete", json!({ "name": "data" })),
    ];
    let expected = expected.map(|(method, params)| (method.to_owned(), params));
    assert_eq!(listener.asked(), expected);
}
