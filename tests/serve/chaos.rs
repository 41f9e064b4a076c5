//! Everything at once: sandboxes, half-open terminals, a full disk, PID 1s and servers that
//! are killed. What was answered is there afterwards, and in the end nothing is left.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use capsule_tests::{Signal, send_signal};
use serde_json::{Value, json};

use crate::server::Serve;
use crate::suite::client::Site;
use crate::suite::exec::until;

/// Processes of the host with this word in their command line.
fn count(mark: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|one| std::fs::read(one.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count()
}

fn init_of(data: &Path, id: &str) -> u32 {
    let record = std::fs::read(data.join(format!("jails/{id}.json"))).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    u32::try_from(record["pid"].as_u64().unwrap()).unwrap()
}

/// Names that the state folder of the jails has.
fn left(data: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data.join("jails")).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name != "lock").collect()
}

/// Terminals whose clients opened them, or half of them, and never came back.
fn half_open(site: &Site, id: &str, whole: usize, parts: usize) -> Vec<TcpStream> {
    let head = site.head(
        "GET",
        &format!("/terminal/{id}"),
        &[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ],
    );
    let open = |turn: usize| {
        let mut stream = TcpStream::connect(site.address).ok()?;
        let bytes = if turn < whole { head.len() } else { turn % head.len() };
        stream.write_all(&head.as_bytes()[..bytes]).ok()?;
        Some(stream)
    };
    (0..whole + parts).filter_map(open).collect()
}

#[test]
fn nothing_is_lost_and_nothing_is_left() {
    let serve = Serve::start(&[]);
    let mark = format!("4321.{}", serve.process());
    let limits = json!({ "disk_bytes": 8 << 20 });
    let create =
        |serve: &Serve| serve.create_with(json!({ "template": "shell", "limits": limits }));
    let ids: Vec<String> = (0..6).map(|_| create(&serve)).collect();
    for (turn, id) in ids.iter().enumerate() {
        serve.shell(id, &format!("echo {turn} >file"));
        let start =
            json!({ "id": id, "cmd": ["/bin/sh", "-c", format!("sleep {mark} & sleep {mark}")] });
        serve.call("sandbox.v1.start", start).unwrap();
    }
    until(|| count(&mark) >= 12);
    let terminals = half_open(&serve, &ids[0], 40, 2_000);
    // A full disk, in one that goes on living.
    let full = serve.exec(&ids[1], &["/bin/sh", "-c", "head -c 20000000 /dev/zero >full"]);
    assert_ne!(full["exit_code"], json!(0));
    // Two PID 1s die, and the server in the same moment.
    for id in &ids[4..] {
        send_signal(init_of(&serve.data, id), Signal::Kill);
    }
    let (data, folder) = serve.kill();
    drop(terminals);

    let serve = Serve::again(&data, &[]);
    for (turn, id) in ids[..4].iter().enumerate() {
        assert_eq!(serve.shell(id, "cat file"), format!("{turn}\n"), "what was answered is there");
        let found = serve.call("sandbox.v1.get", json!({ "id": id })).unwrap();
        assert_eq!((&found["state"], &found["processes"]), (&json!("ready"), &json!(1)), "{id}");
    }
    for id in &ids[4..] {
        assert_eq!(
            serve.call("sandbox.v1.get", json!({ "id": id })).unwrap_err().error_code,
            "E1015"
        );
    }
    until(|| count(&mark) == 4 * 3);
    let refused = json!({ "id": ids[1], "path": "more", "content": "A".repeat(64 << 10) });
    assert_eq!(serve.call("sandbox.v1.writeFile", refused).unwrap_err().error_code, "E4006");
    serve.shell(&ids[1], "rm full; echo room >more");
    // One dies while its server lives, and again the server, twice in a row.
    send_signal(init_of(&data, &ids[3]), Signal::Kill);
    until(|| serve.call("sandbox.v1.get", json!({ "id": ids[3] })).is_err());
    let (_, _) = serve.kill();
    let (_, _) = Serve::again(&data, &[]).kill();
    let mut serve = Serve::again(&data, &[]);
    assert_eq!(
        serve.call("sandbox.v1.list", json!({})).unwrap()["sandboxes"].as_array().unwrap().len(),
        3
    );
    assert_eq!(serve.shell(&ids[1], "cat more"), "room\n");
    assert_eq!(serve.stop(), Some(0));
    assert_eq!((count(&mark), left(&data)), (0, Vec::<String>::new()));
    drop(folder);
}

/// To stop a sandbox takes steps. Whichever was the last before its server died, nothing in it
/// stands still for ever: what stands still cannot even be killed.
#[test]
fn a_server_that_dies_while_it_pauses_leaves_nothing() {
    let mut serve = Serve::start(&["--pool", "0"]);
    let mark = format!("4322.{}", serve.process());
    let mut folders = Vec::new();
    let script = format!("for i in 1 2 3 4 5 6 7 8 9; do sleep {mark} & done; wait");
    for turn in 0..24 {
        let id = serve.create();
        let start = json!({ "id": id, "cmd": ["/bin/sh", "-c", script] });
        serve.call("sandbox.v1.start", start).unwrap();
        until(|| count(&mark) == 10);
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "sandbox.v1.pause",
            "params": { "id": id } });
        let mut asking = serve.connect();
        let body = body.to_string();
        let length = body.len().to_string();
        let head = serve.head(
            "POST",
            "/rpc",
            &[("Content-Type", "application/json"), ("Content-Length", &length)],
        );
        asking.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
        std::thread::sleep(std::time::Duration::from_micros(600 * turn));
        let (data, folder) = serve.kill();
        folders.extend(folder);
        serve = Serve::again(&data, &["--pool", "0"]);
        serve.delete(&id);
        until(|| count(&mark) == 0);
        assert_eq!(left(&data), Vec::<String>::new(), "turn {turn}");
    }
    assert_eq!(serve.stop(), Some(0));
}
