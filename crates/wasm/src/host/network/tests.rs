//! Rules, watched bytes and limits, without a guest; with real sockets where one matters.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use capsule_backend::guest::Meter;
use capsule_spec::ByteSize;
use proptest::prelude::*;

use super::watch::Watch;
use super::*;

fn grant(hosts: &[&str]) -> Grant {
    Grant {
        meter: Meter::new(0),
        ram: ByteSize::from_mib(1),
        disk: ByteSize::from_mib(1),
        files: Vec::new(),
        hosts: hosts.iter().map(|rule| rule.parse().unwrap()).collect(),
        download: ByteSize::from_mib(1),
        environment: Vec::new(),
    }
}

/// A connection to a.org:80, watched.
struct Watched {
    watch: Watch,
    log: Log,
}

impl Watched {
    fn new() -> Self {
        let log = Log::default();
        let entry = log.connect("a.org", 80, true);
        let policy = Policy::new(&grant(&["a.org", "b.org", "*.c.org", "d.org:443"]));
        let host = Host::parse("a.org").unwrap();
        Self { watch: Watch::new(policy, log.clone(), host, 80, entry), log }
    }

    /// What leaves of these sends; the failure if one is refused.
    fn say(&mut self, sends: &[&[u8]]) -> Result<Vec<u8>, String> {
        let mut left = Vec::new();
        for bytes in sends {
            left.extend(self.watch.say(bytes.to_vec()).map_err(|failure| failure.message)?);
        }
        Ok(left)
    }

    fn requests(&self) -> Vec<String> {
        let line = |request: Request| {
            let Request { method, url, status, allowed } = request;
            format!("{method} {url} {status:?} {allowed}")
        };
        self.log.requests().into_iter().map(line).collect()
    }
}

fn request(host: &str) -> Vec<u8> {
    format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

#[test]
fn a_request_for_a_covered_host_leaves_as_it_is() {
    for host in ["a.org", "A.org:80", "a.org:81", "b.org", "x.c.org", "a.org.", "a.org:"] {
        let mut watched = Watched::new();
        assert_eq!(watched.say(&[&request(host)]).unwrap(), request(host), "{host}");
        assert!(watched.requests()[0].starts_with("GET http://"), "{:?}", watched.requests());
    }
}

#[test]
fn a_request_for_another_host_does_not_leave() {
    for host in
        ["evil.org", "c.org", "d.org", "a.org.evil.org", "127.0.0.1", "[::1]", "169.254.169.254"]
    {
        let mut watched = Watched::new();
        let refusal = watched.say(&[&request(host)]).unwrap_err();
        assert!(refusal.contains("is not allowed"), "{host} {refusal}");
        assert_eq!(watched.requests(), [format!("GET http://{host}/x None false")]);
    }
}

#[test]
fn a_head_in_pieces_is_held_until_it_is_whole() {
    for host in ["a.org", "evil.org"] {
        let whole = request(host);
        let pieces: Vec<&[u8]> = whole.chunks(1).collect();
        let mut watched = Watched::new();
        let (last, first) = pieces.split_last().unwrap();
        assert_eq!(watched.say(first).unwrap(), b"");
        assert_eq!(watched.watch.release(), b"", "not even to wait for an answer");
        let left = watched.say(&[last]);
        if host == "a.org" { assert_eq!(left.unwrap(), whole) } else { assert!(left.is_err()) }
    }
}

#[test]
fn what_is_released_is_watched_all_the_same() {
    let whole = request("evil.org");
    for cut in 1..whole.len() {
        let mut watched = Watched::new();
        let mut left = watched.say(&[&whole[..cut]]).unwrap();
        left.extend(watched.watch.release());
        assert!(watched.say(&[&whole[cut..]]).is_err(), "{cut}");
        assert!(b"GET /x HTTP/1.1\r".starts_with(&left[..]), "{cut}");
    }
}

#[test]
fn heads_that_can_be_read_in_two_ways_do_not_leave() {
    let heads: [&[u8]; 35] = [
        b"GET / HTTP/1.1\r\nHost: a.org\r\nHost: evil.org\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.org\r\nhost: a.org\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : evil.org\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: y\r\n Host: evil.org\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.org\r\n\tevil.org\r\n\r\n",
        b"GET / HTTP/1.1\nHost: evil.org\n\n",
        b"GET / HTTP/1.1\r\nHost: a.org\nHost: evil.org\r\n\r\n",
        b"GET / HTTP/1.1\rHost: evil.org\r\r",
        b"GET / HTTP/1.1\r\nHost: a.org\rHost: evil.org\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.org\0evil.org\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.org a.org\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.org, evil.org\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.org@evil.org\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.org/evil.org\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 2130706433\r\n\r\n",
        b"GET http://evil.org/ HTTP/1.1\r\nHost: a.org\r\n\r\n",
        b"GET http://a.org/ HTTP/1.1\r\nHost: evil.org\r\n\r\n",
        b"GET http://a.org@evil.org/ HTTP/1.1\r\nHost: a.org\r\n\r\n",
        b"GET http://a.org\\@evil.org/ HTTP/1.1\r\nHost: a.org\r\n\r\n",
        b"GET http://a.org?@evil.org/ HTTP/1.1\r\nHost: a.org\r\n\r\n",
        b"GET evil.org/ HTTP/1.1\r\nHost: a.org\r\n\r\n",
        b"CONNECT evil.org:443 HTTP/1.1\r\nHost: a.org\r\n\r\n",
        b"CONNECT a.org HTTP/1.1\r\nHost: a.org\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: evil.org\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: evil.org\r\n\r\n",
        b"GET\t/\tHTTP/1.1\r\nHost: evil.org\r\n\r\n",
        b"GET / http/1.1\r\nHost: evil.org\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: evil.org\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.org\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
        b"\r\n\t GET / HTTP/1.1\r\nHost: evil.org\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 80 80\r\nGET / HTTP/1.1\r\nHost: evil.org\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    for head in heads {
        let mut watched = Watched::new();
        let left = watched.say(&[head]);
        assert!(left.is_err(), "{} {left:?}", String::from_utf8_lossy(head));
        assert!(
            watched.requests().iter().all(|line| line.ends_with("false")),
            "{:?}",
            watched.requests()
        );
    }
}

#[test]
fn every_request_on_a_connection_is_read() {
    let evil = b"GET / HTTP/1.1\r\nHost: evil.org\r\n\r\n";
    let firsts: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: a.org\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 5\r\n\r\nhello\r\n",
        b"\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    ];
    for first in firsts {
        let mut watched = Watched::new();
        let both = [first, &evil[..]].concat();
        assert!(watched.say(&[&both]).is_err());
        for cut in 0..both.len() {
            let mut watched = Watched::new();
            let whole = watched.say(&[&both[..cut], &both[cut..]]);
            assert!(whole.is_err(), "{cut} {}", String::from_utf8_lossy(first));
        }
    }
}

#[test]
fn empty_lines_before_a_request_are_not_its_end() {
    let whole = [b"\r\n\r\n", &request("a.org")[..]].concat();
    for cut in 0..whole.len() {
        let mut watched = Watched::new();
        assert_eq!(watched.say(&[&whole[..cut], &whole[cut..]]).unwrap(), whole, "{cut}");
        assert_eq!(watched.requests(), ["GET http://a.org/x None true"]);
        let mut watched = Watched::new();
        let evil = [b"\r\n\r\n", &request("evil.org")[..]].concat();
        let refusal = watched.say(&[&evil[..cut], &evil[cut..]]).unwrap_err();
        assert!(refusal.contains("evil.org"), "{refusal}");
    }
}

#[test]
fn a_url_in_a_path_is_no_host() {
    let mut watched = Watched::new();
    let head = b"GET /login?next=http://evil.org/ HTTP/1.1\r\nHost: a.org\r\n\r\n";
    watched.say(&[head, b"GET http://b.org/x HTTP/1.1\r\n\r\n"]).unwrap();
    watched.say(&[b"OPTIONS * HTTP/1.1\r\nHost: a.org\r\n\r\n"]).unwrap();
    let expected = [
        "GET http://a.org/login?next=http://evil.org/ None true",
        "GET http://b.org/x None true",
        "OPTIONS http://a.org None true",
    ];
    assert_eq!(watched.requests(), expected);
}

#[test]
fn a_body_that_looks_like_a_request_is_a_body() {
    let mut watched = Watched::new();
    let body = request("evil.org");
    let head = format!("POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: {}\r\n\r\n", body.len());
    let both = [head.as_bytes(), &body].concat();
    assert_eq!(watched.say(&[&both]).unwrap(), both);
    assert_eq!(watched.requests().len(), 1);
}

#[test]
fn chunks_that_lie_do_not_leave() {
    let head = b"POST / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bodies: [&[u8]; 7] = [
        b"5\nhello",
        b"5\r\nhelloX",
        b"-1\r\n",
        b"0x5\r\n",
        b"fffffffffffffffff\r\n",
        b"\r\n",
        b"0\r\nGET\n\r\n",
    ];
    for body in bodies {
        let mut watched = Watched::new();
        assert!(watched.say(&[head, body]).is_err(), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn other_protocols_pass_and_count_as_a_connection() {
    let sends: [&[u8]; 5] = [
        b"SSH-2.0-x\r\n",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"EHLO a.org\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x82\x01{",
    ];
    for bytes in sends {
        let mut watched = Watched::new();
        let more = request("evil.org");
        assert_eq!(watched.say(&[bytes, &more]).unwrap(), [bytes, &more].concat());
        assert_eq!(watched.requests(), ["CONNECT a.org:80 None true"]);
    }
}

#[test]
fn statuses_find_their_requests() {
    let mut watched = Watched::new();
    let head = b"HEAD /h HTTP/1.1\r\nHost: a.org\r\n\r\n";
    watched.say(&[&request("a.org"), head, &request("b.org"), &request("a.org")]).unwrap();
    let answers = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
        HTTP/1.1 404 No\r\nContent-Length: 99\r\n\r\nHTTP/1.1 301 Moved\r\nContent-Length: 3\r\n\r\nabcHTTP/1.0 500\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    for byte in answers {
        watched.watch.hear(&[*byte]);
    }
    let expected = [
        "GET http://a.org/x Some(200) true",
        "HEAD http://a.org/h Some(404) true",
        "GET http://b.org/x Some(301) true",
        "GET http://a.org/x Some(500) true",
    ];
    assert_eq!(watched.requests(), expected);
}

#[test]
fn an_upgrade_is_opaque_only_if_the_server_agrees() {
    let ask = b"GET /ws HTTP/1.1\r\nHost: a.org\r\nUpgrade: websocket\r\n\r\n";
    for (answer, passes) in [
        (&b"HTTP/1.1 101 Switching Protocols\r\n\r\n"[..], true),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        (b"nonsense 101 \r\n\r\n", false),
    ] {
        let mut watched = Watched::new();
        watched.say(&[ask]).unwrap();
        watched.watch.hear(answer);
        assert_eq!(watched.say(&[b"\x82\x05hello"]).is_ok(), passes);
        let mut watched = Watched::new();
        watched.say(&[&request("a.org")]).unwrap();
        watched.watch.hear(b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
        assert!(watched.say(&[b"\x82\x05hello"]).is_err(), "nobody asked for it");
    }
}

#[test]
fn a_tunnel_leads_to_covered_hosts_and_is_watched() {
    let mut watched = Watched::new();
    watched.say(&[b"CONNECT d.org:443 HTTP/1.1\r\nHost: d.org:443\r\n\r\n"]).unwrap();
    watched.watch.hear(b"HTTP/1.1 200 OK\r\n\r\n");
    assert!(watched.watch.may_secure(&Host::parse("d.org").unwrap()).is_ok());
    assert!(watched.watch.may_secure(&Host::parse("evil.org").unwrap()).is_err());
    assert!(watched.say(&[&request("evil.org")]).is_err());
    assert_eq!(watched.requests()[0], "CONNECT d.org:443 Some(200) true");
}

#[test]
fn a_tunnel_that_was_refused_leads_nowhere() {
    let mut watched = Watched::new();
    let connect = b"CONNECT d.org:443 HTTP/1.1\r\nHost: d.org:443\r\n\r\n";
    watched.say(&[connect]).unwrap();
    watched.watch.hear(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    watched.say(&[b"GET /ws HTTP/1.1\r\nHost: a.org\r\nUpgrade: websocket\r\n\r\n"]).unwrap();
    watched.watch.hear(b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
    assert_eq!((watched.watch.host.to_string().as_str(), watched.watch.port), ("a.org", 80));
    assert_eq!(watched.say(&[b"\x82\x05hello"]).unwrap(), b"\x82\x05hello");
}

#[test]
fn a_tunnel_leads_where_the_request_said_that_was_agreed_to() {
    for (answers, host) in [
        (&b"HTTP/1.1 200 OK\r\n\r\n"[..], "b.org"),
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "d.org"),
    ] {
        let mut watched = Watched::new();
        watched.say(&[b"CONNECT b.org:80 HTTP/1.1\r\n\r\n"]).unwrap();
        watched.say(&[b"CONNECT d.org:443 HTTP/1.1\r\n\r\n"]).unwrap();
        watched.watch.hear(answers);
        assert_eq!(watched.watch.host.to_string(), host);
        assert!(watched.say(&[&request("evil.org")]).is_err(), "it is watched");
    }
}

#[test]
fn long_heads_and_lines_end() {
    let mut watched = Watched::new();
    let long = format!("GET / HTTP/1.1\r\nHost: a.org\r\nX: {}", "x".repeat(70_000));
    assert!(watched.say(&[long.as_bytes()]).unwrap_err().contains("65536"));
    let mut watched = Watched::new();
    assert!(watched.say(&[&[b'x'; 40], b" ", &[b'y'; 70_000]]).is_err());
    // A byte at a time, it costs little.
    let started = Instant::now();
    let mut watched = Watched::new();
    let result = long.bytes().try_for_each(|byte| watched.watch.say(vec![byte]).map(|_| ()));
    assert!(
        result.is_err() && started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

proptest! {
    #[test]
    fn bytes_that_leave_are_the_bytes_that_were_said(
        sends in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6),
        start in "(GET|x|EHLO| |\r\n){0,2}( /| HTTP/1.1|\r\n|Host: a.org)*",
    ) {
        let mut watched = Watched::new();
        let mut left = Vec::new();
        let mut said = Vec::new();
        for bytes in std::iter::once(start.into_bytes()).chain(sends) {
            said.extend_from_slice(&bytes);
            match watched.watch.say(bytes) {
                Ok(bytes) => left.extend(bytes),
                Err(_) => return Ok(()),
            }
            prop_assert!(said.starts_with(&left));
        }
        left.extend(watched.watch.release());
        prop_assert!(said.starts_with(&left));
        prop_assert!(left == said || left.len() < said.len() && said.windows(5).any(|five| five == b"HTTP/"));
    }

    #[test]
    fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "HTTP/1.1 [0-9]{3}.{0,40}\r\n\r\n") {
        let mut watched = Watched::new();
        watched.say(&[&request("a.org")]).unwrap();
        watched.watch.hear(text.as_bytes());
        watched.watch.hear(&bytes);
    }
}

// --- with sockets ---

fn network(
    hosts: &[&str],
    lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
) -> Network {
    let mut network = Network::with_lookup(Arc::new(lookup));
    network.grant(&grant(hosts));
    network
}

fn block<T>(work: impl Future<Output = T>) -> T {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    tokio.unwrap().block_on(work)
}

async fn connect(network: &mut Network, host: &str, port: u16) -> Result<u64, String> {
    let told = |failure: Failure| format!("{}: {}", failure.kind, failure.message);
    let answer = network.connect(host, port).map_err(told)?.await.map_err(told)?;
    Ok(u64::from_le_bytes(answer.into_bytes().try_into().unwrap()))
}

fn no_lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    panic!("resolved {name}")
}

#[test]
fn a_name_that_leads_inside_is_denied_and_nothing_is_told() {
    let inside =
        ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254", "::ffff:127.0.0.1"];
    let own = capsule_backend::address::own_addresses().unwrap();
    for address in inside.map(|text| text.parse().unwrap()).into_iter().chain(own) {
        block(async {
            let mut network = network(&["*"], move |_| Ok(vec![address]));
            let error = connect(&mut network, "public.example", 80).await.unwrap_err();
            assert!(
                error.starts_with("Denied: ") && !error.contains(&address.to_string()),
                "{error}"
            );
            assert!(error.contains("allowed_hosts="), "{error}");
            let error = connect(&mut network, &address.to_string(), 80).await.unwrap_err();
            assert!(error.starts_with("Denied: "), "{error}");
            assert!(network.requests().iter().all(|request| !request.allowed));
        });
    }
}

#[test]
fn odd_spellings_and_unknown_hosts_never_reach_the_resolver() {
    block(async {
        let mut any = network(&["*"], no_lookup);
        for host in [
            "2130706433",
            "0x7f.1",
            "127.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "[::1%25lo]",
            "a b",
            "",
            "a\r\nb",
        ] {
            let error = connect(&mut any, host, 80).await.unwrap_err();
            assert!(error.starts_with("NameNotFound: "), "{host:?} {error}");
        }
        let mut one = network(&["a.org:443"], no_lookup);
        for (host, port) in [("b.org", 443), ("a.org", 80), ("x.a.org", 443)] {
            let error = connect(&mut one, host, port).await.unwrap_err();
            assert!(error.starts_with(&format!("Denied: {host}:{port} is not allowed")), "{error}");
        }
    });
}

/// The first answer is harmless and later ones are not.
#[test]
fn rebinding_gains_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let victim = TcpListener::bind(("127.0.0.2", port)).unwrap();
    victim.set_nonblocking(true).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let rule = format!("127.0.0.1:{port}");
    block(async move {
        let mut network = network(&["evil.org", &rule], move |_| {
            let last = if count.fetch_add(1, Ordering::SeqCst) == 0 { 1 } else { 2 };
            Ok(vec![[127, 0, 0, last].into()])
        });
        connect(&mut network, "evil.org", port).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(connect(&mut network, "evil.org", port).await.unwrap_err().starts_with("Denied: "));
    });
    assert_eq!(victim.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn of_mixed_answers_only_the_checked_are_used_and_the_next_is_tried() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let victim = TcpListener::bind(("127.0.0.3", port)).unwrap();
    victim.set_nonblocking(true).unwrap();
    let rules = [format!("127.0.0.1:{port}"), format!("127.0.0.4:{port}")];
    block(async move {
        let rules = ["evil.org", &rules[0], &rules[1]];
        // The first is not open, the second refuses.
        let found = || vec![[127, 0, 0, 3].into(), [127, 0, 0, 4].into(), [127, 0, 0, 1].into()];
        let mut network = network(&rules, move |_| Ok(found()));
        connect(&mut network, "evil.org", port).await.unwrap();
    });
    assert!(victim.accept().is_err());
}

fn silent_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let kept: Vec<_> = listener.incoming().collect();
        drop(kept);
    });
    port
}

#[test]
fn connections_and_what_is_begun_are_bounded() {
    let port = silent_server();
    block(async move {
        let mut network = network(&["127.0.0.1"], no_lookup);
        let mut open = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            open.push(connect(&mut network, "127.0.0.1", port).await.unwrap());
        }
        let error = connect(&mut network, "127.0.0.1", port).await.unwrap_err();
        assert!(error.starts_with("TooMany: "), "{error}");
        // A closed one makes room, whether it has said good-bye or not.
        network.close(open[0]);
        connect(&mut network, "127.0.0.1", port).await.unwrap();

        let mut begun = Vec::new();
        let refused = loop {
            match network.receive(open[1], u32::MAX) {
                Ok(work) => begun.push(work),
                Err(failure) => break failure,
            }
        };
        assert_eq!(refused.kind, "TooMany");
        assert!(begun.len() * MOST_RECEIVED <= MOST_BUFFERED, "{}", begun.len());
        assert_eq!(network.send(open[2], vec![0; MOST_SENT + 1]).err().unwrap().kind, "TooLarge");
    });
}

#[test]
fn closing_ends_what_is_begun() {
    let port = silent_server();
    block(async move {
        let mut network = network(&["127.0.0.1"], no_lookup);
        let connection = connect(&mut network, "127.0.0.1", port).await.unwrap();
        let receive = network.receive(connection, 10).unwrap();
        network.close(connection);
        assert_eq!(receive.await.unwrap_err().kind, "Closed");
        assert_eq!(network.receive(connection, 10).err().unwrap().kind, "Closed");
        assert_eq!(network.receive(99, 10).err().unwrap().kind, "Closed");
    });
}

#[test]
fn a_connection_is_open_until_it_is_closed_or_was_never_made() {
    let port = silent_server();
    block(async move {
        let mut network = network(&["127.0.0.1"], no_lookup);
        assert!(network.is_idle());
        let connection = connect(&mut network, "127.0.0.1", port).await.unwrap();
        assert!(!network.is_idle());
        network.close(connection);
        assert!(network.is_idle());
        connect(&mut network, "127.0.0.1", 1).await.unwrap_err();
        let ended = tokio::time::timeout(Duration::from_secs(5), async {
            while !network.is_idle() {
                tokio::task::yield_now().await;
            }
        });
        ended.await.expect("nobody has a connection that was refused");
    });
}

#[test]
fn many_connections_one_after_another_leave_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().for_each(drop));
    block(async move {
        let mut network = network(&["127.0.0.1"], no_lookup);
        for _ in 0..10_000 {
            let connection = connect(&mut network, "127.0.0.1", port).await.unwrap();
            network.close(connection);
        }
        assert!(network.connections.len() <= MOST_CONNECTIONS);
        assert_eq!(network.requests().len(), 1000);
    });
}

#[test]
fn the_download_limit_is_exact_over_all_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // Half of the limit each.
            stream.unwrap().write_all(&[7; 512 * 1024]).unwrap();
        }
    });
    block(async move {
        let mut network = network(&["127.0.0.1"], no_lookup);
        for round in 0..3 {
            let connection = connect(&mut network, "127.0.0.1", port).await.unwrap();
            let mut count = 0;
            let end = loop {
                match network.receive(connection, 100_000).unwrap().await {
                    Ok(answer) if answer.size() == 0 => break None,
                    Ok(answer) => count += answer.into_bytes().len(),
                    Err(failure) => break Some(failure.kind),
                }
            };
            let expected =
                if round < 2 { (512 * 1024, None) } else { (0, Some("TooLarge".to_owned())) };
            assert_eq!((count, end), expected);
        }
        // The next call begins anew.
        network.grant(&grant(&["127.0.0.1"]));
        let connection = connect(&mut network, "127.0.0.1", port).await.unwrap();
        assert!(network.receive(connection, 100_000).unwrap().await.is_ok());
    });
}

#[test]
fn another_grant_ends_connections_that_it_may_not_cover() {
    let port = silent_server();
    block(async move {
        let mut network = network(&["127.0.0.1"], no_lookup);
        let connection = connect(&mut network, "127.0.0.1", port).await.unwrap();
        network.grant(&grant(&["127.0.0.1"]));
        assert!(network.receive(connection, 1).is_ok());
        network.grant(&grant(&["a.org"]));
        assert_eq!(network.receive(connection, 1).err().unwrap().kind, "Closed");
        network.deny();
        let error = connect(&mut network, "127.0.0.1", port).await.unwrap_err();
        assert!(error.starts_with("Denied: ") && network.was_refused(), "{error}");
    });
}

#[test]
fn a_given_up_receive_loses_no_byte_and_sends_keep_their_order() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (given_up, may_speak) = std::sync::mpsc::channel();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = Vec::new();
        may_speak.recv().unwrap();
        stream.write_all(b"hello").unwrap();
        stream.read_to_end(&mut seen).unwrap();
        seen
    });
    block(async move {
        let mut network = network(&["127.0.0.1"], no_lookup);
        let connection = connect(&mut network, "127.0.0.1", port).await.unwrap();
        drop(network.receive(connection, 10).unwrap());
        given_up.send(()).unwrap();
        let answer = network.receive(connection, 3).unwrap().await.unwrap();
        assert_eq!(answer.into_bytes(), b"hel");
        let sends: Vec<_> = (0..200u8)
            .map(|number| network.send(connection, vec![number; 1000]).unwrap())
            .collect();
        for send in sends {
            send.await.unwrap();
        }
        network.send(connection, Vec::new()).unwrap().await.unwrap();
        assert_eq!(network.receive(connection, 10).unwrap().await.unwrap().into_bytes(), b"lo");
        assert_eq!(network.receive(connection, 10).unwrap().await.unwrap().into_bytes(), b"");
    });
    let expected: Vec<u8> = (0..200u8).flat_map(|number| vec![number; 1000]).collect();
    assert_eq!(server.join().unwrap(), expected);
}

#[test]
fn an_answer_that_is_given_up_unheard_is_for_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello world").unwrap();
        // The end comes only once all was heard.
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    block(async move {
        let mut network = network(&["127.0.0.1"], no_lookup);
        let connection = connect(&mut network, "127.0.0.1", port).await.unwrap();
        // The answers are there, and have not been heard, in whichever way they are lost.
        let first = network.receive(connection, 5).unwrap().await.unwrap();
        let second = network.receive(connection, 3).unwrap().await.unwrap();
        let third = network.receive(connection, 90).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(second);
        drop(third);
        drop(first);
        let mut heard = Vec::new();
        while heard.len() < 11 {
            let answer = network.receive(connection, 4).unwrap().await.unwrap();
            assert!(answer.size() <= 4);
            heard.extend(answer.into_bytes());
        }
        assert_eq!(heard, b"hello world");
        network.close(connection);
    });
    server.join().unwrap();
}

#[test]
fn who_waits_gets_what_another_gives_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    block(async move {
        let mut network = network(&["127.0.0.1"], no_lookup);
        let connection = connect(&mut network, "127.0.0.1", port).await.unwrap();
        let unheard = network.receive(connection, 5).unwrap().await.unwrap();
        let waits = tokio::spawn(network.receive(connection, 90).unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!waits.is_finished());
        drop(unheard);
        assert_eq!(waits.await.unwrap().unwrap().into_bytes(), b"hello");
    });
}

#[test]
fn what_was_given_up_counts_until_it_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&[7; 1 << 20]).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    block(async move {
        let mut network = network(&["127.0.0.1"], no_lookup);
        let connection = connect(&mut network, "127.0.0.1", port).await.unwrap();
        let free = network.buffered.available_permits();
        let answer = network.receive(connection, 1000).unwrap().await.unwrap();
        drop(answer);
        assert_eq!(network.buffered.available_permits(), free - 1000 - COST);
        let again = network.receive(connection, 1000).unwrap().await.unwrap();
        assert_eq!(again.into_bytes(), [7; 1000]);
        assert_eq!(network.buffered.available_permits(), free);
    });
}

#[test]
fn who_speaks_first_in_a_protocol_of_his_own_is_let_out_after_a_moment() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = [0; 4];
        stream.read_exact(&mut seen).unwrap();
        stream.write_all(&seen).unwrap();
    });
    block(async move {
        let mut network = network(&["127.0.0.1"], no_lookup);
        let connection = connect(&mut network, "127.0.0.1", port).await.unwrap();
        let receive = network.receive(connection, 10).unwrap();
        network.send(connection, b"ping".to_vec()).unwrap().await.unwrap();
        assert_eq!(receive.await.unwrap().into_bytes(), b"ping");
    });
}
