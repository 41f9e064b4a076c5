//! Webhooks, against listeners that take them, fail, hang, go on for ever or lead elsewhere.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capsule_server::Settings;
use serde_json::{Value, json};

use super::Own;
use crate::suite::exec::until;
use crate::support::Folders;

type Heads = Arc<Mutex<Vec<(String, String)>>>;

/// A listener that answers its requests one way each, and the last way from then on; what
/// they were.
fn listener(ways: &'static [&'static str]) -> (u16, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard: Heads = Arc::default();
    let heads = Arc::clone(&heard);
    std::thread::spawn(move || {
        for (turn, stream) in listener.incoming().flatten().enumerate() {
            let way = ways[turn.min(ways.len() - 1)];
            let heads = Arc::clone(&heads);
            std::thread::spawn(move || answer(stream, way, &heads));
        }
    });
    (port, heard)
}

fn answer(mut stream: TcpStream, way: &str, heads: &Heads) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let (head, body) = loop {
        let Ok(count @ 1..) = stream.read(&mut piece) else { return };
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        if body.len() >= length.unwrap().parse::<usize>().unwrap() {
            break (head.to_owned(), body.to_owned());
        }
    };
    heads.lock().unwrap().push((head, body));
    match way {
        "hang" => std::thread::sleep(Duration::from_secs(30)),
        "drip" => {
            while stream.write_all(b"H").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        "close" => {}
        way => {
            let _ =
                stream.write_all(format!("HTTP/1.1 {way}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        }
    }
}

fn allowing(settings: &mut Settings) {
    settings.webhooks.allowed = vec!["127.0.0.1".parse().unwrap()];
    settings.webhooks.pause = Duration::from_millis(2);
}

fn start(own: &Own, id: &str, command: &str, webhook: &Value) -> Value {
    let cmd = ["/bin/sh", "-c", command];
    let params = json!({ "id": id, "cmd": cmd, "webhook": webhook });
    own.site.call("sandbox.v1.start", params).unwrap()["process"].clone()
}

fn count(heads: &Heads) -> usize {
    heads.lock().unwrap().len()
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn an_end_is_told_signed_and_again_until_it_is_taken() {
    let data = tempfile::tempdir().unwrap();
    let (port, heads) = listener(&["500 No", "close", "302 Found\r\nLocation: /else", "204 Taken"]);
    let own = Own::start(data.path(), &Arc::default(), allowing);
    let id = own.site.create();
    let url = format!("http://127.0.0.1:{port}/hook?x=1");
    let process = start(&own, &id, "exit 7", &json!({ "url": url, "secret": "sé cret" }));
    until(|| count(&heads) == 4);
    std::thread::sleep(Duration::from_millis(300));
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 4, "what was taken is not sent again, and nothing is followed");
    let deliveries: Vec<_> =
        heads.iter().map(|(head, _)| field(head, "X-Capsule-Delivery")).collect();
    assert!(deliveries.iter().all(|one| *one == deliveries[0]), "{deliveries:?}");
    for (head, body) in heads.iter() {
        assert!(head.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{head}");
        let told: Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&told["event"], &told["sandbox"], &told["process"], &told["exit"]["exit_code"]),
            (&json!("process.exited"), &json!(id), &process, &json!(7))
        );
        let signature = field(head, "X-Capsule-Signature").unwrap();
        let (time, given) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        // Somebody else's HMAC.
        let code = "import hmac,sys; print(hmac.new(sys.argv[1].encode(),(sys.argv[2]+'.'+sys.argv[3]).encode(),'sha256').hexdigest())";
        let other =
            Command::new("python3").args(["-c", code, "sé cret", time, body]).output().unwrap();
        assert_eq!(String::from_utf8(other.stdout).unwrap().trim(), given);
    }
    drop(heads);
    own.stop();
}

/// Listeners that hang or never end hold nobody else up, not even those of the same owner
/// for long; and what is given up is forgotten.
#[test]
fn a_bad_listener_is_alone() {
    let data = tempfile::tempdir().unwrap();
    let own = Own::start(data.path(), &Arc::default(), |settings| {
        allowing(settings);
        settings.webhooks.pause = Duration::from_micros(400);
    });
    let id = own.site.create();
    let hook = |port: u16| json!({ "url": format!("http://127.0.0.1:{port}/") });
    let ((hanging, hung), (dripping, dripped)) = (listener(&["hang"]), listener(&["drip"]));
    let (broken, tried) = listener(&["500 No"]);
    let (good, taken) = listener(&["200 OK"]);
    for port in [hanging, dripping, broken] {
        start(&own, &id, "true", &hook(port));
    }
    until(|| count(&hung) == 1 && count(&dripped) == 1);
    start(&own, &id, "true", &hook(good));
    until(|| count(&taken) == 1);
    assert_eq!(field(&taken.lock().unwrap()[0].0, "X-Capsule-Signature"), None);
    until(|| count(&tried) == 8);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(count(&tried), 8, "it is given up");
    own.kill();
}

#[test]
fn a_webhook_outlives_its_server() {
    let data = tempfile::tempdir().unwrap();
    let backend: Arc<Folders> = Arc::default();
    let own = Own::start(data.path(), &backend, |settings| {
        allowing(settings);
        settings.webhooks.pause = Duration::from_secs(600);
    });
    let (port, heads) = listener(&["500 No", "200 OK"]);
    let hook = json!({ "url": format!("http://127.0.0.1:{port}/"), "secret": "s" });
    let id = own.site.create();
    let lost = own.site.create();
    // One was tried, one still runs, one is lost with its sandbox.
    start(&own, &id, "exit 1", &hook);
    until(|| count(&heads) == 1);
    start(&own, &id, "while [ ! -e end ]; do sleep 0.05; done; exit 2", &hook);
    start(&own, &lost, "sleep 1000", &hook);
    own.kill();
    backend.lose(&lost);
    let own = Own::start(data.path(), &backend, allowing);
    own.site.shell(&id, ": >end");
    let exits = || -> Vec<String> {
        let heads = heads.lock().unwrap();
        let exit = |(_, body): &(String, String)| {
            let told: Value = serde_json::from_str(body).unwrap();
            told["exit"]["exit_code"].to_string()
        };
        heads.iter().skip(1).map(exit).collect()
    };
    // The first waits for its time; the other two come.
    until(|| exits().len() == 2);
    let mut found = exits();
    found.sort();
    assert_eq!(found, ["2", "null"]);
    own.stop();
}

#[test]
fn nothing_inside_is_reached() {
    let data = tempfile::tempdir().unwrap();
    let (port, heads) = listener(&["200 OK"]);
    let own = Own::start(data.path(), &Arc::default(), |settings| {
        settings.webhooks.pause = Duration::from_millis(1);
    });
    let id = own.site.create();
    let try_start = |url: &str| {
        let params = json!({ "id": id, "cmd": ["true"], "webhook": { "url": url } });
        own.site.call("sandbox.v1.start", params).map_err(|refused| refused.error_code)
    };
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "https://10.0.0.1/".to_owned(),
    ] {
        assert_eq!(try_start(&url), Err("E5006".to_owned()), "{url}");
    }
    for url in [
        "",
        "file:///etc/passwd",
        "http://u:p@a.example/",
        "http://2130706433/",
        "http://127.1/",
        "http://a/\r\nX: y",
        "gopher://a/",
    ] {
        assert_eq!(try_start(url), Err("E1003".to_owned()), "{url}");
    }
    assert_eq!(
        own.site.call("sandbox.v1.processes", json!({ "id": id })).unwrap()["processes"],
        json!([])
    );
    // A name that stands for this machine is found out when it is used.
    try_start(&format!("http://localhost:{port}/")).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(count(&heads), 0);
    own.stop();
}
