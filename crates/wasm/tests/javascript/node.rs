//! Node's built-ins: the same program in Node and in the guest, and what differs.

use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use super::support::{Program, Sandbox, grant};

/// Prints what each of many calls answered, `NAME: ANSWER`.
const PROGRAM: &str = include_str!("same.js");

/// What is not the same, and why.
const DIFFERS: &[(&str, &str)] = &[
    ("f1", "%o does not show the length of lists"),
    ("norm", "there are no tables for the order of letters"),
    ("require missing", "the message says where was looked"),
    ("proc", "no variable of the host is seen"),
    ("fs bad arg", "the type is told in other words"),
];

#[test]
fn node_answers_the_same() {
    let Some(sandbox) = Sandbox::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("same.js");
    std::fs::write(&file, PROGRAM).unwrap();
    let sdk = folder.path().join("node_modules/@capsule-run/sdk");
    std::fs::create_dir_all(&sdk).unwrap();
    std::fs::write(sdk.join("index.js"), "exports.task = (options, run) => run;").unwrap();
    let node = Command::new("node").arg(&file).output().expect("Node is needed to compare with");
    assert!(node.status.success(), "{}", String::from_utf8_lossy(&node.stderr));
    let answers: Vec<String> = serde_json::from_slice(&node.stdout).unwrap();
    let guest = sandbox.call(&Arc::new(Program::new(PROGRAM)), &grant()).unwrap();
    let guest: Vec<String> =
        serde_json::from_value(serde_json::from_str::<Value>(&guest).unwrap()).unwrap();
    assert!(answers.len() > 100 && answers.len() == guest.len());
    let name = |answer: &str| {
        answer.split(" THROWS").next().unwrap().split(':').next().unwrap().to_owned()
    };
    let different: Vec<_> =
        answers.iter().zip(&guest).filter(|(node, guest)| node != guest).collect();
    let unknown: Vec<_> = different
        .iter()
        .filter(|(node, _)| !DIFFERS.iter().any(|(known, _)| *known == name(node)))
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert_eq!(different.len(), DIFFERS.len(), "a difference is gone: {different:#?}");
}

#[test]
fn everything_of_the_platform_is_there() {
    let Some(sandbox) = Sandbox::new() else { return };
    let value = sandbox.value(
        "const seen = {};\n\
         seen.clone = structuredClone(new Map([[1, { d: new Date(5) }]])).get(1).d.getTime();\n\
         seen.digest = Buffer.from(await crypto.subtle.digest('SHA-256', new TextEncoder().encode('a'))).toString('hex').slice(0, 8);\n\
         seen.uuid = /^[\\da-f]{8}-[\\da-f]{4}-4/.test(crypto.randomUUID());\n\
         const zipped = new Blob(['hello hello']).stream().pipeThrough(new CompressionStream('gzip'));\n\
         seen.stream = await new Response(zipped.pipeThrough(new DecompressionStream('gzip'))).text();\n\
         seen.text = ''; for await (const part of new Blob(['ab']).stream().pipeThrough(new TextDecoderStream())) seen.text += part;\n\
         const stop = new AbortController(); const any = AbortSignal.any([stop.signal]); stop.abort('why'); seen.any = any.reason;\n\
         const form = await new Response(new URLSearchParams({ a: 'b' })).formData(); seen.form = form.get('a');\n\
         const multipart = new FormData(); multipart.append('x', 'y'); seen.multipart = (await new Response(multipart).formData()).get('x');\n\
         const response = new Response('body'); seen.copies = [await response.clone().text(), await response.text()];\n\
         const target = new EventTarget(); target.addEventListener('e', (e) => { seen.event = e.type }); target.dispatchEvent(new Event('e'));\n\
         seen.url = new URL('../b?c=1', 'http://x.example/a/').href;\n\
         seen.normal = 'é'.normalize('NFD').length;\n\
         seen.parallel = typeof navigator.userAgent;\n\
         seen.intl = typeof Intl;\n\
         return seen",
    );
    assert_eq!(
        value,
        serde_json::json!({
            "clone": 5, "digest": "ca978112", "uuid": true, "stream": "hello hello", "text": "ab", "any": "why",
            "form": "b", "multipart": "y", "copies": ["body", "body"], "event": "e",
            "url": "http://x.example/b?c=1", "normal": 2, "parallel": "string", "intl": "undefined",
        })
    );
}

#[test]
fn the_sdk_has_files() {
    let Some(sandbox) = Sandbox::new() else { return };
    let value = sandbox.value(
        "await files.writeText('/tmp/a.txt', 'héllo'); await files.writeBytes('/tmp/b', new Uint8Array([1, 2]));\n\
         const told = (promise) => promise.catch((e) => e.code ?? e.name);\n\
         return [await files.readText('/tmp/a.txt'), [...await files.readBytes('/tmp/b')], await files.list('/tmp'),\n\
           await files.exists('/tmp/a.txt'), await files.exists('/tmp/none'), await told(files.readText('/tmp/none')),\n\
           await told(files.writeText('/tmp/x', 5)), await told(files.readText('/etc/passwd'))]",
    );
    assert_eq!(
        value,
        serde_json::json!([
            "héllo",
            [1, 2],
            ["a.txt", "b"],
            true,
            false,
            "ENOENT",
            "TypeError",
            "ENOENT"
        ])
    );
}
