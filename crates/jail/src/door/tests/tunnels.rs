//! CONNECT: both directions, half-closed ends, and the server name inside TLS.

use std::net::Shutdown;

use super::super::hello::ALERT;
use super::super::hello::tests::hello;
use super::*;

fn open_tunnel(door: &TestDoor, host: &str, port: u16) -> TcpStream {
    let mut stream = door.connect();
    stream.write_all(format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(read_head(&mut stream), "HTTP/1.1 200 Connection established\r\n\r\n");
    stream
}

/// Reads to the end, then answers: works only if the guest's end arrives by itself.
fn server_that_listens_first() -> u16 {
    server(|mut stream| {
        let heard = read_all(&mut stream);
        stream.write_all(format!("heard {heard}").as_bytes()).unwrap();
    })
}

#[test]
fn the_guest_ends_first() {
    let port = server_that_listens_first();
    let door = TestDoor::new(&["127.0.0.1"]);
    let mut stream = open_tunnel(&door, "127.0.0.1", port);
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), "heard hello");
    let visit = &door.wait_for_visits(1)[0];
    assert_eq!((visit.bytes_up, visit.bytes_down), (5, 11));
}

#[test]
fn the_origin_ends_first() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    let port = server(move |mut stream| {
        stream.write_all(b"bye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        sender.lock().unwrap().send(read_all(&mut stream)).unwrap();
    });
    let door = TestDoor::new(&["127.0.0.1"]);
    let mut stream = open_tunnel(&door, "127.0.0.1", port);
    assert_eq!(read_all(&mut stream), "bye");
    stream.write_all(b"after your end").unwrap();
    drop(stream);
    let heard = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(heard, "after your end");
    door.wait_for_visits(1);
}

#[test]
fn bytes_sent_before_the_tunnel_is_open_are_not_lost() {
    let port = server_that_listens_first();
    let door = TestDoor::new(&["127.0.0.1"]);
    let answer = door.ask(format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\nearly").as_bytes());
    assert!(answer.ends_with("\r\n\r\nheard early"), "{answer}");
}

#[test]
fn a_vanished_side_ends_the_other() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    let port = server(move |mut stream| {
        let heard = read_all(&mut stream);
        sender.lock().unwrap().send(heard).unwrap();
    });
    let door = TestDoor::new(&["127.0.0.1"]);
    drop(open_tunnel(&door, "127.0.0.1", port));
    assert_eq!(receiver.recv_timeout(Duration::from_secs(5)).unwrap(), "");
    door.wait_for_visits(1);
}

#[test]
fn an_idle_tunnel_ends() {
    let port = server(|mut stream| {
        read_all(&mut stream);
    });
    let limits = DoorLimits { idle: Duration::from_millis(200), ..DoorLimits::default() };
    let door = TestDoor::with(&["127.0.0.1"], limits, loopback);
    let mut stream = open_tunnel(&door, "127.0.0.1", port);
    assert_eq!(read_all(&mut stream), "");
    door.wait_for_visits(1);
}

#[test]
fn the_server_name_must_be_allowed() {
    let port = server_that_listens_first();
    let rules = ["front.org", "other.org", "127.0.0.1"];
    for (name, passes) in [
        ("front.org", true),
        ("FRONT.org", true),
        ("other.org", true),
        ("behind.org", false),
        ("front.org.", false),
    ] {
        let door = TestDoor::with(&rules, DoorLimits::default(), loopback);
        let mut stream = open_tunnel(&door, "front.org", port);
        let bytes = hello(&[name], 20);
        let (first, second) = bytes.split_at(30);
        stream.write_all(first).unwrap();
        thread::sleep(Duration::from_millis(20));
        stream.write_all(second).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let visit = &door.wait_for_visits(1)[0];
        if passes {
            assert_eq!(answer.len(), "heard ".len() + String::from_utf8_lossy(&bytes).len());
            assert_eq!(visit.verdict, Verdict::Allowed);
        } else {
            assert_eq!(answer, ALERT, "{name}");
            assert_eq!((visit.verdict, visit.bytes_up), (Verdict::WrongServerName, 0));
        }
    }
}

#[test]
fn a_hello_that_never_ends_is_cut_off() {
    let port = server_that_listens_first();
    let limits = DoorLimits { head_patience: Duration::from_millis(200), ..DoorLimits::default() };
    let door = TestDoor::with(&["front.org", "127.0.0.1"], limits, loopback);
    let mut stream = open_tunnel(&door, "front.org", port);
    stream.write_all(&hello(&["front.org"], 20)[..30]).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, ALERT);
    assert_eq!(door.wait_for_visits(1)[0].bytes_up, 0);
}
