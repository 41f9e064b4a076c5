//! The door with real sockets on loopback: a door per test, servers written here,
//! and a resolver that says what the test wants.

mod exchanges;
mod limits;
mod policy;
mod requests;
mod tunnels;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::visit::Verdict;
use super::*;

/// A door under test, its address, and what it logged.
struct TestDoor {
    address: SocketAddr,
    visits: Arc<Mutex<Vec<Visit>>>,
}

impl TestDoor {
    /// A door whose resolver knows no name.
    fn new(rules: &[&str]) -> Self {
        Self::with(rules, DoorLimits::default(), |_| Ok(Vec::new()))
    }

    fn with(
        rules: &[&str],
        limits: DoorLimits,
        resolve: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let visits = Arc::new(Mutex::new(Vec::new()));
        let book = Arc::clone(&visits);
        let door = Door {
            rules: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
            limits,
            own_addresses: own_addresses().unwrap(),
            resolve: Box::new(resolve),
            log: Box::new(move |visit| {
                if visit.verdict != Verdict::Opened {
                    book.lock().unwrap().push(visit.clone());
                }
            }),
            received: AtomicU64::new(0),
        };
        thread::spawn(move || stand(listener, door));
        Self { address, visits }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends bytes, ends the sending side, and reads all that comes.
    fn ask(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        read_all(&mut stream)
    }

    fn verdicts(&self) -> Vec<Verdict> {
        self.visits.lock().unwrap().iter().map(|visit| visit.verdict).collect()
    }

    /// Waits for that many log lines: a tunnel is logged after its last byte.
    fn wait_for_visits(&self, count: usize) -> Vec<Visit> {
        for _ in 0..1000 {
            let visits = self.visits.lock().unwrap();
            if visits.len() >= count {
                return visits.clone();
            }
            drop(visits);
            thread::sleep(Duration::from_millis(10));
        }
        panic!("only {:?}", self.verdicts());
    }
}

fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is the kernel's business, not the test's.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Reads an answer with a Content-Length; the rest of the connection stays.
fn read_answer(stream: &mut TcpStream) -> (String, String) {
    let head = read_head(stream);
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// A server that treats every connection in a thread of its own.
fn server(treat: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let treat = Arc::new(treat);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let treat = Arc::clone(&treat);
            thread::spawn(move || treat(stream.unwrap()));
        }
    });
    port
}

/// An HTTP server that keeps connections and answers each request without a body
/// with the head that it saw.
fn echo_server() -> u16 {
    server(|mut stream| {
        loop {
            let head = read_head(&mut stream);
            if head.is_empty() {
                return;
            }
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

fn loopback(_: &str) -> io::Result<Vec<IpAddr>> {
    Ok(vec![[127, 0, 0, 1].into()])
}
