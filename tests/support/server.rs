//! A small HTTP server on the host's loopback, for what a jail may or may not reach.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server that answers every request by a function of its path. It stops when
/// dropped, as far as anybody can tell: nothing counts any more.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Starts it on a free port of `127.0.0.1`.
    ///
    /// # Panics
    /// When there is none.
    pub fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it was just bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                let answer = Arc::clone(&answer);
                std::thread::spawn(move || serve(&stream, &*answer));
            }
        });
        Self { address, connections }
    }

    /// Starts one that serves the files of a folder.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn of_files(folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self::start(move |path| {
            let path = path.split('?').next().unwrap_or(path);
            match std::fs::read(folder.join(path.trim_start_matches('/'))) {
                Ok(body) => with_body("200 OK", &body),
                Err(_) => with_body("404 Not Found", b""),
            }
        })
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections came.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: &TcpStream, answer: &dyn Fn(&str) -> Vec<u8>) {
    let mut lines = BufReader::new(stream).lines();
    let Some(Ok(request)) = lines.next() else { return };
    for line in lines {
        match line {
            Ok(line) if !line.is_empty() => {}
            _ => break,
        }
    }
    let path = request.split(' ').nth(1).unwrap_or("/");
    let _ = stream.write_all(&answer(path));
}

/// An answer with a body; the connection ends with it.
pub fn answer(body: &str) -> Vec<u8> {
    with_body("200 OK", body.as_bytes())
}

fn with_body(status: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// An answer that sends the client elsewhere.
pub fn redirect(target: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .into_bytes()
}
