//! Who is let out, who is not, and what the refused are told.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::connect::connect;
use super::super::request::Authority;
use super::*;

#[test]
fn a_named_address_is_let_out() {
    let port = echo_server();
    let door = TestDoor::new(&[&format!("127.0.0.1:{port}")]);
    let answer = door.ask(format!("GET http://127.0.0.1:{port}/x HTTP/1.1\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let visit = &door.wait_for_visits(1)[0];
    assert_eq!((visit.verdict, visit.port), (Verdict::Allowed, port));
    assert_eq!(visit.address, Some([127, 0, 0, 1].into()));
    assert!(visit.bytes_up > 0 && visit.bytes_down > 0);
}

#[test]
fn a_host_without_a_rule_gets_the_reason_and_a_hint() {
    let door = TestDoor::new(&["example.org"]);
    let text = "host \"x.org:443\" is not in the allow-list; hint: --allow-host x.org:443";
    let expected = |close: &str| {
        format!(
            "HTTP/1.1 403 Forbidden by capsule: {text}\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 81\r\n\
             X-Capsule-Error: E5002\r\n{close}\r\ncapsule: {text}\n"
        )
    };
    let answer = door.ask(b"CONNECT x.org:443 HTTP/1.1\r\n\r\n");
    assert_eq!(answer, expected("Connection: close\r\n"));
    let answer = door.ask(b"GET http://x.org:443/ HTTP/1.1\r\n\r\n");
    assert_eq!(answer, expected(""));
    assert_eq!(door.verdicts(), [Verdict::NotListed, Verdict::NotListed]);
}

#[test]
fn localhost_by_name_alone_is_refused_with_the_missing_rule() {
    let port = echo_server();
    let request = format!("GET http://localhost:{port}/ HTTP/1.1\r\n\r\n");
    let name = format!("localhost:{port}");
    let door = TestDoor::with(&[&name], DoorLimits::default(), loopback);
    let answer = door.ask(request.as_bytes());
    let hint = format!("hint: --allow-host localhost:{port} --allow-host 127.0.0.1:{port}\n");
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with(&hint), "{answer}");
    assert_eq!(door.verdicts(), [Verdict::InsideAddress]);

    let address = format!("127.0.0.1:{port}");
    let door = TestDoor::with(&[&name, &address], DoorLimits::default(), loopback);
    assert!(door.ask(request.as_bytes()).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_wild_card_opens_no_inside_address() {
    let own = own_addresses().unwrap();
    let inside = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254"];
    let inside = inside.iter().map(|text| text.parse().unwrap());
    for address in own.into_iter().chain(inside) {
        let door = TestDoor::with(&["*"], DoorLimits::default(), move |_| Ok(vec![address]));
        let answer = door.ask(b"CONNECT public.example:80 HTTP/1.1\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 403 "), "{address} {answer}");
        assert!(!answer.contains(&address.to_string()), "{answer}");
        let literal = SocketAddr::new(address, 80);
        let answer = door.ask(format!("CONNECT {literal} HTTP/1.1\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 403 "), "{address} {answer}");
        assert_eq!(door.verdicts(), [Verdict::InsideAddress; 2]);
    }
}

#[test]
fn odd_spellings_never_reach_the_resolver() {
    let door = TestDoor::with(&["*"], DoorLimits::default(), |name| panic!("resolved {name}"));
    for host in ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.1.", "[::1%25lo]"] {
        let answer = door.ask(format!("CONNECT {host}:80 HTTP/1.1\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 "), "{host} {answer}");
        let answer = door.ask(format!("GET http://{host}/ HTTP/1.1\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 "), "{host} {answer}");
    }
    assert!(door.verdicts().iter().all(|verdict| *verdict == Verdict::BadRequest));
}

#[test]
fn a_name_without_an_address_is_502_without_details() {
    let fail = |_: &str| Err(io::Error::other("secret resolver text"));
    let door = TestDoor::with(&["x.org"], DoorLimits::default(), fail);
    let answer = door.ask(b"GET http://x.org/ HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
    assert!(answer.ends_with("capsule: the name in \"x.org:80\" could not be resolved\n"));
    assert_eq!(door.verdicts(), [Verdict::NameNotFound]);
}

/// The first answer is harmless and later ones are not: the name must be looked up
/// once a connection, and the connection must go to what was checked.
#[test]
fn rebinding_gains_nothing() {
    let port = echo_server();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // 127.0.0.1 is named and stands for a public address; 127.0.0.2 is not named,
    // and the server listens there too.
    let victim = TcpListener::bind(("127.0.0.2", port)).unwrap();
    victim.set_nonblocking(true).unwrap();
    let rule = format!("127.0.0.1:{port}");
    let rebind = move |_: &str| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(vec![[127, 0, 0, 1].into()]),
        _ => Ok(vec![[127, 0, 0, 2].into()]),
    };
    let door = TestDoor::with(&["evil.org", &rule], DoorLimits::default(), rebind);
    let request = format!("GET http://evil.org:{port}/ HTTP/1.1\r\n\r\n");
    assert!(door.ask(request.as_bytes()).starts_with("HTTP/1.1 200 "));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(door.ask(request.as_bytes()).starts_with("HTTP/1.1 403 "));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(door.verdicts(), [Verdict::Allowed, Verdict::InsideAddress]);
    let error = victim.accept().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "nobody knocked at the victim");
}

#[test]
fn of_mixed_answers_only_the_checked_are_used() {
    let port = echo_server();
    let rule = format!("127.0.0.1:{port}");
    let victim = TcpListener::bind(("127.0.0.3", port)).unwrap();
    victim.set_nonblocking(true).unwrap();
    let mixed = |_: &str| Ok(vec![[127, 0, 0, 3].into(), [127, 0, 0, 1].into()]);
    let door = TestDoor::with(&["evil.org", &rule], DoorLimits::default(), mixed);
    let request = format!("GET http://evil.org:{port}/ HTTP/1.1\r\n\r\n");
    assert!(door.ask(request.as_bytes()).starts_with("HTTP/1.1 200 "));
    assert!(victim.accept().is_err());
}

#[test]
fn the_next_address_is_tried_when_one_refuses_or_is_silent() {
    let port = echo_server();
    let live = SocketAddr::from(([127, 0, 0, 1], port));
    let refusing = SocketAddr::from(([127, 0, 0, 4], port));
    let stream = connect(&[refusing, live], Duration::from_secs(5)).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), live);
    let none = connect(&[refusing], Duration::from_secs(5));
    assert_eq!(none.err(), Some(Verdict::Unreachable));

    // A listener whose backlog is full is silent: its handshakes are dropped.
    let silent = TcpListener::bind("127.0.0.5:0").unwrap();
    let silent_address = silent.local_addr().unwrap();
    let filling: Vec<_> = (0..5000)
        .map_while(|_| TcpStream::connect_timeout(&silent_address, Duration::from_millis(100)).ok())
        .collect();
    let started = std::time::Instant::now();
    let stream = connect(&[silent_address, live], Duration::from_secs(5)).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), live);
    assert!(started.elapsed() < Duration::from_secs(2), "{} filled", filling.len());
    let late = connect(&[silent_address], Duration::from_millis(300));
    assert_eq!(late.err(), Some(Verdict::TimedOut));
}

#[test]
fn an_unknown_host_is_not_even_resolved() {
    let door = TestDoor::with(&["a.org"], DoorLimits::default(), |name| panic!("resolved {name}"));
    assert!(door.ask(b"CONNECT b.org:443 HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 403 "));
    assert!(Authority::parse(b"b.org:443", None).is_ok());
}

#[test]
fn loopback_is_exempt_from_the_proxy_unless_it_is_named() {
    let value = |rules: &[&str], name: &str| {
        let rules: Vec<HostRule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let all = proxy_environment(3128, &rules);
        all.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    assert_eq!(value(&["*"], "https_proxy").as_deref(), Some("http://127.0.0.1:3128"));
    assert_eq!(value(&["*"], "NO_PROXY").as_deref(), Some("localhost,127.0.0.1,::1"));
    assert_eq!(value(&["127.0.0.1:80"], "no_proxy").as_deref(), Some(""));
}
