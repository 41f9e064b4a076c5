//! Processes that outlive a request.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use super::client::{Events, Site};
use super::exec::until;
use super::pace;

fn start(site: &Site, id: &str, script: &str) -> u64 {
    let params = json!({ "id": id, "cmd": ["/bin/sh", "-c", script] });
    site.call("sandbox.v1.start", params).unwrap()["process"].as_u64().unwrap()
}

fn wait(site: &Site, id: &str, process: u64) -> Value {
    let params = json!({ "id": id, "process": process, "timeout_ms": 20_000 });
    site.call("sandbox.v1.wait", params).unwrap()["exit"].take()
}

/// What the events say was written to one stream, and the last event.
fn heard(events: Vec<(String, Value)>, stream: &str) -> (Vec<u8>, Value) {
    let last = events.last().map(|(_, data)| data.clone()).unwrap_or_default();
    let ours = events.iter().filter(|(name, _)| name == stream);
    let bytes = ours
        .flat_map(|(_, data)| STANDARD.decode(data[stream]["data"].as_str().unwrap()).unwrap())
        .collect();
    (bytes, last)
}

pub fn output_is_kept_and_told_again(site: &Site) {
    let id = site.create();
    let process = start(site, &id, "echo one; echo two >&2; read x; echo three; exit 5");
    let attach = |offset: u64| {
        let params = json!({ "id": id, "process": process, "offset": offset });
        site.events("sandbox.v1.attach", params)
    };
    let mut first = attach(0);
    let mut next = 0;
    while next < 8 {
        let (name, data) = first.next().unwrap();
        next = data[&name]["next"].as_u64().unwrap();
    }
    drop(first);
    assert_eq!(wait_a_moment(site, &id, process), Value::Null);
    let params = json!({ "id": id, "process": process, "data": STANDARD.encode("go\n") });
    site.call("sandbox.v1.input", params).unwrap();
    let exit = wait(site, &id, process);
    assert_eq!((&exit["exit_code"], &exit["timed_out"]), (&json!(5), &json!(false)));
    let (rest, last) = heard(attach(next).all(), "stdout");
    assert_eq!((&*rest, &last["exit"]["exit_code"]), (&b"three\n"[..], &json!(5)));
    let again = attach(0).all();
    assert_eq!(heard(again.clone(), "stdout").0, b"one\nthree\n");
    assert_eq!(heard(again, "stderr").0, b"two\n");
    let listed = site.call("sandbox.v1.processes", json!({ "id": id })).unwrap();
    assert_eq!(listed["processes"][0]["exit"]["exit_code"], json!(5));
    site.delete(&id);
}

fn wait_a_moment(site: &Site, id: &str, process: u64) -> Value {
    let params = json!({ "id": id, "process": process, "timeout_ms": 50 });
    site.call("sandbox.v1.wait", params).unwrap()["exit"].take()
}

pub fn input_and_signals(site: &Site) {
    let id = site.create();
    let process = start(site, &id, "cat; echo end");
    let params = json!({ "id": id, "process": process, "data": "YQ==" });
    site.call("sandbox.v1.input", params.clone()).unwrap();
    site.call("sandbox.v1.closeInput", json!({ "id": id, "process": process })).unwrap();
    assert_eq!(wait(site, &id, process)["exit_code"], json!(0));
    assert_eq!(site.call("sandbox.v1.input", params).unwrap_err().error_code, "E3015");
    let process = start(site, &id, "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done");
    let mut events = site.events("sandbox.v1.attach", json!({ "id": id, "process": process }));
    assert_eq!(events.next().unwrap().0, "stdout");
    let params = json!({ "id": id, "process": process, "signal": 15, "tree": false });
    site.call("sandbox.v1.kill", params).unwrap();
    assert_eq!(wait(site, &id, process)["exit_code"], json!(9));
    let process = start(site, &id, "sleep 1000");
    site.call("sandbox.v1.kill", json!({ "id": id, "process": process })).unwrap();
    let exit = wait(site, &id, process);
    assert_eq!((&exit["exit_code"], &exit["signal"]), (&json!(137), &json!(9)));
    let twice = site.call("sandbox.v1.kill", json!({ "id": id, "process": process })).unwrap_err();
    assert_eq!((twice.code, &*twice.error_code), (-32005, "E3015"));
    let refused = site.call("sandbox.v1.kill", json!({ "id": id, "process": 99_999 })).unwrap_err();
    assert_eq!((refused.code, &*refused.error_code), (-32002, "E1016"));
    // One with a time of its own.
    let params = json!({ "id": id, "cmd": ["sleep", "1000"], "timeout_ms": 200 });
    let process = site.call("sandbox.v1.start", params).unwrap()["process"].as_u64().unwrap();
    let exit = wait(site, &id, process);
    assert_eq!((&exit["exit_code"], &exit["timed_out"]), (&json!(124), &json!(true)));
    site.delete(&id);
}

pub fn stream_of_a_command(site: &Site) {
    let id = site.create();
    let script = format!("echo a; sleep {}; echo b >&2; exit 3", pace() as f32 / 2.0);
    let cmd = ["/bin/sh", "-c", &script];
    let mut events = site.events("sandbox.v1.execStream", json!({ "id": id, "cmd": cmd }));
    let began = Instant::now();
    let mut names = Vec::new();
    while let Some((name, data)) = events.next() {
        if name == "stdout" {
            let most = Duration::from_millis(450 * pace());
            assert!(began.elapsed() < most, "output comes as it is written");
        }
        if name == "exit" {
            assert_eq!(data["exit"]["exit_code"], json!(3));
        }
        names.push(name);
    }
    assert_eq!(names, ["started", "stdout", "stderr", "exit"]);
    let params = json!({ "id": id, "cmd": ["sleep", "100"], "timeout_ms": 300 });
    let (_, last) = heard(site.events("sandbox.v1.execStream", params).all(), "stdout");
    assert_eq!(last["exit"]["timed_out"], json!(true));
    let refused = site.call("sandbox.v1.execStream", json!({ "id": id, "cmd": ["no-such"] }));
    assert_eq!(refused.unwrap_err().error_code, "E3001");
    site.delete(&id);
}

pub fn gone_listener_ends_a_stream(site: &Site) {
    let id = site.create();
    let params = json!({ "id": id, "cmd": ["sleep", "100"], "timeout_ms": 100_000 });
    let mut events = site.events("sandbox.v1.execStream", params);
    assert_eq!(events.next().unwrap().0, "started");
    let running = || site.call("sandbox.v1.get", json!({ "id": id })).unwrap()["processes"].clone();
    assert_eq!(running(), json!(1));
    drop(events);
    until(|| running() == json!(0));
    site.delete(&id);
}

fn message(socket: &mut WebSocket<TcpStream>) -> Value {
    loop {
        match socket.read().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Close(frame) => return json!({ "close": u16::from(frame.unwrap().code) }),
            _ => {}
        }
    }
}

pub fn socket_of_a_command(site: &Site) {
    let id = site.create();
    let path = format!("/sandbox/{id}/exec");
    let mut socket = site.socket(&path);
    let first = json!({ "cmd": ["/bin/sh", "-c", "cat; exit 4"] });
    socket.send(Message::text(first.to_string())).unwrap();
    assert!(message(&mut socket)["started"]["process"].is_u64());
    socket.send(Message::binary(b"\x00\xffraw".to_vec())).unwrap();
    assert_eq!(message(&mut socket)["stdout"]["data"], json!(STANDARD.encode(b"\x00\xffraw")));
    socket.send(Message::text(json!({ "input": "text" }).to_string())).unwrap();
    assert_eq!(message(&mut socket)["stdout"]["data"], json!(STANDARD.encode("text")));
    socket.send(Message::text(json!({ "close_input": true }).to_string())).unwrap();
    assert_eq!(message(&mut socket)["exit"]["exit_code"], json!(4));
    assert_eq!(message(&mut socket), json!({ "close": 1000 }));
    for (first, code) in [
        (json!({ "cmd": ["no-such-program"] }), "E3001"),
        (json!({ "cmd": [] }), "E1004"),
        (json!({ "comand": ["true"] }), "E1002"),
        (json!([1]), "E1001"),
    ] {
        let mut socket = site.socket(&path);
        socket.send(Message::text(first.to_string())).unwrap();
        let refused = message(&mut socket);
        assert_eq!(refused["error"]["data"]["details"]["error_code"], json!(code), "{refused}");
        assert_eq!(message(&mut socket), json!({ "close": 4002 }));
    }
    site.delete(&id);
}

/// Output that is many times what is kept reaches a slow reader whole.
pub fn slow_listener_loses_nothing(site: &Site) {
    let id = site.create();
    let cmd = ["/bin/sh", "-c", "head -c 8000000 /dev/zero"];
    let params = json!({ "id": id, "cmd": cmd, "timeout_ms": 60_000 });
    let mut events: Events = site.events("sandbox.v1.execStream", params);
    let mut total = 0;
    let mut turn = 0;
    while let Some((name, data)) = events.next() {
        turn += 1;
        if turn < 20 {
            std::thread::sleep(Duration::from_millis(30));
        }
        assert_ne!(name, "gap");
        if name == "stdout" {
            total += STANDARD.decode(data["stdout"]["data"].as_str().unwrap()).unwrap().len();
        }
    }
    assert_eq!(total, 8_000_000);
    // Without a reader nothing holds it up, and what was lost is told.
    let process = start(site, &id, "head -c 8000000 /dev/zero; echo end");
    assert_eq!(wait(site, &id, process)["exit_code"], json!(0));
    let params = json!({ "id": id, "process": process });
    let events = site.events("sandbox.v1.attach", params).all();
    let gap = events[0].1["gap"]["bytes"].as_u64().unwrap();
    let (kept, _) = heard(events, "stdout");
    assert_eq!(gap + kept.len() as u64, 8_000_004);
    assert!(kept.ends_with(b"end\n"));
    site.delete(&id);
}
