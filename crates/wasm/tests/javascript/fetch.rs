//! `fetch` of a real guest, with real servers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use capsule_backend::guest::Grant;
use serde_json::{Value, json};

use super::support::{Sandbox, grant};

/// Answers each connection with what `answer` makes of the request's text.
fn server(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read(&mut stream);
            // Nobody to tell if the guest has gone.
            let _ = stream.write_all(&answer(&request));
        }
    });
    port
}

/// A request: head, and body by its length or chunks.
fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap_or(0);
        text.extend_from_slice(&buffer[..count]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else {
            if count == 0 {
                return whole;
            }
            continue;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let is_whole = match length {
            Some(length) => body.len() >= length.parse().unwrap(),
            None => !head.contains("chunked") || body.ends_with("0\r\n\r\n"),
        };
        if is_whole || count == 0 {
            return whole;
        }
    }
}

fn fixed(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn allowed(port: u16) -> Grant {
    Grant { hosts: vec![format!("127.0.0.1:{port}").parse().unwrap()], ..grant() }
}

fn value(sandbox: &Sandbox, port: u16, body: &str) -> Value {
    let body = format!("const B = 'http://127.0.0.1:{port}'; {body}");
    sandbox.value_with(&body, &allowed(port))
}

#[test]
fn every_kind_of_body_is_sent() {
    let Some(sandbox) = Sandbox::new() else { return };
    let port = server(|request| fixed("200 OK", request));
    for (body, sent) in [
        (
            "'téxt'",
            "content-type: text/plain;charset=UTF-8\r\ncontent-length: 5\r\nconnection: close\r\n\r\ntéxt",
        ),
        (
            "new URLSearchParams({ a: '1 2' })",
            "charset=UTF-8\r\ncontent-length: 5\r\nconnection: close\r\n\r\na=1+2",
        ),
        ("new Uint8Array([65, 66])", "content-length: 2\r\nconnection: close\r\n\r\nAB"),
        (
            "new Blob(['blob'], { type: 'x/y' })",
            "content-type: x/y\r\ncontent-length: 4\r\nconnection: close\r\n\r\nblob",
        ),
        (
            "ReadableStream.from(['one', 'three'])",
            "transfer-encoding: chunked\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n",
        ),
        ("''", "content-length: 0\r\nconnection: close\r\n\r\n"),
    ] {
        let order = |text: &str| {
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let mut lines: Vec<&str> = head.split("\r\n").collect();
            lines.sort_unstable();
            (lines.join("\n"), body.to_owned())
        };
        let told = value(
            &sandbox,
            port,
            &format!(
                "return (await fetch(B, {{ method: 'POST', duplex: 'half', body: {body} }})).text()"
            ),
        );
        let (head, got) = order(told.as_str().unwrap());
        let (fields, wanted) = order(sent);
        assert_eq!(got, wanted, "{body}");
        for field in fields.lines().filter(|line| !line.starts_with("charset")) {
            assert!(head.contains(field), "{head} has no {field}");
        }
    }
    let form = value(
        &sandbox,
        port,
        "const form = new FormData(); form.append('a\"b', 'v'); form.append('f', new File(['x'], 'n.txt'));\n\
         return (await fetch(B, { method: 'POST', body: form })).text()",
    );
    let form = form.as_str().unwrap();
    assert!(form.contains("name=\"a%22b\"\r\n\r\nv\r\n"), "{form}");
    assert!(
        form.contains("filename=\"n.txt\"\r\nContent-Type: application/octet-stream\r\n\r\nx\r\n"),
        "{form}"
    );
}

#[test]
fn every_framing_of_an_answer_is_read() {
    let Some(sandbox) = Sandbox::new() else { return };
    for (answer, text) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", "abc"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: t\r\n\r\n",
            "abc",
        ),
        ("HTTP/1.0 200 OK\r\n\r\nabc", "abc"),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc"),
        ("HTTP/1.1 204 No Content\r\n\r\nabc", ""),
    ] {
        let port = server(move |_| answer.as_bytes().to_vec());
        assert_eq!(
            value(&sandbox, port, "return (await fetch(B)).text()"),
            json!(text),
            "{answer}"
        );
    }
    for (answer, why) in [
        ("", "fetch failed"),
        ("nonsense\r\n\r\n", "fetch failed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "ends too early"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc", "fetch failed"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc", "fetch failed"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
            "fetch failed",
        ),
    ] {
        let port = server(move |_| answer.as_bytes().to_vec());
        let body = "try { return 'read ' + await (await fetch(B)).text() } catch (e) { return `${e.name}: ${e.message}` }";
        let told = value(&sandbox, port, body);
        let told = told.as_str().unwrap();
        assert!(
            told.starts_with("TypeError: fetch failed") && told.contains(why),
            "{answer:?}: {told}"
        );
    }
}

#[test]
fn each_redirect_is_looked_at() {
    let Some(sandbox) = Sandbox::new() else { return };
    let inside = server(|_| fixed("200 OK", "inside"));
    let port = server(move |request| {
        let to = match request.split(' ').nth(1) {
            Some("/inside") => format!("http://127.0.0.1:{inside}/"),
            Some("/name") => "http://example.com/".to_owned(),
            Some("/file") => "file:///etc/passwd".to_owned(),
            Some("/loop") => "/loop".to_owned(),
            Some("/away") => "/here".to_owned(),
            _ => return fixed("200 OK", &request.to_lowercase()),
        };
        fixed(&format!("302 Found\r\nLocation: {to}"), "")
    });
    let told = |path: &str| {
        let body = format!(
            "try {{ return (await fetch(B + '{path}')).status }} catch (e) {{ return e.name }}"
        );
        value(&sandbox, port, &body)
    };
    assert_eq!(told("/inside"), json!("DeniedError"));
    assert_eq!(told("/name"), json!("DeniedError"));
    assert_eq!(told("/file"), json!("TypeError"));
    assert_eq!(told("/loop"), json!("TypeError"));
    let seen = value(
        &sandbox,
        port,
        "const r = await fetch(B + '/away', { method: 'POST', body: 'x', headers: { authorization: 'secret' } });\n\
         const text = await r.text(); return [r.url.endsWith('/here'), r.redirected, text.startsWith('get /here'), text.includes('secret')]",
    );
    assert_eq!(seen, json!([true, true, true, true]));
}

#[test]
fn nothing_is_reached_that_was_not_granted_and_no_header_is_forged() {
    let Some(sandbox) = Sandbox::new() else { return };
    let port = server(|request| fixed("200 OK", request));
    let told = value(
        &sandbox,
        port,
        "const told = async (work) => { try { return await work() } catch (e) { return e.name } };\n\
         return [\n\
           await told(() => fetch('http://example.com/')), await told(() => fetch('http://localhost/')),\n\
           await told(() => fetch('http://169.254.169.254/latest/')), await told(() => fetch('http://[::1]/')),\n\
           await told(() => fetch('file:///etc/passwd')), await told(() => fetch('http://u:p@127.0.0.1/')),\n\
           await told(() => fetch(B, { headers: { 'a\\r\\nb': 'c' } })), await told(() => fetch(B, { method: 'GET / HTTP/1.1\\r\\nx:' })),\n\
           await told(() => fetch(B, { headers: { host: 'other.example' } }).then((r) => r.text()).then((t) => /host: other/i.test(t))),\n\
           await told(() => fetch(B + '/a\\r\\nx: y').then((r) => r.text()).then((t) => /^x: y/m.test(t))),\n\
         ]",
    );
    assert_eq!(
        told,
        json!([
            "DeniedError",
            "DeniedError",
            "DeniedError",
            "DeniedError",
            "TypeError",
            "TypeError",
            "TypeError",
            "TypeError",
            false,
            false
        ])
    );
}

#[test]
fn a_request_is_given_up_and_an_answer_streams() {
    let Some(sandbox) = Sandbox::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            read(&mut stream);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
                .unwrap();
            open.push(stream);
        }
    });
    let told = value(
        &sandbox,
        port,
        "const told = async (work) => { try { return await work() } catch (e) { return e.name } };\n\
         const stop = new AbortController(); setTimeout(() => stop.abort(), 30);\n\
         const reader = (await fetch(B)).body.getReader();\n\
         const first = new TextDecoder().decode((await reader.read()).value); await reader.cancel();\n\
         return [first, await told(async () => (await fetch(B, { signal: stop.signal })).text()),\n\
           await told(async () => (await fetch(B, { signal: AbortSignal.timeout(20) })).text()),\n\
           await told(() => fetch(B, { signal: AbortSignal.abort(new RangeError()) }))]",
    );
    assert_eq!(told, json!(["abc", "AbortError", "TimeoutError", "RangeError"]));
}
