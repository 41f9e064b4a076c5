//! What a stranger can say to a server: bytes, HTTP, JSON-RPC. Every wait has an end.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// How long a server may take to say something.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most that is read of an answer.
const MOST: u64 = 32 << 20;

/// A server as one caller sees it.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) address: SocketAddr,
    pub(super) key: Option<String>,
}

/// An answer of HTTP.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// In lower case.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What a method that was refused said.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refused {
    pub(super) code: i64,
    pub(super) error_code: String,
    pub(super) message: String,
}

impl Door {
    pub(super) fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The head of a request, with the server's name unless another is given.
    pub(super) fn head(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let has = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !has("host") {
            head += &format!("Host: {}\r\n", self.address);
        }
        if let Some(key) = self.key.as_ref().filter(|_| !has("authorization")) {
            head += &format!("Authorization: Bearer {key}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head + "\r\n"
    }

    /// Says something, and hears all until the other side closes or falls silent.
    pub(super) fn said(&self, bytes: &[u8]) -> io::Result<String> {
        let mut stream = self.connect()?;
        // Somebody who was refused at once does not hear the rest.
        let _ = stream.write_all(bytes);
        let mut heard = Vec::new();
        let _ = stream.take(MOST).read_to_end(&mut heard);
        Ok(String::from_utf8_lossy(&heard).into_owned())
    }

    pub(super) fn http(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let length = body.len().to_string();
        let mut all = vec![("Connection", "close")];
        if !body.is_empty() || method == "POST" || method == "PUT" {
            all.push(("Content-Length", &length));
        }
        all.extend_from_slice(headers);
        let mut stream = self.connect()?;
        stream.write_all(self.head(method, path, &all).as_bytes())?;
        let _ = stream.write_all(body);
        let mut heard = Vec::new();
        stream.take(MOST).read_to_end(&mut heard)?;
        parse(&heard)
    }

    /// A request of JSON-RPC as programs send it.
    pub(super) fn post(&self, body: &str) -> io::Result<Answer> {
        self.http("POST", "/rpc", &[("Content-Type", "application/json")], body.as_bytes())
    }

    pub(super) fn call(&self, method: &str, params: Value) -> io::Result<Result<Value, Refused>> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.post(&request.to_string())?;
        let mut told = answer.json();
        if let Some(result) = told.get_mut("result") {
            return Ok(Ok(result.take()));
        }
        let error = &told["error"];
        Ok(Err(Refused {
            code: error["code"].as_i64().unwrap_or_default(),
            error_code: error["data"]["details"]["error_code"].as_str().unwrap_or("?").to_owned(),
            message: match error["message"].as_str() {
                Some(message) => message.to_owned(),
                None => format!("HTTP {}", answer.status),
            },
        }))
    }

    /// What has to work.
    pub(super) fn must(&self, method: &str, params: Value) -> io::Result<Value> {
        let refused = |refused: Refused| io::Error::other(format!("{method}: {}", refused.message));
        self.call(method, params)?.map_err(refused)
    }

    pub(super) fn create(&self) -> io::Result<String> {
        let made = self.must("sandbox.v1.create", json!({ "template": "shell" }))?;
        let id = made["id"].as_str();
        id.map(str::to_owned).ok_or_else(|| io::Error::other("a sandbox without an id"))
    }

    /// What a line of shell prints in a sandbox.
    pub(super) fn shell(&self, id: &str, line: &str) -> io::Result<String> {
        let params = json!({ "id": id, "cmd": ["/bin/sh", "-c", line], "timeout_ms": 20_000 });
        let done = self.must("sandbox.v1.exec", params)?;
        Ok(done["stdout"].as_str().unwrap_or_default().to_owned())
    }

    /// How many sandboxes this caller sees.
    pub(super) fn sandboxes(&self) -> io::Result<usize> {
        let listed = self.must("sandbox.v1.list", json!({}))?;
        Ok(listed["sandboxes"].as_array().map_or(0, Vec::len))
    }

    /// The head that opens a WebSocket.
    pub(super) fn upgrade(&self, path: &str, headers: &[(&str, &str)]) -> String {
        let mut all = vec![
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ];
        all.extend_from_slice(headers);
        self.head("GET", path, &all)
    }

    /// Asks for a WebSocket: the socket, and the status.
    pub(super) fn socket(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<(TcpStream, u16)> {
        let mut stream = self.connect()?;
        stream.write_all(self.upgrade(path, headers).as_bytes())?;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && head.len() < 64 << 10 {
            if stream.read(&mut byte)? == 0 {
                break;
            }
            head.push(byte[0]);
        }
        Ok((stream, parse(&head)?.status))
    }
}

/// A frame of a client's WebSocket, masked with zeroes.
pub(super) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let mut frame = vec![0x80 | kind, 0x80 | 126];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&payload[..length.into()]);
    frame
}

fn parse(heard: &[u8]) -> io::Result<Answer> {
    let nothing = || io::Error::other("the server closed without an answer");
    let end = heard.windows(4).position(|part| part == b"\r\n\r\n").ok_or_else(nothing)?;
    let head = String::from_utf8_lossy(&heard[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut body = heard[end + 4..].to_vec();
    if head.contains("transfer-encoding: chunked") {
        body = unchunked(&body);
    }
    Ok(Answer { status: status.ok_or_else(nothing)?, head, body })
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|part| part == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).unwrap_or_default();
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        let (start, stop) = (end + 2, end + 2 + size);
        if size == 0 || rest.len() < stop + 2 {
            break;
        }
        body.extend_from_slice(&rest[start..stop]);
        rest = &rest[stop + 2..];
    }
    body
}
