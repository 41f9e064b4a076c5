//! Directories as tar streams, against the tar of this machine, and parts of files.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::client::{Answer, Site};

fn place(id: &str, path: &str) -> String {
    format!("/sandbox/{id}/files?path={path}&archive=tar")
}

/// This machine's tar, with standard input and output.
fn tar(arguments: &[&str], folder: &Path, input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("tar");
    command.arg("-C").arg(folder).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    output.stdout
}

/// A member of an archive as somebody may send it who knows better than any tar.
fn member(name: &str, flag: u8, target: &str, data: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0006755\x000000000\x000000000\0");
    put(124, format!("{:011o}\x0000000000000\0        ", data.len()).as_bytes());
    put(156, &[flag]);
    put(157, target.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.extend_from_slice(data);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

#[track_caller]
fn put(site: &Site, id: &str, path: &str, archive: &[u8]) -> Answer {
    site.http("PUT", &place(id, path), &[], archive)
}

pub fn directories_go_and_come(site: &Site) {
    let id = site.create();
    let long = "n".repeat(150);
    site.shell(
        &id,
        &format!(
            "umask 022; mkdir -p tree/sub/empty tree/{long}; echo one >tree/one; \
             printf '#!/bin/sh\\n' >tree/run; chmod 750 tree/run; ln -s ../one tree/sub/link; \
             ln -s /nowhere tree/gone; mkfifo tree/pipe; echo ü >'tree/{long}/a b ü'; \
             head -c 1000000 /dev/zero >tree/large; : >tree/none"
        ),
    );
    let got = site.http("GET", &place(&id, "tree"), &[], b"");
    assert_eq!(got.status, 200, "{}", got.head);
    assert!(got.head.to_ascii_lowercase().contains("content-type: application/x-tar"));
    // What this machine's tar makes of it is what is there, but for the pipe.
    let folder = tempfile::tempdir().unwrap();
    tar(&["-xpf", "-", "--no-same-owner"], folder.path(), &got.body);
    let listed = |command: &str| {
        let output = Command::new("sh").args(["-c", command]).current_dir(folder.path()).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let list = "find . -type f -exec cksum {} + | sort; find . ! -name pipe -type f -printf '%m %p\\n' | sort; \
                find . -type l -exec readlink {} + | sort; find . -type d | sort";
    assert_eq!(listed(list), site.shell(&id, &format!("cd tree; {list}")));
    assert!(!folder.path().join("pipe").exists());
    // And back again, to another place, which is made.
    let back = put(site, &id, "copy/of/it", &got.body);
    assert_eq!(back.status, 200, "{}", String::from_utf8_lossy(&back.body));
    assert_eq!(back.json()["size"], json!(got.body.len()));
    assert_eq!(site.shell(&id, &format!("cd copy/of/it; {list}")), listed(list));
    // Archives of this machine, in both of its formats, with one file under two names.
    std::fs::hard_link(folder.path().join("one"), folder.path().join("two")).unwrap();
    for format in ["--format=gnu", "--format=pax", "--format=ustar"] {
        let exclude = format!("--exclude={long}");
        let exclude = if format == "--format=ustar" { exclude.as_str() } else { "--exclude=x" };
        let made = tar(&[format, exclude, "-cf", "-", "."], folder.path(), b"");
        site.shell(&id, "rm -rf there");
        let answer = put(site, &id, "there", &made);
        assert_eq!(answer.status, 200, "{format} {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(
            site.shell(&id, "cd there; cat two; readlink sub/link gone; find run -printf '%m\\n'"),
            "one\n../one\n/nowhere\n750\n"
        );
        if format != "--format=ustar" {
            assert_eq!(site.shell(&id, &format!("cat 'there/{long}/a b ü'")), "ü\n");
        }
        // Over what is there, as tar does it.
        assert_eq!(put(site, &id, "there", &made).status, 200);
    }
    assert_eq!(site.http("GET", &place(&id, "nowhere"), &[], b"").status, 404);
    assert_eq!(site.http("GET", &place(&id, "tree/one"), &[], b"").status, 409);
    let odd = format!("/sandbox/{id}/files?path=tree&archive=zip");
    assert_eq!(site.http("GET", &odd, &[], b"").status, 400);
    site.delete(&id);
}

/// Whatever an archive holds, nothing of it gets out of its directory.
pub fn hostile_archives(site: &Site) {
    let id = site.create();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let end = vec![0; 1_024];
    let file = |name: &str| member(name, b'0', "", b"pwned");
    let with_end = |parts: &[Vec<u8>]| [&parts.concat()[..], &end].concat();
    let sparse = "22 GNU.sparse.major=1\n";
    for (name, archive) in [
        ("parent", with_end(&[file("../pwned")])),
        ("in between", with_end(&[file("a/../../pwned")])),
        ("absolute", with_end(&[file(&format!("{target}/pwned"))])),
        ("device", with_end(&[member("dev", b'3', "", b"")])),
        ("pipe", with_end(&[member("pipe", b'6', "", b"")])),
        ("same as outside", with_end(&[member("same", b'1', "/etc/passwd", b"")])),
        ("same as above", with_end(&[member("same", b'1', "../../etc/passwd", b"")])),
        ("old sparse", with_end(&[member("holes", b'S', "", b"")])),
        ("new sparse", with_end(&[member("pax", b'x', "", sparse.as_bytes()), file("holes")])),
        ("without an end", file("half")),
        ("cut", file("half")[..514].to_vec()),
        ("nothing", Vec::new()),
        ("zeroes in its place", b"PK\x03\x04".repeat(300)),
        ("compressed", b"\x1f\x8b\x08\x00".repeat(300)),
        ("through a link", with_end(&[member("out", b'2', target, b""), file("out/pwned")])),
        ("over a link", with_end(&[member("in", b'2', "..", b""), file("in/pwned"), file("in/x")])),
    ] {
        let answer = put(site, &id, "/workspace/in/here", &archive);
        assert_eq!(answer.status, 400, "{name}: {}", String::from_utf8_lossy(&answer.body));
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    let found = site.shell(
        &id,
        &format!("ls {target}/pwned 2>/dev/null; find . -name '*pwned*'; ls; find . -perm /6000"),
    );
    // Directories took the place of links that were to come.
    let expected = ["./in/here/in/pwned", "./in/here/out/pwned", "in", ""];
    let mut lines: Vec<&str> = found.split('\n').collect();
    lines[..2].sort_unstable();
    assert_eq!(lines, expected, "{found}");
    // A link that is all of it leads nowhere else than a link that was made inside.
    let linked = with_end(&[member("out", b'2', "/etc/shadow", b"")]);
    assert_eq!(put(site, &id, "linked", &linked).status, 200);
    assert_eq!(site.shell(&id, "readlink linked/out"), "/etc/shadow\n");
    // A size that never comes.
    let mut huge = member("huge", b'0', "", b"");
    huge[124..136].copy_from_slice(b"77777777777\0");
    huge[148..156].fill(b' ');
    let sum: u32 = huge.iter().map(|byte| u32::from(*byte)).sum();
    huge[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(put(site, &id, "huge", &huge).status, 400);
    assert_eq!(site.shell(&id, "echo fine"), "fine\n");
    site.delete(&id);
}

pub fn parts_of_files(site: &Site) {
    let id = site.create();
    let bytes: Vec<u8> = (0..700_000_u32).map(|at| (at % 251) as u8).collect();
    let path = format!("/sandbox/{id}/files?path=file");
    assert_eq!(site.http("PUT", &path, &[], &bytes).status, 200);
    let get = |range: &str| site.http("GET", &path, &[("Range", range)], b"");
    for (range, part, told) in [
        ("bytes=0-9", &bytes[..10], "bytes 0-9/700000"),
        ("bytes=300000-600000", &bytes[300_000..=600_000], "bytes 300000-600000/700000"),
        ("bytes=699990-", &bytes[699_990..], "bytes 699990-699999/700000"),
        ("bytes=-5", &bytes[699_995..], "bytes 699995-699999/700000"),
        ("bytes=699999-999999999999999999999999", &bytes[699_999..], "bytes 699999-699999/700000"),
    ] {
        let got = get(range);
        assert!(got.status == 206 && got.body == part, "{range}: {}", got.head);
        assert!(got.head.to_ascii_lowercase().contains(&format!("content-range: {told}")));
    }
    for range in ["bytes=700000-", "bytes=9999999999999999999999-", "bytes=-0"] {
        let got = get(range);
        assert_eq!(got.status, 416, "{range}");
        assert!(got.head.to_ascii_lowercase().contains("content-range: bytes */700000"));
    }
    for range in ["bytes=9-1", "bytes=0-1,5-6", "lines=1-2", "bytes=x-y"] {
        let got = get(range);
        assert!(got.status == 200 && got.body == bytes, "{range}: {}", got.head);
        assert!(got.head.to_ascii_lowercase().contains("accept-ranges: bytes"));
    }
    site.delete(&id);
}
