//! Somebody with a key of their own, who is after what belongs to another.

use std::io;

use capsule_server::request::{Method, Request};
use serde_json::{Value, json};

use crate::attack::Family;
use crate::attack::serve::attempt::{Access, Attempt, Tries, Without};
use crate::attack::serve::door::Refused;
use crate::attack::serve::scene::Scene;

const FAMILY: Family = Family::Tenants;
/// An id as they look, of nothing.
const NOTHING: &str = "aaaaaaaaaaaaaaaa";

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "foreign-methods",
        family: FAMILY,
        tries: "call every method with the id of somebody else's sandbox",
        access: Access::Keys,
        options: &[],
        without: Without::Tenancy,
        play: foreign_methods,
    },
    Attempt {
        name: "foreign-doors",
        family: FAMILY,
        tries: "open the files, terminals and streams of somebody else's sandbox",
        access: Access::Keys,
        options: &[],
        without: Without::Tenancy,
        play: foreign_doors,
    },
    Attempt {
        name: "foreign-lists",
        family: FAMILY,
        tries: "find what others have and did in lists, logs and snapshots",
        access: Access::Keys,
        options: &[],
        without: Without::Tenancy,
        play: foreign_lists,
    },
    Attempt {
        name: "foreign-creation-key",
        family: FAMILY,
        tries: "get somebody else's sandbox by the key of its creation",
        access: Access::Keys,
        options: &[],
        without: Without::Tenancy,
        play: foreign_creation_key,
    },
    Attempt {
        name: "server-from-inside",
        family: FAMILY,
        tries: "drive the server, and read its folder, from inside a sandbox",
        access: Access::Open,
        options: &["--allow-open-network"],
        without: Without::Hand,
        play: server_from_inside,
    },
    Attempt {
        name: "foreign-processes",
        family: FAMILY,
        tries: "see, signal and read processes and files of a sandbox next door",
        access: Access::Keys,
        options: &[],
        without: Without::Nothing,
        play: foreign_processes,
    },
];

/// Of a method, parameters that are in order but for the sandbox; none for those that name no
/// sandbox, or answer with nothing.
fn parameters(method: &str) -> Option<Value> {
    Some(match method.strip_prefix("sandbox.")?.rsplit('.').next().unwrap_or_default() {
        "exec" | "execStream" | "start" => json!({ "cmd": ["true"] }),
        "runCode" => json!({ "code": "true" }),
        "batch" => json!({ "commands": [{ "cmd": ["true"] }] }),
        "readFile" | "stat" | "mkdir" | "remove" => json!({ "path": "f" }),
        "writeFile" => json!({ "path": "f", "content": "" }),
        "move" => json!({ "from": "f", "to": "g" }),
        "extend" => json!({ "ttl_ms": 1 }),
        "setNetwork" => json!({ "network": "denied" }),
        "install" => json!({ "manager": "pip", "packages": ["six"] }),
        "openContext" => json!({ "context": "c" }),
        "attach" | "wait" | "closeInput" | "kill" => json!({ "process": 1 }),
        "input" => json!({ "process": 1, "data": "" }),
        "resize" => json!({ "process": 1, "columns": 1, "rows": 1 }),
        "restore" => json!({ "snapshot": NOTHING }),
        "get" | "listDir" | "pause" | "resume" | "setEnv" | "processes" | "stats" | "watch"
        | "watchDir" | "snapshot" | "clone" | "delete" => json!({}),
        _ => return None,
    })
}

fn foreign_methods(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    scene.mine.shell(&id, "echo mine >f")?;
    // The end of it comes last.
    let is_last = |method: &&Method| method.name.ends_with(".delete");
    let methods = Request::METHODS.iter();
    let others = methods.clone().filter(|method| !is_last(method));
    let mut asked = 0;
    for method in others.chain(methods.filter(is_last)) {
        let Some(params) = parameters(method.name) else { continue };
        asked += 1;
        let ask = |id: &str| -> io::Result<Result<Value, Refused>> {
            let mut params = params.clone();
            params["id"] = json!(id);
            let told = scene.other.call(method.name, params)?;
            Ok(told.map_err(|refused| {
                let message = refused.message.replace(id, "ID");
                Refused { message, ..refused }
            }))
        };
        let (theirs, nothing) = (ask(&id)?, ask(NOTHING)?);
        let is_refused = matches!(&theirs, Err(refused) if refused.code == -32002);
        let seen = match &theirs {
            Ok(_) => "it was done".to_owned(),
            Err(refused) => refused.code.to_string(),
        };
        tries.expect(method.name, is_refused && theirs == nothing, seen);
    }
    tries.need("methods", asked >= 30, format!("{asked} of them"));
    if !scene.is_down() {
        let mine = scene.mine.shell(&id, "cat f; ls")?;
        tries.expect("what came of it", mine == "mine\nf\n", "nothing");
    }
    Ok(())
}

fn foreign_doors(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    scene.mine.shell(&id, "echo mine >f")?;
    let file = format!("/sandbox/{id}/files?path=f");
    let tar = format!("/sandbox/{id}/files?path=/workspace&archive=tar");
    for (method, path) in [("GET", &file), ("PUT", &file), ("GET", &tar), ("PUT", &tar)] {
        let answer = scene.other.http(method, path, &[], b"x")?;
        tries.expect(
            &format!("{method} {path}"),
            answer.status == 404,
            format!("HTTP {}", answer.status),
        );
    }
    for path in ["terminal/ID", "sandbox/ID/stream", "sandbox/ID/exec", "terminal/ID?process=1"] {
        let path = format!("/{}", path.replace("ID", &id));
        let (_socket, status) = scene.other.socket(&path, &[])?;
        tries.expect(&path, status == 404, format!("HTTP {status}"));
    }
    if !scene.is_down() {
        tries.expect("what came of it", scene.mine.shell(&id, "cat f")? == "mine\n", "nothing");
    }
    Ok(())
}

fn foreign_lists(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    scene.mine.shell(&id, "echo needle")?;
    let kept = scene.mine.must("sandbox.v1.snapshot", json!({ "id": id, "name": "needle" }))?;
    let snapshot = kept["snapshot"]["id"].as_str().unwrap_or_default().to_owned();
    for (method, params) in [
        ("sandbox.v1.list", json!({})),
        ("sandbox.v1.logs", json!({})),
        ("sandbox.v1.logs", json!({ "id": id })),
        ("sandbox.v1.logs", json!({ "contains": "needle" })),
        ("sandbox.v1.snapshots", json!({})),
        ("sandbox.v1.snapshots", json!({ "labels": {} })),
    ] {
        let told = scene.other.must(method, params)?.to_string();
        let is_empty = !told.contains(&id) && !told.contains("needle");
        let evidence = if is_empty { "shows nothing of others" } else { "shows another's" };
        tries.expect(method, is_empty, evidence);
    }
    for (method, params) in [
        ("sandbox.v1.create", json!({ "snapshot": snapshot })),
        ("sandbox.v1.deleteSnapshot", json!({ "snapshot": snapshot })),
    ] {
        let told = scene.other.call(method, params)?;
        let code = told.as_ref().err().map_or(0, |refused| refused.code);
        tries.expect(method, code == -32002, code.to_string());
    }
    let still = scene.mine.must("sandbox.v1.snapshots", json!({}))?.to_string();
    if !scene.is_down() {
        tries.expect("what came of it", still.contains(&snapshot), "the snapshot is there");
    }
    Ok(())
}

fn foreign_creation_key(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let order = json!({ "template": "shell", "key": "once" });
    let made = |told: Value| told["id"].as_str().unwrap_or_default().to_owned();
    let mine = made(scene.mine.must("sandbox.v1.create", order.clone())?);
    let theirs = made(scene.other.must("sandbox.v1.create", order)?);
    let evidence = if mine == theirs { "the sandbox of the other" } else { "a new sandbox" };
    tries.expect("the same key", mine != theirs, evidence);
    Ok(())
}

/// With the wall down, the sandbox has the host's network.
fn server_from_inside(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let network = if scene.is_down() { json!("open") } else { json!("denied") };
    let made = scene
        .mine
        .must("sandbox.v1.create", json!({ "template": "python", "network": network }))?;
    let id = made["id"].as_str().unwrap_or_default().to_owned();
    let port = scene.mine.address.port();
    let ask = format!(
        "import socket\nfor host in '127.0.0.1', 'localhost', '::1', '0.0.0.0', '10.0.2.2':\n \
         try:\n  socket.create_connection((host, {port}), 2); print('reached', host)\n \
         except OSError as error: print('not', error.errno)\nprint('end')"
    );
    let code = json!({ "id": id, "code": ask, "language": "python", "timeout_ms": 30_000 });
    let done = scene.mine.must("sandbox.v1.runCode", code)?;
    let said = done["stdout"].as_str().unwrap_or_default().to_owned();
    tries.need("the program", said.ends_with("end\n"), done.to_string());
    tries.expect("the server's port", !said.contains("reached"), said.replace('\n', ", "));
    let data = scene.data.display();
    let line = format!(
        "cat {data}/server.db {data}/jails/* {} 2>/dev/null; ls {data} 2>/dev/null; \
         cat /proc/1/root{data}/server.db 2>/dev/null; echo end",
        scene.secret.0.display()
    );
    let said = scene.mine.shell(&id, &line)?;
    tries.expect("the server's folder", said == "end\n", "it is not there");
    Ok(())
}

fn foreign_processes(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let (mine, theirs) = (scene.mine.create()?, scene.other.create()?);
    // A number that nothing else on the machine sleeps for.
    let mark = format!("4{}.{}", scene.process(), scene.mine.address.port());
    let script = format!("echo mine >/tmp/f; sleep {mark}");
    let start = json!({ "id": mine, "cmd": ["/bin/sh", "-c", script] });
    let process = scene.mine.must("sandbox.v1.start", start)?["process"].clone();
    let line = format!(
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -q 'slee[p] {mark}' && echo seen; \
         n=2; while [ $n -lt 20000 ]; do [ $n = $$ ] || kill -9 $n; n=$((n+1)); done 2>/dev/null; \
         cat /tmp/f; ls /workspace; echo end"
    );
    let said = scene.other.shell(&theirs, &line)?;
    tries.expect("processes and files", said == "end\n", format!("{said:?}"));
    let wait = json!({ "id": mine, "process": process, "timeout_ms": 300 });
    let waited = scene.mine.must("sandbox.v1.wait", wait)?;
    tries.expect("signals", waited["exit"].is_null(), "the process of the other lives");
    Ok(())
}
