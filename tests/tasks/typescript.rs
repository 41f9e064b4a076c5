//! Programs in TypeScript and JavaScript, through the real bundler and guest.

use capsule_tests::Program;
use serde_json::json;

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
