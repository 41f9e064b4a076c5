//! Files and folders, in and out; and sandboxes that want to write elsewhere.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use capsule_tests::{Run, Scratch};

use super::{capsule, created};
use crate::server::Serve;

fn cp(serve: &Serve, from: &str, to: &str) -> Run {
    capsule(serve, &["sandbox", "cp", from, to])
}

#[test]
fn a_file_goes_in_and_comes_back_whole() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let here = Scratch::new();
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 253) as u8).collect();
    let file = here.program("data file.bin", &bytes);
    cp(&serve, &file, &format!("{id}:")).finish().ended_with(0);
    assert_eq!(serve.shell(&id, "stat -c '%s %a' 'data file.bin'"), "5000000 755\n");
    cp(&serve, &format!("{id}:data file.bin"), &here.at("back")).finish().ended_with(0);
    assert!(fs::read(here.at("back")).unwrap() == bytes);
    // Into a folder that is there, under its own name.
    let folder = here.directory("folder");
    cp(&serve, &format!("{id}:/workspace/data file.bin"), &folder).finish().ended_with(0);
    assert!(fs::read(format!("{folder}/data file.bin")).unwrap() == bytes);
    assert!(
        !fs::read_dir(&folder)
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with(".capsule") })
    );
    // By pipes.
    let upload = cp(&serve, "-", &format!("{id}:/tmp/typed")).input("typed").finish();
    upload.ended_with(0);
    let typed = cp(&serve, &format!("{id}:/tmp/typed"), "-").finish().ended_with(0);
    assert_eq!(typed.text(), "typed");
}

#[test]
fn a_folder_goes_in_and_comes_back_whole() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let here = Scratch::new();
    here.directory("tree/empty");
    here.directory("tree/a/b");
    here.file("tree/a/b/ünï code", "deep");
    here.program("tree/run", "#!/bin/sh\n");
    symlink("/etc/passwd", here.at("tree/secret")).unwrap();
    let uploaded = cp(&serve, &here.at("tree"), &format!("{id}:")).finish().ended_with(1);
    assert_eq!(uploaded.errors(), format!("left out: {}: it is a link\n", here.at("tree/secret")));
    assert_eq!(
        serve.shell(&id, "cd tree && find . | sort"),
        "./a\n./a/b\n./a/b/ünï code\n./empty\n./run\n.\n"
            .split_terminator('\n')
            .map(str::to_owned)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .map(|line| line + "\n")
            .collect::<String>()
    );
    serve.shell(&id, "ln -s b/../b tree/a/out; ln -s a/b tree/inside; mkfifo tree/pipe");
    let back = cp(&serve, &format!("{id}:tree"), &here.at("back")).finish().ended_with(1);
    assert!(back.errors().contains("out: it is a link that leads out of the folder"), "{back}");
    assert!(back.errors().contains("pipe: it is no file"), "{back}");
    assert_eq!(here.read("back/a/b/ünï code"), "deep");
    assert_eq!(here.read("back/inside/ünï code"), "deep");
    assert!(Path::new(&here.at("back/empty")).is_dir());
    assert!(!Path::new(&here.at("back/a/out")).exists());
    let mode = fs::metadata(here.at("back/run")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
    // What it holds, and not itself.
    let into = here.directory("into");
    cp(&serve, &format!("{id}:tree/a/b/."), &into).finish().ended_with(0);
    assert_eq!(here.read("into/ünï code"), "deep");
    let json = ["sandbox", "cp", "--json", &format!("{id}:tree/a/b"), &into];
    let json = capsule(&serve, &json).finish().ended_with(0).json();
    assert_eq!((json["files"].as_u64(), json["bytes"].as_u64()), (Some(1), Some(4)));
}

/// A sandbox that makes links and names so that a copy of it would write elsewhere.
#[test]
fn nothing_is_written_outside_of_the_destination() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let here = Scratch::new();
    let outside = here.directory("outside");
    fs::write(format!("{outside}/file"), "kept").unwrap();
    let make = format!(
        "mkdir -p evil/deep && cd evil && ln -s {outside} absolute && ln -s ../../outside up && \
         ln -s ../../../outside deep/up && ln -s deep/../../../outside winding && \
         ln -s {outside}/file file && printf x > '..\\' && printf x > \"$(printf 'a\\033[2Jb')\" && \
         printf x > '-rf' && mkfifo pipe && ln -s loop loop"
    );
    serve.shell(&id, &make);
    let copied = cp(&serve, &format!("{id}:evil"), &here.at("got")).finish().ended_with(1);
    assert!(!copied.errors().contains('\u{1b}'), "{copied}");
    for left_out in ["absolute", "deep/up", "evil/up", "winding", "evil/file", "pipe"] {
        assert!(copied.errors().contains(&format!("{left_out}: ")), "{left_out}: {copied}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(format!("{outside}/file")).unwrap(), "kept");
    let got = |name: &str| Path::new(&here.at("got")).join(name);
    assert!(got("..\\").is_file() && got("-rf").is_file() && got("a\u{1b}[2Jb").is_file());
    // Links that are here already are not followed either.
    let trap = here.directory("trap");
    fs::create_dir(format!("{trap}/evil")).unwrap();
    symlink(&outside, format!("{trap}/evil/deep")).unwrap();
    serve.shell(&id, "printf x > evil/deep/planted");
    let refused = cp(&serve, &format!("{id}:evil"), &trap).finish().ended_with(1);
    assert!(refused.error_code().is_some(), "{refused}");
    assert!(!Path::new(&outside).join("planted").exists());
    // Nor is one that has a file's name: it is replaced.
    symlink(format!("{outside}/file"), here.at("link")).unwrap();
    serve.shell(&id, "printf replaced > single");
    cp(&serve, &format!("{id}:single"), &here.at("link")).finish().ended_with(0);
    assert_eq!(fs::read_to_string(format!("{outside}/file")).unwrap(), "kept");
    assert_eq!(here.read("link"), "replaced");
    for path in ["..", "/", "."] {
        let from = format!("{id}:{path}");
        let target = here.directory("target");
        let run = cp(&serve, &from, &target).finish();
        assert!(path == "." || run.code == Some(1), "{path}: {run}");
    }
}

/// A server that lies about names.
#[test]
fn names_that_lead_elsewhere_are_refused() {
    use std::io::{Read, Write};
    let here = Scratch::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut piece = [0; 8192];
            while let Ok(count) = stream.read(&mut piece) {
                if count == 0 {
                    break;
                }
                let asked = String::from_utf8_lossy(&piece[..count]).into_owned();
                let body = if asked.starts_with("GET") {
                    "evil".to_owned()
                } else if asked.contains("listDir") {
                    let name = |name: &str| serde_json::json!({ "name": name, "path": name, "is_dir": false, "size": 4 });
                    let files =
                        ["../planted", "/tmp/planted", "..", ".", "", "a/../../planted", "a\0b"];
                    let files: Vec<_> = files.map(name).into();
                    serde_json::json!({ "jsonrpc": "2.0", "id": 1, "result": { "files": files } })
                        .to_string()
                } else {
                    let kind = if asked.contains("/workspace/d/") { "file" } else { "directory" };
                    let entry = serde_json::json!({ "kind": kind, "is_dir": kind == "directory", "mode": 0o4777 });
                    serde_json::json!({ "jsonrpc": "2.0", "id": 1, "result": entry }).to_string()
                };
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                if stream.write_all((head + &body).as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    let run = Run::new(&["sandbox", "cp", "--server", &url, "x:/workspace/d", &here.at("got/")]);
    fs::create_dir(here.at("got")).unwrap();
    let copied = run.binary(capsule_tests::Binary::Capsule).finish().ended_with(1);
    assert_eq!(
        copied.errors().lines().filter(|line| line.contains("its name leads elsewhere")).count(),
        7,
        "{copied}"
    );
    assert_eq!(fs::read_dir(here.at("got/d")).unwrap().count(), 0);
    assert!(!Path::new(&here.at("planted")).exists());
}

#[test]
fn what_cannot_be_copied_is_told_and_leaves_nothing() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let here = Scratch::new();
    let file = here.file("file", "x");
    for (from, to, code) in [
        (&*here.at("missing"), &*format!("{id}:"), "E3010"),
        (&*format!("{id}:missing"), &*here.at("got"), "E3010"),
        (&*format!("{id}:/etc/shadow"), &*here.at("got"), "E3011"),
        (&*file, &*format!("{id}:/usr/bin/planted"), "E3011"),
        (&*file, &*here.at("other"), "E1003"),
        (&*format!("{id}:a"), &*format!("{id}:b"), "E1003"),
        (&*file, "nobody:", "E1015"),
    ] {
        let failed = cp(&serve, from, to).finish().ended_with(1);
        let told = failed.error_code();
        // A file that is not mounted is as good as one that may not be read.
        let is_it =
            told.as_deref() == Some(code) || (code == "E3011" && told.as_deref() == Some("E3010"));
        assert!(is_it, "{from} {to}: {failed}");
    }
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 1);
}
