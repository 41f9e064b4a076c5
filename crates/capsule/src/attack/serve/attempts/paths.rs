//! Paths that climb: of HTTP, of files, of archives.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::attack::Family;
use crate::attack::serve::attempt::{Access, Attempt, Tries, Without};
use crate::attack::serve::scene::Scene;

const FAMILY: Family = Family::Paths;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "climbing-addresses",
        family: FAMILY,
        tries: "leave the server's doors by dots, escapes and doubled slashes in an address",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: climbing_addresses,
    },
    Attempt {
        name: "climbing-names",
        family: FAMILY,
        tries: "reach files of the host through every method that takes a path, and links",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: climbing_names,
    },
    Attempt {
        name: "climbing-archives",
        family: FAMILY,
        tries: "unpack members that lead out: dots, absolute names, links, devices",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: climbing_archives,
    },
    Attempt {
        name: "set-user-archives",
        family: FAMILY,
        tries: "bring a program that runs as somebody else, in an archive or as a file",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: set_user_archives,
    },
];

fn climbing_addresses(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    let secret = scene.secret.0.display().to_string();
    for path in [
        "/../etc/passwd".to_owned(),
        format!("/..{secret}"),
        "/sandbox/../../etc/passwd".to_owned(),
        format!("/sandbox/{id}/../{id}/files?path=/etc/hostname"),
        format!("/%2e%2e/%2e%2e{secret}"),
        format!("/sandbox/{id}%2ffiles?path=x"),
        format!("/sandbox/{id}%00/files?path=x"),
        format!("/sandbox/{id}/files/../../rpc"),
        format!("//sandbox/{id}/files?path=x"),
        "/sandbox/..%2f..%2fserver.db/files?path=x".to_owned(),
        "/assets/../server.db".to_owned(),
        "/assets/%2e%2e/server.db".to_owned(),
        "/terminal/..".to_owned(),
        format!("/terminal/{id}/"),
    ] {
        let answer = scene.other.http("GET", &path, &[], b"")?;
        let text = answer.text();
        let is_kept = matches!(answer.status, 400 | 404)
            && !text.contains("root:")
            && !text.contains(&scene.secret.1);
        tries.expect(&path, is_kept, format!("HTTP {}", answer.status));
    }
    Ok(())
}

fn climbing_names(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    let (path, secret) = (scene.secret.0.display().to_string(), &scene.secret.1);
    let encoded = STANDARD.encode(secret);
    let line = format!(
        "ln -s {path} link; ln -s / root; ln -s /proc/1/root proc; mkdir d; ln -s .. d/up; \
         ln -s {} folder; echo made",
        scene.secret.0.parent().map(|one| one.display().to_string()).unwrap_or_default()
    );
    let made = scene.mine.shell(&id, &line)?;
    tries.need("links", made == "made\n", made.clone());
    let names = [
        path.clone(),
        format!("../../../../../..{path}"),
        format!("/workspace/../..{path}"),
        "link".to_owned(),
        format!("root{path}"),
        format!("proc{path}"),
        format!("/proc/1/root{path}"),
        format!("/proc/self/root{path}"),
        format!("/proc/self/cwd/../..{path}"),
        "folder/secret".to_owned(),
        format!("d/up/d/up/../..{path}"),
        format!("{path}\u{0}"),
    ];
    for name in &names {
        let of = |more: serde_json::Value| {
            let mut params = json!({ "id": id, "path": name });
            if let (Some(all), Some(more)) = (params.as_object_mut(), more.as_object()) {
                all.extend(more.clone());
            }
            params
        };
        for (method, params) in [
            ("sandbox.v1.readFile", of(json!({}))),
            ("sandbox.v1.listDir", of(json!({}))),
            ("sandbox.v1.writeFile", of(json!({ "content": "cHduZWQ=" }))),
            ("sandbox.v1.remove", of(json!({ "recursive": true }))),
            ("sandbox.v1.move", json!({ "id": id, "from": name, "to": "taken" })),
        ] {
            let told = scene.other.call(method, params)?;
            let shown = format!("{told:?}");
            let is_kept = !shown.contains(secret.as_str()) && !shown.contains(&encoded);
            tries.expect(&format!("{method} {name}"), is_kept, "not the host's file");
        }
        let address: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer =
            scene.other.http("GET", &format!("/sandbox/{id}/files?path={address}"), &[], b"")?;
        tries.expect(
            &format!("GET {name}"),
            !answer.text().contains(secret),
            format!("HTTP {}", answer.status),
        );
    }
    let kept = std::fs::read_to_string(&scene.secret.0).unwrap_or_default();
    tries.expect("the host's file", kept == *secret, "is as it was");
    Ok(())
}

/// A member of a tar archive.
fn member(name: &str, kind: u8, target: &str, mode: &str, content: &[u8]) -> Vec<u8> {
    let mut head = vec![0; 512];
    let mut put =
        |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, &name[..name.len().min(100)]);
    put(100, mode);
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", content.len()));
    put(136, "00000000000");
    put(148, "        ");
    put(157, &target[..target.len().min(100)]);
    put(257, "ustar\x0000");
    head[156] = kind;
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head.extend_from_slice(content);
    head.resize(head.len().next_multiple_of(512), 0);
    head
}

fn climbing_archives(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    let outside = scene.data.with_file_name("outside");
    std::fs::create_dir(&outside)?;
    let target = outside.display().to_string();
    let end = vec![0; 1_024];
    let file = |name: &str| member(name, b'0', "", "0000644", b"pwned");
    let archive = |parts: &[Vec<u8>]| [&parts.concat()[..], &end].concat();
    let path = format!("/sandbox/{id}/files?path=/workspace/in/here&archive=tar");
    for (what, bytes) in [
        ("a parent", archive(&[file("../pwned")])),
        ("a parent in between", archive(&[file("a/../../pwned")])),
        ("an absolute name", archive(&[file(&format!("{target}/pwned"))])),
        ("a device", archive(&[member("dev", b'3', "", "0000644", b"")])),
        ("a pipe", archive(&[member("pipe", b'6', "", "0000644", b"")])),
        (
            "the same file as outside",
            archive(&[member("same", b'1', "/etc/passwd", "0000644", b"")]),
        ),
        (
            "through a link",
            archive(&[member("out", b'2', &target, "0000777", b""), file("out/pwned")]),
        ),
        ("without an end", file("half")),
    ] {
        let answer =
            scene.other.http("PUT", &path, &[("Content-Type", "application/x-tar")], &bytes)?;
        tries.expect(what, answer.status == 400, format!("HTTP {}", answer.status));
    }
    let found =
        scene.mine.shell(&id, "ls /workspace; ls /pwned /tmp/pwned 2>/dev/null; echo end")?;
    tries.expect("inside", found == "in\nend\n", format!("{found:?}"));
    let left = std::fs::read_dir(&outside)?.count();
    tries.expect("on the host", left == 0, format!("{left} files"));
    Ok(())
}

fn set_user_archives(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    let bytes = [member("s", b'0', "", "0006755", b"#!/bin/sh\nid"), vec![0; 1_024]].concat();
    let path = format!("/sandbox/{id}/files?path=/workspace/a&archive=tar");
    let answer = scene.other.http("PUT", &path, &[], &bytes)?;
    tries.need("the archive", answer.status == 200, answer.text());
    for mode in ["4755", "6755", "2755"] {
        let path = format!("/sandbox/{id}/files?path=/workspace/a/m{mode}&mode={mode}");
        let answer = scene.other.http("PUT", &path, &[], b"#!/bin/sh\nid")?;
        tries.need(mode, matches!(answer.status, 200 | 400), answer.text());
    }
    let found = scene.mine.shell(&id, "find /workspace -perm /7000; echo end")?;
    tries.expect("what came of it", found == "end\n", format!("{found:?}"));
    Ok(())
}
