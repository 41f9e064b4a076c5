//! The errors of `capsule run`, each by a real cause: code, words, place, exit code.

use capsule_tests::{Finished, Program};
use serde_json::Value;

/// Ends with exit code 1 and `code`, and says all of `words`.
#[track_caller]
fn fails(run: Finished, code: &str, words: &[&str]) -> Value {
    let run = run.ended_with(1);
    let answer = run.json();
    let error = &answer["error"];
    assert_eq!(
        (&answer["success"], &answer["result"], &error["code"]),
        (&false.into(), &Value::Null, &code.into()),
        "{run}"
    );
    let text = format!(
        "{} {} {} {}",
        error["error_type"], error["message"], error["hint"], error["traceback"]
    );
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
    answer
}

#[track_caller]
fn main_fails(body: &str, options: &str, code: &str, words: &[&str]) -> Value {
    let text = format!("from capsule import task\n\n\n@task{options}\ndef main():\n    {body}\n");
    fails(Program::new(&text).answer(&[]), code, words)
}

#[test]
fn e1001_arguments_that_are_no_json() {
    let program = Program::new("").with("given.json", "{");
    let run = program.run(&["--json", "--args-file", "given.json", "main.py"]).finish();
    fails(run, "E1001", &["given.json"]);
}

#[test]
fn e1005_a_grant_in_the_place_of_the_private_files() {
    for path in ["tmp", "tmp/data"] {
        let options = format!("(allowed_files=[\"{path}\"])");
        main_fails("return 1", &options, "E1005", &[path, "/tmp", "--mount"]);
    }
}

#[test]
fn e1013_source_that_cannot_be_read() {
    let program = Program::new("").with("main.ts", "export const x: = 3;\n");
    let run = program.run(&["--json", "main.ts"]).finish();
    fails(run, "E1013", &["main.ts:1:17", "export const x"]);
}

#[test]
fn e1007_settings_that_would_be_ignored() {
    for (text, word) in [
        ("[tasks]\ndefault_rams = \"1\"\n", "default_ram"),
        ("[tasks\n", "not TOML"),
        ("[cache]\n", "cache"),
    ] {
        fails(Program::new("").with("capsule.toml", text).answer(&[]), "E1007", &[word]);
    }
    let program = Program::new("").with("requirements.txt", "--index-url http://localhost\n");
    fails(program.answer(&[]), "E1007", &["--index-url"]);
}

#[test]
fn e1009_no_program() {
    let program = Program::new("").with("notes.txt", "");
    for arguments in [&["--json", "missing.py"][..], &["--json", "notes.txt"], &["--json"]] {
        fails(program.run(arguments).finish(), "E1009", &[]);
    }
    let run = program.run(&["--json", "--args-file", "missing.json", "main.py"]).finish();
    fails(run, "E1009", &["missing.json"]);
}

#[test]
fn e1010_a_declaration_with_its_place() {
    for (options, word) in [
        ("(ram=\"64 monkeys\")", "64 monkeys"),
        ("(timeout=\"1\")", "no unit"),
        ("(compute=\"HUGE\")", "HUGE"),
        ("(max_retries=-1)", "max_retries"),
        ("(allowed_files=[\"/etc\"])", "outside the project"),
        ("(allowed_hosts=[\"http://a/b\"])", "allowed_hosts"),
    ] {
        main_fails("return 1", options, "E1010", &[word, "main.py:4"]);
    }
}

#[test]
fn e1011_no_such_task() {
    let program = Program::new("from capsule import task\n@task\ndef greet():\n    return 1\n");
    let run = program.run(&["--json", "--task", "greeet", "main.py"]).finish();
    fails(run, "E1011", &["greeet", "did you mean \\\"greet\\\"?"]);
}

#[test]
fn e3003_a_timeout() {
    for body in ["while True: pass", "import time; time.sleep(1e6)", "return sum(range(10**15))"] {
        main_fails(body, "(timeout=\"200ms\", compute=\"HIGH\")", "E3003", &["Timeout", "200ms"]);
    }
}

#[test]
fn e3008_an_exception_with_file_and_line() {
    let program = Program::new(
        "import helper\nfrom capsule import task\n@task\ndef main():\n    return helper.divide(1, 0)\n",
    );
    program.write("helper.py", "def divide(a, b):\n    return a / b\n");
    fails(
        program.answer(&[]),
        "E3008",
        &[
            "ZeroDivisionError",
            "File \\\"main.py\\\", line 5, in main",
            "File \\\"helper.py\\\", line 2, in divide",
            "return a / b",
        ],
    );
    let broken = Program::new("def main(:\n");
    fails(broken.answer(&[]), "E3008", &["SyntaxError", "main.py", "line 1"]);
}

#[test]
fn e4001_memory_inside() {
    main_fails(
        "return len(bytearray(1 << 30))",
        "(ram=\"64MB\")",
        "E4001",
        &["MemoryError", "ram"],
    );
    // It is an exception that a program can handle.
    let program = Program::new(
        "from capsule import task\n@task(ram='64MB')\ndef main():\n    try:\n        bytearray(1 << 30)\n    except MemoryError:\n        return 'caught'\n",
    );
    assert_eq!(program.answer(&[]).ended_with(0).json()["result"], "caught");
}

#[test]
fn e4004_a_compute_budget() {
    main_fails("while True: pass", "(compute=50_000_000)", "E4004", &["50000000", "compute"]);
}

#[test]
fn e4005_calls_too_deep() {
    let program = Program::new(
        "from capsule import task\n@task\ndef deeper(n):\n    return deeper(n + 1)\n@task\ndef main():\n    return deeper(0)\n",
    );
    fails(program.answer(&[]), "E3008", &["TaskError", "nested more than 16 deep"]);
}

#[test]
fn e5003_a_grant_through_a_link() {
    let program = Program::new(
        "from capsule import task\n@task(allowed_files=['way'])\ndef main():\n    return 1\n",
    );
    std::os::unix::fs::symlink("/etc", program.folder().at("way")).expect("a link can be made");
    fails(program.answer(&[]), "E5003", &["way"]);
}

#[test]
fn e2007_a_cache_that_others_can_reach() {
    let program = Program::new("");
    let folder = capsule_tests::Scratch::new();
    let runtimes = folder.directory("cache/runtimes");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&runtimes, mode).expect("the folder is ours");
    let cache = folder.at("cache");
    let run = program.run(&["--json", "main.py"]).variable("CAPSULE_CACHE", &cache);
    fails(run.finish(), "E2007", &["others can reach into the folder"]);
}

#[test]
fn e2008_a_package_that_does_not_exist() {
    // Refused by the index, or by a machine that reaches none.
    let program = Program::new("").with("requirements.txt", "capsule-no-such-package==0.0.0\n");
    fails(program.answer(&[]), "E2008", &["pip could not install the packages"]);
}

#[test]
fn e3009_a_sandbox_that_ends() {
    main_fails("__import__('os').abort()", "", "E3009", &["the sandbox of task"]);
}
