//! Every flag of `capsule-run`: its documented meaning and its default.

use capsule_tests::{Binary, Run, Scratch, wall_stands};
use serde_json::{Value, json};

/// The plan that `--dry-run` prints.
fn plan(flags: &[&str]) -> Value {
    Run::new(&[flags, &["--dry-run", "--", "true"]].concat()).finish().ended_with(0).json()
}

#[test]
fn defaults_are_the_documented_ones() {
    let plan = plan(&[]);
    assert_eq!(
        plan["limits"],
        json!({
            "timeout_ms": 30_000, "memory_bytes": 268_435_456, "cpu_shares": 1024, "cpus": null,
            "max_output_bytes": 1_048_576, "max_pids": 100, "disk_bytes": 268_435_456,
            "disk_inodes": 65_536, "open_files": 1024,
        })
    );
    assert_eq!(plan["working_directory"], "/workspace");
    assert_eq!(plan["stdin"], "empty");
    assert_eq!(plan["shares_network"], false);
    assert_eq!(plan["door"], json!([]));
    assert_eq!(plan["mounts"], json!([]));
    assert_eq!(plan["seccomp"], "default");
}

#[test]
fn limits_reach_the_plan() {
    for (flags, field, value) in [
        (&["-t", "5000"][..], "timeout_ms", json!(5000)),
        (&["--timeout", "2m"], "timeout_ms", json!(120_000)),
        (&["-m", "64M"], "memory_bytes", json!(67_108_864)),
        (&["--memory", "0.1GB"], "memory_bytes", json!(100_000_000)),
        (&["--cpu", "512"], "cpu_shares", json!(512)),
        (&["--max-output", "64KiB"], "max_output_bytes", json!(65_536)),
        (&["--max-pids", "7"], "max_pids", json!(7)),
        (&["--disk", "1G"], "disk_bytes", json!(1_073_741_824)),
    ] {
        assert_eq!(plan(flags)["limits"][field], value, "{flags:?}");
    }
    if wall_stands("cpu") {
        assert_eq!(plan(&["--cpus", "0.5"])["limits"]["cpus"], 500);
    }
}

#[test]
fn a_dry_run_does_nothing() {
    let scratch = Scratch::new();
    let folder = scratch.directory("data");
    let file = format!("{folder}/made");
    let run = Run::new(&["--dry-run", "--writable", &folder, "--", "touch", &file]).finish();
    run.ended_with(0);
    assert!(!std::path::Path::new(&file).exists());
}

#[test]
fn a_dry_run_in_json_is_one_line_unless_pretty() {
    let compact = Run::new(&["--json", "--dry-run"]).input(r#"{"command":["true"]}"#).finish();
    assert_eq!(compact.text().lines().count(), 1);
    let pretty =
        Run::new(&["--json", "--pretty", "--dry-run"]).input(r#"{"command":["true"]}"#).finish();
    assert!(pretty.text().lines().count() > 1);
    assert_eq!(compact.json()["limits"], pretty.json()["limits"]);
}

#[test]
fn the_command_starts_in_the_working_directory() {
    for (flags, expected) in [
        (&[][..], "/workspace\n"),
        (&["-w", "/tmp"], "/tmp\n"),
        (&["--workdir", "/usr/lib"], "/usr/lib\n"),
        (&["--workdir", "/workspace/made/for/it"], "/workspace/made/for/it\n"),
    ] {
        let run = Run::new(&[flags, &["--", "pwd"]].concat()).finish().ended_with(0);
        assert_eq!(run.text(), expected, "{flags:?}");
    }
}

#[test]
fn variables_are_set_and_may_replace_the_base() {
    let flags = ["-e", "A=1", "--env", "B=x=y z", "-e", "EMPTY=", "-e", "HOME=/tmp"];
    let script = "printf '%s|%s|%s|%s' \"$A\" \"$B\" \"${EMPTY-unset}\" \"$HOME\"";
    assert_eq!(Run::shell(&flags, script).finish().text(), "1|x=y z||/tmp");
}

#[test]
fn the_last_of_two_equal_variables_wins() {
    let run = Run::shell(&["-e", "A=1", "-e", "A=2"], "echo $A").finish();
    assert_eq!(run.text(), "2\n");
}

#[test]
fn a_changed_path_finds_the_command() {
    let scratch = Scratch::new();
    scratch.program("own-tool", "#!/bin/sh\necho found\n");
    let bind = format!("{}:/tools", scratch.text());
    let run = Run::new(&["--bind", &bind, "-e", "PATH=/tools:/usr/bin:/bin", "--", "own-tool"]);
    assert_eq!(run.finish().ended_with(0).text(), "found\n");
}

#[test]
fn standard_input_is_empty_unless_asked_for() {
    let without = Run::new(&["--", "cat"]).input("secret").finish().ended_with(0);
    assert_eq!(without.text(), "");
    let with = Run::new(&["--stdin", "--", "cat"]).input("passed on").finish().ended_with(0);
    assert_eq!(with.text(), "passed on");
}

#[test]
fn a_large_input_arrives_whole() {
    let input: Vec<u8> = (0..3_000_000u32).map(|place| (place % 251) as u8).collect();
    let run = Run::new(&["--stdin", "--max-output", "8M", "--", "cat"]).input(input.clone());
    assert!(run.finish().ended_with(0).stdout == input, "the bytes changed on the way");
}

#[test]
fn input_that_nobody_reads_does_not_hold_the_run() {
    let run = Run::new(&["--stdin", "--", "true"]).open_input().finish();
    run.ended_with(0);
}

#[test]
fn options_after_the_dashes_belong_to_the_command() {
    let run = Run::new(&["--", "echo", "--json", "-t", "5", "--", "--help"]).finish();
    assert_eq!(run.ended_with(0).text(), "--json -t 5 -- --help\n");
}

#[test]
fn options_after_the_command_belong_to_it_too() {
    let run = Run::new(&["echo", "--json", "--version"]).finish();
    assert_eq!(run.ended_with(0).text(), "--json --version\n");
}

#[test]
fn verbose_says_on_stderr_what_happens() {
    let quiet = Run::new(&["--", "echo", "x"]).finish().ended_with(0);
    assert_eq!(quiet.errors(), "");
    let id = "6f1c1f6e-2c3b-4f57-9a53-6ad3a4a1ce31";
    for flag in ["-v", "--verbose"] {
        let run = Run::new(&[flag, "--execution-id", id, "--", "echo", "x"]).finish();
        let run = run.ended_with(0);
        assert_eq!(run.text(), "x\n");
        assert!(run.errors().starts_with(&format!("capsule: execution {id}\n")), "{run}");
        assert!(run.errors().contains("capsule: success in "), "{run}");
    }
}

#[test]
fn the_version_names_the_binary_and_goes_to_stdout() {
    for flag in ["-V", "--version"] {
        let run = Run::new(&[flag]).finish().ended_with(0);
        assert_eq!(run.text(), format!("capsule-run {}\n", env!("CARGO_PKG_VERSION")));
        assert_eq!(run.errors(), "");
    }
}

#[test]
fn help_documents_every_flag() {
    for flag in ["-h", "--help"] {
        let run = Run::new(&[flag]).finish().ended_with(0);
        assert_eq!(run.errors(), "");
        for documented in [
            "--json",
            "--pretty",
            "-t, --timeout",
            "-m, --memory",
            "--cpu <",
            "--cpus <",
            "--max-output",
            "--max-pids",
            "--disk",
            "--network",
            "--allow-host",
            "-w, --workdir",
            "-e, --env",
            "--readonly",
            "--writable",
            "--bind <",
            "--stdin",
            "--seccomp",
            "--require",
            "-c, --config",
            "-p, --profile",
            "--dry-run",
            "--execution-id",
            "-v, --verbose",
            "-h, --help",
            "-V, --version",
        ] {
            assert!(run.text().contains(documented), "{flag} does not tell of {documented}");
        }
        for default in ["30000", "256M", "1024", "1M", "100", "/workspace"] {
            assert!(run.text().contains(default), "{flag} does not tell the default {default}");
        }
    }
}

#[test]
fn exec_is_the_same_command_line() {
    let plain = Run::new(&["exec", "--max-pids", "20", "--", "sh", "-c", "echo out; exit 9"]);
    let plain = plain.binary(Binary::Capsule).finish().ended_with(9);
    assert_eq!(plain.text(), "out\n");
    let json = Run::new(&["exec", "--json"]).input(r#"{"command":["echo","x"]}"#);
    let json = json.binary(Binary::Capsule).finish().ended_with(0).json();
    assert_eq!((&json["status"], &json["stdout"]), (&json!("success"), &json!("x\n")));
    let wrong = Run::new(&["exec", "--tiemout", "1", "--", "true"]).binary(Binary::Capsule);
    let wrong = wrong.finish().ended_with(2);
    assert_eq!(wrong.error_code().as_deref(), Some("E1002"));
    assert!(wrong.errors().contains("did you mean --timeout?"), "{wrong}");
}

#[test]
fn required_walls_that_stand_do_not_hinder() {
    let walls = [
        "user",
        "mount",
        "pid",
        "network",
        "ipc",
        "uts",
        "cgroup",
        "time",
        "capabilities",
        "seccomp",
        "disk",
    ];
    let flags: Vec<&str> = walls.iter().flat_map(|wall| ["--require", wall]).collect();
    Run::shell(&flags, "exit 4").finish().ended_with(4);
}
