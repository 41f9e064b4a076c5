//! Limits and denials, tried from inside.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use capsule_backend::guest::{GuestError, Meter};
use capsule_spec::ByteSize;

use crate::play::Play;

#[test]
fn memory_is_limited() {
    let mut play = Play::new(
        "def main():\n\
         \x20   print('begun', flush=True)\n\
         \x20   return len(bytearray(b'x') * (200 << 20))\n",
    );
    play.grant.ram = ByteSize::from_mib(64);
    let seen = play.run();
    let (kind, message, _) = seen.raised();
    assert_eq!((kind, message), ("MemoryError", "it used more memory than 64MiB"));
    assert_eq!(seen.stdout, "begun\n");
    assert!(seen.usage.ram >= 60 << 20, "{:?}", seen.usage);
}

#[test]
fn memory_of_the_host_is_not_the_guests() {
    // The jail's first process is a copy of this one, pages and all.
    let held = std::hint::black_box(vec![1u8; 300 << 20]);
    let mut play = Play::new("import time\ndef main(): time.sleep(0.2)\n");
    play.grant.ram = ByteSize::from_mib(64);
    let seen = play.run();
    assert_eq!(seen.value(), "null");
    assert!(seen.usage.ram < 64 << 20, "{:?}", seen.usage);
    drop(held);
}

#[test]
fn private_files_are_limited() {
    let mut play = Play::new(
        "def main():\n\
         \x20   with open('/tmp/x', 'wb', 0) as file:\n\
         \x20       try:\n\
         \x20           while True: file.write(b'x' * 65536)\n\
         \x20       except OSError as error: return [error.errno, file.tell() >> 20]\n",
    );
    play.grant.disk = ByteSize::from_mib(8);
    let told: (i32, u64) = serde_json::from_str(play.run().value()).unwrap();
    assert_eq!(told.0, 28);
    assert!((7..=8).contains(&told.1), "{told:?}");
}

#[test]
fn processor_time_is_a_budget() {
    for program in [
        "def main():\n    while True: pass\n",
        // In many processes that nobody waits for.
        "import os, signal\n\
         def main():\n\
         \x20   signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n\
         \x20   for _ in range(4):\n\
         \x20       if os.fork() == 0:\n\
         \x20           while True: pass\n\
         \x20   signal.pause()\n",
        // In processes that live for a moment each.
        "import os, time\n\
         def main():\n\
         \x20   while True:\n\
         \x20       if os.fork() == 0:\n\
         \x20           until = time.process_time() + 0.02\n\
         \x20           while time.process_time() < until: pass\n\
         \x20           os._exit(0)\n\
         \x20       os.wait()\n",
    ] {
        let mut play = Play::new(program);
        let meter = Meter::new(5_000_000_000);
        play.grant.meter = meter.clone();
        let started = Instant::now();
        let seen = play.run();
        assert_eq!(seen.result, Err(GuestError::OutOfFuel), "{program}");
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        // Half a second, and not twice that.
        assert!((5_000_000_000..10_000_000_000).contains(&seen.usage.fuel), "{:?}", seen.usage);
        assert_eq!(meter.used(), seen.usage.fuel);
    }
}

#[test]
fn a_budget_above_ends_the_call_as_well() {
    let mut play = Play::new("def main():\n    while True: pass\n");
    let above = Meter::new(5_000_000_000);
    play.grant.meter = Meter::below(&above, 1_000_000_000_000);
    assert_eq!(play.clone().run().result, Err(GuestError::OutOfFuel));
    assert!(above.used() >= 5_000_000_000);
    // Nothing is left, so nothing is started.
    let seen = play.run();
    assert_eq!((seen.result, seen.usage.fuel), (Err(GuestError::OutOfFuel), 0));
}

#[test]
fn a_wait_costs_nothing() {
    let seen = Play::new("import time\ndef main(): time.sleep(0.5)\n").run();
    assert_eq!(seen.value(), "null");
    assert!(seen.usage.fuel < 4_000_000_000, "{:?}", seen.usage);
}

/// Answers every request with `size` bytes.
fn origin(size: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&vec![b'x'; size]);
        }
    });
    port
}

const FETCH: &str = "\
import urllib.request, urllib.error
import capsule
def ask(url):
    try: return len(urllib.request.urlopen(url, timeout=5).read())
    except urllib.error.HTTPError as error: return error.code
    except Exception as error: return type(error).__name__
def ask_sdk(url):
    try: return len(capsule.http.get(url, timeout=5).content)
    except Exception as error: return type(error).__name__
";

#[test]
fn without_a_grant_there_is_no_network() {
    let port = origin(10);
    let seen = Play::new(&format!(
        "{FETCH}def main(): return [ask('http://127.0.0.1:{port}/'), ask('http://1.1.1.1/')]\n"
    ))
    .run();
    assert_eq!(seen.value(), r#"["URLError", "URLError"]"#);
    assert_eq!(seen.usage.requests, []);
}

#[test]
fn only_granted_hosts_are_reached_and_all_are_listed() {
    let (allowed, denied) = (origin(10), origin(10));
    let mut play = Play::new(&format!(
        "{FETCH}def main(): return [ask('http://127.0.0.1:{allowed}/'), ask('http://127.0.0.1:{denied}/'),\n\
         \x20   ask('http://example.org/'), ask('https://example.org/'), \n\
         \x20   ask_sdk('http://127.0.0.1:{allowed}/'), ask_sdk('http://127.0.0.1:{denied}/')]\n"
    ));
    play.grant.hosts = vec![format!("127.0.0.1:{allowed}").parse().unwrap()];
    let seen = play.run();
    assert_eq!(seen.value(), r#"[10, 403, 403, "URLError", 10, "HttpError"]"#);
    let listed: Vec<_> =
        seen.usage.requests.iter().map(|one| (one.url.clone(), one.allowed)).collect();
    let [yes, no] = [allowed, denied].map(|port| format!("127.0.0.1:{port}"));
    assert_eq!(
        listed,
        [
            (yes.clone(), true),
            (no.clone(), false),
            ("example.org:80".to_owned(), false),
            ("example.org:443".to_owned(), false),
            (yes, true),
            (no, false),
        ]
    );
}

#[test]
fn what_is_received_is_limited_over_all_connections() {
    let port = origin(600_000);
    let mut play = Play::new(&format!(
        "{FETCH}def main(): return [ask('http://127.0.0.1:{port}/') for _ in range(3)]\n"
    ));
    play.grant.hosts = vec![format!("127.0.0.1:{port}").parse().unwrap()];
    play.grant.download = ByteSize::from_bytes(1_000_000);
    let seen = play.run();
    assert_eq!(seen.value(), r#"[600000, "IncompleteRead", 502]"#);
}
