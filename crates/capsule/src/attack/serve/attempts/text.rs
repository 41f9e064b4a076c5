//! Bytes for the terminals and logs of those who look.

use std::io;

use serde_json::{Value, json};

use crate::attack::Family;
use crate::attack::serve::attempt::{Access, Attempt, Tries, Without};
use crate::attack::serve::scene::Scene;

const FAMILY: Family = Family::Output;
/// Sets the clipboard, clears the screen, colours, and turns the direction of text.
const EVIL: &str = "\u{1b}]52;c;cHduZWQ=\u{7}\u{1b}[2J\u{9b}31m\u{202e}\r\nforged";

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "escapes-in-answers",
        family: FAMILY,
        tries: "have answers and errors carry bytes that a terminal obeys",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: escapes_in_answers,
    },
    Attempt {
        name: "escapes-in-tables",
        family: FAMILY,
        tries: "reach the terminal of who lists sandboxes, files and the log",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: escapes_in_tables,
    },
    Attempt {
        name: "forged-log-lines",
        family: FAMILY,
        tries: "write lines of one's own into the server's log, or break those of others",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: forged_log_lines,
    },
    Attempt {
        name: "answers-that-split",
        family: FAMILY,
        tries: "put headers, events and metrics of one's own into answers",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: answers_that_split,
    },
];

fn hostile(text: &str) -> bool {
    text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}')
}

fn escapes_in_answers(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    let call = |method: &str, params: Value| {
        json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
    };
    for (what, body) in [
        ("output", call("sandbox.v1.exec", json!({ "id": id, "cmd": ["printf", "%s", EVIL] }))),
        ("a method", call(EVIL, json!({}))),
        ("a sandbox", call("sandbox.v1.get", json!({ "id": EVIL }))),
        ("a template", call("sandbox.v1.create", json!({ "template": EVIL }))),
        ("a field", call("sandbox.v1.get", json!({ EVIL: 1 }))),
        ("a command", call("sandbox.v1.exec", json!({ "id": id, "cmd": [EVIL] }))),
        ("a path", call("sandbox.v1.readFile", json!({ "id": id, "path": EVIL }))),
    ] {
        let answer = scene.other.post(&body)?;
        let raw = answer.body.iter().any(|byte| *byte < b' ');
        tries.expect(what, !raw, "the bytes of the answer are text");
        let message = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        tries.expect(&format!("{what}, in an error"), !hostile(&message), "it is spelled out");
    }
    Ok(())
}

fn escapes_in_tables(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let labels = json!({ "evil": EVIL });
    let order = json!({ "template": "shell", "labels": labels, "metadata": labels });
    let made = scene.other.must("sandbox.v1.create", order)?;
    let id = made["id"].as_str().unwrap_or_default().to_owned();
    let run = json!({ "id": id, "cmd": ["sh", "-c", "printf '%s' \"$0\"; printf '%s' \"$0\" >&2; exit 1", EVIL] });
    scene.other.must("sandbox.v1.exec", run)?;
    for arguments in [
        &["sandbox", "ls"][..],
        &["sandbox", "get", &id],
        &["sandbox", "logs", &id],
        &["sandbox", "logs", &id, "--output"],
        &["sandbox", "rm", EVIL],
        &["sandbox", "exec", &id, "--", EVIL],
        &["sandbox", "cp", &format!("{id}:{EVIL}"), "-"],
    ] {
        let said = scene.capsule(arguments)?;
        tries.need(arguments[1], !said.is_empty(), "it says nothing");
        tries.expect(&arguments[..2].join(" "), !hostile(&said), "it shows text only");
    }
    Ok(())
}

fn forged_log_lines(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let forged = "{\"level\":\"error\",\"message\":\"forged\"}";
    let id = scene.mine.create()?;
    let lines = [format!("\n{forged}\n"), format!("\u{2028}{forged}\u{1b}[2J"), EVIL.to_owned()];
    for line in &lines {
        let _ = scene.other.call(line, json!({}))?;
        let _ = scene.other.call("sandbox.v1.get", json!({ "id": line }))?;
        let _ = scene.other.call("sandbox.v1.create", json!({ "template": line, "key": line }))?;
        let _ = scene.other.call("sandbox.v1.exec", json!({ "id": id, "cmd": [line] }))?;
        let encoded: String = line.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for path in [
            format!("/sandbox/{encoded}/files?path=x"),
            format!("/{encoded}"),
            format!("/terminal/{encoded}"),
        ] {
            let _ = scene.other.http("GET", &path, &[("X-Request-Id", "a\u{9b}b\"c")], b"")?;
        }
    }
    let log = scene.log()?;
    tries.need("the log", log.lines().count() >= 5, format!("{} lines", log.lines().count()));
    for line in log.lines() {
        let parsed: Option<Value> = serde_json::from_str(line).ok();
        let is_ours = parsed.as_ref().is_some_and(|line| line["message"] != "forged");
        tries.expect(
            "a line",
            is_ours && !hostile(line),
            line.chars().take(60).collect::<String>(),
        );
    }
    Ok(())
}

fn answers_that_split(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    for given in ["a\u{9b}31m", "a b", "{\"x\":1}", &"a".repeat(65), ""] {
        let answer = scene.other.http("GET", "/metrics", &[("X-Request-Id", given)], b"")?;
        let line =
            answer.head.lines().find(|line| line.starts_with("x-request-id: ")).unwrap_or_default();
        let is_own = given.is_empty() || !line.ends_with(&given.to_ascii_lowercase());
        tries.expect("a request's id", is_own, "the server gives its own");
    }
    // A name that would end a header, an event, a line of metrics.
    let split = "x\r\nx-split: yes\r\n\r\nevent: exit\ndata: {}\n\ncapsule_forged 1\n";
    let encoded: String = split.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let answer =
        scene.other.http("GET", &format!("/sandbox/{id}/files?path={encoded}"), &[], b"")?;
    tries.expect("a file's name", !answer.head.contains("x-split"), "no header of it");
    let _ = scene.other.call(split, json!({}))?;
    let _ = scene.other.call("sandbox.v1.create", json!({ "template": split }))?;
    let metrics = scene.mine.http("GET", "/metrics", &[], b"")?.text();
    tries.expect("metrics", !metrics.contains("forged"), "no line of it");
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "sandbox.v1.execStream",
        "params": { "id": id, "cmd": ["printf", "%s", split] } });
    let events = scene.other.post(&body.to_string())?.text();
    let exits = events.lines().filter(|line| line.starts_with("event: exit")).count();
    tries.expect("events", exits == 1, format!("{exits} ends are told"));
    Ok(())
}
