//! The programs of `examples/tasks`, which are in Python and in TypeScript: both do the same.
//! And what the documents show of running programs is what happens.

use std::path::{Path, PathBuf};
use std::process::Command;

use capsule_tests::{Finished, Program, Server, skip};
use serde_json::{Value, json};

const LANGUAGES: [&str; 2] = ["py", "ts"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    let path = repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A folder with these files of an example.
fn copy(example: &str, files: &[&str]) -> Program {
    let program = Program::new("");
    for name in files {
        program.write(name, read(&format!("examples/tasks/{example}{name}")));
    }
    program
}

fn run(program: &Program, file: &str) -> Finished {
    program.run(&[file]).finish().ended_with(0)
}

/// What the program gives in each language; it has to be the same.
#[track_caller]
fn both(program: &Program) -> Value {
    let [python, typescript] = LANGUAGES.map(|language| {
        let run = program.run(&["--json", &format!("main.{language}")]).finish().ended_with(0);
        run.json()["result"].clone()
    });
    assert_eq!(python, typescript);
    python
}

#[test]
fn hello_and_squares() {
    let program = copy("", &["hello.py", "hello.ts", "squares.py", "squares.ts"]);
    for language in LANGUAGES {
        let said = run(&program, &format!("hello.{language}"));
        assert_eq!(said.text(), "Hello from Capsule!\n");
        assert_eq!(run(&program, &format!("squares.{language}")).text(), "[1,4,9]\n");
    }
}

#[test]
fn the_workflow() {
    let program = copy("", &["workflow.py", "workflow.ts"]);
    let words = [("FileNotFoundError", "allowed_hosts=["), ("ENOENT", "allowedHosts: [")];
    for (language, (missing, option)) in LANGUAGES.into_iter().zip(words) {
        let run = run(&program, &format!("workflow.{language}"));
        let lines: Vec<&str> = run.text().lines().collect();
        let [primes, retry, timeout, host, file, value] = lines[..] else { panic!("{run}") };
        assert_eq!(primes, "2262 primes below 20000, counted by 8 sandboxes");
        assert_eq!(retry, "retry: the service answered");
        let limit = "Timeout: task \"endless\" ran longer than its timeout of 300ms";
        assert!(timeout.starts_with("timeout: ") && timeout.ends_with(limit), "{run}");
        assert!(host.contains("DeniedError: example.org:80 is not allowed"), "{run}");
        assert!(host.ends_with(&format!("{option}\"example.org\"]")), "{run}");
        assert!(file.contains(missing), "{run}");
        assert_eq!(value, "2262");
    }
}

#[test]
fn a_project_in_both_languages() {
    let program = copy("languages/", &["capsule.toml", "analyse.py", "main.ts"]);
    let said = program.run(&[]).finish().ended_with(0);
    let expected = "mean 4.00, median 4\n 1 ##\n 2 #\n 3 ##\n 4 #\n 5 ###\n 6 #\n 9 #\n\
                    of nothing: analyse:summary: StatisticsError\n4\n";
    assert_eq!(said.text(), expected);
    let said = program.run(&["analyse.py"]).finish().ended_with(0);
    assert_eq!(said.text(), "{\"mean\":4,\"median\":2.5}\n");
}

#[test]
fn files() {
    let program = copy("files/", &["main.py", "main.ts", "data/planets.csv"]);
    program.folder().directory("report");
    let mut reports = Vec::new();
    for language in LANGUAGES {
        let name = format!("main.{language}");
        let told = program.run(&["--json", &name]).finish().ended_with(0).json();
        let mut refused = json!({"data/planets.csv": "EROFS", "/etc/passwd": "ENOENT"});
        refused[&name] = json!("ENOENT");
        assert_eq!(told["result"], json!({"planets": 8, "refused": refused}));
        reports.push(program.folder().read("report/kepler.txt"));
        program.write("report/kepler.txt", "");
    }
    assert!(reports[0].contains("Earth         133412\n"), "{}", reports[0]);
    assert_eq!(reports[0], reports[1]);
}

#[test]
fn http() {
    let server = Server::of_files(&repository().join("examples/tasks/http/served"));
    let program = Program::new("");
    for language in LANGUAGES {
        let text = read(&format!("examples/tasks/http/main.{language}"));
        program
            .write(&format!("main.{language}"), text.replace("127.0.0.1:8000", &server.address()));
    }
    let expected = json!({"of Jupiter": ["Io", "Europa"], "missing": 404, "denied": true});
    assert_eq!(both(&program), expected);
}

#[test]
fn packages() {
    let files = ["capsule.toml", "main.py", "main.ts", "package.json", "package-lock.json"];
    let program = copy("packages/", &files);
    let run = program.answer(&[]);
    if run.json()["error"]["code"] == "E2008" {
        return skip("pip cannot reach a package index");
    }
    let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"];
    let installed = Command::new("npm").args(npm).current_dir(program.folder().path()).status();
    if !installed.is_ok_and(|status| status.success()) {
        return skip("npm cannot reach a registry");
    }
    assert_eq!(both(&program), "Ada (2), Grace (1)");
}

/// Fuel and memory change with every version, a little.
fn is_near(shown: &Value, found: &Value) -> bool {
    let (Some(shown), Some(found)) = (shown.as_f64(), found.as_f64()) else { return false };
    (shown / found - 1.0).abs() < 0.2
}

#[track_caller]
fn is_as_shown(shown: &str, run: &Finished) {
    let Ok(Value::Object(mut shown)) = serde_json::from_str(shown) else {
        return assert_eq!(run.text(), shown);
    };
    let Value::Object(mut found) = run.json() else { unreachable!("json() gives an object") };
    let [Some(Value::Object(shown_cost)), Some(Value::Object(found_cost))] =
        [&mut shown, &mut found].map(|one| one.remove("execution"))
    else {
        panic!("no execution: {run}")
    };
    assert_eq!(shown, found);
    assert!(shown_cost.keys().eq(found_cost.keys()), "{run}");
    for (name, value) in &shown_cost {
        let found = &found_cost[name];
        let is_right = match name.as_str() {
            "duration_ms" => found.is_u64(),
            "fuel_consumed" | "ram_used" => is_near(value, found),
            _ => found == value,
        };
        assert!(is_right, "{name}: {value} is shown, {found} was found");
    }
}

/// Each `$ capsule run FILE` with output below it, in a block that follows a program: that
/// program is written to FILE, and run.
#[test]
fn documents_show_what_happens() {
    let mut shown = Vec::new();
    for document in ["README.md", "docs/guide-tasks.md", "sdk/typescript/README.md"] {
        let (mut program, mut language) = (String::new(), String::new());
        for (index, part) in read(document).split("```").enumerate() {
            let (kind, block) = part.split_once('\n').unwrap_or((part, ""));
            match kind {
                _ if index % 2 == 0 => {}
                "python" | "ts" => {
                    (program, language) = (block.to_owned(), kind.replace("python", "py"));
                }
                "console" => {
                    for command in format!("\n{block}").split("\n$ ").skip(1) {
                        let (line, output) = command.split_once('\n').unwrap_or((command, ""));
                        let Some(words) = line.strip_prefix("capsule run ") else { continue };
                        let words: Vec<&str> = words.split(' ').collect();
                        if output.is_empty() || !words[0].ends_with(&format!(".{language}")) {
                            continue;
                        }
                        let output = format!("{}\n", output.trim_end());
                        let place = Program::new("").with(words[0], &program);
                        is_as_shown(&output, &place.run(&words).finish().ended_with(0));
                        shown.push(format!("{document}: {line}"));
                    }
                }
                _ => {}
            }
        }
    }
    let expected = [
        "README.md: capsule run hello.py",
        "README.md: capsule run hello.py --json",
        "README.md: capsule run hello.ts",
        "README.md: capsule run workflow.py",
        "docs/guide-tasks.md: capsule run hello.py",
        "docs/guide-tasks.md: capsule run hello.ts",
    ];
    assert_eq!(shown, expected);
}
