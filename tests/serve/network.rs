//! The network of sandboxes: real servers on this machine's loopback, reached or not.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::Serve;
use crate::suite::client::Site;
use crate::suite::exec::until;

/// A server of HTTP that says its name, or on /slow goes on for ever; and how many listen.
fn origin(name: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let slow = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&slow);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            std::thread::spawn(move || answer(connection, name, &count));
        }
    });
    (port, slow)
}

fn answer(mut connection: std::net::TcpStream, name: &str, slow: &AtomicUsize) {
    let mut head = [0; 4096];
    let length = connection.read(&mut head).unwrap_or(0);
    if !String::from_utf8_lossy(&head[..length]).contains("/slow") {
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{name}",
            name.len()
        );
        let _ = connection.write_all(text.as_bytes());
        return;
    }
    slow.fetch_add(1, Ordering::SeqCst);
    let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    while connection.write_all(b".").is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
    slow.fetch_sub(1, Ordering::SeqCst);
}

/// What a program inside gets, with or without the proxy of its variables.
fn fetch(site: &Site, id: &str, port: u16, way: &str) -> String {
    let code = format!(
        "import urllib.request as u\n{way}\n\
         try: print(u.urlopen('http://127.0.0.1:{port}/',timeout=5).read().decode())\n\
         except Exception as error: print(getattr(error, 'code', None) or 'nothing')"
    );
    let done = site.exec(id, &["python3", "-c", &code]);
    done["stdout"].as_str().unwrap().trim().to_owned()
}

const DIRECT: &str = "u.install_opener(u.build_opener(u.ProxyHandler({})))";

fn allow(port: u16) -> Value {
    json!({ "allow": [format!("127.0.0.1:{port}")] })
}

fn set(site: &Site, id: &str, network: &Value) -> Value {
    let params = json!({ "id": id, "network": network });
    site.call("sandbox.v1.setNetwork", params).unwrap()["network"].take()
}

#[test]
fn a_policy_is_what_programs_meet() {
    let ((one, slow), (two, _)) = (origin("one"), origin("two"));
    let serve = Serve::start(&[]);
    let denied = serve.create();
    assert_eq!(fetch(&serve, &denied, one, ""), "nothing");
    let id = serve.create_with(json!({ "template": "python", "network": allow(one) }));
    assert_eq!(fetch(&serve, &id, one, ""), "one");
    assert_eq!(fetch(&serve, &id, two, ""), "403");
    assert_eq!(fetch(&serve, &id, one, DIRECT), "nothing");
    // A connection of the old policy is cut, also if the new one names the same host.
    let code = format!(
        "import urllib.request as u; u.urlopen('http://127.0.0.1:{one}/slow').read(); print('cut')"
    );
    for network in [
        json!({ "allow": [format!("127.0.0.1:{one}"), format!("127.0.0.1:{two}")] }),
        json!("denied"),
    ] {
        let start = json!({ "id": id, "cmd": ["python3", "-c", code] });
        let process = serve.call("sandbox.v1.start", start).unwrap()["process"].clone();
        until(|| slow.load(Ordering::SeqCst) == 1);
        assert_eq!(set(&serve, &id, &network), network);
        until(|| slow.load(Ordering::SeqCst) == 0);
        let wait = json!({ "id": id, "process": process, "timeout_ms": 10_000 });
        assert!(!serve.call("sandbox.v1.wait", wait).unwrap()["exit"].is_null());
        if network != json!("denied") {
            assert_eq!(fetch(&serve, &id, two, ""), "two");
        }
    }
    assert_eq!(fetch(&serve, &id, one, ""), "nothing");
    // Others were never meant.
    assert_eq!(fetch(&serve, &denied, one, ""), "nothing");
}

#[test]
fn a_policy_holds_after_kill() {
    let ((one, _), (two, _)) = (origin("one"), origin("two"));
    let serve = Serve::start(&[]);
    let id = serve.create();
    set(&serve, &id, &allow(one));
    let (data, _folder) = serve.kill();
    let serve = Serve::again(&data, &[]);
    assert_eq!(serve.call("sandbox.v1.get", json!({ "id": id })).unwrap()["network"], allow(one));
    assert_eq!(fetch(&serve, &id, one, ""), "one");
    assert_eq!(fetch(&serve, &id, two, ""), "403");
    // Paused meanwhile, it comes back with it, too.
    serve.call("sandbox.v1.pause", json!({ "id": id })).unwrap();
    let (data, _) = serve.kill();
    let serve = Serve::again(&data, &[]);
    serve.call("sandbox.v1.resume", json!({ "id": id })).unwrap();
    assert_eq!(fetch(&serve, &id, one, ""), "one");
    assert_eq!(fetch(&serve, &id, two, ""), "403");
}

#[test]
fn the_open_network_is_for_whom_the_operator_lets() {
    let (port, _) = origin("one");
    let serve = Serve::start(&["--allow-open-network"]);
    let id = serve.create_with(json!({ "template": "python", "network": "open" }));
    assert_eq!(fetch(&serve, &id, port, DIRECT), "one");
    let denied = serve.create();
    assert_eq!(fetch(&serve, &denied, port, DIRECT), "nothing");
}

/// Real packages from the real indexes, where this machine reaches them.
#[test]
fn packages_are_installed_from_their_index_only() {
    let serve = Serve::start(&[]);
    let limits = json!({ "memory_bytes": 1_u64 << 30, "disk_bytes": 512_u64 << 20 });
    let id = serve.create_with(json!({ "template": "python", "limits": limits }));
    for (manager, package, use_it, expected) in [
        (
            "pip",
            "iniconfig==2.0.0",
            vec![
                "python3",
                "-c",
                "import iniconfig as it; from importlib.metadata import version; print(version(it.__name__))",
            ],
            "2.0.0\n",
        ),
        ("npm", "left-pad@1.3.0", vec!["node", "-p", "require('left-pad')(1, 3, 0)"], "001\n"),
    ] {
        let has_manager = serve.exec(
            &id,
            &[
                "/bin/sh",
                "-c",
                match manager {
                    "pip" => "python3 -m pip --version",
                    _ => "npm --version",
                },
            ],
        );
        if has_manager["exit_code"] != json!(0) {
            capsule_tests::skip(&format!("{manager} is not installed"));
            continue;
        }
        let params = json!({ "id": id, "manager": manager, "packages": [package] });
        let done = serve.call("sandbox.v1.install", params).unwrap();
        let said = format!("{}{}", done["stdout"], done["stderr"]);
        let is_unreachable = [
            "ETIMEDOUT",
            "ECONNREFUSED",
            "EAI_AGAIN",
            "ENOTFOUND",
            "Temporary failure",
            "502",
            "504",
        ];
        if done["exit_code"] != json!(0) && is_unreachable.iter().any(|one| said.contains(one)) {
            capsule_tests::skip(&format!("the index of {manager} is not reachable"));
            continue;
        }
        assert_eq!(done["exit_code"], json!(0), "{said}");
        assert_eq!(serve.exec(&id, &use_it)["stdout"], json!(expected), "{said}");
    }
    // And it is closed again.
    let code = "import os; print([name for name in os.environ if 'proxy' in name.lower()])";
    assert_eq!(serve.exec(&id, &["python3", "-c", code])["stdout"], json!("[]\n"));
    assert_eq!(
        serve.call("sandbox.v1.get", json!({ "id": id })).unwrap()["network"],
        json!("denied")
    );
}
