//! TypeScript tasks with `isolation: "jail"`: the same program, in Node.

use std::process::Command;

use capsule_tests::{Finished, Program, skip};
use serde_json::json;

const MAIN: &str = r#"import { task, files, TaskError } from "@capsule-run/sdk";
import { Level, refuse } from "./lib/level";
import { greet } from "greeter";

const square = task({ name: "square" }, (n: number) => ({ n: n * n, node: process.versions.capsule === undefined }));

export const native = task({ name: "native", isolation: "jail", allowedFiles: ["data"] }, async (name: string) => {
  const { execFileSync } = await import("node:child_process");
  await files.writeText("data/out.txt", name);
  return {
    node: process.versions.capsule === undefined,
    echo: execFileSync("/bin/echo", ["-n", name]).toString(),
    german: new Intl.NumberFormat("de").format(1234.5),
    squares: await square.map([1, 2, 3]),
    large: 12345678901234567890n,
    greeting: greet(name),
    level: Level.High,
  };
});

export const fail = task({ name: "fail", isolation: "jail" }, (reason: string) => refuse(reason));

export const flaky = task({ name: "flaky", isolation: "jail", maxRetries: 2, allowedFiles: ["data"] }, async () => {
  const tries = (await files.exists("data/tries")) ? Number(await files.readText("data/tries")) : 0;
  await files.writeText("data/tries", String(tries + 1));
  if (tries < 2) throw new Error("not yet");
  return tries;
});

export const slow = task({ name: "slow", isolation: "jail", timeout: "700ms" }, () => { for (;;); });

export const caught = task({ name: "caught" }, async () => {
  try {
    return await fail("luck");
  } catch (error) {
    return error instanceof TaskError ? [error.errorType, error.code, error.traceback] : String(error);
  }
});

export const main = task({ name: "main" }, async (name: string) => ({ ...(await native(name)), inWasm: process.versions.capsule !== undefined }));
"#;

const LEVEL: &str = r#"export enum Level { Low = 1, High }

export function refuse(reason: string): never {
  throw new RangeError(`no ${reason}`);
}
"#;

/// The program, if this machine can run it.
fn program() -> Option<Program> {
    if Command::new("node").arg("--version").output().is_err() {
        skip("there is no Node");
        return None;
    }
    let program = Program::new("")
        .with("main.ts", MAIN)
        .with("lib/level.ts", LEVEL)
        .with("node_modules/greeter/package.json", r#"{"name": "greeter", "main": "index.js"}"#)
        .with(
            "node_modules/greeter/index.js",
            "exports.greet = (name) => 'Hello ' + require('util').format('%s', name);",
        );
    program.folder().directory("data");
    Some(program)
}

fn call(program: &Program, arguments: &[&str]) -> Finished {
    program.run(&[&["--json", "main.ts"], arguments].concat()).finish()
}

#[test]
fn a_task_runs_in_node_and_calls_tasks_that_do_not() {
    let Some(program) = program() else { return };
    let run = call(&program, &["ä b"]).ended_with(0);
    assert_eq!(
        run.json()["result"],
        json!({
            "node": true,
            "echo": "ä b",
            "german": "1.234,5",
            "squares": [{"n": 1, "node": false}, {"n": 4, "node": false}, {"n": 9, "node": false}],
            "large": 12_345_678_901_234_567_890_u64,
            "greeting": "Hello ä b",
            "level": 2,
            "inWasm": true,
        }),
        "{run}"
    );
    let written = std::fs::read_to_string(program.folder().path().join("data/out.txt"));
    assert_eq!(written.expect("it was written"), "ä b");
    let execution = &run.json()["execution"];
    assert!(execution["fuel_consumed"].as_u64() > Some(100_000_000), "{run}");
}

#[test]
fn errors_name_the_users_lines() {
    let Some(program) = program() else { return };
    let run = program.run(&["main.ts", "--task", "fail", "luck"]).finish().ended_with(1);
    for text in [
        "    at refuse (lib/level.ts:4:",
        "    at main.ts:21:",
        "error[E3008]: RangeError: no luck",
    ] {
        assert!(run.errors().contains(text), "{text}: {run}");
    }
    let run = call(&program, &["--task", "caught"]).ended_with(0);
    let caught = &run.json()["result"];
    assert_eq!((&caught[0], &caught[1]), (&json!("RangeError"), &json!("E3008")), "{run}");
    assert!(caught[2].as_str().is_some_and(|text| text.contains("lib/level.ts:4:")), "{run}");
}

#[test]
fn limits_and_retries_are_those_of_every_task() {
    let Some(program) = program() else { return };
    let run = call(&program, &["--task", "slow"]).ended_with(1);
    assert_eq!(run.json()["error"]["code"], "E3003", "{run}");
    let run = call(&program, &["--task", "flaky"]).ended_with(0);
    assert_eq!(
        (&run.json()["result"], &run.json()["execution"]["retries"]),
        (&json!(2), &json!(2))
    );
}

#[test]
fn without_a_node_that_will_do_it_says_so() {
    let Some(program) = program() else { return };
    let folder = program.folder().path().join("bin");
    std::fs::create_dir(&folder).expect("a folder");
    let path = folder.to_str().expect("UTF-8");
    let refused = |what: &str| {
        let run = program
            .run(&["--json", "main.ts", "--task", "fail", "x"])
            .variable("PATH", path)
            .finish()
            .ended_with(1);
        let error = &run.json()["error"];
        assert_eq!(error["code"], "E2007", "{run}");
        assert!(error["message"].as_str().is_some_and(|text| text.contains(what)), "{run}");
        assert!(
            error["hint"].as_str().is_some_and(|text| text.contains("Node 20 or newer")),
            "{run}"
        );
    };
    refused("the interpreter node cannot be used");
    let old = folder.join("node");
    let text = "#!/bin/sh\necho '{\"executable\":\"/usr/bin/node\",\"version\":\"18.2.0\"}'\n";
    std::fs::write(&old, text).expect("written");
    std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("its mode");
    refused("it is Node 18.2.0");
}

/// Native code of a package is loaded by Node from where it is installed.
#[test]
fn packages_with_native_code_are_imported() {
    let Some(program) = program() else { return };
    let package = program.folder().path().join("node_modules/answer");
    std::fs::create_dir_all(package.join("build")).expect("folders");
    let source = "extern int napi_create_int32(void *, int, void **);\n\
        void *napi_register_module_v1(void *env, void *exports) {\n\
        \x20 void *value; napi_create_int32(env, 42, &value); return value;\n}\n";
    std::fs::write(package.join("answer.c"), source).expect("written");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", "build/answer.node", "answer.c"])
        .current_dir(&package)
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return skip("there is no C compiler");
    }
    program.write("node_modules/answer/package.json", r#"{"main": "index.js"}"#);
    program
        .write("node_modules/answer/index.js", "exports.answer = require('./build/answer.node');");
    program.write(
        "main.ts",
        "import { task } from '@capsule-run/sdk';\n\
         async function ask(): Promise<number> { const { answer } = await import('answer'); return answer; }\n\
         export const native = task({ name: 'native', isolation: 'jail' }, ask);\n\
         export const main = task({ name: 'main' }, ask);\n",
    );
    let run = call(&program, &["--task", "native"]).ended_with(0);
    assert_eq!(run.json()["result"], 42, "{run}");
    let run = call(&program, &[]).ended_with(1);
    let message = run.json()["error"]["message"].to_string();
    assert!(
        message.contains("answer.node") && message.contains("isolation: \\\"jail\\\""),
        "{run}"
    );
}

/// Every module of Node's is there, or says by its name that it is not, and what helps.
#[test]
fn what_a_wasm_sandbox_lacks_names_itself_and_the_jail() {
    let listed = Command::new("node")
        .args(["-p", "JSON.stringify(require('module').builtinModules)"])
        .output();
    let Ok(listed) = listed else { return skip("there is no Node") };
    let mut names: Vec<String> = serde_json::from_slice(&listed.stdout).expect("a list");
    // Those that Node does not list, and those of newer versions.
    let newer =
        ["node:test", "node:test/reporters", "node:sqlite", "node:sea", "inspector/promises"];
    names.extend(newer.map(str::to_owned));
    let prefixed: Vec<String> =
        names.iter().map(|name| format!("node:{}", name.trim_start_matches("node:"))).collect();
    names.extend(prefixed);
    let imports: String =
        names.iter().map(|name| format!("  {name:?}: () => import({name:?}),\n")).collect();
    let globals = ["Intl", "WebAssembly", "SharedArrayBuffer", "Atomics", "MessageChannel"];
    let program = Program::new("").with(
        "main.ts",
        format!(
            "import {{ task }} from '@capsule-run/sdk';\n\
             const imports: Record<string, () => Promise<any>> = {{\n{imports}}};\n\
             const use: any = task({{ name: 'use' }}, (name: string) => new Function('return new ' + name + '()')());\n\
             export const main = task({{ name: 'main' }}, async () => {{\n\
             \x20 const told: Record<string, string> = {{}};\n\
             \x20 for (const [name, load] of Object.entries(imports)) told[name] = await load().then(() => '', (error) => error.message);\n\
             \x20 for (const name of {globals:?}) told[name] = typeof (globalThis as any)[name] + ': ' + (await use(name).catch((error: any) => error.message));\n\
             \x20 return told;\n}});\n"
        ),
    );
    let run = program.run(&["--json", "main.ts"]).finish().ended_with(0);
    let told = &run.json()["result"];
    let offer =
        "is not in a Wasm sandbox; the task option isolation: \"jail\" runs the task in Node";
    for name in &names {
        let said = told[name].as_str().unwrap_or_else(|| panic!("{name}: {run}"));
        assert!(said.is_empty() || said == format!("\"{name}\" of Node {offer}"), "{name}: {said}");
    }
    for name in globals {
        let said = told[name].as_str().unwrap_or_default();
        assert!(said.starts_with("undefined: ") && said.ends_with(offer), "{name}: {said}");
    }
    let missing = |name: &str| told[name] != "";
    for name in ["child_process", "net", "worker_threads", "vm", "inspector", "node:sqlite"] {
        assert!(missing(name), "{name}");
    }
    for name in ["fs", "node:path", "crypto", "zlib", "util/types", "stream/promises"] {
        assert!(!missing(name), "{name}");
    }
}
