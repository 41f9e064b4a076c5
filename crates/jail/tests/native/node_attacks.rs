//! A hostile program in Node: against the protocol, the host's files, the network, and the
//! guest's own code, which it can break as it likes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use capsule_backend::guest::GuestError;

use crate::play::{Play, Seen};

/// What every attacker needs.
const TOOLS: &str = "\
const fs = require('fs');
const { task, TaskError } = require('@capsule-run/sdk');
const frame = (message, length) => {
  const body = Buffer.isBuffer(message) ? message : Buffer.from(typeof message === 'string' ? message : JSON.stringify(message));
  const head = Buffer.alloc(4); head.writeUInt32BE(length ?? body.length);
  return Buffer.concat([head, body]);
};
const say = (bytes) => { for (let at = 0; at < bytes.length; ) at += fs.writeSync(3, bytes, at); };
const sleep = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
";

fn attack(body: &str) -> Option<Play> {
    Play::node(&format!("{TOOLS}task({{ name: 'main' }}, async () => {{\n{body}\n}});\n"))
}

fn quickly(play: Play) -> Seen {
    let started = Instant::now();
    let seen = play.run();
    assert!(started.elapsed() < Duration::from_secs(6), "{:?} {seen:#?}", started.elapsed());
    seen
}

#[test]
fn bytes_that_are_no_frame_are_the_end() {
    for (say, told) in [
        ("Buffer.from('garbage, and more of it')", "it sent the host a frame of more than 64 MiB"),
        ("frame('', 2 ** 32 - 1)", "it sent the host a frame of more than 64 MiB"),
        ("frame({ grant: { fuel: 1 } })", "it sent the host something that is no message"),
        (
            "frame({ call: { id: 1, task: 'main', arguments: '{}', grant: { files: ['/'] } } })",
            "it sent the host something that is no message",
        ),
        (
            "frame({ call: { id: 1, task: 'main', arguments: '{}', isolation: 'none' } })",
            "it sent the host something that is no message",
        ),
        ("frame('{\"done\":NaN}')", "it sent the host something that is no message"),
        (
            "frame('{\"done\":' + '['.repeat(1000) + ']'.repeat(1000) + '}')",
            "it sent the host a value that is nested too deeply",
        ),
        ("frame({ hello: {} })", "it sent the host its messages in the wrong order"),
    ] {
        let Some(play) = attack(&format!("say({say}); sleep(60000);")) else { return };
        assert_eq!(quickly(play).crashed(), told, "{say}");
    }
}

#[test]
fn the_first_answer_counts_and_no_other_process_gives_it() {
    for (body, value) in [
        ("say(frame({ done: 1 })); say(frame({ done: 2 })); return 3;", "1"),
        // The channel is not handed to processes: descriptor 3 is something of their own.
        (
            "const { spawnSync } = require('child_process');\n\
             const code = \"try { require('fs').writeSync(3, Buffer.from([0,0,0,10,123,34,100,111,110,101,34,58,55,125])); console.log('wrote') } catch (e) { console.log(e.code) }\";\n\
             return spawnSync(process.execPath, ['-e', code]).stdout.toString();",
            r#""EINVAL\n""#,
        ),
    ] {
        let Some(play) = attack(body) else { return };
        assert_eq!(quickly(play).value(), value, "{body}");
    }
}

#[test]
fn processes_that_die_say_how() {
    for (body, told) in [
        ("process.reallyExit(0)", "its process exited with 0 before the task returned"),
        ("process.abort()", "the command was ended by SIGABRT"),
        ("process.kill(process.pid, 'SIGKILL'); sleep(1000)", "the command was ended by SIGKILL"),
        // What it prints is not what ended it.
        (
            "console.error('JavaScript heap out of memory'); process.reallyExit(7)",
            "its process exited with 7 before the task returned",
        ),
    ] {
        let Some(play) = attack(body) else { return };
        assert_eq!(quickly(play).crashed(), told, "{body}");
    }
}

#[test]
fn what_is_the_hosts_is_not_there() {
    let secret = tempfile::tempdir().unwrap();
    std::fs::write(secret.path().join("secret"), "canary").unwrap();
    let path = secret.path().join("secret");
    let Some(play) = attack(&format!(
        "const told = {{}};\n\
         const attempt = (name, action) => {{ try {{ told[name] = String(action()).slice(0, 60); }} catch (error) {{ told[name] = error.code ?? error.name; }} }};\n\
         const read = (path) => () => fs.readFileSync(path, 'utf8');\n\
         attempt('secret', read({path:?})); attempt('shadow', read('/etc/shadow'));\n\
         attempt('link', () => {{ fs.symlinkSync({path:?}, '/tmp/l'); return fs.readFileSync('/tmp/l', 'utf8'); }});\n\
         attempt('root', read('/proc/1/root' + {path:?})); attempt('environ', read('/proc/1/environ'));\n\
         attempt('channel', () => fs.openSync('/proc/self/fd/3', 'r+'));\n\
         attempt('mount', () => require('child_process').execFileSync('/bin/mount', ['-t', 'tmpfs', 'x', '/tmp'], {{ stdio: 'ignore' }}) && 'mounted');\n\
         attempt('sockets', () => fs.readdirSync('/run').join());\n\
         attempt('kill', () => process.kill(1, 'SIGKILL'));\n\
         attempt('binding', () => process.binding('fs').open({path:?}, 0, 0));\n\
         attempt('dlopen', () => process.dlopen({{ exports: {{}} }}, {path:?}));\n\
         attempt('chroot', () => process.setuid(0));\n\
         told.loopback = await new Promise((then) => require('net').connect(1, '127.0.0.1').on('error', (e) => then(e.code)));\n\
         const link = (fd) => {{ try {{ return fs.readlinkSync('/proc/self/fd/' + fd); }} catch {{ return ''; }} }};\n\
         told.fds = fs.readdirSync('/proc/self/fd').filter((fd) => fd > 3 && !/^(anon_inode:|pipe:|.dev.null|$)/.test(link(fd))).map(link).join();\n\
         return told;"
    )) else {
        return;
    };
    let seen = quickly(play);
    let told: serde_json::Value = serde_json::from_str(seen.value()).unwrap();
    assert!(!seen.value().contains("canary"), "{told:#}");
    for name in [
        "secret", "link", "root", "shadow", "environ", "mount", "binding", "dlopen", "chroot",
        "channel",
    ] {
        let said = told[name].as_str().unwrap();
        let is_refused = said.starts_with('E') || said == "Error" || said == "undefined";
        assert!(is_refused, "{name}: {told:#}");
    }
    assert_eq!((&told["loopback"], &told["fds"]), (&"ECONNREFUSED".into(), &"".into()), "{told:#}");
}

#[test]
fn an_inspector_reaches_nobody_and_nobody_reaches_it() {
    let Some(play) = attack(
        "const inspector = require('inspector'); inspector.open(9229, '127.0.0.1'); console.log('open');\n\
         await new Promise((then) => setTimeout(then, 700)); return inspector.url() !== undefined;",
    ) else {
        return;
    };
    let outside = play.outside();
    let heard = std::thread::spawn(move || {
        let until = Instant::now() + Duration::from_secs(3);
        while !outside.has_spoken() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::net::TcpStream::connect("127.0.0.1:9229").is_ok()
    });
    let seen = quickly(play);
    assert_eq!(seen.value(), "true");
    assert!(!heard.join().unwrap(), "the inspector listens on the host");
}

/// What spoils everything that the guest's own code stands on only spoils its own answer.
#[test]
fn polluted_prototypes_do_not_reach_the_host() {
    for body in [
        "Object.prototype.done = 'forged'; Object.prototype.failure = { kind: 'Denied', message: '', detail: '' }; return 1",
        "JSON.stringify = () => 'forged'; JSON.parse = () => null; return { a: 's' }",
        "Array.prototype.join = () => '\"forged\"},{'; return [1, 2]",
        "Buffer.byteLength = () => 1; return 'x'.repeat(100)",
        "Buffer.allocUnsafe = () => Buffer.alloc(0); return 1",
        "Promise.prototype.then = function () { return this }; return 1",
        "Map.prototype.delete = () => { throw 1 }; return task({ name: 'x' }, () => 1)().cancel()",
        "process.listenerCount = () => 1; process.removeAllListeners(); throw new Error('x')",
        "process.removeAllListeners('beforeExit'); await new Promise(() => {})",
        "for (const name of Object.getOwnPropertyNames(globalThis)) { try { globalThis[name] = null } catch {} } return 1",
        "require('net').Socket.prototype.write = () => true; require('fs').writeSync = () => 1e9; return 1",
    ] {
        let Some(play) = attack(body) else { return };
        let seen = quickly(play);
        assert!(
            matches!(seen.result, Ok(_) | Err(GuestError::Raised { .. } | GuestError::Crashed(_))),
            "{body}: {seen:?}"
        );
    }
}

/// Answers every request with `said`, and counts visits.
fn origin(said: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{said}", said.len());
        }
    });
    port
}

const ASK: &str = "\
const get = (url) => new Promise((then) => require(url.split(':')[0]).get(url, (answer) => { let text = ''; answer.on('data', (part) => (text += part)).on('end', () => then(text)); }).on('error', (error) => then(error.name)));
const ask = (url) => fetch(url).then((answer) => answer.text()).catch((error) => error.name + ': ' + error.message);
";

#[test]
fn only_granted_hosts_are_reached_by_fetch_and_by_http() {
    let (allowed, denied) = (origin("hello"), origin("secret"));
    let Some(mut play) = attack(&format!(
        "{ASK}return [await ask('http://127.0.0.1:{allowed}/'), await get('http://127.0.0.1:{allowed}/'),\n\
           await ask('http://127.0.0.1:{denied}/'), await get('http://127.0.0.1:{denied}/'),\n\
           await ask('https://example.org/'), await get('https://example.org/')];"
    )) else {
        return;
    };
    play.grant.hosts = vec![format!("127.0.0.1:{allowed}").parse().unwrap()];
    let seen = quickly(play);
    let told: Vec<String> = serde_json::from_str(seen.value()).unwrap();
    assert_eq!(told[..2], ["hello", "hello"], "{told:?}");
    assert!(
        told[2].starts_with(&format!("DeniedError: 127.0.0.1:{denied} is not allowed")),
        "{told:?}"
    );
    assert_eq!((told[3].as_str(), told[5].as_str()), ("DeniedError", "DeniedError"), "{told:?}");
    assert!(told[4].starts_with("DeniedError: example.org:443 is not allowed"), "{told:?}");
    let listed: Vec<_> = seen.usage.requests.iter().map(|one| one.allowed).collect();
    assert_eq!(listed, [true, true, false, false, false, false]);
}

#[test]
fn without_a_grant_there_is_no_network() {
    let port = origin("secret");
    let Some(play) = attack(&format!(
        "{ASK}return [await ask('http://127.0.0.1:{port}/'), await ask('http://1.1.1.1/'), await get('http://1.1.1.1/')];"
    )) else {
        return;
    };
    let seen = quickly(play);
    let told: Vec<String> = serde_json::from_str(seen.value()).unwrap();
    assert_eq!(told[0], "TypeError: fetch failed", "{told:?}");
    assert_eq!(told[1], "DeniedError: 1.1.1.1 is not allowed: the task has no allowedHosts");
    assert_eq!(told[2], "Error");
    assert_eq!(seen.usage.requests, []);
}
