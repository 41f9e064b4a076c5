//! Files, one piece or streamed.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::client::Site;

fn write(site: &Site, id: &str, path: &str, bytes: &[u8]) {
    let params = json!({ "id": id, "path": path, "content": STANDARD.encode(bytes) });
    site.call("sandbox.v1.writeFile", params).unwrap();
}

fn read(site: &Site, id: &str, path: &str) -> Vec<u8> {
    let read = site.call("sandbox.v1.readFile", json!({ "id": id, "path": path })).unwrap();
    STANDARD.decode(read["content"].as_str().unwrap()).unwrap()
}

/// Names are names, whatever a shell would make of them.
pub fn hostile_names(site: &Site) {
    let id = site.create();
    let names = [
        "two words",
        "'; touch pwned; '",
        "$(touch pwned)",
        "`touch pwned`",
        "\"quoted\"",
        "line\nbreak",
        "-rf",
        "*",
        "a&&touch pwned",
        "ünïcødé",
        "\\",
        "\u{1b}[31m",
    ];
    for name in names {
        let path = format!("/workspace/{name}");
        write(site, &id, &path, name.as_bytes());
        assert_eq!(read(site, &id, &path), name.as_bytes());
    }
    let listed = site.call("sandbox.v1.listDir", json!({ "id": id })).unwrap();
    let listed = listed["files"].as_array().unwrap().iter();
    let mut found: Vec<_> = listed.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
    let mut expected = names.map(str::to_owned).to_vec();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    site.delete(&id);
}

pub fn large_files(site: &Site) {
    let id = site.create();
    let bytes: Vec<u8> = (0..5_000_001_u32).map(|at| (at % 251) as u8).collect();
    write(site, &id, "deep/down/large", &bytes);
    assert!(read(site, &id, "deep/down/large") == bytes);
    // Larger ones are streamed.
    let path = format!("/sandbox/{id}/files?path=/workspace/larger%20one");
    let large = [&bytes[..], &bytes, &bytes, &bytes].concat();
    let put = site.http("PUT", &path, &[], &large);
    assert_eq!((put.status, put.json()), (200, json!({ "ok": true, "size": large.len() })));
    let got = site.http("GET", &path, &[], b"");
    assert!(got.status == 200 && got.body == large, "{}", got.head);
    assert!(got.head.to_ascii_lowercase().contains("x-content-type-options: nosniff"));
    assert_eq!(site.shell(&id, "wc -c <'larger one'").trim(), large.len().to_string());
    let params = json!({ "id": id, "path": "larger one" });
    let refused = site.call("sandbox.v1.readFile", params).unwrap_err();
    assert_eq!(refused.hint.as_deref(), Some("download it: GET /sandbox/{id}/files?path="));
    // Nothing, and a mode.
    let path = format!("/sandbox/{id}/files?path=script&mode=755");
    assert_eq!(site.http("PUT", &path, &[], b"#!/bin/sh\necho ran\n").status, 200);
    assert_eq!(site.shell(&id, "./script"), "ran\n");
    let path = format!("/sandbox/{id}/files?path=empty");
    assert_eq!(site.http("PUT", &path, &[], b"").status, 200);
    let got = site.http("GET", &path, &[], b"");
    assert_eq!((got.status, got.body.len()), (200, 0));
    site.delete(&id);
}

pub fn whats_missing_is_told(site: &Site) {
    let id = site.create();
    write(site, &id, "file", b"");
    for (method, path, code, error_code) in [
        ("readFile", "nowhere", -32009, "E3010"),
        ("readFile", "nowhere/at/all", -32009, "E3010"),
        ("readFile", "/workspace", -32009, "E3012"),
        ("listDir", "nowhere", -32010, "E3010"),
        ("listDir", "file", -32010, "E3012"),
        ("stat", "nowhere", -32011, "E3010"),
        ("remove", "nowhere", -32011, "E3010"),
        ("readFile", "", -32001, "E1005"),
        ("readFile", "a\0b", -32001, "E1005"),
    ] {
        let params = json!({ "id": id, "path": path });
        let refused = site.call(&format!("sandbox.v1.{method}"), params).unwrap_err();
        assert_eq!((refused.code, &*refused.error_code), (code, error_code), "{method} {path:?}");
    }
    let params = json!({ "id": id, "path": "/workspace", "content": "" });
    let refused = site.call("sandbox.v1.writeFile", params).unwrap_err();
    assert_eq!((refused.code, &*refused.error_code), (-32008, "E3012"));
    let params = json!({ "id": id, "path": "file", "content": "not base64!" });
    assert_eq!(site.call("sandbox.v1.writeFile", params).unwrap_err().code, -32001);
    let missing = site.http("GET", &format!("/sandbox/{id}/files?path=nowhere"), &[], b"");
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json()["error"]["data"]["details"]["error_code"], json!("E3010"));
    assert_eq!(site.http("GET", &format!("/sandbox/{id}/files"), &[], b"").status, 400);
    assert_eq!(site.http("GET", "/sandbox/unknown/files?path=a", &[], b"").status, 404);
    site.delete(&id);
}

pub fn names_change(site: &Site) {
    let id = site.create();
    let call = |method: &str, params: serde_json::Value| {
        let mut params = params;
        params["id"] = json!(id);
        site.call(&format!("sandbox.v1.{method}"), params)
    };
    let ok = json!({ "ok": true });
    assert_eq!(call("mkdir", json!({ "path": "a/b/c" })).unwrap(), ok);
    assert_eq!(call("mkdir", json!({ "path": "a/b/c" })).unwrap(), ok);
    write(site, &id, "a/file", b"1234");
    let stat = call("stat", json!({ "path": "a/file" })).unwrap();
    assert_eq!((&stat["kind"], &stat["size"]), (&json!("file"), &json!(4)));
    assert_eq!(call("move", json!({ "from": "a/file", "to": "a/b/moved" })).unwrap(), ok);
    assert_eq!(call("stat", json!({ "path": "a/file" })).unwrap_err().error_code, "E3010");
    assert_eq!(read(site, &id, "a/b/moved"), b"1234");
    assert_eq!(call("remove", json!({ "path": "a" })).unwrap_err().error_code, "E3013");
    assert_eq!(call("remove", json!({ "path": "a", "recursive": true })).unwrap(), ok);
    site.shell(&id, "ln -s /etc/hostname link");
    let stat = call("stat", json!({ "path": "link" })).unwrap();
    assert_eq!((&stat["kind"], &stat["target"]), (&json!("link"), &json!("/etc/hostname")));
    assert_eq!(call("remove", json!({ "path": "link" })).unwrap(), ok);
    site.delete(&id);
}

/// However a path climbs, it ends in the sandbox.
pub fn no_way_out(site: &Site) {
    let id = site.create();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "of the host").unwrap();
    let up = "../".repeat(30);
    let outside = secret.to_str().unwrap();
    for path in [format!("{up}{outside}"), format!("/workspace/{up}{outside}"), outside.to_owned()]
    {
        let refused = site.call("sandbox.v1.readFile", json!({ "id": id, "path": path }));
        assert_eq!(refused.unwrap_err().error_code, "E3010", "{path}");
        let encoded = path.replace('/', "%2f");
        let got = site.http("GET", &format!("/sandbox/{id}/files?path={encoded}"), &[], b"");
        assert_eq!(got.status, 404);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    site.delete(&id);
}

pub fn special_files_do_not_hang(site: &Site) {
    let id = site.create();
    site.shell(&id, "mkfifo pipe");
    let began = Instant::now();
    let params = json!({ "id": id, "path": "pipe" });
    assert_eq!(site.call("sandbox.v1.readFile", params).unwrap_err().error_code, "E3012");
    let params = json!({ "id": id, "path": "pipe", "content": "" });
    assert_eq!(site.call("sandbox.v1.writeFile", params).unwrap_err().error_code, "E3012");
    assert!(began.elapsed() < Duration::from_secs(2));
    site.delete(&id);
}

/// Half a body is no file that anybody takes for a whole, and half an answer shows as such.
pub fn streams_break_off_loudly(site: &Site) {
    let id = site.create();
    let path = format!("/sandbox/{id}/files?path=half");
    let mut stream = site.connect();
    let head = site.head("PUT", &path, &[("Content-Length", "1000000")]);
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&[7; 1000]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    site.delete(&id);
}
