//! Terminals.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::client::{Site, read_until};
use super::exec::until;
use super::{is_gvisor, pace};

fn running(site: &Site, id: &str) -> serde_json::Value {
    site.call("sandbox.v1.get", json!({ "id": id })).unwrap()["processes"].clone()
}

/// As the README has it: binary frames come, and whatever goes is typed.
pub fn raw_bytes_both_ways(site: &Site) {
    let id = site.create();
    for path in [format!("/terminal/{id}"), format!("/sandbox/{id}/stream")] {
        let mut socket = site.socket(&path);
        socket.send(Message::text("echo $((6*7))x; tty >/dev/null && echo is-a-tty\n")).unwrap();
        read_until(&mut socket, "is-a-tty\r\n");
        socket.send(Message::binary(b"echo \xc3\xa9$((1+1))\n".to_vec())).unwrap();
        read_until(&mut socket, "é2\r\n");
        // Text that looks like a command is typed as well.
        socket.send(Message::text("{\"resize\":1}\n")).unwrap();
        read_until(&mut socket, "resize");
        // Job control: an interrupt ends the job and not the shell. gVisor's terminals make no
        // signal of a key.
        if !is_gvisor() {
            socket.send(Message::text("sleep 100\n")).unwrap();
            std::thread::sleep(Duration::from_millis(300));
            socket.send(Message::binary(vec![3])).unwrap();
        }
        socket.send(Message::text("echo still-$((40+2))\n")).unwrap();
        read_until(&mut socket, "still-42\r\n");
        socket.send(Message::text("exit 3\n")).unwrap();
        let closed = loop {
            match socket.read() {
                Ok(Message::Close(frame)) => break frame.unwrap(),
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!((u16::from(closed.code), closed.reason.as_str()), (1000, "exit 3"));
    }
    site.delete(&id);
}

pub fn size_and_commands(site: &Site) {
    let id = site.create();
    let mut socket = site.socket(&format!("/terminal/{id}?columns=123&rows=45&control=1"));
    socket.send(Message::text(json!({ "input": "stty size\n" }).to_string())).unwrap();
    read_until(&mut socket, "45 123");
    let size = json!({ "resize": { "columns": 99, "rows": 11 } });
    socket.send(Message::text(size.to_string())).unwrap();
    socket.send(Message::binary(b"stty size\n".to_vec())).unwrap();
    read_until(&mut socket, "11 99");
    // What is no command ends the conversation.
    socket.send(Message::text("{\"resise\":1}")).unwrap();
    loop {
        if let Message::Close(frame) = socket.read().unwrap() {
            assert_eq!(u16::from(frame.unwrap().code), 1008);
            break;
        }
    }
    for query in ["columns=0", "columns=x", "rows=70000", "colums=1", "a=%"] {
        let refused = site.try_socket(&format!("/terminal/{id}?{query}"), &[]);
        assert_eq!(refused.err(), Some(400), "{query}");
    }
    site.delete(&id);
}

pub fn closed_terminal_leaves_nothing(site: &Site) {
    let id = site.create();
    // Said goodbye, or just gone.
    for says in [true, false] {
        let mut socket = site.socket(&format!("/terminal/{id}"));
        socket.send(Message::text("sleep 1000 & echo $((1+1))ready\n")).unwrap();
        read_until(&mut socket, "2ready\r\n");
        assert_eq!(running(site, &id), json!(1));
        if says {
            socket.close(None).unwrap();
        }
        drop(socket);
        until(|| running(site, &id) == json!(0));
    }
    site.delete(&id);
}

/// A terminal that was started by itself stays, and shows its last screen again.
pub fn a_terminal_that_stays(site: &Site) {
    let id = site.create();
    let terminal = json!({ "columns": 80, "rows": 24 });
    let params = json!({ "id": id, "cmd": ["/bin/sh"], "terminal": terminal });
    let process = site.call("sandbox.v1.start", params).unwrap()["process"].clone();
    let path = format!("/terminal/{id}?process={process}");
    let mut socket = site.socket(&path);
    socket.send(Message::text("x=kept; echo first-$x\n")).unwrap();
    read_until(&mut socket, "first-kept\r\n");
    drop(socket);
    let mut socket = site.socket(&path);
    read_until(&mut socket, "first-kept");
    socket.send(Message::text("echo second-$x\n")).unwrap();
    read_until(&mut socket, "second-kept\r\n");
    // A program that has taken the whole screen, in another size, and has since written more
    // than is kept: what comes back is its screen, and nothing that was meant for the terminal.
    let size = json!({ "id": id, "process": process, "columns": 40, "rows": 10 });
    site.call("sandbox.v1.resize", size).unwrap();
    let draw = "printf '\\033[?1049h\\033]0;ti''tle\\007'; head -c 600000 /dev/zero | tr '\\0' x; \
                printf '\\033[2J\\033[3;5Hme''nu'; sleep 1000\n";
    socket.send(Message::text(draw)).unwrap();
    read_until(&mut socket, "menu");
    drop(socket);
    let mut socket = site.socket(&path);
    let picture = read_until(&mut socket, "menu");
    assert!(picture.starts_with("\u{1b}[?1049h") && picture.len() < 1_000, "{picture:?}");
    assert!(!picture.contains("title") && !picture.contains("first-kept"), "{picture:?}");
    // Who names a place gets what was written.
    let mut socket = site.socket(&format!("{path}&offset=0"));
    read_until(&mut socket, "xxxx");
    assert_eq!(running(site, &id), json!(1));
    site.delete(&id);
}

pub fn expiry_is_told(site: &Site) {
    let id = site.create_with(json!({ "template": "shell", "ttl_ms": 1_000 * pace() }));
    let began = Instant::now();
    let mut socket = site.socket(&format!("/terminal/{id}"));
    let reason = loop {
        if let Message::Close(frame) = socket.read().unwrap() {
            break frame.unwrap();
        }
    };
    assert_eq!((u16::from(reason.code), reason.reason.as_str()), (4001, "the sandbox is expiring"));
    assert!(began.elapsed() < Duration::from_secs(2 * pace()));
}

pub fn terminals_of_the_unknown(site: &Site) {
    assert_eq!(site.try_socket("/terminal/unknown", &[]).err(), Some(404));
    assert_eq!(site.try_socket("/sandbox/unknown/exec", &[]).err(), Some(404));
    let id = site.create();
    let unknown = site.try_socket(&format!("/terminal/{id}?process=77"), &[]);
    assert_eq!(unknown.err(), Some(404));
    // A plain request is no WebSocket.
    assert_eq!(site.http("GET", &format!("/terminal/{id}"), &[], b"").status, 400);
    assert_eq!(running(site, &id), json!(0), "and starts nothing");
    site.delete(&id);
}
