//! The way out, which can be exchanged while the sandbox lives.

use std::io::{Read, Write};
use std::net::TcpListener;

use capsule_backend::sandbox::Sandbox;
use capsule_spec::{ErrorCode, HostRule, Network};
use std::sync::Arc;

use crate::place::{self, Place, program, run, start, within};

/// A server on this host that answers every request, on a thread.
fn origin() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\norigin",
            );
        }
    });
    port
}

fn hosts(rules: &[String]) -> Network {
    Network::Hosts(rules.iter().map(|rule| rule.parse::<HostRule>().unwrap()).collect())
}

async fn fetch(sandbox: &Arc<dyn Sandbox>, port: u16) -> String {
    let code = format!(
        "import urllib.request\ntry: print(urllib.request.urlopen('http://127.0.0.1:{port}/',timeout=5).read())\n\
         except Exception as error: print(getattr(error, 'code', None) or type(error).__name__)"
    );
    run(sandbox, &program(&["python3", "-c", &code])).await.out.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_policy_can_be_exchanged() {
    let (one, two) = (origin(), origin());
    let (to_one, to_two) = (format!("127.0.0.1:{one}"), format!("127.0.0.1:{two}"));
    let place = Place::new();
    let sandbox = place.make("door").await;
    assert_eq!(fetch(&sandbox, one).await, "URLError");
    within(5, sandbox.set_network(&hosts(std::slice::from_ref(&to_one)))).await.unwrap();
    assert_eq!(fetch(&sandbox, one).await, "b'origin'");
    assert_eq!(fetch(&sandbox, two).await, "403");
    within(5, sandbox.set_network(&hosts(&[to_two, to_one]))).await.unwrap();
    assert_eq!(fetch(&sandbox, one).await, "b'origin'");
    assert_eq!(fetch(&sandbox, two).await, "b'origin'");
    within(5, sandbox.set_network(&Network::Denied)).await.unwrap();
    assert_eq!(fetch(&sandbox, one).await, "URLError");
    // Without the door's variables there is no way at all.
    let failure = sandbox.set_network(&Network::Open).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::ConflictingOptions);
    place.end("door", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_from_the_start_ends_with_the_sandbox() {
    let port = origin();
    let place = Place::new();
    let mut recipe = place::recipe();
    recipe.policy.network = hosts(&[format!("127.0.0.1:{port}")]);
    let sandbox = place.make_with("start", &recipe).await;
    assert_eq!(fetch(&sandbox, port).await, "b'origin'");
    place.end("start", &sandbox).await;
    // A guest that sits on the door's port keeps itself in, and is told so.
    let sandbox = place.make("sitter").await;
    let code = "import socket,time\ns=socket.socket(); s.bind(('127.0.0.1',3128)); s.listen(); print('up',flush=True); time.sleep(1000)";
    let sitter = start(&sandbox, &program(&["python3", "-c", code])).await;
    place::hear(&sitter, "up").await;
    let failure = within(10, sandbox.set_network(&recipe.policy.network)).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::DoorFailed);
    assert_eq!(place.record("sitter")["hosts"].as_array().unwrap().len(), 0);
    place.end("sitter", &sandbox).await;
}
