//! What `capsule run` says: the whole of it, with the numbers that differ replaced.

use capsule_tests::{Finished, Program};

const GREET: &str = r#"
from capsule import task


@task
def greet(name):
    print("greeting", name)
    return f"Hello, {name}!"


@task
def main(name="you"):
    print("begin")
    return {"text": greet(name), "length": len(name)}


@task
def nothing():
    pass


@task
def text():
    return "just text"


@task
def fails():
    print("so far")
    raise LookupError("not\nthere")
"#;

/// Numbers after these words are different each time.
const VOLATILE: [&str; 3] = ["\"duration_ms\":", "\"fuel_consumed\":", "\"ram_used\":"];

fn settled(text: &str) -> String {
    let mut text = text.to_owned();
    for key in VOLATILE {
        text = text
            .split(key)
            .enumerate()
            .map(|(place, part)| match place {
                0 => part.to_owned(),
                _ => format!("{key}#{}", part.trim_start_matches(|c: char| c.is_ascii_digit())),
            })
            .collect();
    }
    text
}

#[track_caller]
fn says(run: &Finished, code: i32, stdout: &str, stderr: &str) {
    let said = (run.code, settled(run.text()), run.errors().to_owned());
    assert_eq!(said, (Some(code), stdout.to_owned(), stderr.to_owned()), "{run}");
}

#[test]
fn a_value_in_its_envelope() {
    says(
        &Program::new(GREET).answer(&["Ann"]),
        0,
        "{\"success\":true,\"result\":{\"text\":\"Hello, Ann!\",\"length\":3},\"error\":null,\
         \"execution\":{\"task_name\":\"main\",\"duration_ms\":#,\"retries\":0,\
         \"fuel_consumed\":#,\"ram_used\":#,\"host_requests\":[]}}\n",
        "begin\ngreeting Ann\n",
    );
}

#[test]
fn a_failure_in_its_envelope() {
    let program = Program::new(GREET);
    says(
        &program.run(&["--json", "--task", "fails", "main.py"]).finish(),
        1,
        "{\"success\":false,\"result\":null,\"error\":{\"error_type\":\"LookupError\",\
         \"message\":\"not\\nthere\",\"code\":\"E3008\",\"traceback\":\"Traceback (most recent call last):\\n  \
         File \\\"main.py\\\", line 30, in fails\\n    raise LookupError(\\\"not\\\\nthere\\\")\\n\
         LookupError: not\\nthere\\n\"},\
         \"execution\":{\"task_name\":\"fails\",\"duration_ms\":#,\"retries\":0,\
         \"fuel_consumed\":#,\"ram_used\":#,\"host_requests\":[]}}\n",
        "so far\n",
    );
}

#[test]
fn for_people() {
    let program = Program::new(GREET);
    let run = |task: &str| program.run(&["--task", task, "main.py"]).finish();
    says(&run("main"), 0, "begin\ngreeting you\n{\"text\":\"Hello, you!\",\"length\":3}\n", "");
    says(&run("nothing"), 0, "", "");
    says(&run("text"), 0, "just text\n", "");
    let failed = run("fails").ended_with(1);
    assert_eq!(failed.text(), "so far\n");
    assert!(failed.errors().starts_with("Traceback (most recent call last):\n"), "{failed}");
    assert_eq!(failed.error_code().as_deref(), Some("E3008"), "{failed}");
}

/// Every number becomes one `#`.
fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    let mut in_number = false;
    for c in text.chars() {
        let is_digit = c.is_ascii_digit() || c == '.' && in_number;
        match (is_digit, in_number) {
            (true, true) => {}
            (true, false) => plain.push('#'),
            _ => plain.push(c),
        }
        in_number = is_digit;
    }
    for unit in ["#ms", "#µs", "#s"] {
        plain = plain.replace(&format!("after {unit},"), "after #,");
    }
    plain
}

#[test]
fn verbose_tells_each_step_on_standard_error() {
    let program = Program::new(
        "from capsule import task\n\
         @task(max_retries=1)\ndef child():\n    raise ValueError('no')\n\
         @task\ndef main():\n    try:\n        child()\n    except Exception:\n        return 1\n",
    );
    let run = program.run(&["--verbose", "main.py"]).finish().ended_with(0);
    assert_eq!(run.text(), "1\n");
    let told: Vec<String> = run
        .errors()
        .lines()
        .filter(|line| line.starts_with("capsule: main #") || line.starts_with("capsule: child #"))
        .map(without_numbers)
        .collect();
    assert_eq!(
        told,
        [
            "capsule: main ##: called",
            "capsule: main ##: attempt #",
            "capsule: child ##: called by main ##",
            "capsule: child ##: attempt #",
            "capsule: child ##: failed, again in #ms: ValueError: no",
            "capsule: child ##: attempt #",
            "capsule: child ##: failed with ValueError (E#) after #, # units of fuel",
            "capsule: main ##: done after #, # units of fuel",
        ],
        "{run}"
    );
}

#[test]
fn a_wrong_flag_is_a_wrong_use() {
    let program = Program::new(GREET);
    let run = program.run(&["--jsno", "main.py"]).finish().ended_with(2);
    assert!(run.errors().contains("--json") && run.text().is_empty(), "{run}");
}

#[test]
fn output_beyond_its_limit_is_cut_and_told() {
    let program = Program::new(
        "from capsule import task\n@task\ndef main():\n    for _ in range(12):\n        print('x' * (1 << 20))\n",
    );
    let run = program.answer(&[]).ended_with(0);
    assert_eq!(run.json()["execution"]["output_truncated"], true);
    assert_eq!(run.stderr.len(), 10 << 20);
}
