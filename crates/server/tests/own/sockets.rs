//! Sockets in the file system as doors to a command.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use capsule_server::Listen;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

use super::Own;
use crate::support::Folders;

fn create(socket: &Path) -> String {
    let call =
        r#"{"jsonrpc":"2.0","id":1,"method":"sandbox.v1.create","params":{"template":"shell"}}"#;
    let length = call.len();
    let head = format!(
        "POST /rpc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(format!("{head}{call}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let body: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    body["result"]["id"].as_str().unwrap().to_owned()
}

/// Such a socket refuses what is written as soon as the other side has closed it. So the server
/// does not close first: a client that answers a ping late still hears how its command ended.
#[test]
fn who_listens_late_hears_the_end() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("socket");
    let listen = Listen::Unix(path.clone());
    let own =
        Own::start(data.path(), &Arc::new(Folders::default()), |settings| settings.listen = listen);
    let id = create(&path);
    let url = format!("ws://localhost/sandbox/{id}/exec");
    let (mut socket, _) = tungstenite::client(url, UnixStream::connect(&path).unwrap()).unwrap();
    socket.send(Message::text(json!({ "cmd": ["echo", "hello"] }).to_string())).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let mut events = Vec::new();
    while let Ok(message) = socket.read() {
        match message {
            Message::Text(text) => events.push(serde_json::from_str::<Value>(&text).unwrap()),
            Message::Close(frame) => {
                events.push(json!({ "close": u16::from(frame.unwrap().code) }))
            }
            _ => {}
        }
    }
    assert_eq!(events.last(), Some(&json!({ "close": 1000 })), "{events:?}");
    assert_eq!(events[events.len() - 2]["exit"]["exit_code"], json!(0), "{events:?}");
    assert!(own.stop());
}
