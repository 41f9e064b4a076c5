//! `--config` and `--profile`: defaults from a file, with what is typed over them.

use capsule_tests::{Run, Scratch};
use serde_json::json;

const FILE: &str = r#"
timeout_ms = 20000
resources.max_pids = 33
environment.A = "base"
environment.B = "base"

[profile.python]
resources.memory_bytes = 134217728
environment.B = "profile"
isolation.working_directory = "/tmp"

[profile.strict]
isolation.seccomp = "strict"
"#;

fn with_file(contents: &str, arguments: &[&str]) -> (Run, Scratch) {
    let scratch = Scratch::new();
    let file = scratch.file("capsule.toml", contents);
    (Run::new(&[&["--config", file.as_str()], arguments].concat()), scratch)
}

#[test]
fn defaults_come_from_the_file() {
    let (run, _scratch) = with_file(FILE, &["--dry-run", "--", "true"]);
    let plan = run.finish().ended_with(0).json();
    assert_eq!(plan["limits"]["timeout_ms"], 20_000);
    assert_eq!(plan["limits"]["max_pids"], 33);
    assert_eq!(plan["limits"]["memory_bytes"], 268_435_456);
    let (run, _scratch) = with_file(FILE, &["--", "sh", "-c", "echo $A $B; pwd"]);
    assert_eq!(run.finish().ended_with(0).text(), "base base\n/workspace\n");
}

#[test]
fn a_profile_lies_over_the_file_and_flags_over_both() {
    let flags = ["-p", "python", "-e", "A=typed", "--", "sh", "-c", "echo $A $B; pwd"];
    let (run, _scratch) = with_file(FILE, &flags);
    assert_eq!(run.finish().ended_with(0).text(), "typed profile\n/tmp\n");
    let flags = ["--profile", "python", "--max-pids", "44", "--dry-run", "--", "true"];
    let (run, _scratch) = with_file(FILE, &flags);
    let limits = &run.finish().ended_with(0).json()["limits"];
    assert_eq!((&limits["max_pids"], &limits["memory_bytes"]), (&json!(44), &json!(134_217_728)));
}

#[test]
fn a_json_request_lies_over_the_file() {
    let (run, _scratch) = with_file(FILE, &["--json"]);
    let request = r#"{"command":["sh","-c","echo $A $B"],"environment":{"B":"request"}}"#;
    assert_eq!(run.input(request).finish().json()["stdout"], "base request\n");
}

#[test]
fn the_command_may_come_from_the_file() {
    let (run, _scratch) = with_file("command = [\"echo\", \"from the file\"]\n", &[]);
    assert_eq!(run.finish().ended_with(0).text(), "from the file\n");
}

#[test]
fn a_profile_can_choose_the_strict_filter() {
    let (run, _scratch) = with_file(FILE, &["-p", "strict", "--", "mkdir", "/tmp/x"]);
    let run = run.finish().ended_with(159);
    assert_eq!(run.error_code().as_deref(), Some("E5001"));
}

#[test]
fn mistakes_in_the_file_are_refused() {
    for (contents, code, hint) in [
        ("timeout = 5\n", "E1002", Some("did you mean \"timeout_ms\"?")),
        ("resources.memroy_bytes = 5\n", "E1002", Some("did you mean \"memory_bytes\"?")),
        (
            "[profile.python]\nisolation.netwrok = true\n",
            "E1002",
            Some("did you mean \"network\"?"),
        ),
        ("[profiles.python]\ntimeout_ms = 1\n", "E1002", None),
        ("timeout_ms = \"5s\"\n", "E1007", None),
        ("timeout_ms = \n", "E1007", None),
        ("\u{0}", "E1007", None),
        ("timeout_ms = 0\n", "E1003", None),
        ("resources.cpus = nan\n", "E1003", None),
        ("isolation.seccomp = \"none\"\n", "E1007", None),
        ("isolation.readonly_paths = [\"relative\"]\n", "E1005", None),
    ] {
        let (run, _scratch) = with_file(contents, &["--", "true"]);
        let run = run.finish().ended_with(2);
        assert_eq!(run.error_code().as_deref(), Some(code), "{contents:?}\n{run}");
        if let Some(hint) = hint {
            assert!(run.errors().contains(&format!("hint: {hint}")), "{contents:?}\n{run}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let scratch = Scratch::new();
    for file in [scratch.at("missing"), scratch.text().to_owned()] {
        let run = Run::new(&["--config", &file, "--", "true"]).finish().ended_with(2);
        assert_eq!(run.error_code().as_deref(), Some("E1007"), "{run}");
    }
}

#[test]
fn an_unknown_profile_is_refused_with_the_nearest() {
    let (run, _scratch) = with_file(FILE, &["-p", "pyton", "--", "true"]);
    let run = run.finish().ended_with(2);
    assert_eq!(run.error_code().as_deref(), Some("E1008"));
    assert!(run.errors().contains("did you mean \"python\"?"), "{run}");
    let run = Run::new(&["-p", "python", "--", "true"]).finish().ended_with(2);
    assert_eq!(run.error_code().as_deref(), Some("E1008"));
    assert!(run.errors().contains("--config"), "{run}");
}

#[test]
fn only_a_file_that_was_named_is_read() {
    let scratch = Scratch::new();
    for name in ["capsule.toml", ".capsule.toml", "capsule-run.toml"] {
        scratch.file(name, "environment.A = \"stray\"\n");
    }
    let run = Run::shell(&[], "echo [$A]").directory(scratch.path()).finish();
    assert_eq!(run.ended_with(0).text(), "[]\n");
}
