//! What is not understood exactly is refused: nothing runs, nothing falls back to
//! a default, and the hint names what was most likely meant.

use capsule_tests::{Finished, Run, Scratch};
use serde_json::json;

/// Refused on the command line, in text and in JSON, with the same code.
#[track_caller]
fn refused(flags: &[&str], code: &str) -> Finished {
    let scratch = Scratch::new();
    let bind = format!("{}:/proof:rw", scratch.text());
    let proof = ["--bind", bind.as_str()];
    let command = ["--", "touch", "/proof/it-ran"];
    let text = Run::new(&[&proof, flags, &command].concat()).finish().ended_with(2);
    assert_eq!(text.error_code().as_deref(), Some(code), "{flags:?}\n{text}");
    assert_eq!(text.text(), "", "{flags:?}");

    let json = Run::new(&[&["--json"], &proof[..], flags, &command].concat()).input("{}").finish();
    let json = json.ended_with(2);
    assert_eq!(json.verdict(), ("error".to_owned(), code.to_owned()), "{flags:?}\n{json}");
    assert_eq!(json.errors(), "", "{flags:?}");
    assert_eq!(json.json()["exit_code"], json!(null));
    // The words may differ: one names flags, the other fields.
    assert!(json.json()["error"]["message"].as_str().is_some_and(|said| said.len() > 8), "{json}");
    assert!(!scratch.path().join("it-ran").exists(), "{flags:?}: the command ran");
    text
}

#[test]
fn a_mistyped_flag_is_named_with_the_nearest() {
    for (typed, meant) in [
        ("--jsn", "--json"),
        ("--prety", "--pretty"),
        ("--timout=5", "--timeout"),
        ("--memmory=1M", "--memory"),
        ("--max-outputs=1", "--max-output"),
        ("--maxpids=3", "--max-pids"),
        ("--netwrok", "--network"),
        ("--allow-hosts=a.b", "--allow-host"),
        ("--work-dir=/tmp", "--workdir"),
        ("--readnly=/x", "--readonly"),
        ("--writeable=/x", "--writable"),
        ("--bnd=/x:/y", "--bind"),
        ("--stdn", "--stdin"),
        ("--secomp=strict", "--seccomp"),
        ("--requires=pid", "--require"),
        ("--confg=x", "--config"),
        ("--profil=x", "--profile"),
        ("--dryrun", "--dry-run"),
        ("--exec-id=1", "--execution-id"),
        ("--verbos", "--verbose"),
    ] {
        let run = refused(&[typed], "E1002");
        assert!(run.errors().contains(&format!("hint: did you mean {meant}?")), "{typed}: {run}");
    }
}

#[test]
fn a_flag_that_is_near_nothing_is_refused_too() {
    for typed in ["-z", "--zzzzzz", "--x"] {
        let run = refused(&[typed], "E1002");
        assert!(run.errors().contains("hint: "), "{typed}: {run}");
    }
}

#[test]
fn sizes_that_are_not_sizes_are_refused() {
    for flag in ["--memory", "--max-output", "--disk"] {
        for size in [
            "0",
            "0M",
            "-1",
            "-1M",
            "1X",
            "17179869185G",
            "9223372036854775808",
            "",
            "M",
            "1e6",
            "0x10",
            "unlimited",
            "0.5B",
            "1.5",
            "inf",
            "NaN",
            " ",
            "1M1",
        ] {
            refused(&[&format!("{flag}={size}")], "E1003");
        }
    }
}

#[test]
fn durations_that_are_not_durations_are_refused() {
    for time in ["0", "0s", "-1", "-1s", "1X", "1y", "0.5ms", "366d", "", "s", "1e3", "1h30m"] {
        refused(&[&format!("--timeout={time}")], "E1003");
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    for flag in [
        "--cpu=0",
        "--cpu=1",
        "--cpu=262145",
        "--cpu=-5",
        "--cpu=many",
        "--cpus=0",
        "--cpus=-1",
        "--cpus=0.001",
        "--cpus=1025",
        "--cpus=nan",
        "--cpus=inf",
        "--max-pids=0",
        "--max-pids=-1",
        "--max-pids=65537",
        "--max-pids=4294967296",
        "--max-pids=1.5",
        "--memory=1K",
        "--disk=1K",
    ] {
        refused(&[flag], "E1003");
    }
}

#[test]
fn other_values_that_mean_nothing_are_refused() {
    for flag in [
        "--env=NAME",
        "--env==x",
        "--bind=/usr",
        "--bind=/usr:/x:rx",
        "--bind=:",
        "--bind=/a:",
        "--seccomp=loose",
        "--seccomp=Strict",
        "--execution-id=abc",
        "--allow-host=https://a.b",
        "--allow-host=a.b:0",
        "--allow-host=127.1",
        "--allow-host=",
    ] {
        refused(&[flag], "E1003");
    }
}

#[test]
fn a_mistyped_wall_is_named_with_the_nearest() {
    let run = refused(&["--require=secomp"], "E1003");
    assert!(run.errors().contains("did you mean \"seccomp\""), "{run}");
    let run = refused(&["--require=firewall-of-china"], "E1003");
    assert!(run.errors().contains("landlock"), "{run}");
}

#[test]
fn paths_that_belong_to_the_jail_are_refused() {
    for flag in [
        "--bind=/usr:/",
        "--bind=/usr://",
        "--bind=/usr:/proc",
        "--bind=/usr:/proc/x",
        "--bind=/usr:/dev/x",
        "--bind=/usr:/sys",
        "--bind=/usr:x",
        "--bind=/usr:/a/../b",
        "--readonly=/proc",
        "--writable=/dev",
        "--readonly=",
        "--workdir=x",
        "--workdir=/a/..",
    ] {
        refused(&[flag], "E1005");
    }
}

#[test]
fn contradictions_are_refused() {
    let scratch = Scratch::new();
    let path = scratch.text();
    refused(&["--network", "--allow-host", "example.org"], "E1006");
    refused(&["--readonly", path, "--writable", path], "E1006");
    refused(&["--readonly", path, "--bind", &format!("/usr:{path}/")], "E1006");
    refused(&["--timeout", "1s", "--timeout", "2s"], "E1006");
}

#[test]
fn no_command_is_refused() {
    for arguments in [&[][..], &["--"], &["--", ""], &["--memory", "64M"]] {
        let run = Run::new(arguments).finish().ended_with(2);
        assert_eq!(run.error_code().as_deref(), Some("E1004"), "{arguments:?}\n{run}");
        assert!(run.errors().contains("\nhint: "), "{run}");
    }
}

#[test]
fn unknown_fields_are_refused_with_the_nearest() {
    for (request, meant) in [
        (json!({"comand": ["true"]}), Some("command")),
        (json!({"command": ["true"], "timeout": 5}), Some("timeout_ms")),
        (json!({"command": ["true"], "resources": {"memory": 1}}), Some("memory_bytes")),
        (json!({"command": ["true"], "resources": {"cpu_share": 5}}), Some("cpu_shares")),
        (json!({"command": ["true"], "isolation": {"networking": true}}), Some("network")),
        (json!({"command": ["true"], "isolation": {"allowed_host": []}}), Some("allowed_hosts")),
        (
            json!({"command": ["true"], "isolation":
                {"bind_mounts": [{"source": "/usr", "destination": "/x", "read_only": false}]}}),
            Some("readonly"),
        ),
        (json!({"command": ["true"], "zzz": 1}), None),
    ] {
        let run = Run::json(&request).finish().ended_with(2);
        assert_eq!(run.verdict(), ("error".to_owned(), "E1002".to_owned()), "{request}");
        let hint = run.json()["error"]["hint"].as_str().unwrap_or_default().to_owned();
        match meant {
            Some(meant) => assert_eq!(hint, format!("did you mean {meant:?}?"), "{request}"),
            None => assert!(hint.contains("command"), "{hint}"),
        }
    }
}

#[test]
fn requests_that_are_not_requests_are_refused() {
    for (text, code) in [
        (&b""[..], "E1001"),
        (b"  \n", "E1001"),
        (b"{", "E1001"),
        (b"not json", "E1001"),
        (b"{\"command\":[\"true\"]} {}", "E1001"),
        (b"{\"command\":[\"true\"]} trailing", "E1001"),
        (b"\xff\xfe", "E1001"),
        (b"null", "E1003"),
        (b"\"true\"", "E1003"),
        (b"{\"command\":\"true\"}", "E1003"),
        (b"{\"command\":[1]}", "E1003"),
        (b"{\"command\":[\"a\\u0000b\"]}", "E1003"),
        (b"{\"command\":[\"true\"],\"timeout_ms\":0}", "E1003"),
        (b"{\"command\":[\"true\"],\"timeout_ms\":-1}", "E1003"),
        (b"{\"command\":[\"true\"],\"timeout_ms\":\"5s\"}", "E1003"),
        (b"{\"command\":[\"true\"],\"timeout_ms\":1.5}", "E1003"),
        (b"{\"command\":[\"true\"],\"timeout_ms\":1e400}", "E1001"),
        (b"{\"command\":[\"true\"],\"command\":[\"false\"]}", "E1003"),
        (
            b"{\"command\":[\"true\"],\"resources\":{\"memory_bytes\":18446744073709551616}}",
            "E1003",
        ),
        (b"{\"command\":[\"true\"],\"resources\":{\"memory_bytes\":0}}", "E1003"),
        (b"{\"command\":[\"true\"],\"environment\":{\"A=B\":\"\"}}", "E1003"),
        (b"{\"command\":[\"true\"],\"environment\":{\"A\":1}}", "E1003"),
        (b"{\"command\":[\"true\"],\"isolation\":{\"network\":\"no\"}}", "E1003"),
        (b"{\"command\":[]}", "E1004"),
        (b"{}", "E1004"),
        (b"{\"command\":null}", "E1004"),
        (b"{\"command\":[\"true\"],\"isolation\":{\"readonly_paths\":[\"x\"]}}", "E1005"),
    ] {
        let run = Run::new(&["--json"]).input(text).finish().ended_with(2);
        let shown = String::from_utf8_lossy(text);
        assert_eq!(run.verdict(), ("error".to_owned(), code.to_owned()), "{shown}\n{run}");
        assert_eq!(run.errors(), "", "{shown}");
    }
}

/// A list is not an object, although its items could be taken for fields in order.
#[test]
fn a_list_is_not_an_object() {
    for request in [
        json!([]),
        json!([["true"]]),
        json!({"command": ["true"], "resources": [268_435_456]}),
        json!({"command": ["true"], "isolation": [true]}),
        json!({"command": ["true"], "isolation": {"bind_mounts": [["/usr", "/x", false]]}}),
    ] {
        let run = Run::json(&request).finish();
        assert_eq!(run.code, Some(2), "{request}\n{run}");
        assert_eq!(run.verdict(), ("error".to_owned(), "E1003".to_owned()), "{request}");
    }
}

#[test]
fn a_request_without_end_is_refused() {
    let mut request = br#"{"command":["true"],"environment":{"A":""#.to_vec();
    request.resize(5 << 20, b'x');
    let run = Run::new(&["--json"]).input(request).finish().ended_with(2);
    assert_eq!(run.verdict(), ("error".to_owned(), "E1001".to_owned()));
    let deep = "[".repeat(1_000_000);
    let run = Run::new(&["--json"]).input(deep).finish().ended_with(2);
    assert_eq!(run.verdict().0, "error");
}

#[test]
fn json_cannot_also_pass_input_on() {
    let run = Run::new(&["--json", "--stdin"]).input(r#"{"command":["cat"]}"#).finish();
    assert_eq!(run.ended_with(2).verdict(), ("error".to_owned(), "E1006".to_owned()));
}

#[test]
fn an_argument_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let argument = std::ffi::OsString::from_vec(vec![b'a', 0xff]);
    let run = Run::new(&["--", "echo"]).argument(argument).finish().ended_with(2);
    assert_eq!(run.error_code().as_deref(), Some("E1003"), "{run}");
}
