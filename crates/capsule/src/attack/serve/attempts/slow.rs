//! Those who begin and never end, and those who ask and never listen.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::attack::Family;
use crate::attack::host;
use crate::attack::serve::attempt::{Access, Attempt, Tries, Without};
use crate::attack::serve::scene::Scene;

const FAMILY: Family = Family::Slow;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "half-requests",
        family: FAMILY,
        tries: "begin hundreds of requests and terminals, and never end them",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: half_requests,
    },
    Attempt {
        name: "slow-heads",
        family: FAMILY,
        tries: "send the head of a request byte by byte, for as long as it is let",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: slow_heads,
    },
    Attempt {
        name: "deaf-listeners",
        family: FAMILY,
        tries: "ask for hundreds of megabytes of output, and read none of it",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: deaf_listeners,
    },
];

fn half_requests(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    let terminal = scene.other.upgrade(&format!("/terminal/{id}"), &[]);
    let headers = [("Content-Type", "application/json"), ("Content-Length", "16000000")];
    let body = scene.other.head("POST", "/rpc", &headers);
    let mut slow = Vec::new();
    for turn in 0..400 {
        let Ok(mut stream) = scene.other.connect() else { break };
        let part: &[u8] = match turn % 5 {
            0 => b"",
            1 => b"POST /rpc HT",
            2 => b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nX-Slow: a",
            3 => body.as_bytes(),
            // Ten whole terminals; the others lack their last byte.
            _ if turn < 50 => terminal.as_bytes(),
            _ => &terminal.as_bytes()[..terminal.len() - 1],
        };
        let _ = stream.write_all(part);
        slow.push(stream);
    }
    tries.need("clients", slow.len() >= 300, format!("{} of them", slow.len()));
    let mut served = 0;
    for _ in 0..20 {
        served +=
            usize::from(scene.mine.shell(&id, "echo served").is_ok_and(|said| said == "served\n"));
    }
    tries.expect("others", served == 20, format!("{served} of 20 were served"));
    drop(slow);
    let mut running = 1;
    for _ in 0..400 {
        let found = scene.mine.must("sandbox.v1.get", json!({ "id": id }))?;
        running = found["processes"].as_u64().unwrap_or(1);
        if running == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    tries.expect("what is left of it", running == 0, format!("{running} shells"));
    Ok(())
}

fn slow_heads(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    const LONGEST: Duration = Duration::from_secs(60);
    let mut stream = scene.other.connect()?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    let began = Instant::now();
    stream.write_all(b"POST /rpc HTTP/1.1\r\nHost: localhost\r\n")?;
    let mut is_closed = false;
    while !is_closed && began.elapsed() < LONGEST {
        let is_sent = stream.write_all(b"X-A: b\r\n").is_ok();
        let mut byte = [0; 512];
        is_closed = !is_sent || stream.read(&mut byte).is_ok();
    }
    let seconds = began.elapsed().as_secs();
    tries.expect("a head without an end", is_closed, format!("cut off after {seconds} s"));
    Ok(())
}

fn deaf_listeners(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let resident = || {
        let text = host::status_field(scene.process().cast_signed(), "VmRSS").unwrap_or_default();
        text.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(u64::MAX)
    };
    let id = scene.mine.create()?;
    let before = resident();
    let mut deaf = Vec::new();
    for _ in 0..16 {
        let cmd = ["/bin/sh", "-c", "head -c 400000000 /dev/zero"];
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "sandbox.v1.execStream",
            "params": { "id": id, "cmd": cmd, "timeout_ms": 120_000 } });
        let body = request.to_string();
        let length = body.len().to_string();
        let headers = [("Content-Type", "application/json"), ("Content-Length", &*length)];
        let mut stream = scene.other.connect()?;
        stream.write_all((scene.other.head("POST", "/rpc", &headers) + &body).as_bytes())?;
        deaf.push(stream);
    }
    std::thread::sleep(Duration::from_secs(3));
    let grown = resident().saturating_sub(before) >> 10;
    tries.expect("memory", grown < 160, format!("{grown} MiB more"));
    let said = scene.mine.shell(&id, "echo served")?;
    tries.expect("others", said == "served\n", "are served");
    drop(deaf);
    Ok(())
}
