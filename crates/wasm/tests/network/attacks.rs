//! A hostile guest that wants out, or wants to exhaust its host.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use capsule_backend::guest::{Guest, GuestError, Meter};
use capsule_spec::ByteSize;
use serde_json::json;

use crate::support::{
    Given, Site, given, grant, has_runtime, listening, server, tokio, with_authority,
};

const TRIES: &str = "import socket, capsule
def tried(work, *arguments):
    try:
        return repr(work(*arguments))
    except capsule.DeniedError as error:
        return f'denied {error}'
    except Exception as error:
        return f'{type(error).__name__} {error}'
def connect(host, port):
    return socket.create_connection((host, port), timeout=5)
";

#[test]
fn no_spelling_of_an_inside_address_is_reached_through_a_wild_card() {
    if !has_runtime() {
        return;
    }
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut hosts: Vec<String> = [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "169.254.169.254",
        "100.100.100.200",
        "10.0.0.1",
        "192.168.0.1",
        "::1",
        "::",
        "[::1]",
        "::ffff:127.0.0.1",
        "[::ffff:7f00:1]",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fd00:ec2::254",
        "fe80::1",
        "localhost",
        "LOCALHOST.",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "127.1",
        "0177.0.0.1",
        "127.0.0.1.",
        "fe80::1%eth0",
        "localhost\0.example.org",
        "127.0.0.1\r\nx",
        "\u{ff11}27.0.0.1",
        "①27.0.0.1",
    ]
    .map(str::to_owned)
    .to_vec();
    hosts
        .extend(capsule_backend::address::own_addresses().unwrap().iter().map(ToString::to_string));
    let ended = given(&["*"]).run(
        &format!("{TRIES}def main(hosts, port):\n    return [tried(connect, host, port) for host in hosts]\n"),
        &[json!(hosts), json!(port)],
    );
    for (host, told) in hosts.iter().zip(ended.value().as_array().unwrap()) {
        let told = told.as_str().unwrap();
        let refused = ["denied ", "gaierror ", "UnicodeError ", "UnicodeEncodeError "];
        assert!(refused.iter().any(|word| told.starts_with(word)), "{host:?} {told}");
    }
    assert_eq!(
        ended.value()[17],
        json!(format!(
            "denied localhost:{port} is an address inside the host or its networks; set the task option \
         allowed_hosts=[\"localhost\", \"127.0.0.1\"]"
        ))
    );
    assert!(listener.accept().is_err(), "somebody knocked");
    assert!(
        ended.requests().iter().all(|line| line.is_ascii() && !line.contains(['\r', '\n', '\0']))
    );
}

#[test]
fn a_redirect_leads_to_allowed_hosts_only() {
    if !has_runtime() {
        return;
    }
    let (site, victim) = (Site::plain(), Site::plain());
    let rules = [format!("127.0.0.1:{}", site.port)];
    let ended = given(&[&rules[0]]).run(
        &format!("{TRIES}import urllib.request
from capsule import http
def main(site, victim):
    urls = [f'http://127.0.0.1:{{site}}/redirect?to={{to}}' for to in
            (f'http://127.0.0.1:{{victim}}/hello', 'http://169.254.169.254/latest/meta-data', 'http://evil.example/')]
    return [[tried(urllib.request.urlopen, url), tried(http.get, url)] for url in urls]
"),
        &[json!(site.port), json!(victim.port)],
    );
    let hosts = [
        format!("127.0.0.1:{}", victim.port),
        "169.254.169.254:80".to_owned(),
        "evil.example:80".to_owned(),
    ];
    for (told, host) in ended.value().as_array().unwrap().iter().zip(hosts) {
        for told in told.as_array().unwrap() {
            assert!(
                told.as_str().unwrap().starts_with(&format!("denied {host} is not allowed")),
                "{told}"
            );
        }
    }
}

/// Sends these pieces to an allowed server, some time apart, and tells what came of it.
fn sends(given: &Given, port: u16, pieces: &[&str]) -> (String, Vec<String>) {
    let ended = given.run(
        &format!(
            "{TRIES}import time
def main(port, pieces):
    sock = connect('127.0.0.1', port)
    def send():
        for piece in pieces:
            sock.sendall(piece.encode('latin-1'))
            time.sleep(0.001)
        return sock.recv(100)
    return tried(send)
"
        ),
        &[json!(port), json!(pieces)],
    );
    (ended.value().as_str().unwrap().to_owned(), ended.requests())
}

#[test]
fn requests_for_other_hosts_do_not_leave() {
    if !has_runtime() {
        return;
    }
    let given = given(&["127.0.0.1"]);
    let pieces: [&[&str]; 9] = [
        &["GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"],
        &["GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"],
        &["GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n"],
        &["GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n evil.example\r\n\r\n"],
        &["GET / HTTP/1.1\nHost: evil.example\n\n"],
        &["GET / HTTP/1.1\r\nHost: 127.0.0.1\r\x0bevil.example\r\n\r\n"],
        &["CONNECT evil.example:443 HTTP/1.1\r\n\r\n"],
        &["G", "ET / HTTP/1.1\r\n", "Host: evil", ".example\r\n", "\r\n"],
        &["\x16\x03\x01\x00\x05hello"],
    ];
    for pieces in pieces {
        let (port, hears) = listening();
        let (told, requests) = sends(&given, port, pieces);
        assert!(told.starts_with("denied "), "{pieces:?} {told}");
        let heard = hears.recv_timeout(Duration::from_secs(5)).unwrap();
        // Of a first line in pieces, a slow guest gets some out; of what follows nothing.
        let most = if pieces.len() > 1 { "GET / HTTP/1.1\r" } else { "" };
        assert!(most.as_bytes().starts_with(&heard), "{pieces:?} {heard:?}");
        assert!(requests.len() == 1 && requests[0].ends_with(" denied"), "{requests:?}");
    }
    // The same with a host that is allowed does leave: the test can fail.
    let (port, hears) = listening();
    let held = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    let ended = given.run(
        &format!(
            "{TRIES}def main(port, text):
    sock = connect('127.0.0.1', port)
    sock.sendall(text.encode())
    sock.shutdown(socket.SHUT_WR)
    return sock.recv(100).decode()
"
        ),
        &[json!(port), json!(held)],
    );
    assert!(ended.value().as_str().unwrap().starts_with("HTTP/1.1 200 OK"));
    assert_eq!(String::from_utf8(hears.recv().unwrap()).unwrap(), held);
}

#[test]
fn the_tenth_request_on_a_connection_is_read_like_the_first() {
    if !has_runtime() {
        return;
    }
    let site = Site::plain();
    let ended = given(&["127.0.0.1"]).run(
        &format!(
            "{TRIES}import http.client
def main(port):
    connection = http.client.HTTPConnection('127.0.0.1', port)
    for number in range(9):
        connection.request('POST', '/echo', b'x' * number)
        assert connection.getresponse().read()
    return tried(lambda: connection.request('GET', '/hello', headers={{'Host': 'evil.example'}}))
"
        ),
        &[json!(site.port)],
    );
    assert!(
        ended.value().as_str().unwrap().starts_with("denied evil.example:"),
        "{:?}",
        ended.value()
    );
    assert_eq!(ended.requests().last().unwrap(), "GET http://evil.example/hello - denied");
}

#[test]
fn inside_tls_host_and_server_name_are_checked_too() {
    if !has_runtime() {
        return;
    }
    let Some(certificate) = with_authority("DNS:localhost,DNS:evil.example,DNS:also.example")
    else {
        return;
    };
    let site = Site::tls(&certificate);
    let ended = given(&["localhost", "127.0.0.1", "also.example"]).run(
        &format!("{TRIES}import asyncio, ssl
def secure(port, name, host):
    sock = ssl.create_default_context().wrap_socket(connect('localhost', port), server_hostname=name)
    sock.sendall(f'GET /hello HTTP/1.1\\r\\nHost: {{host}}\\r\\nConnection: close\\r\\n\\r\\n'.encode())
    return sock.makefile('rb').read()[-5:]
async def stream(port, name):
    return await asyncio.open_connection('localhost', port, ssl=True, server_hostname=name)
def main(port):
    return [
        tried(secure, port, 'localhost', 'localhost'),
        tried(secure, port, 'also.example', 'also.example'),
        tried(secure, port, 'evil.example', 'evil.example'),
        tried(secure, port, 'localhost', 'evil.example'),
        tried(lambda: asyncio.run(stream(port, 'evil.example'))),
    ]
"),
        &[json!(site.port)],
    );
    let told = ended.value().as_array().unwrap();
    assert_eq!(told[..2], [json!("b'hello'"), json!("b'hello'")]);
    for told in &told[2..] {
        assert!(told.as_str().unwrap().starts_with("denied evil.example:"), "{told}");
    }
}

#[test]
fn what_the_log_holds_is_clean() {
    if !has_runtime() {
        return;
    }
    let (port, _hears) = listening();
    let given = given(&["127.0.0.1"]);
    let (_, requests) =
        sends(&given, port, &["GET /\u{e9}\u{9b}2J HTTP/1.1\r\n\r\nGET /\x1b[2J HTTP/1.1\r\n\r\n"]);
    assert_eq!(requests[0], format!("GET http://127.0.0.1:{port}/%E9%9B2J - allowed"));
    assert!(requests[1].ends_with(" denied"), "{requests:?}");
    let ended = given.run(
        &format!("{TRIES}def main():\n    return tried(connect, 'a\\r\\nGET http://forged/ 200 allowed', 80)\n"),
        &[],
    );
    assert_eq!(
        ended.requests(),
        ["CONNECT a%0D%0AGET%20http://forged/%20200%20allowed:80 - denied"]
    );
}

#[test]
fn an_endless_body_ends_at_the_download_limit_and_costs_the_host_nothing() {
    if !has_runtime() {
        return;
    }
    let site = Site::plain();
    let before = resident();
    let ended = given(&["127.0.0.1"]).with(|grant| grant.download = ByteSize::from_mib(40)).run(
        &format!(
            "{TRIES}import urllib.request
def main(port):
    count = 0
    def read():
        nonlocal count
        answer = urllib.request.urlopen(f'http://127.0.0.1:{{port}}/endless')
        while part := answer.read(100_000):
            count += len(part)
    return [tried(read), count]
"
        ),
        &[json!(site.port)],
    );
    let told = ended.value()[0].as_str().unwrap();
    assert!(
        told.starts_with("OSError ") && told.contains("more than 41943040 bytes were received"),
        "{told}"
    );
    let count = ended.value()[1].as_u64().unwrap();
    assert!((39 << 20..=40 << 20).contains(&count), "{count}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 300 << 20, "{grown}");
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn a_deadline_ends_a_guest_that_waits_and_its_connections() {
    if !has_runtime() {
        return;
    }
    let (told, ends) = channel();
    // A byte a second, for ever.
    let port = server(move |mut stream| {
        let _ = stream.read(&mut [0; 1000]);
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = told.send(());
    });
    let mut given = given(&["127.0.0.1"]);
    given.patience = Duration::from_secs(2);
    let started = Instant::now();
    let source = format!(
        "{TRIES}def main(port):
    sock = connect('127.0.0.1', port)
    sock.settimeout(None)
    sock.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n')
    while sock.recv(1):
        pass
"
    );
    let ended = given.run(&source, &[json!(port)]);
    assert_eq!(ended.result.unwrap_err(), GuestError::TimedOut);
    assert!(started.elapsed() < Duration::from_secs(20));
    ends.recv_timeout(Duration::from_secs(5)).expect("the connection ends with the guest");
}

#[test]
fn knocking_without_end_is_counted_and_bounded() {
    if !has_runtime() {
        return;
    }
    let silent = server(|stream| {
        std::thread::sleep(Duration::from_secs(30));
        drop(stream);
    });
    let started = Instant::now();
    let ended = given(&["127.0.0.1"]).run(
        &format!("{TRIES}import errno
def main(port):
    refused = sum(tried(connect, 'evil.example', number % 65536).startswith('denied') for number in range(10_000))
    kept = []
    try:
        while True:
            kept.append(connect('127.0.0.1', port))
    except OSError as error:
        return [refused, len(kept), error.errno == errno.EMFILE]
"),
        &[json!(silent)],
    );
    assert_eq!(ended.value(), &json!([10_000, 64, true]));
    assert_eq!(ended.usage.requests.len(), 1000);
    eprintln!("10,000 refused connects: {:?}", started.elapsed());
}

#[test]
fn wrong_types_and_numbers_are_exceptions_not_crashes() {
    if !has_runtime() {
        return;
    }
    let ended = given(&["*"]).run(
        &format!("{TRIES}from wit_world.imports import host
def raw(name, *arguments):
    try:
        return getattr(host, name)(*arguments)
    except Exception as error:
        return type(error).__name__ + ' ' + str(getattr(error, 'value', error).kind)
def main():
    return [
        tried(connect, 'a.example', 65536).split()[0], tried(connect, 'a.example', -1).split()[0],
        tried(connect, 7, 80).split()[0], tried(connect, None, 80).split()[0],
        raw('receive', 2**64 - 1, 2**32 - 1), raw('send', 0, b'x'), raw('secure', 5, 'x', False), raw('close', 77),
    ]
"),
        &[],
    );
    let expected = json!([
        "OverflowError",
        "OverflowError",
        "TypeError",
        "gaierror",
        "Err Closed",
        "Err Closed",
        "Err Closed",
        null
    ]);
    assert_eq!(ended.value(), &expected);
}

#[test]
fn loading_a_program_denies_everything_and_an_attempt_is_noticed() {
    if !has_runtime() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let bounds = grant(&["*", "127.0.0.1"]);
    let tokio = tokio();
    for (touches, is_pure) in [(true, false), (false, true)] {
        let call = if touches {
            format!("told = tried(connect, '127.0.0.1', {port})")
        } else {
            "told = ''".to_owned()
        };
        let mut guest = given(&[]).open(&format!("{TRIES}{call}\ndef main():\n    return told\n"));
        let declared = tokio.block_on(guest.declare(&bounds)).unwrap();
        assert_eq!(declared.is_pure, is_pure);
        let told =
            tokio.block_on(guest.call("main", r#"{"args":[],"kwargs":{}}"#, &bounds)).unwrap();
        assert_eq!(told.starts_with("\"denied "), touches, "{told}");
    }
    assert!(listener.accept().is_err());
}

#[test]
fn a_session_loses_a_connection_that_its_next_grant_may_not_cover() {
    if !has_runtime() {
        return;
    }
    let port = server(|mut stream| {
        let mut byte = [0];
        while stream.read(&mut byte).is_ok_and(|count| count == 1)
            && stream.write_all(&byte).is_ok()
        {}
    });
    let mut guest = given(&[]).open("def main(): pass");
    let tokio = tokio();
    let evaluate = |guest: &mut Box<dyn Guest>, code: &str, hosts: &[&str]| {
        let grant = grant(hosts);
        assert!(grant.meter.left() > 0 && Meter::new(1).left() == 1);
        tokio.block_on(guest.evaluate(code, "", &grant))
    };
    let ask = "sock.sendall(b'x'); sock.recv(1).decode()";
    let code =
        format!("import socket; sock = socket.create_connection(('127.0.0.1', {port})); {ask}");
    assert_eq!(evaluate(&mut guest, &code, &["127.0.0.1"]).unwrap(), "\"x\"");
    assert_eq!(evaluate(&mut guest, ask, &["127.0.0.1"]).unwrap(), "\"x\"");
    let error = evaluate(&mut guest, ask, &["a.example"]).unwrap_err();
    assert!(matches!(&error, GuestError::Raised { kind, .. } if kind == "OSError"), "{error:?}");
}
