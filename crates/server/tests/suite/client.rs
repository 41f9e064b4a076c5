//! A client that knows nothing of the server's code: HTTP by hand, and WebSockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

/// A server to talk to, as one caller.
#[derive(Clone, Debug)]
pub struct Site {
    pub address: SocketAddr,
    pub key: Option<String>,
}

/// An answer of HTTP.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}\n{}", self.head, String::from_utf8_lossy(&self.body)))
    }
}

/// An error of JSON-RPC.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub code: i64,
    pub kind: String,
    pub error_code: String,
    pub message: String,
    pub hint: Option<String>,
}

impl Site {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, key: None }
    }

    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// The head of a request, with the headers that every client sends unless others are given.
    pub fn head(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        let has = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
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

    /// Sends a request and reads the answer to its end.
    pub fn http(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let length = body.len().to_string();
        let mut all = vec![("Connection", "close"), ("Content-Length", length.as_str())];
        all.extend_from_slice(headers);
        let mut stream = self.connect();
        stream.write_all(self.head(method, path, &all).as_bytes()).unwrap();
        // A server that refuses a body may close before it has read it.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        parse(&answer)
    }

    pub fn post(&self, body: &str) -> Answer {
        self.http("POST", "/rpc", &[("Content-Type", "application/json")], body.as_bytes())
    }

    /// Calls a method.
    pub fn call(&self, method: &str, params: Value) -> Result<Value, Refused> {
        let request = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let answer = self.post(&request.to_string());
        assert_eq!(answer.status, 200, "{}", answer.head);
        let mut answer = answer.json();
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)), "{answer}");
        match answer.get("error") {
            None => Ok(answer["result"].take()),
            Some(error) => Err(Refused {
                code: error["code"].as_i64().unwrap(),
                kind: error["data"]["type"].as_str().unwrap().to_owned(),
                error_code: error["data"]["details"]["error_code"].as_str().unwrap().to_owned(),
                message: error["message"].as_str().unwrap().to_owned(),
                hint: error["data"]["details"]["hint"].as_str().map(str::to_owned),
            }),
        }
    }

    /// A new sandbox's id.
    #[track_caller]
    pub fn create(&self) -> String {
        self.create_with(json!({ "template": "shell" }))
    }

    #[track_caller]
    pub fn create_with(&self, params: Value) -> String {
        let created = self.call("sandbox.v1.create", params).unwrap();
        created["id"].as_str().unwrap().to_owned()
    }

    /// Runs a command.
    #[track_caller]
    pub fn exec(&self, id: &str, cmd: &[&str]) -> Value {
        self.call("sandbox.v1.exec", json!({ "id": id, "cmd": cmd })).unwrap()
    }

    /// Runs a line of shell; what it wrote, which must be all that happened.
    #[track_caller]
    pub fn shell(&self, id: &str, line: &str) -> String {
        let done = self.exec(id, &["/bin/sh", "-c", line]);
        assert_eq!((&done["exit_code"], &done["stderr"]), (&json!(0), &json!("")), "{done}");
        done["stdout"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn delete(&self, id: &str) {
        let done = self.call("sandbox.v1.delete", json!({ "id": id })).unwrap();
        assert_eq!(done, json!({ "ok": true }));
    }

    /// Opens a WebSocket.
    pub fn socket(&self, path: &str) -> WebSocket<TcpStream> {
        self.try_socket(path, &[]).unwrap_or_else(|status| panic!("status {status}"))
    }

    /// Opens a WebSocket, or tells the status of the refusal.
    pub fn try_socket(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<WebSocket<TcpStream>, u16> {
        let mut request = tungstenite::http::Request::builder()
            .uri(format!("ws://{}{path}", self.address))
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", tungstenite::handshake::client::generate_key());
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("Host", self.address.to_string());
        }
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match tungstenite::client(request.body(()).unwrap(), self.connect()) {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
                Err(answer.status().as_u16())
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A stream of server-sent events.
    pub fn events(&self, method: &str, params: Value) -> Events {
        let request = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let body = request.to_string();
        let length = body.len().to_string();
        let headers = [("Content-Type", "application/json"), ("Content-Length", &*length)];
        let mut stream = self.connect();
        stream.write_all(self.head("POST", "/rpc", &headers).as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        Events { stream, text: Vec::new(), is_over: false }
    }
}

/// Server-sent events as they come.
pub struct Events {
    stream: TcpStream,
    text: Vec<u8>,
    is_over: bool,
}

impl Events {
    /// The next event: its name and its data; none at the end.
    pub fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let text = String::from_utf8_lossy(&self.text).into_owned();
            if let Some(start) = text.find("event: ")
                && let Some(length) = text[start..].find("\n\n")
            {
                let event = text[start..start + length].to_owned();
                self.text.drain(..start + length + 2);
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_default().to_owned()
                };
                let data = serde_json::from_str(&field("data: ")).unwrap();
                return Some((field("event: "), data));
            }
            if self.is_over {
                return None;
            }
            let mut piece = [0; 4096];
            let count = self.stream.read(&mut piece).unwrap();
            self.text.extend_from_slice(&piece[..count]);
            self.is_over = count == 0 || self.text.ends_with(b"\r\n0\r\n\r\n");
        }
    }

    /// All that come.
    pub fn all(mut self) -> Vec<(String, Value)> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

/// Reads binary frames until they hold a text.
#[track_caller]
pub fn read_until(socket: &mut WebSocket<TcpStream>, wanted: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(wanted) {
        match socket.read() {
            Ok(Message::Binary(bytes)) => seen += &String::from_utf8_lossy(&bytes),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            other => panic!("{other:?} after {seen:?}"),
        }
    }
    seen
}

pub fn parse(answer: &[u8]) -> Answer {
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head: {}", String::from_utf8_lossy(answer)));
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut body = answer[end + 4..].to_vec();
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        body = unchunked(&body);
    }
    Answer { status, head, body }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|part| part == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    body
}
