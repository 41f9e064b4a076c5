//! Making, listing, showing, ending; tables, JSON, failures.

use std::process::Command;

use capsule_tests::{Binary, Run, Scratch, path_of};
use serde_json::{Value, json};

use super::{capsule, created};
use crate::server::Serve;

fn lines(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn a_sandbox_is_made_shown_and_removed() {
    let serve = Serve::start(&[]);
    let options = [
        "sandbox",
        "create",
        "-t",
        "shell",
        "--ttl",
        "1h",
        "--idle",
        "30m",
        "-l",
        "team=a",
        "--metadata",
        "who=me",
        "-e",
        "COLOUR=red",
        "--memory",
        "64M",
        "--once",
        "it",
    ];
    let first = capsule(&serve, &options).finish().ended_with(0);
    let id = first.text().trim();
    // The same creation is the same sandbox.
    assert_eq!(capsule(&serve, &options).finish().ended_with(0).text().trim(), id);

    let listed = capsule(&serve, &["sandbox", "ls", "--label", "team=a"]).finish().ended_with(0);
    let table = lines(listed.text());
    assert_eq!(table[0], ["ID", "TEMPLATE", "STATE", "AGE", "EXPIRES", "PROCESSES", "LABELS"]);
    assert_eq!((table.len(), table[1][0], table[1][2]), (2, id, "ready"), "{listed}");
    assert_eq!(table[1][6], "team=a");
    assert!(!listed.text().contains('\u{1b}'), "no colour without a terminal");
    let none = capsule(&serve, &["sandbox", "ls", "-q", "-l", "team=b"]).finish().ended_with(0);
    assert_eq!(none.text(), "");

    let shown = capsule(&serve, &["sandbox", "get", id]).finish().ended_with(0);
    assert!(shown.text().contains("idle       30m\n"), "{shown}");
    let shown = capsule(&serve, &["sandbox", "get", id, "--json"]).finish().ended_with(0).json();
    assert_eq!((&shown["id"], &shown["metadata"]), (&json!(id), &json!({ "who": "me" })));

    let colour = ["sandbox", "exec", id, "--", "sh", "-c", "echo $COLOUR"];
    assert_eq!(capsule(&serve, &colour).finish().ended_with(0).text(), "red\n");
    let paused = capsule(&serve, &["sandbox", "pause", id, "--json"]).finish().ended_with(0).json();
    assert_eq!(paused["state"], "paused");
    let on = capsule(&serve, &["sandbox", "resume", id, "--json"]).finish().ended_with(0).json();
    assert_eq!(on["state"], "ready");
    let longer = ["sandbox", "extend", id, "--ttl", "480h", "--json"];
    let longer = capsule(&serve, &longer).finish().ended_with(0).json();
    assert_ne!(longer["expires_at"], shown["expires_at"]);

    let stats = capsule(&serve, &["sandbox", "stats", "--json"]).finish().ended_with(0).json();
    assert_eq!(stats["stats"][0]["id"], json!(id));
    let stats = capsule(&serve, &["sandbox", "stats", id]).finish().ended_with(0);
    assert_eq!(lines(stats.text())[1][0], id);
    let removed = capsule(&serve, &["sandbox", "rm", id]).finish().ended_with(0);
    assert_eq!(removed.text().trim(), id);
    let gone = capsule(&serve, &["sandbox", "get", id]).finish().ended_with(1);
    assert_eq!(gone.error_code().as_deref(), Some("E1015"), "{gone}");
}

#[test]
fn several_are_removed_although_one_is_not_there() {
    let serve = Serve::start(&[]);
    let (one, other) = (created(&serve), created(&serve));
    let removed = capsule(&serve, &["sandbox", "rm", &one, "nobody", &other]).finish();
    let removed = removed.ended_with(1);
    assert_eq!(removed.text(), format!("{one}\n{other}\n"));
    assert_eq!(removed.error_code().as_deref(), Some("E1015"));
    assert_eq!(capsule(&serve, &["sandbox", "ls", "-q"]).finish().ended_with(0).text(), "");
}

#[test]
fn a_list_goes_on_over_pages() {
    let serve = Serve::start(&[]);
    let mut made: Vec<String> = (0..3).map(|_| created(&serve)).collect();
    made.sort();
    let listed = capsule(&serve, &["sandbox", "ls", "-q"]).finish().ended_with(0);
    assert_eq!(listed.text().lines().collect::<Vec<_>>(), made);
}

/// What ran is told, and no terminal obeys it.
#[test]
fn logs_are_harmless() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let evil = "printf '\\033]0;owned\\007\\033[2J'; exit 3";
    capsule(&serve, &["sandbox", "exec", &id, "--json", "--", "sh", "-c", evil])
        .finish()
        .ended_with(3);
    // As people run it, too: over a stream.
    capsule(&serve, &["sandbox", "exec", &id, "--", "echo", "by-hand"]).finish().ended_with(0);
    let streams = ["sandbox", "logs", &id, "--kind", "stream"];
    let streams = capsule(&serve, &streams).finish().ended_with(0);
    assert!(streams.text().contains("echo by-hand"), "{streams}");
    serve
        .call("sandbox.v1.exec", json!({ "id": id, "cmd": ["sh", "-c", ": \u{1b}[31m\u{202e}"] }))
        .unwrap();
    for arguments in [&["sandbox", "logs", &id][..], &["sandbox", "logs", &id, "--output"]] {
        // Executions are written a moment after they were answered.
        let mut seen = capsule(&serve, arguments).finish().ended_with(0);
        for _ in 0..100 {
            if seen.text().contains("31m") && seen.text().contains("033") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            seen = capsule(&serve, arguments).finish().ended_with(0);
        }
        assert!(!seen.text().contains(['\u{1b}', '\u{7}', '\u{202e}']), "{seen}");
        assert!(seen.text().contains("\\u{1b}[31m\\u{202e}"), "{seen}");
    }
    let failed = capsule(&serve, &["sandbox", "logs", "--failed", "--json"]).finish().ended_with(0);
    assert_eq!(failed.json()["executions"].as_array().map(Vec::len), Some(1));
}

/// Labels and names of others reach a terminal as text.
#[test]
fn tables_are_harmless() {
    let serve = Serve::start(&[]);
    let labels = json!({ "evil": "\u{1b}[2J\r\nroot ready" });
    let id =
        serve.create_with(json!({ "template": "shell", "labels": labels, "metadata": labels }));
    for arguments in [&["sandbox", "ls"][..], &["sandbox", "get", &id]] {
        let shown = capsule(&serve, arguments).finish().ended_with(0);
        assert!(!shown.text().contains(['\u{1b}', '\r']), "{shown}");
        assert!(shown.text().contains("evil=\\u{1b}[2J\\r\\nroot"), "{shown}");
    }
}

#[test]
fn templates_are_listed() {
    let serve = Serve::start(&[]);
    let listed = capsule(&serve, &["template", "ls"]).finish().ended_with(0);
    let table = lines(listed.text());
    assert_eq!(table[0][0], "NAME");
    for name in ["go", "node", "python", "shell"] {
        assert!(table.iter().any(|row| row[0] == name), "{listed}");
    }
}

#[test]
fn where_no_server_is_the_error_says_how_to_get_one() {
    // A port that was free a moment ago, and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    for verb in [&["sandbox", "ls"][..], &["template", "ls"], &["volume", "ls"]] {
        let failed = Run::new(verb).binary(Binary::Capsule).variable("CAPSULE_SERVER", &url);
        let failed = failed.finish().ended_with(1);
        assert_eq!(
            failed.errors(),
            format!(
                "error[E2011]: no server answers at {url}: connection refused\nhint: start one: \
                 capsule serve; or name it: --server URL, CAPSULE_SERVER\n"
            )
        );
    }
    let failed = Run::new(&["sandbox", "exec", "x", "--server", &url, "--", "true"]);
    failed.binary(Binary::Capsule).finish().ended_with(125);
    let failed = Run::new(&["sandbox", "ls", "--unix", "/nowhere/socket", "--json"]);
    let failed = failed.binary(Binary::Capsule).finish().ended_with(1);
    let told: Value = serde_json::from_str(failed.errors()).unwrap();
    assert_eq!(told["error"]["code"], "E2011");
    assert_eq!(failed.text(), "");
}

/// Something else listens there: a page, nothing, or no end of bytes.
#[test]
fn what_is_no_server_is_told_from_one() {
    use std::io::{Read, Write};
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"",
    ] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        });
        let run = Run::new(&["sandbox", "ls", "--server", &url]).binary(Binary::Capsule);
        let failed = run.finish().ended_with(1);
        assert_eq!(failed.error_code().as_deref(), Some("E2011"), "{failed}");
        server.join().unwrap();
    }
}

#[test]
fn a_key_comes_from_the_environment_or_a_file() {
    let folder = Scratch::new();
    let data = folder.path().join("data");
    let mut keys = Command::new(path_of(Binary::Capsule));
    keys.args(["keys", "create", "--data"]).arg(&data);
    let key = String::from_utf8(keys.output().unwrap().stdout).unwrap();
    let file = folder.file("key", &key);
    let serve = Serve::again(&data, &["--require-key"]);
    let without = capsule(&serve, &["sandbox", "ls"]).finish().ended_with(1);
    assert_eq!(without.error_code().as_deref(), Some("E5004"), "{without}");
    let with = capsule(&serve, &["sandbox", "ls"]).variable("CAPSULE_API_KEY", key.trim());
    with.finish().ended_with(0);
    capsule(&serve, &["sandbox", "ls", "--key-file", &file]).finish().ended_with(0);
    // Terminals and files have the same door.
    let make = ["sandbox", "create", "-t", "shell", "--key-file", &file];
    let id = capsule(&serve, &make).finish().ended_with(0).text().trim().to_owned();
    let exec = ["sandbox", "exec", &id, "--", "true"];
    capsule(&serve, &exec).variable("CAPSULE_API_KEY", key.trim()).finish().ended_with(0);
    let refused = capsule(&serve, &exec).finish().ended_with(125);
    assert_eq!(refused.error_code().as_deref(), Some("E5004"), "{refused}");
    // Nothing of a key that cannot be one reaches a head.
    let split = capsule(&serve, &["sandbox", "ls"]).variable("CAPSULE_API_KEY", "a\r\nHost: b");
    assert_eq!(split.finish().ended_with(1).error_code().as_deref(), Some("E1003"));
}

#[test]
fn a_unix_socket_serves_as_well() {
    let folder = Scratch::new();
    let socket = folder.at("socket");
    let data = folder.path().join("data");
    let mut command = Command::new(path_of(Binary::Capsule));
    command.args(["serve", "--unix", &socket, "--data"]).arg(&data);
    let serve = Serve::run(command, &data);
    let run = |arguments: &[&str]| Run::new(arguments).binary(Binary::Capsule);
    let made = run(&["sandbox", "create", "-t", "shell", "--unix", &socket]).finish();
    let id = made.ended_with(0).text().trim().to_owned();
    let said = run(&["sandbox", "exec", &id, "--unix", &socket, "--", "echo", "hello"]).finish();
    assert_eq!(said.ended_with(0).text(), "hello\n");
    // What a server prints names it.
    run(&["sandbox", "rm", &id, "--server", &serve.said]).finish().ended_with(0);
}

/// A verb that the server does not know yet says so.
#[test]
fn an_older_server_is_told_of() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let details = json!({ "error_code": "E1002", "hint": "did you mean another?" });
        let error = json!({ "code": -32601, "message": "there is no method \"sandbox.v1.snapshot\"",
            "data": { "type": "METHOD_NOT_FOUND", "retryable": false, "details": details } });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "error": error }).to_string();
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    });
    let run = Run::new(&["sandbox", "snapshot", "k3v9", "--server", &url]).binary(Binary::Capsule);
    let failed = run.finish().ended_with(1);
    assert_eq!(
        failed.errors(),
        "error[E1002]: there is no method \"sandbox.v1.snapshot\"\n\
         hint: the server is older than this command, or not started for it\n"
    );
    server.join().unwrap();
}

#[test]
fn options_that_cannot_be_read_are_refused_before_anything_is_asked() {
    for arguments in [
        &["sandbox", "create", "--ttl", "soon"][..],
        &["sandbox", "create", "--env", "novalue"],
        &["sandbox", "create", "--volume", "data"],
        &["sandbox", "ls", "--server", "https://example.org"],
        &["sandbox", "extend", "x", "--ttl", "-1"],
        &["volume", "create", "x", "--size", "much"],
    ] {
        let run = Run::new(arguments).binary(Binary::Capsule);
        let run = run.variable("CAPSULE_SERVER", "http://127.0.0.1:1");
        let failed = run.finish();
        let code = failed.error_code();
        assert!(
            failed.code == Some(2) || code.as_deref() == Some("E1003"),
            "{arguments:?}\n{failed}"
        );
    }
}
