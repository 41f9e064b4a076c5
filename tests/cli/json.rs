//! `--json`: exactly one JSON object on standard output, whatever happens.

use std::process::{Command, Stdio};

use capsule_tests::{Binary, Run, Scratch, found_on_path, path_of, skip};
use serde_json::{Value, json};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().map(|object| object.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// What a weaker machine adds; everything else is fixed.
fn documented_keys(answer: &Value) -> Vec<&str> {
    keys(answer).into_iter().filter(|key| *key != "weaker").collect()
}

const FIELDS: [&str; 8] =
    ["error", "execution_id", "exit_code", "metrics", "status", "stderr", "stdout", "timestamps"];

#[test]
fn success_has_exactly_the_documented_fields() {
    let answer = Run::json(&json!({"command": ["sh", "-c", "echo out; echo err >&2"]}));
    let answer = answer.finish().ended_with(0).json();
    assert_eq!(documented_keys(&answer), FIELDS);
    assert_eq!(
        keys(&answer["metrics"]),
        [
            "cpu_time_ms",
            "io_bytes_read",
            "io_bytes_written",
            "kernel_time_ms",
            "max_memory_bytes",
            "user_time_ms",
            "wall_time_ms",
        ]
    );
    assert_eq!(keys(&answer["timestamps"]), ["completed", "started"]);
    assert_eq!(answer["status"], "success");
    assert_eq!(answer["exit_code"], 0);
    assert_eq!(answer["stdout"], "out\n");
    assert_eq!(answer["stderr"], "err\n");
    assert_eq!(answer["error"], Value::Null);
    for metric in answer["metrics"].as_object().unwrap().values() {
        assert!(metric.is_u64(), "{answer}");
    }
}

#[test]
fn timestamps_are_rfc_3339_and_in_order() {
    let answer = Run::json(&json!({"command": ["sleep", "0.2"]})).finish().json();
    let at = |name: &str| answer["timestamps"][name].as_str().unwrap().to_owned();
    let (started, completed) = (at("started"), at("completed"));
    for time in [&started, &completed] {
        let shape: String =
            time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000Z");
    }
    // Of one shape, so text order is time order.
    assert!(started < completed, "{started} {completed}");
}

#[test]
fn failures_have_the_same_fields() {
    for (request, status, exit_code, code) in [
        (json!({"command": ["sh", "-c", "exit 3"]}), "error", json!(3), "E3005"),
        (json!({"command": ["sh", "-c", "kill -9 $$"]}), "killed", json!(null), "E3004"),
        (json!({"command": ["sleep", "60"], "timeout_ms": 300}), "timeout", json!(null), "E3003"),
        (json!({"command": ["no-such-command"]}), "error", json!(null), "E3001"),
        (json!({"command": []}), "error", json!(null), "E1004"),
    ] {
        let run = Run::json(&request).finish();
        let answer = run.json();
        assert_eq!(documented_keys(&answer), FIELDS, "{request}");
        assert_eq!(answer["status"], status, "{request}");
        assert_eq!(answer["exit_code"], exit_code, "{request}");
        assert_eq!(answer["error"]["code"], code, "{request}");
        assert!(answer["error"]["message"].is_string(), "{request}");
        assert!(answer["error"]["details"].is_object(), "{request}");
        let extra: Vec<_> = keys(&answer["error"]);
        assert!(
            extra == ["code", "details", "message"]
                || extra == ["code", "details", "hint", "message"],
            "{request}: {extra:?}"
        );
        assert_eq!(run.errors(), "", "{request}");
    }
}

#[test]
fn the_exit_code_of_the_binary_follows_the_answer() {
    for (request, code) in [
        (json!({"command": ["true"]}), 0),
        (json!({"command": ["sh", "-c", "exit 77"]}), 77),
        (json!({"command": ["sh", "-c", "kill -9 $$"]}), 137),
        (json!({"command": ["sleep", "60"], "timeout_ms": 300}), 124),
        (json!({"command": ["no-such-command"]}), 1),
        (json!({"command": 5}), 2),
    ] {
        Run::json(&request).finish().ended_with(code);
    }
}

#[test]
fn the_answer_is_one_line_unless_pretty() {
    let request = r#"{"command":["echo","x"]}"#;
    let compact = Run::new(&["--json"]).input(request).finish();
    assert!(compact.text().ends_with("}\n") && compact.text().lines().count() == 1, "{compact}");
    let pretty = Run::new(&["--json", "--pretty"]).input(request).finish();
    assert!(pretty.text().starts_with("{\n  \"execution_id\""), "{pretty}");
    assert_eq!(pretty.json()["stdout"], compact.json()["stdout"]);
    // Refusals are pretty too, even of a command line that cannot be read.
    let refused = Run::new(&["--json", "--pretty", "--nonsense"]).input("").finish();
    assert!(refused.ended_with(2).text().starts_with("{\n  \"execution_id\""));
}

#[test]
fn verbose_keeps_off_stdout() {
    let run = Run::new(&["--json", "--verbose"]).input(r#"{"command":["echo","x"]}"#).finish();
    assert_eq!(run.json()["status"], "success");
    assert!(run.errors().contains("capsule: "), "{run}");
}

#[test]
fn the_execution_id_is_echoed_or_made() {
    let id = "2F0AA3A0-6B9F-4C4B-9E65-2B9A7C5B8E01";
    for request in [r#"{"command":["true"]}"#, r#"{"command":[]}"#, "nonsense"] {
        let run = Run::new(&["--json", "--execution-id", id]).input(request).finish();
        assert_eq!(run.json()["execution_id"], id.to_lowercase(), "{request}");
    }
    let made = || Run::json(&json!({"command": ["true"]})).finish().json()["execution_id"].clone();
    let (first, second) = (made(), made());
    assert_ne!(first, second);
    assert_eq!(first.as_str().unwrap().len(), 36);
}

#[test]
fn output_that_is_not_utf_8_is_not_lost() {
    let script = "import sys; sys.stdout.buffer.write(b'a\\xff\\xfe\\x00\\x80'); \
                  sys.stderr.buffer.write(b'\\xc3')";
    let answer = Run::json(&json!({"command": ["python3", "-c", script]})).finish().json();
    assert_eq!(answer["stdout"], "a\u{fffd}\u{fffd}\u{0}\u{fffd}");
    assert_eq!(answer["stdout_base64"], "Yf/+AIA=");
    assert_eq!(answer["stderr"], "\u{fffd}");
    assert_eq!(answer["stderr_base64"], "ww==");
    let text = Run::json(&json!({"command": ["printf", "\u{e9}\u{4e16}\u{1f600}\t\u{1}"]}));
    let text = text.finish().json();
    assert_eq!(text["stdout"], "\u{e9}\u{4e16}\u{1f600}\t\u{1}");
    assert!(text.get("stdout_base64").is_none());
}

#[test]
fn output_that_looks_like_json_stays_inside() {
    let answer = Run::json(&json!({"command": ["echo", "}{\"status\":\"success\"}\n\"\\"]}));
    assert_eq!(answer.finish().json()["stdout"], "}{\"status\":\"success\"}\n\"\\\n");
}

#[test]
fn flags_lie_over_the_request() {
    let request = r#"{"command":["sleep","60"],"timeout_ms":60000,"environment":{"A":"1"}}"#;
    let run = Run::new(&["--json", "-t", "300", "-e", "A=2"]).input(request).finish();
    assert_eq!(run.verdict(), ("timeout".to_owned(), "E3003".to_owned()));
    let run = Run::new(&["--json", "--", "echo", "typed"]).input(request).finish();
    assert_eq!(run.json()["stdout"], "typed\n");
}

#[test]
fn every_field_of_the_request_is_honoured() {
    let scratch = Scratch::new();
    scratch.file("in", "from outside\n");
    let folder = scratch.directory_of("out", capsule_tests::own_user());
    let request = json!({
        "command": ["sh", "-c", "cat /in/in; pwd; echo $A; echo new > /out/made; \
                     touch /in/x || echo readonly; ulimit -n; nproc > /dev/null"],
        "environment": {"A": "value"},
        "timeout_ms": 20_000,
        "resources": {"memory_bytes": 134_217_728, "cpu_shares": 512, "max_output_bytes": 4096,
                      "max_pids": 20, "disk_bytes": 8_388_608},
        "isolation": {
            "network": false,
            "allowed_hosts": [],
            "readonly_paths": ["/usr", "/bin"],
            "writable_paths": ["/tmp"],
            "working_directory": "/tmp",
            "bind_mounts": [
                {"source": scratch.text(), "destination": "/in"},
                {"source": folder, "destination": "/out", "readonly": false},
            ],
            "seccomp": "default",
            "require": ["pid"],
        },
    });
    let answer = Run::json(&request).finish().ended_with(0).json();
    assert_eq!(answer["stdout"], "from outside\n/tmp\nvalue\nreadonly\n1024\n");
    assert_eq!(scratch.read("out/made"), "new\n");
}

#[test]
fn the_example_of_the_documentation_works() {
    let request = r#"{
      "command": ["python3", "-c", "print('Hello from sandbox')"],
      "environment": {"PYTHONPATH": "/workspace"},
      "timeout_ms": 20000,
      "resources": {
        "memory_bytes": 268435456,
        "cpu_shares": 1024,
        "max_output_bytes": 1048576
      },
      "isolation": {
        "network": false,
        "readonly_paths": ["/usr", "/bin"],
        "writable_paths": ["/tmp"],
        "working_directory": "/workspace"
      }
    }"#;
    let answer = Run::new(&["--json"]).input(request).finish().ended_with(0).json();
    assert_eq!(answer["status"], "success");
    assert_eq!(answer["stdout"], "Hello from sandbox\n");
}

/// The tool of the LangChain example, without the base class that it inherits from.
const LANGCHAIN: &str = r#"
import json, subprocess

class SecureCodeExecutor:
    def _get_command(self, code, language):
        return ["python3", "-c", code]

    def _run(self, code: str, language: str = "python") -> str:
        request = {
            "command": self._get_command(code, language),
            "resources": {"memory_bytes": 256 * 1024 * 1024},
            "timeout_ms": 30000
        }
        result = subprocess.run(
            ["capsule-run", "--json"],
            input=json.dumps(request),
            text=True,
            capture_output=True
        )
        response = json.loads(result.stdout)
        return response.get("stdout", "") if response["status"] == "success" else f"Error: {response.get('error', {}).get('message', 'Unknown error')}"

tool = SecureCodeExecutor()
print(tool._run("print(6 * 7)"), end="")
print(tool._run("import sys; sys.exit(3)"))
"#;

#[test]
fn the_langchain_example_works() {
    if found_on_path("python3").is_none() {
        return skip("no python3 in the system directories");
    }
    let scratch = Scratch::new();
    std::os::unix::fs::symlink(path_of(Binary::CapsuleRun), scratch.path().join("capsule-run"))
        .unwrap();
    let output = Command::new("python3")
        .args(["-c", LANGCHAIN])
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", scratch.text()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "42\nError: the command exited with 3\n", "{output:?}");
}
