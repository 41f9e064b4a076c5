//! Plain HTTP: kept connections, redirects, bodies of every framing.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[test]
fn each_request_on_a_kept_connection_is_judged() {
    let port = echo_server();
    let door = TestDoor::new(&[&format!("127.0.0.1:{port}")]);
    let mut stream = door.connect();
    for (target, status) in [
        (format!("127.0.0.1:{port}"), "200"),
        ("denied.org".to_owned(), "403"),
        (format!("127.0.0.1:{port}"), "200"),
        (format!("127.0.0.2:{port}"), "403"),
        (format!("127.0.0.1:{port}"), "200"),
    ] {
        // The Host field lies, and must not matter.
        let request = format!("GET http://{target}/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let (head, body) = read_answer(&mut stream);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{target} {head}");
        assert!(status != "200" || body.contains(&format!("Host: {target}\r\n")), "{body}");
    }
    assert_eq!(door.wait_for_visits(5).len(), 5);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let port = echo_server();
    let door = TestDoor::new(&[&format!("127.0.0.1:{port}")]);
    let request = |path: &str, host: &str| format!("GET http://{host}/{path} HTTP/1.1\r\n\r\n");
    let live = format!("127.0.0.1:{port}");
    let all = [request("a", &live), request("b", "denied.org"), request("c", &live)].concat();
    let mut stream = door.connect();
    stream.write_all(all.as_bytes()).unwrap();
    assert!(read_answer(&mut stream).1.starts_with("GET /a "));
    assert!(read_answer(&mut stream).0.starts_with("HTTP/1.1 403 "));
    assert!(read_answer(&mut stream).1.starts_with("GET /c "));
}

#[test]
fn a_redirect_to_a_denied_host_leads_nowhere() {
    let port = server(|mut stream| {
        read_head(&mut stream);
        let answer =
            "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let door = TestDoor::new(&[&format!("127.0.0.1:{port}")]);
    let mut stream = door.connect();
    stream.write_all(format!("GET http://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
    let (head, _) = read_answer(&mut stream);
    let place = head.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
    stream.write_all(format!("GET {place} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
    assert!(read_answer(&mut stream).0.starts_with("HTTP/1.1 403 "));
}

/// The origin keeps one connection for two requests, then closes it unannounced.
#[test]
fn a_kept_origin_is_used_again_and_replaced_when_it_is_gone() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let port = server(move |mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        for _ in 0..2 {
            if read_head(&mut stream).is_empty() {
                return;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
        // Reads the third request, or its absence, and answers with silence.
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        read_head(&mut stream);
    });
    let door = TestDoor::new(&[&format!("127.0.0.1:{port}")]);
    let mut stream = door.connect();
    for _ in 0..6 {
        stream
            .write_all(format!("GET http://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n").as_bytes())
            .unwrap();
        assert_eq!(read_answer(&mut stream).1, "ok");
    }
    assert_eq!(made.load(Ordering::SeqCst), 3);
}

/// The origin answers one GET, and hangs up on whatever comes next.
#[test]
fn a_post_is_never_sent_twice() {
    let posts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&posts);
    let port = server(move |mut stream| {
        loop {
            let head = read_head(&mut stream);
            if !head.starts_with("GET ") {
                count.fetch_add(usize::from(!head.is_empty()), Ordering::SeqCst);
                return;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    });
    let door = TestDoor::new(&[&format!("127.0.0.1:{port}")]);
    let mut stream = door.connect();
    write!(stream, "GET http://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut stream).1, "ok");
    let post = format!("POST http://127.0.0.1:{port}/ HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(post.as_bytes()).unwrap();
    assert!(read_answer(&mut stream).0.starts_with("HTTP/1.1 502 "));
    assert_eq!(posts.load(Ordering::SeqCst), 1);
    assert_eq!(door.verdicts(), [Verdict::Allowed, Verdict::BadAnswer]);
}

#[test]
fn a_kept_origin_serves_no_other_host() {
    let speaker = |word: &'static str| {
        server(move |mut stream| {
            while !read_head(&mut stream).is_empty() {
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{word}");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        })
    };
    let (a, b) = (speaker("a"), speaker("b"));
    let door = TestDoor::with(&["127.0.0.1", "a.org"], DoorLimits::default(), loopback);
    let mut stream = door.connect();
    for (host, port, word) in [("127.0.0.1", a, "a"), ("127.0.0.1", b, "b"), ("a.org", a, "a")] {
        write!(stream, "GET http://{host}:{port}/ HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(read_answer(&mut stream).1, word);
    }
}

/// An answer that nobody asked for must not become the answer to the next request.
#[test]
fn an_unasked_answer_is_not_delivered() {
    let port = server(|mut stream| {
        read_head(&mut stream);
        let answer = |word: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{word}");
        stream.write_all(answer("good").as_bytes()).unwrap();
        thread::sleep(Duration::from_millis(50));
        stream.write_all(answer("evil").as_bytes()).unwrap();
        read_head(&mut stream);
    });
    let door = TestDoor::new(&[&format!("127.0.0.1:{port}")]);
    let mut stream = door.connect();
    for _ in 0..2 {
        write!(stream, "GET http://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(read_answer(&mut stream).1, "good");
        thread::sleep(Duration::from_millis(150));
    }
}

#[test]
fn an_early_answer_reaches_a_guest_that_still_sends() {
    let port = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno").unwrap();
        thread::sleep(Duration::from_millis(300));
    });
    let door = TestDoor::new(&[&format!("127.0.0.1:{port}")]);
    let mut stream = door.connect();
    let head =
        format!("POST http://127.0.0.1:{port}/ HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&[0; 100_000]).unwrap();
    assert_eq!(read_answer(&mut stream).1, "no");
}

#[test]
fn a_bad_chunk_never_reaches_the_origin() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    let port = server(move |mut stream| {
        read_head(&mut stream);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        sender.lock().unwrap().send(rest).unwrap();
    });
    let door = TestDoor::new(&[&format!("127.0.0.1:{port}")]);
    let request = format!(
        "POST http://127.0.0.1:{port}/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\n\nGET /smuggled HTTP/1.1\r\n\r\n"
    );
    assert!(door.ask(request.as_bytes()).starts_with("HTTP/1.1 400 "));
    assert_eq!(door.verdicts(), [Verdict::BadRequest]);
    drop(receiver);
}

/// 64 MiB each way at once over both framings, and the sums agree.
#[test]
fn big_bodies_arrive_whole() {
    const BYTES: usize = 64 * 1024 * 1024;
    let port = server(|mut stream| {
        let head = read_head(&mut stream);
        let mut left = BYTES;
        let mut buffer = vec![0; 65536];
        let mut sum = 0u64;
        if head.starts_with("POST") {
            while left > 0 {
                let count = stream.read(&mut buffer).unwrap();
                sum = add(sum, &buffer[..count]);
                left -= count;
            }
            let text = sum.to_string();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
                .unwrap();
            return;
        }
        let chunked = head.contains("/chunked");
        let framing = match chunked {
            true => "Transfer-Encoding: chunked".to_owned(),
            false => format!("Content-Length: {BYTES}"),
        };
        write!(stream, "HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").unwrap();
        for at in (0..BYTES).step_by(65536) {
            if chunked {
                stream.write_all(b"10000\r\n").unwrap();
            }
            stream.write_all(&piece(at)).unwrap();
            if chunked {
                stream.write_all(b"\r\n").unwrap();
            }
        }
        if chunked {
            stream.write_all(b"0\r\n\r\n").unwrap();
        }
    });
    let expected = (0..BYTES).step_by(65536).fold(0, |sum, at| add(sum, &piece(at)));
    let door = TestDoor::new(&[&format!("127.0.0.1:{port}")]);

    let mut stream = door.connect();
    write!(stream, "POST http://127.0.0.1:{port}/ HTTP/1.1\r\nContent-Length: {BYTES}\r\n\r\n")
        .unwrap();
    for at in (0..BYTES).step_by(65536) {
        stream.write_all(&piece(at)).unwrap();
    }
    assert_eq!(read_answer(&mut stream).1, expected.to_string());

    write!(stream, "GET http://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n").unwrap();
    assert!(read_head(&mut stream).contains("Content-Length: 67108864\r\n"));
    let mut body = vec![0; BYTES];
    stream.read_exact(&mut body).unwrap();
    assert_eq!(add(0, &body), expected);

    write!(stream, "GET http://127.0.0.1:{port}/chunked HTTP/1.1\r\n\r\n").unwrap();
    read_head(&mut stream);
    let mut sum = 0;
    for _ in 0..BYTES / 65536 {
        let mut chunk = vec![0; 7 + 65536 + 2];
        stream.read_exact(&mut chunk).unwrap();
        sum = add(sum, &chunk[7..7 + 65536]);
    }
    assert_eq!(sum, expected);
}

fn piece(at: usize) -> Vec<u8> {
    (0..65536).map(|index| ((at / 65536 + index) * 31 % 251) as u8).collect()
}

/// Depends on the order of the bytes, and not on how they are cut.
fn add(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum, |sum, byte| sum.wrapping_mul(1_099_511_628_211) ^ u64::from(*byte))
}
