//! What one guest can take: heads, time, connections, descriptors.

use std::time::Instant;

use super::*;

fn quick() -> DoorLimits {
    DoorLimits { head_patience: Duration::from_millis(300), ..DoorLimits::default() }
}

#[test]
fn an_oversize_head_is_refused() {
    let door = TestDoor::new(&["a.org"]);
    let long = format!("GET http://a.org/ HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    assert!(door.ask(long.as_bytes()).starts_with("HTTP/1.1 431 "));
    let endless = format!("GET http://a.org/{}", "x".repeat(100_000));
    assert!(door.ask(endless.as_bytes()).starts_with("HTTP/1.1 431 "));
    assert_eq!(door.verdicts(), [Verdict::LongRequest; 2]);
}

#[test]
fn a_head_that_trickles_is_cut_off_in_time() {
    let door = TestDoor::with(&["a.org"], quick(), loopback);
    let mut stream = door.connect();
    let started = Instant::now();
    let mut writer = stream.try_clone().unwrap();
    thread::spawn(move || {
        for byte in b"GET http://a.org/".iter().cycle() {
            if writer.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 408 "));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_silent_connection_is_closed_without_a_word() {
    let door = TestDoor::with(&["a.org"], quick(), loopback);
    assert_eq!(read_all(&mut door.connect()), "");
    assert!(door.verdicts().is_empty());
}

#[test]
fn one_connection_too_many_is_told_so_and_places_come_free() {
    let limits = DoorLimits { connections: 2, ..DoorLimits::default() };
    let door = TestDoor::with(&["a.org"], limits, loopback);
    let inside = [door.connect(), door.connect()];
    let answer = door.ask(b"GET http://b.org/ HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(door.verdicts(), [Verdict::OverCapacity]);
    drop(inside);
    for _ in 0..100 {
        thread::sleep(Duration::from_millis(10));
        if door.ask(b"GET http://b.org/ HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 403 ") {
            return;
        }
    }
    panic!("no place came free");
}

#[test]
fn sixty_four_downloads_at_once() {
    const BYTES: usize = 1024 * 1024;
    let port = server(|mut stream| {
        let head = read_head(&mut stream);
        let fill = head.as_bytes()[5];
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n");
        stream.write_all(answer.as_bytes()).unwrap();
        stream.write_all(&vec![fill; BYTES]).unwrap();
    });
    let door = TestDoor::new(&[&format!("127.0.0.1:{port}")]);
    thread::scope(|scope| {
        for index in 0..64u8 {
            let door = &door;
            scope.spawn(move || {
                let letter = b'A' + index % 26;
                let mut stream = door.connect();
                let path = letter as char;
                write!(stream, "GET http://127.0.0.1:{port}/{path} HTTP/1.1\r\n\r\n").unwrap();
                read_head(&mut stream);
                let mut body = vec![0; BYTES];
                stream.read_exact(&mut body).unwrap();
                assert!(body.iter().all(|byte| *byte == letter));
            });
        }
    });
    assert_eq!(door.wait_for_visits(64).len(), 64);
}

/// Counts descriptors of the whole process, so it runs alone in a process of its
/// own: the test binary starts itself with only this test.
#[test]
fn a_thousand_requests_leak_no_descriptor() {
    const ALONE: &str = "CAPSULE_DOOR_TEST_ALONE";
    let name = thread::current().name().unwrap_or_default().to_owned();
    if std::env::var_os(ALONE).is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--test-threads=1"])
            .env(ALONE, "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let port = echo_server();
    let rule = format!("127.0.0.1:{port}");
    let door = TestDoor::with(&[&rule, "localhost"], quick(), loopback);
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    for index in 0..1000 {
        let answer = match index % 4 {
            0 => door.ask(format!("GET http://localhost:{port}/ HTTP/1.1\r\n\r\n").as_bytes()),
            1 => door.ask(format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\nX\r\n\r\n").as_bytes()),
            2 => door.ask(b"CONNECT denied.org:443 HTTP/1.1\r\n\r\n"),
            _ => door.ask(b"nonsense\r\n\r\n"),
        };
        let expected = ["HTTP/1.1 200 ", "HTTP/1.1 200 ", "HTTP/1.1 403 ", "HTTP/1.1 400 "];
        assert!(answer.starts_with(expected[index % 4]), "{index} {answer}");
    }
    for _ in 0..100 {
        if open() <= before {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("{before} descriptors before, {} after", open());
}
