//! Programs in TypeScript and JavaScript, through the real bundler and guest.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use capsule_tests::{Program, cache};
use serde_json::{Value, json};

const MAIN: &str = r#"import { task } from "@capsule-run/sdk";
import settings from "./settings.json";
import { Level, refuse } from "./lib/level";

interface Item { name: string; level?: Level }

const square = task({ name: "square", compute: "LOW" }, async (n: number): Promise<number> => n * n);

export const main = task({ name: "main", compute: "LOW", ram: "64MB" }, async (...names: string[]) => {
  const items: Item[] = names.map((name) => ({ name, level: Level.High }));
  const squares = await Promise.all([1, 2, 3].map((n) => square(n)));
  console.log("begun");
  return { items, squares, version: settings.version };
});

export const fail = task({ name: "fail", compute: "LOW" }, (reason: string) => refuse(reason));

export const denied = task({ name: "denied" }, async () => (await fetch("http://127.0.0.1:1/")).status);

export const secret = task({ name: "secret" }, () => process.env.HOME ?? null);
"#;

const LEVEL: &str = r#"export enum Level { Low = 1, High }

export function refuse(reason: string): never {
  throw new RangeError(`no ${reason}`);
}
"#;

fn program() -> Program {
    Program::new("")
        .with("main.ts", MAIN)
        .with("settings.json", r#"{ "version": "1.2" }"#)
        .with("lib/level.ts", LEVEL)
}

#[test]
fn a_program_runs_with_its_modules_and_sub_tasks() {
    let run = program().run(&["--json", "main.ts", "a", "b"]).finish().ended_with(0);
    assert_eq!(
        run.json()["result"],
        json!({
            "items": [{"name": "a", "level": 2}, {"name": "b", "level": 2}],
            "squares": [1, 4, 9],
            "version": "1.2",
        })
    );
    assert_eq!(run.errors(), "begun\n");
}

#[test]
fn an_exception_names_the_users_lines() {
    let run = program().run(&["main.ts", "--task", "fail", "luck"]).finish().ended_with(1);
    for text in [
        "    at refuse (lib/level.ts:4:",
        "    at fail (main.ts:16:",
        "error[E3008]: RangeError: no luck",
    ] {
        assert!(run.errors().contains(text), "{text}: {run}");
    }
}

#[test]
fn nothing_is_granted_that_was_not_declared() {
    let run = program().run(&["--json", "main.ts", "--task", "denied"]).finish().ended_with(1);
    let message = run.json()["error"]["message"].to_string();
    assert!(message.contains("127.0.0.1:1 is not allowed"), "{run}");
    let run = program().run(&["--json", "main.ts", "--task", "secret"]).finish().ended_with(0);
    assert!(run.json()["result"].is_null(), "{run}");
}

#[test]
fn an_edit_is_seen() {
    let program = program();
    let version = |program: &Program| {
        let run = program.run(&["--json", "main.ts"]).finish().ended_with(0);
        run.json()["result"]["version"].clone()
    };
    assert_eq!(version(&program), "1.2");
    let program = program.with("settings.json", r#"{ "version": "2" }"#);
    assert_eq!(version(&program), "2");
}

/// A task's name, which is in what is kept of its program.
fn mark() -> String {
    format!("mark{}", fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap().replace('-', ""))
        .trim_end()
        .to_owned()
}

/// Where the program with this task is kept, if it is.
fn kept(mark: &str) -> Option<PathBuf> {
    let folders = fs::read_dir(Path::new(&cache()).join("kept")).ok()?.flatten();
    folders.map(|folder| folder.path()).find(|folder| {
        fs::read_to_string(folder.join("declared.json")).is_ok_and(|text| text.contains(mark))
    })
}

fn value_and_fuel(program: &Program, arguments: &[&str]) -> (Value, Value) {
    let run = program.run(arguments).finish().ended_with(0).json();
    assert_eq!(run["success"], true, "{run}");
    (run["result"].clone(), run["execution"]["fuel_consumed"].clone())
}

#[test]
fn a_program_that_ran_before_is_not_loaded_again_and_nobody_can_tell() {
    let mark = mark();
    let text = |by: u32| {
        format!(
            "import {{ task }} from '@capsule-run/sdk';\n\
             const known = new Map([['a', {by}]]);\nlet calls = 0;\n\
             export const {mark} = task({{ name: '{mark}' }}, (n: number) => n * {by});\n\
             export const main = task({{ name: 'main' }}, async (text: string) => {{\n\
               calls += 1;\n\
               return [text, calls, known.get('a'), await {mark}(7)];\n}});\n"
        )
    };
    let program = Program::new("").with("main.ts", text(2));
    let first = value_and_fuel(&program, &["--json", "main.ts", "x"]);
    assert_eq!(first.0, json!(["x", 1, 2, 14]));
    assert!(kept(&mark).is_none(), "it is sealed by the next run");
    for _ in 0..3 {
        assert_eq!(value_and_fuel(&program, &["--json", "main.ts", "x"]), first);
    }
    // What was tampered with is not believed, and made anew.
    let memory = kept(&mark).expect("it is kept").join("memory");
    let mut bytes = fs::read(&memory).unwrap();
    let end = bytes.len();
    bytes[end / 2..].fill(0x41);
    fs::set_permissions(&memory, Permissions::from_mode(0o600)).unwrap();
    fs::write(&memory, &bytes).unwrap();
    for _ in 0..3 {
        assert_eq!(value_and_fuel(&program, &["--json", "main.ts", "x"]), first);
    }
    assert_ne!(fs::read(kept(&mark).expect("it is kept again").join("memory")).unwrap(), bytes);
    // Another program is another one.
    let program = program.with("main.ts", text(3));
    assert_eq!(value_and_fuel(&program, &["--json", "main.ts", "x"]).0, json!(["x", 1, 3, 21]));
}

/// Where the program with this task is kept as it was read, if it is.
fn kept_unrun(mark: &str) -> Option<PathBuf> {
    let folders = fs::read_dir(Path::new(&cache()).join("kept")).ok()?.flatten();
    folders.map(|folder| folder.path()).find(|folder| {
        let holds = |memory: Vec<u8>| memory.windows(mark.len()).any(|at| at == mark.as_bytes());
        fs::read(folder.join("declared.json")).is_ok_and(|declared| declared.is_empty())
            && fs::read(folder.join("memory")).is_ok_and(holds)
    })
}

#[test]
fn a_program_that_looked_at_what_changes_is_run_each_time() {
    for look in ["Date.now()", "Math.random()", "process.env.HOME", "performance.now()"] {
        let mark = mark();
        let program = Program::new("").with(
            "main.ts",
            format!(
                "import {{ task }} from '@capsule-run/sdk';\nconst seen = {look};\n\
                 export const {mark} = task({{ name: '{mark}' }}, () => null);\n\
                 export const main = task({{ name: 'main' }}, (shown?: boolean) =>\n\
                   shown ? String(seen) : null);\n"
            ),
        );
        let runs = [(); 3].map(|()| value_and_fuel(&program, &["--json", "main.ts"]));
        assert!(kept(&mark).is_none(), "{look}");
        assert!(kept_unrun(&mark).is_some(), "{look}");
        assert!(runs.iter().all(|run| *run == runs[0]), "{look}: {runs:?}");
        let shown = [(); 2].map(|()| value_and_fuel(&program, &["--json", "main.ts", "true"]).0);
        assert_eq!(shown[0] == shown[1], look == "process.env.HOME", "{look}: {shown:?}");
    }
}

#[test]
fn source_that_cannot_be_read_is_shown() {
    let program = Program::new("").with("main.ts", "export const x: = 3;\n");
    let run = program.run(&["main.ts"]).finish().ended_with(1);
    assert!(run.errors().starts_with("error[E1013]: main.ts:1:17: "), "{run}");
    assert!(run.errors().contains("\n  > 1 | export const x: = 3;\n"), "{run}");
    let program = Program::new("").with("main.ts", "import x from \"../../../etc/passwd\";\nx;\n");
    let run = program.run(&["--json", "main.ts"]).finish().ended_with(1);
    assert_eq!(run.json()["error"]["code"], "E1013");
    assert!(!run.text().contains("root:"), "{run}");
}
