//! Those who have no key, or not the right one.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::attack::Family;
use crate::attack::serve::attempt::{Access, Attempt, Tries, Without};
use crate::attack::serve::door::Door;
use crate::attack::serve::scene::Scene;

const FAMILY: Family = Family::Keys;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"sandbox.v1.list","params":{}}"#;
/// A revoked key is refused within a second, and its sockets are closed within five.
const REVOKED: Duration = Duration::from_secs(12);

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "without-a-key",
        family: FAMILY,
        tries: "come through every door without a key",
        access: Access::Keys,
        options: &[],
        without: Without::Keys,
        play: without_a_key,
    },
    Attempt {
        name: "guessed-keys",
        family: FAMILY,
        tries: "guess keys: parts, neighbours and mixtures of real ones, and dozens more",
        access: Access::Keys,
        options: &["--rate", "100000"],
        without: Without::Nothing,
        play: guessed_keys,
    },
    Attempt {
        name: "keys-elsewhere",
        family: FAMILY,
        tries: "have a key taken from an address, a cookie or another scheme",
        access: Access::Keys,
        options: &[],
        without: Without::Keys,
        play: keys_elsewhere,
    },
    Attempt {
        name: "revoked-key",
        family: FAMILY,
        tries: "go on with a key that was revoked, and with a terminal that is open",
        access: Access::Keys,
        options: &[],
        without: Without::Hand,
        play: revoked_key,
    },
    Attempt {
        name: "stored-keys",
        family: FAMILY,
        tries: "read keys from the server's folder, its log and its answers",
        access: Access::Keys,
        options: &[],
        without: Without::Nothing,
        play: stored_keys,
    },
    Attempt {
        name: "beyond-loopback",
        family: FAMILY,
        tries: "have a server listen for everybody without keys",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: beyond_loopback,
    },
];

fn without_a_key(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    let nobody = scene.nobody();
    let answer = nobody.post(LIST)?;
    tries.expect("POST /rpc", answer.status == 401, format!("HTTP {}", answer.status));
    let file = format!("/sandbox/{id}/files?path=/etc/hostname");
    let tar = format!("/sandbox/{id}/files?path=/workspace&archive=tar");
    for (method, path) in
        [("GET", &*file), ("PUT", &*file), ("GET", &*tar), ("GET", "/metrics"), ("GET", "/doctor")]
    {
        let answer = nobody.http(method, path, &[], b"")?;
        let what = format!("{method} {path}");
        tries.expect(&what, answer.status == 401, format!("HTTP {}", answer.status));
    }
    for path in ["terminal/ID", "sandbox/ID/stream", "sandbox/ID/exec"] {
        let (_socket, status) = nobody.socket(&format!("/{}", path.replace("ID", &id)), &[])?;
        tries.expect(path, status == 401, format!("HTTP {status}"));
    }
    // What everybody may see says nothing of anybody.
    let health = nobody.http("GET", "/health", &[], b"")?;
    tries.expect("GET /health", !health.text().contains(&id), "it names no sandbox");
    Ok(())
}

/// Keys that are close to real ones.
fn close_ones(mine: &str, other: &str) -> Vec<String> {
    let part = |key: &str, at: usize| key.split('_').nth(at).unwrap_or_default().to_owned();
    let (id, secret) = (part(mine, 1), part(mine, 2));
    vec![
        String::new(),
        "cap_".to_owned(),
        "cap__".to_owned(),
        mine[..mine.len() - 1].to_owned(),
        format!("{mine}0"),
        mine.to_ascii_uppercase(),
        format!("cap_{id}_"),
        format!("cap_{id}_{}", "0".repeat(secret.len())),
        format!("cap_{id}_{}", part(other, 2)),
        format!("cap_{}_{secret}", part(other, 1)),
        format!("cap_{id}_{secret}_{secret}"),
        format!("cap_{id}' OR '1'='1_{secret}"),
        format!("cap_%_{secret}"),
        "x".repeat(7_000),
    ]
}

fn guessed_keys(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let (Some(mine), Some(other)) = (&scene.mine.key, &scene.other.key) else {
        tries.need("keys", false, "there are none");
        return Ok(());
    };
    let ask = |key: String| -> io::Result<u16> {
        Ok(Door { key: Some(key), address: scene.mine.address }.post(LIST)?.status)
    };
    let works = ask(mine.clone())?;
    tries.need("the real one", works == 200, format!("HTTP {works}"));
    for key in close_ones(mine, other) {
        let shown: String = key.chars().take(12).collect();
        let status = ask(key)?;
        tries.expect(
            &format!("{shown}…"),
            matches!(status, 400 | 401 | 431),
            format!("HTTP {status}"),
        );
    }
    let id = mine.split('_').nth(1).unwrap_or_default();
    let mut through = 0;
    // Each wrong one is answered late.
    for number in 0_u32..24 {
        let status = ask(format!("cap_{id}_{number:064x}"))?;
        through += u32::from(status != 401);
    }
    tries.expect("24 guesses", through == 0, format!("{through} were not refused"));
    Ok(())
}

fn keys_elsewhere(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let nobody = scene.nobody();
    let Some(key) = &scene.mine.key else {
        tries.need("a key", false, "there is none");
        return Ok(());
    };
    let encoded = format!("Basic {key}");
    let (cookie, token) = (format!("key={key}; capsule.key={key}"), format!("Token {key}"));
    for (what, headers) in [
        ("a cookie", [("Cookie", &*cookie)]),
        ("another scheme", [("Authorization", &*encoded)]),
        ("a token", [("Authorization", &*token)]),
        ("a header", [("X-Api-Key", &**key)]),
    ] {
        let answer = nobody.http("GET", "/metrics", &headers, b"")?;
        tries.expect(what, answer.status == 401, format!("HTTP {}", answer.status));
    }
    for path in [format!("/metrics?key={key}"), format!("/metrics?authorization=Bearer%20{key}")] {
        let answer = nobody.http("GET", &path, &[], b"")?;
        tries.expect("the address", answer.status == 401, format!("HTTP {}", answer.status));
    }
    Ok(())
}

fn revoked_key(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let Some(key) = scene.other.key.clone() else {
        tries.need("a key", false, "there is none");
        return Ok(());
    };
    let id = scene.other.create()?;
    let (mut terminal, status) = scene.other.socket(&format!("/terminal/{id}"), &[])?;
    tries.need("a terminal", status == 101, format!("HTTP {status}"));
    if !scene.is_down() {
        scene.revoke(&key)?;
    }
    let began = Instant::now();
    let mut status = 200;
    while status == 200 && began.elapsed() < REVOKED {
        std::thread::sleep(Duration::from_millis(100));
        status = scene.other.post(LIST)?.status;
    }
    tries.expect("requests", status == 401, format!("HTTP {status}"));
    terminal.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut is_closed = false;
    while !is_closed && began.elapsed() < REVOKED {
        let mut piece = [0; 4096];
        is_closed = match terminal.read(&mut piece) {
            Ok(0) => true,
            // A close frame.
            Ok(count) => piece[..count].windows(2).any(|part| part[0] == 0x88),
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
            ),
        };
    }
    tries.expect("the open terminal", is_closed, "it is closed");
    Ok(())
}

fn stored_keys(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let Some(key) = &scene.mine.key else {
        tries.need("a key", false, "there is none");
        return Ok(());
    };
    let secret = key.split('_').nth(2).unwrap_or_default();
    tries.need("the secret", secret.len() >= 32, format!("{} characters", secret.len()));
    let id = scene.mine.create()?;
    let wrong = Door { key: Some(format!("{key}0")), address: scene.mine.address };
    let refused = wrong.post(LIST)?;
    tries.expect("the refusal", !refused.text().contains(secret), "it does not repeat the key");
    let inside = scene
        .mine
        .shell(&id, "env; cat /proc/*/cmdline /proc/*/environ 2>/dev/null | tr '\\0' '\\n'")?;
    tries.expect("inside a sandbox", !inside.contains(secret), "no process shows it");
    let mut files = 0;
    let found = holds(scene.data.parent().unwrap_or(&scene.data), secret.as_bytes(), &mut files)?;
    tries.need("files", files >= 2, format!("{files} files"));
    tries.expect("the folder and the log", found.is_empty(), format!("{files} files: {found:?}"));
    Ok(())
}

/// Files below a folder that hold some bytes.
fn holds(folder: &Path, bytes: &[u8], files: &mut usize) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(holds(&entry.path(), bytes, files)?);
        } else if kind.is_file() {
            *files += 1;
            let content = fs::read(entry.path()).unwrap_or_default();
            if content.windows(bytes.len()).any(|part| part == bytes) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    Ok(found)
}

fn beyond_loopback(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let data = scene.data.with_file_name("other").display().to_string();
    for address in ["0.0.0.0:0", "[::]:0"] {
        let said =
            scene.capsule(&["serve", "--listen", address, "--backend", "jail", "--data", &data])?;
        tries.expect(address, said.contains("E5004"), said.lines().next().unwrap_or_default());
    }
    let refused =
        scene.mine.call("sandbox.v1.create", json!({ "template": "shell", "network": "open" }))?;
    let code = refused.err().map(|refused| refused.error_code).unwrap_or_default();
    tries.expect("the host's network", code == "E5006", code);
    Ok(())
}
