//! A client of `capsule serve`: JSON-RPC over a connection that is kept, files as streams,
//! WebSockets. It believes a server no more than it must: all sizes are bounded, and every
//! wait has an end.
//!
//! Blocking, but for WebSockets, which go both ways at once: a verb does one thing and then
//! the next.

mod connection;
mod http;
mod place;
mod refusal;
mod socket;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use capsule_spec::{ErrorCode, Failure};
use serde_json::{Value, json};

pub(crate) use connection::Connection;
pub(crate) use http::{Answer, Body, Sent};
pub(crate) use place::Place;
pub(crate) use refusal::remote;
pub(crate) use socket::{Socket, open as open_socket};

/// Largest answer of a method: 12 MiB of file as base64, and room.
const LARGEST_ANSWER: u64 = 64 << 20;
/// How long an answer may take: longer than the longest command.
const PATIENCE: Duration = Duration::from_secs(150);
/// A server closes a connection that is idle for longer.
const FRESH: Duration = Duration::from_secs(5);

/// A server, as one caller.
#[derive(Debug)]
pub(crate) struct Client {
    place: Place,
    key: Option<String>,
    /// Open, and used a moment ago.
    kept: Option<(Connection, Instant)>,
}

impl Client {
    pub(crate) fn new(place: Place, key: Option<String>) -> Self {
        Self { place, key, kept: None }
    }

    /// The same caller, on a connection of its own.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.place.clone(), self.key.clone())
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Calls a method.
    ///
    /// # Errors
    /// What the server says, or that there is none.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let text = request.to_string();
        let mut connection = self.connection()?;
        let headers = [("Content-Type", "application/json")];
        let sent = Sent::Bytes(text.as_bytes());
        let answer = connection.ask("POST", "/rpc", &self.with_key(&headers), sent)?;
        let status = answer.status;
        let bytes = connection.whole(answer, LARGEST_ANSWER)?;
        let mut answer: Value = serde_json::from_slice(&bytes).map_err(|_| foreign(status))?;
        self.keep(connection);
        if let Some(error) = answer.get("error") {
            return Err(remote(error));
        }
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(foreign(status)),
        }
    }

    /// Reads a file of a sandbox: its size, and its bytes.
    pub(crate) fn download(&mut self, id: &str, path: &str) -> Result<(u64, Body), Failure> {
        let mut connection = Connection::open(&self.place, PATIENCE)?;
        let target = format!("/sandbox/{}/files?path={}", encoded(id), encoded(path));
        let answer = connection.ask("GET", &target, &self.with_key(&[]), Sent::Nothing)?;
        let size = answer.length;
        match (answer.status, size) {
            (200, Some(size)) => Ok((size, Body::new(connection, &answer))),
            _ => Err(refused(&mut connection, answer)),
        }
    }

    /// Writes a file of a sandbox. `size` is none where it is not known before its end.
    pub(crate) fn upload(
        &mut self,
        id: &str,
        path: &str,
        mode: u32,
        size: Option<u64>,
        from: &mut dyn Read,
    ) -> Result<(), Failure> {
        let mut connection = Connection::open(&self.place, PATIENCE)?;
        let (id, path) = (encoded(id), encoded(path));
        let target = format!("/sandbox/{id}/files?path={path}&mode={mode:o}");
        let sent = match size {
            Some(size) => Sent::Sized(size, from),
            None => Sent::Pieces(from),
        };
        let answer = connection.ask("PUT", &target, &self.with_key(&[]), sent)?;
        match answer.status {
            200 => Ok(()),
            _ => Err(refused(&mut connection, answer)),
        }
    }

    /// Headers, and who asks.
    fn with_key<'a>(&'a self, headers: &[(&'a str, &'a str)]) -> Vec<(&'a str, String)> {
        let mut all: Vec<_> =
            headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        if let Some(key) = &self.key {
            all.push(("Authorization", format!("Bearer {key}")));
        }
        all
    }

    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    fn connection(&mut self) -> Result<Connection, Failure> {
        match self.kept.take() {
            Some((connection, used)) if used.elapsed() < FRESH => Ok(connection),
            _ => Connection::open(&self.place, PATIENCE),
        }
    }

    fn keep(&mut self, connection: Connection) {
        if connection.is_reusable() {
            self.kept = Some((connection, Instant::now()));
        }
    }
}

/// What a refusal outside of JSON-RPC says.
fn refused(connection: &mut Connection, answer: Answer) -> Failure {
    let status = answer.status;
    let body = connection.whole(answer, 1 << 20).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    body.get("error").map_or_else(|| foreign(status), remote)
}

/// Something answers, but not what was asked for.
pub(crate) fn foreign(status: u16) -> Failure {
    let message = match status {
        0 => "what answers there is no server of sandboxes".to_owned(),
        _ => format!("what answers there (HTTP status {status}) is no server of sandboxes"),
    };
    Failure::new(ErrorCode::ServerUnreachable, message)
        .hint("name the server with --server URL or CAPSULE_SERVER")
}

/// A part of a path or a value of a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut all = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => all.push(byte),
            // Writing to memory cannot fail.
            other => drop(write!(all, "%{other:02X}")),
        }
    }
    String::from_utf8(all).expect("what is written is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_ends_a_query_or_a_head() {
        assert_eq!(encoded("a b&c=d\r\nHost: x/é"), "a%20b%26c%3Dd%0D%0AHost%3A%20x%2F%C3%A9");
    }
}
