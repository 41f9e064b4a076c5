//! Limits of a server.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use capsule_server::create_key;
use serde_json::json;

use super::Own;
use crate::support::Folders;

#[test]
fn sandboxes_and_processes_are_counted() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = Own::start(data.path(), &backend, |settings| {
        settings.sandboxes = 2;
        settings.processes = 2;
    });
    let site = &own.site;
    let id = site.create();
    site.create();
    let refused = site.call("sandbox.v1.create", json!({ "template": "shell" })).unwrap_err();
    assert_eq!(
        (refused.code, &*refused.kind, &*refused.error_code),
        (-32013, "LIMIT_REACHED", "E4007")
    );
    assert_eq!(backend.names().len(), 2);
    let start = json!({ "id": id, "cmd": ["sleep", "100"] });
    for _ in 0..2 {
        site.call("sandbox.v1.start", start.clone()).unwrap();
    }
    assert_eq!(site.call("sandbox.v1.start", start).unwrap_err().error_code, "E4007");
    let exec = json!({ "id": id, "cmd": ["true"] });
    assert_eq!(site.call("sandbox.v1.exec", exec).unwrap_err().error_code, "E4007");
    site.delete(&id);
    site.create();
    assert!(own.stop());
    assert_eq!(backend.names().len(), 3, "the backend of this test forgets nothing by itself");
}

#[test]
fn a_key_has_a_rate() {
    let data = tempfile::tempdir().unwrap();
    let key = create_key(&data.path().join("data"), "one").unwrap();
    let own = Own::start(data.path(), &Arc::default(), |settings| settings.rate = 5);
    let site = own.site.with_key(&key.key);
    let statuses: Vec<u16> =
        (0..30).map(|_| site.http("GET", "/metrics", &[], b"").status).collect();
    let passed = statuses.iter().filter(|status| **status == 200).count();
    assert!((10..25).contains(&passed), "{statuses:?}");
    assert!(statuses.contains(&429));
    // Others are not held up.
    assert_eq!(own.site.http("GET", "/metrics", &[], b"").status, 200);
    own.stop();
}

/// A thousand clients that say nothing, or half a request, keep nobody out, and are gone
/// after a while.
#[test]
fn idle_connections_are_closed() {
    let own = {
        let data = Box::leak(Box::new(tempfile::tempdir().unwrap()));
        Own::start(data.path(), &Arc::default(), |_| {})
    };
    let site = &own.site;
    let mut idle: Vec<_> = (0..200)
        .map(|number| {
            let mut stream = site.connect();
            if number % 2 == 0 {
                stream.write_all(b"POST /rpc HTTP/1.1\r\nHost: loc").unwrap();
            }
            stream
        })
        .collect();
    let id = site.create();
    site.delete(&id);
    let began = Instant::now();
    for stream in &mut idle {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(25), "{took:?}");
    assert!(own.stop());
}

/// Who takes nothing in holds nobody up: neither the server's end nor others.
#[test]
fn a_reader_that_does_not_read_is_alone() {
    let own = {
        let data = Box::leak(Box::new(tempfile::tempdir().unwrap()));
        Own::start(data.path(), &Arc::default(), |_| {})
    };
    let site = &own.site;
    let id = site.create();
    let cmd = ["/bin/sh", "-c", "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done"];
    let params = json!({ "id": id, "cmd": cmd, "timeout_ms": 100_000 });
    let mut events = site.events("sandbox.v1.execStream", params);
    assert_eq!(events.next().unwrap().0, "started");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(site.exec(&id, &["echo", "hello"])["stdout"], json!("hello\n"));
    site.delete(&id);
    assert!(own.stop());
}
