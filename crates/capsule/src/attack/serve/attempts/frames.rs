//! Frames that are too large, broken, or two in one.

use std::io::{self, Read, Write};

use serde_json::json;

use crate::attack::Family;
use crate::attack::host;
use crate::attack::serve::attempt::{Access, Attempt, Tries, Without};
use crate::attack::serve::door::frame;
use crate::attack::serve::scene::Scene;

const FAMILY: Family = Family::Frames;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"sandbox.v1.list","params":{}}"#;
/// What a stranger may make the server hold, and some room.
const MOST_KIB: u64 = 420 << 10;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "hostile-json",
        family: FAMILY,
        tries: "send JSON that is deep, huge, doubled or out of range",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: hostile_json,
    },
    Attempt {
        name: "oversized-bodies",
        family: FAMILY,
        tries: "send bodies and heads without an end, announced and not announced",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: oversized_bodies,
    },
    Attempt {
        name: "smuggled-requests",
        family: FAMILY,
        tries: "hide a second request in the first, by lengths that contradict each other",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: smuggled_requests,
    },
    Attempt {
        name: "broken-frames",
        family: FAMILY,
        tries: "send frames of a WebSocket that are unmasked, reserved, too long or no text",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: broken_frames,
    },
    Attempt {
        name: "large-batches",
        family: FAMILY,
        tries: "send thousands of calls in one batch, and batches in batches",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: large_batches,
    },
];

fn hostile_json(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    let deep = |open: &str, close: &str, times: usize| {
        format!("{}1{}", open.repeat(times), close.repeat(times))
    };
    let request = |params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"sandbox.v1.exec","params":{params}}}"#)
    };
    let with = |field: &str| request(&format!(r#"{{"id":"{id}","cmd":["true"],{field}}}"#));
    for (what, body) in [
        ("deep lists", request(&deep("[", "]", 100_000))),
        ("deep objects", request(&deep(r#"{"id":"#, "}", 100_000))),
        ("a deep variable", with(&format!(r#""env":{}"#, deep(r#"{"a":"#, "}", 50_000)))),
        ("a number without an end", with(&format!(r#""timeout_ms":{}"#, "9".repeat(100_000)))),
        ("infinity", with(r#""timeout_ms":1e999"#)),
        ("a negative time", with(r#""timeout_ms":-1"#)),
        ("a part of a time", with(r#""timeout_ms":5000.5"#)),
        ("a time as text", with(r#""timeout_ms":"5000""#)),
        ("no number", with(r#""timeout_ms":NaN"#)),
        ("a field twice", with(r#""timeout_ms":1,"timeout_ms":2"#)),
        ("the sandbox twice", with(&format!(r#""id":"{id}""#))),
        ("a prototype", with(r#""__proto__":{"admin":true}"#)),
        ("half a character", with(r#""cwd":"\ud800""#)),
        ("a NUL", with(r#""cwd":"/tmp\u0000/x""#)),
        (
            "the method twice",
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"sandbox.v1.get","method":"sandbox.v1.delete","params":{{"id":"{id}"}}}}"#
            ),
        ),
    ] {
        let answer = scene.other.post(&body)?;
        let code = answer.json()["error"]["code"].as_i64();
        let is_refused = matches!(code, Some(-32700 | -32600 | -32001));
        tries.expect(what, is_refused, format!("HTTP {}, {code:?}", answer.status));
    }
    let found = scene.mine.call("sandbox.v1.get", json!({ "id": id }))?;
    tries.expect("what came of it", found.is_ok(), "the sandbox is there");
    Ok(())
}

fn resident_kib(scene: &Scene) -> u64 {
    let pid = scene.process().cast_signed();
    let text = host::status_field(pid, "VmRSS").unwrap_or_default();
    text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(u64::MAX)
}

fn oversized_bodies(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let json = ("Content-Type", "application/json");
    // Announced: refused before it comes.
    let head = scene.other.head("POST", "/rpc", &[json, ("Content-Length", "99999999999999")]);
    let said = scene.other.said(head.as_bytes())?;
    tries.expect("an announced body", !said.contains(" 200 "), first_line(&said));
    // Not announced: it comes and comes.
    let head = scene.other.head("POST", "/rpc", &[json, ("Transfer-Encoding", "chunked")]);
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = scene.other.connect()?;
        stream.write_all(head.as_bytes())?;
        streams.push(stream);
    }
    let mut piece = b"100000\r\n".to_vec();
    piece.resize(piece.len() + (1 << 20), b' ');
    piece.extend_from_slice(b"\r\n");
    let mut sent = 0;
    'all: for _ in 0..200 {
        for stream in &mut streams {
            if stream.write_all(&piece).is_err() {
                break 'all;
            }
            sent += 1;
        }
    }
    tries.expect("bodies without an end", sent < 400, format!("cut off after {sent} MiB"));
    let resident = resident_kib(scene);
    tries.expect("memory", resident < MOST_KIB, format!("{} MiB", resident >> 10));
    drop(streams);
    let long = "a".repeat(1 << 20);
    for head in [
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X-A: b\r\n".repeat(20_000)),
    ] {
        let said = scene.other.said(head.as_bytes())?;
        tries.expect("a large head", !said.contains(" 200 "), first_line(&said));
    }
    Ok(())
}

fn first_line(said: &str) -> String {
    match said.lines().next() {
        Some(line) => line.chars().take(80).collect(),
        None => "closed without a word".to_owned(),
    }
}

fn smuggled_requests(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let host = format!("Host: {}\r\nContent-Type: application/json\r\n", scene.mine.address);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let second =
        format!("POST /rpc HTTP/1.1\r\n{host}Content-Length: {}\r\n\r\n{LIST}", LIST.len());
    for (what, head) in [
        (
            "two lengths",
            format!("POST /rpc HTTP/1.1\r\n{host}Content-Length: 4\r\nContent-Length: 5\r\n\r\n"),
        ),
        ("a signed length", format!("POST /rpc HTTP/1.1\r\n{host}Content-Length: +4\r\n\r\n")),
        ("a list of lengths", format!("POST /rpc HTTP/1.1\r\n{host}Content-Length: 4, 5\r\n\r\n")),
        (
            "an unknown encoding",
            format!("POST /rpc HTTP/1.1\r\n{host}Transfer-Encoding: identity, x\r\n\r\n"),
        ),
        (
            "a space before a colon",
            format!("POST /rpc HTTP/1.1\r\n{host}Transfer-Encoding : chunked\r\n\r\n"),
        ),
        (
            "a chunk too large",
            format!("POST /rpc HTTP/1.1\r\n{host}{chunked}\r\nffffffffffffffffff\r\n"),
        ),
        ("a negative chunk", format!("POST /rpc HTTP/1.1\r\n{host}{chunked}\r\n-1\r\n")),
        ("another version", format!("POST /rpc HTTP/9.9\r\n{host}\r\n")),
        ("a folded header", format!("POST /rpc HTTP/1.1\r\n {host}\r\n")),
        ("a NUL in a method", format!("P\0ST /rpc HTTP/1.1\r\n{host}\r\n")),
    ] {
        let said = scene.other.said(format!("{head}{second}").as_bytes())?;
        tries.expect(what, !said.contains("HTTP/1.1 200"), first_line(&said));
    }
    let both = format!("POST /rpc HTTP/1.1\r\n{host}Content-Length: 1\r\n{chunked}\r\n0\r\n\r\n");
    let said = scene.other.said(format!("{both}{second}").as_bytes())?;
    let is_one = said.matches("HTTP/1.1").count() <= 1 || !said.contains("sandboxes");
    tries.expect("a length and chunks", is_one, first_line(&said));
    Ok(())
}

fn broken_frames(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    let path = format!("/terminal/{id}?control=1");
    let not_text = frame(1, b"\xff\xfe");
    let long_ping = frame(9, &[b'a'; 200]);
    for (what, bytes) in [
        ("not masked", &[0x81, 0x01, b'a'][..]),
        ("reserved bits", &[0xf1, 0x80, 0, 0, 0, 0]),
        ("an unknown kind", &[0x83, 0x80, 0, 0, 0, 0]),
        (
            "a negative length",
            &[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        ),
        ("a huge length", &[0x82, 0xff, 0, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0]),
        ("text that is none", &not_text),
        ("a long ping", &long_ping),
    ] {
        let (mut socket, status) = scene.other.socket(&path, &[])?;
        tries.need("the socket", status == 101, format!("HTTP {status}"));
        socket.write_all(bytes)?;
        let mut heard = Vec::new();
        // Until it closes; what a shell says before that is its prompt.
        let ended = (&socket).take(1 << 20).read_to_end(&mut heard);
        let is_closed = match ended {
            Ok(_) => heard.len() < 1 << 20,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        };
        tries.expect(what, is_closed, "the socket is closed");
    }
    let mut running = 1;
    for _ in 0..200 {
        let found = scene.mine.must("sandbox.v1.get", json!({ "id": id }))?;
        running = found["processes"].as_u64().unwrap_or(1);
        if running == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    tries.expect("what is left of it", running == 0, format!("{running} shells"));
    Ok(())
}

fn large_batches(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let batch = |count: usize| format!("[{}]", vec![LIST; count].join(","));
    let works = scene.other.post(&batch(2))?;
    tries.need(
        "a small one",
        works.json().as_array().is_some_and(|all| all.len() == 2),
        works.text(),
    );
    for (what, body) in [
        ("thousands", batch(5_000)),
        ("one too many", batch(101)),
        ("none", "[]".to_owned()),
        ("batches in a batch", format!("[{0},{0}]", batch(50))),
    ] {
        let answer = scene.other.post(&body)?.text();
        tries.expect(
            what,
            !answer.contains("\"result\""),
            answer.chars().take(100).collect::<String>(),
        );
    }
    let id = scene.mine.create()?;
    let commands = vec![json!({ "cmd": ["true"] }); 101];
    let told = scene.other.call("sandbox.v1.batch", json!({ "id": id, "commands": commands }))?;
    let code = told.err().map_or(0, |refused| refused.code);
    tries.expect("commands", code == -32001, code.to_string());
    Ok(())
}
