//! What programs declare, call, wait for and fail with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use capsule_backend::guest::{Declared, GuestError};
use serde_json::{Value, json};

use super::support::{NO_ARGUMENTS, Program, Sandbox, block_on, grant, main};

fn declare(sandbox: &Sandbox, source: &str) -> Result<Declared, GuestError> {
    let mut guest = sandbox.open(Arc::new(Program::new(source)));
    block_on(guest.declare(&grant()))
}

#[test]
fn declarations_have_their_options_and_places() {
    let Some(sandbox) = Sandbox::new() else { return };
    let declared = declare(
        &sandbox,
        "const { task } = require(\"@capsule-run/sdk\");\n\
         const common = { compute: 'LOW', maxRetries: 2, isolation: undefined };\n\
         exports.one = task({ name: 'one', ...common, allowedFiles: [{ path: './a', mode: 'ro' }],\n\
           allowedHosts: ['x.example'], envVariables: ['KEY'], ram: '64MB', timeout: '5s' }, () => 1);\n\
         function main() {}\n  exports.main = task(main);",
    );
    let declared = declared.unwrap();
    assert!(declared.is_pure);
    let functions: Value = serde_json::from_str(&declared.functions).unwrap();
    assert_eq!(
        functions,
        json!([
            {"name": "one", "file": "src/program.ts", "line": 3, "column": 15, "options": {
                "name": "one", "compute": "LOW", "max_retries": 2, "ram": "64MB", "timeout": "5s",
                "allowed_files": [{"path": "./a", "mode": "ro"}], "allowed_hosts": ["x.example"],
                "env_variables": ["KEY"]}},
            {"name": "main", "file": "src/program.ts", "line": 6, "column": 18,
             "options": {"name": "main"}},
        ])
    );
}

#[test]
fn a_program_without_a_task_main_gets_one() {
    let Some(sandbox) = Sandbox::new() else { return };
    for (source, value) in [
        ("exports.main = (...given) => given.length", "0"),
        ("exports.default = async () => 'd'", "\"d\""),
        ("module.exports = function () { return 'm' }", "\"m\""),
        (
            "const { task } = require('@capsule-run/sdk'); exports.main = task({ name: 'other' }, () => 'o')",
            "\"o\"",
        ),
        ("#!/usr/bin/env node\nconsole.log('top level')", "null"),
    ] {
        let program = Arc::new(Program::new(source));
        assert_eq!(sandbox.call(&program, &grant()).as_deref(), Ok(value), "{source}");
    }
}

#[test]
fn what_is_wrong_with_a_declaration_is_said() {
    let Some(sandbox) = Sandbox::new() else { return };
    let message = |body: &str| match declare(
        &sandbox,
        &format!("const {{ task }} = require('@capsule-run/sdk');\n{body}"),
    ) {
        Err(GuestError::Raised { message, traceback, .. }) => (message, traceback),
        other => panic!("{other:?}"),
    };
    let (text, place) = message("task({ name: 'a', max_retries: 1 }, () => 1)");
    assert_eq!(text, "task() has no option \"max_retries\"; did you mean \"maxRetries\"?");
    assert!(place.contains("src/program.ts:2:5"), "{place}");
    let (text, _) = message("task({ name: 'a' }, () => 1);\ntask({ name: 'a' }, () => 2);");
    assert_eq!(text, "two tasks are named \"a\"; the other is at src/program.ts:2");
    let (text, _) = message("task({ name: 'a', ram: () => 1 }, () => 1)");
    assert_eq!(text, "the option ram cannot be function");
    let (text, place) = message("const x = ;");
    assert!(text.contains("expected expression"), "{text}");
    assert_eq!(place, "");
}

#[test]
fn looking_for_rights_is_noticed_while_loading() {
    let Some(sandbox) = Sandbox::new() else { return };
    let is_pure = |source: &str| declare(&sandbox, source).unwrap().is_pure;
    assert!(is_pure("new URL('http://x'); Date.now(); Math.random()"));
    assert!(!is_pure("process.env.HOME"));
    assert!(!is_pure("'KEY' in process.env"));
    assert!(!is_pure("({ ...process.env })"));
    assert!(!is_pure("require('fs').existsSync('/data/x')"));
    assert!(!is_pure("fetch('http://x.example/').catch(() => {})"));
}

#[test]
fn the_environment_is_what_was_granted() {
    let Some(sandbox) = Sandbox::new() else { return };
    let mut grant = grant();
    grant.environment = vec![("KEY".to_owned(), "väl=ue".to_owned())];
    let value = sandbox.value_with("return { ...process.env, has: 'PATH' in process.env }", &grant);
    assert_eq!(value, json!({"KEY": "väl=ue", "has": false}));
}

#[test]
fn tasks_are_called_in_parallel_and_given_up() {
    let Some(sandbox) = Sandbox::new() else { return };
    let mut program = Program::new(&main(
        "const add = task({ name: 'add' }, () => {});\n\
         const never = task({ name: 'never' }, () => {});\n\
         const bad = task({ name: 'bad' }, () => {});\n\
         const denied = task({ name: 'denied' }, () => {});\n\
         const told = (promise) => promise.catch((e) => [e.name, e.message, e.errorType ?? null, e.traceback ?? null]);\n\
         const abort = new AbortController();\n\
         const given = never.submit(); given.catch(() => {});\n\
         return [\n\
           await Promise.all([add(1, 'x', undefined), add({ a: [1n] })]),\n\
           await add.map([1, 2, 3]),\n\
           await told(bad()),\n\
           await told(denied()),\n\
           await told((setTimeout(() => abort.abort(new Error('enough')), 5), never.with({ signal: abort.signal }).run())),\n\
           [given.cancel(), given.cancel()],\n\
           await Promise.race([never(), new Promise((r) => setTimeout(r, 1, 'first'))]),\n\
           await told((async () => add(new Map()))()),\n\
         ];",
    ));
    let raised = |kind: &str| GuestError::Raised {
        kind: kind.to_owned(),
        message: "no".to_owned(),
        traceback: "trace".to_owned(),
    };
    program.answers = [
        ("add".to_owned(), Ok("[5]".to_owned())),
        ("never".to_owned(), Ok("never".to_owned())),
        ("bad".to_owned(), Err(raised("RangeError"))),
        ("denied".to_owned(), Err(raised("Denied"))),
    ]
    .into();
    let program = Arc::new(program);
    let value: Value = serde_json::from_str(&sandbox.call(&program, &grant()).unwrap()).unwrap();
    assert_eq!(
        value,
        json!([
            [[5], [5]],
            [[5], [5], [5]],
            ["TaskError", "task \"bad\" failed: RangeError: no", "RangeError", "trace"],
            ["DeniedError", "no", null, null],
            ["Error", "enough", null, null],
            [true, false],
            "first",
            [
                "NotExact",
                "the call of add: argument 1 is a Map, which JSON cannot hold: use Object.fromEntries(value)",
                null,
                null
            ],
        ])
    );
    let calls = program.calls.lock().unwrap();
    assert_eq!(calls[1], ("add".to_owned(), r#"{"args":[1,"x"],"kwargs":{}}"#.to_owned()));
    assert_eq!(calls[2], ("add".to_owned(), r#"{"args":[{"a":[1]}],"kwargs":{}}"#.to_owned()));
}

#[test]
fn timers_and_microtasks_come_in_their_order() {
    let Some(sandbox) = Sandbox::new() else { return };
    let value = sandbox.value(
        "const seen = []; const see = (x) => () => seen.push(x);\n\
         setTimeout(() => { see('a')(); Promise.resolve().then(see('a-micro')); process.nextTick(see('a-tick')); }, 5);\n\
         setTimeout(see('b'), 5); setTimeout(see('late'), 20); setTimeout(see('early'), 1);\n\
         const every = setInterval(() => { see('i')(); if (seen.filter((x) => x === 'i').length === 2) clearInterval(every); }, 8);\n\
         clearTimeout(setTimeout(see('never'), 2)); clearTimeout(Number(setTimeout(see('never'), 2)));\n\
         clearImmediate(setImmediate(see('never')));\n\
         queueMicrotask(see('micro')); setImmediate(see('immediate'));\n\
         for (let i = 0; i < 200; i++) await null;\n\
         see('awaited')();\n\
         await new Promise((r) => setTimeout(r, 40));\n\
         return seen.filter((x) => x !== 'i' && x !== 'immediate').concat(seen.filter((x) => x === 'i'));",
    );
    assert_eq!(
        value,
        json!(["micro", "awaited", "early", "a", "a-micro", "a-tick", "b", "late", "i", "i"])
    );
}

#[test]
fn waiting_is_the_hosts() {
    let Some(sandbox) = Sandbox::new() else { return };
    let mut guest = sandbox.open(Arc::new(Program::new(&main(
        "await new Promise((r) => setTimeout(r, 300)); return 1",
    ))));
    let begun = Instant::now();
    let grant = grant();
    assert_eq!(block_on(guest.call("main", NO_ARGUMENTS, &grant)).as_deref(), Ok("1"));
    assert!(begun.elapsed() >= Duration::from_millis(299));
    // It slept outside: a loop that waits would burn a hundred times as much.
    assert!(guest.usage().fuel < 20_000_000, "{}", guest.usage().fuel);
}

#[test]
fn failures_tell_the_users_lines_alone() {
    let Some(sandbox) = Sandbox::new() else { return };
    let told = |source: &str| match sandbox.call(&Arc::new(Program::new(source)), &grant()) {
        Err(GuestError::Raised { kind, message, traceback }) => (kind, message, traceback),
        other => panic!("{other:?}"),
    };
    let (kind, message, traceback) = told(
        "function deep(n) {\n  if (n === 0) throw new RangeError('deep', { cause: new Error('root') });\n\
           deep(n - 1);\n}\nexports.main = async () => {\n  await null;\n  deep(1);\n};",
    );
    assert_eq!((kind.as_str(), message.as_str()), ("RangeError", "deep"));
    assert_eq!(
        traceback,
        "RangeError: deep\n    at deep (src/program.ts:2:22)\n    at deep (src/program.ts:3:5)\n    \
         at exports.main (src/program.ts:7:7)\ncaused by Error: root\n    at deep (src/program.ts:2:54)\n    \
         at deep (src/program.ts:3:5)\n    at exports.main (src/program.ts:7:7)\n"
    );
    for (body, kind, message) in [
        ("throw 'text'", "Thrown", "'text'"),
        ("throw { code: 5 }", "Thrown", "{ code: 5 }"),
        ("await Promise.reject(undefined)", "Thrown", "undefined"),
        ("throw Object.assign(new Error('m'), { name: 'Own' })", "Own", "m"),
        ("throw new (class Mine extends Error {})('m')", "Error", "m"),
        ("process.exit(3)", "ProcessExit", "the task called process.exit(3)"),
        (
            "await new Promise(() => {})",
            "Deadlock",
            "deadlock: the task waits for a promise that nothing can settle",
        ),
        (
            "await new Promise(() => setTimeout(() => { throw new Error('in a timer') }, 1))",
            "Error",
            "in a timer",
        ),
    ] {
        assert_eq!(sandbox.thrown(body), (kind.to_owned(), message.to_owned()), "{body}");
    }
}

#[test]
fn a_session_keeps_its_names() {
    let Some(sandbox) = Sandbox::new() else { return };
    let program = Arc::new(Program::default());
    let mut guest = sandbox.open(program.clone());
    let grant = grant();
    let mut evaluate = |code: &str| block_on(guest.evaluate(code, "", &grant));
    for (code, value) in [
        ("const x = 1; let y = 2; class P { z = 3 }", "null"),
        ("x + y + new P().z", "6"),
        ("function twice(n) { return 2 * n } twice(x)", "2"),
        ("const { a, b: [c] } = await Promise.resolve({ a: 7, b: [8] }); a + c", "15"),
        ("[twice(a), c]", "[14,8]"),
        ("await new Promise((r) => setTimeout(r, 5, 'slept'))", "\"slept\""),
        ("import { join } from 'node:path'; join('a', 'b')", "\"a/b\""),
        ("new Map([[1, 2]])", "\"Map(1) { 1 => 2 }\""),
        ("console.log('printed', x)", "null"),
        ("Promise.resolve(5)", "5"),
    ] {
        assert_eq!(evaluate(code).as_deref(), Ok(value), "{code}");
    }
    let thrown = evaluate("x +\nmissing");
    let Err(GuestError::Raised { kind, message, traceback }) = thrown else { panic!("{thrown:?}") };
    assert_eq!((kind.as_str(), message.as_str()), ("ReferenceError", "missing is not defined"));
    assert_eq!(traceback, "ReferenceError: missing is not defined\n    at input 11:2:1\n");
    assert_eq!(evaluate("x").as_deref(), Ok("1"));
    assert_eq!(*program.printed.lock().unwrap(), b"printed 1\n");
}

/// Evaluates pieces one after the other in one session.
fn session(sandbox: &Sandbox, pieces: &[&str]) -> Vec<Result<String, GuestError>> {
    let mut guest = sandbox.open(Arc::default());
    let grant = grant();
    pieces.iter().map(|code| block_on(guest.evaluate(code, "", &grant))).collect()
}

#[test]
fn a_session_takes_what_people_and_models_write() {
    let Some(sandbox) = Sandbox::new() else { return };
    for (pieces, value) in [
        // TypeScript, with what has to be made and not only removed.
        (
            &[
                "interface A { n: number }\nenum E { X = 2 }\nlet a: A = { n: 1 as number }; a.n + E.X",
            ][..],
            "3",
        ),
        (
            &[
                "class P<T> { constructor(private readonly x: T) {} get() { return this.x } }",
                "new P(4).get()",
            ],
            "4",
        ),
        (&["const f = async <T,>(x: T): Promise<T> => x;", "await f<number>(5)"], "5"),
        (&["type T = 1; declare const q: string;", "typeof q"], "\"undefined\""),
        (&["const f = <A, B>(a: A, b: B) => a", "[f<number, string>(5, '')]"], "[5]"),
        (&["const a = 3, b = 2, c = 1; a<b == false>(c)"], "true"),
        (&["'a<b>(c)'.length"], "7"),
        // An object, and a block.
        (&["{ a: 1, b: [2] }"], "{\"a\":1,\"b\":[2]}"),
        (&["{ let a = 1; a + 1 }"], "2"),
        (&["'use strict'; const kept = 7", "kept"], "7"),
        (&["'use strict'; const kept = await 7", "kept"], "7"),
        (&["export const kept = 7; export function g() { return kept }", "g()"], "7"),
        (&["export default () => 1", "export default class Q {}", "typeof Q"], "\"function\""),
        (&["const a = 1", "const a = 2", "a"], "2"),
        (&["import { join } from 'node:path'; await null", "join('a', 'b')"], "\"a/b\""),
        (&["import * as path from 'path'", "path.join('a', 'b')"], "\"a/b\""),
        (&["for (let i = 0; i < 3; i++) i"], "2"),
        (&["for await (const x of [Promise.resolve(3)]) globalThis.seen = x", "seen"], "3"),
        (&["async function later() { return 9 }", "later()"], "9"),
        (&["#!/usr/bin/env node\n1 + 1"], "2"),
        (&["// nothing"], "null"),
        (&[""], "null"),
        (&["undefined"], "null"),
        (&["Symbol('x')"], "\"Symbol(x)\""),
        (
            &[
                "setTimeout(() => { globalThis.late = 1 }, 5)",
                "await new Promise((r) => setTimeout(r, 20)); late",
            ],
            "1",
        ),
    ] {
        let last = session(&sandbox, pieces).pop().unwrap();
        assert_eq!(last.as_deref(), Ok(value), "{pieces:?}");
    }
}

#[test]
fn what_fails_in_a_session_is_told_with_its_place_and_it_lives_on() {
    let Some(sandbox) = Sandbox::new() else { return };
    for (pieces, expected, trace) in [
        (&["let a = 1;\nlet b = ;"][..], "expected expression, got ';' at line 2, column 9", ""),
        (&["let a: number = 1;\nlet b = a +* 2;"], "Unexpected token at line 2, column 12", ""),
        (&["await 1; let = ;"], "", ""),
        (&["JSON.parse('{')"], "", "at input 1:1:6"),
        (
            &["function deep() {\n\n throw new TypeError('x') }", "\ndeep()"],
            "x",
            "    at deep (input 1:3:8)\n    at input 2:2:1",
        ),
        (&["await null; throw new Error('x')"], "x", "x\n    at input 1:1:19\n"),
        (&["throw 'text'"], "'text'", ""),
        (&["Promise.reject(new Error('x'))"], "x", ""),
        (&["import z from 'zod'"], "Cannot find module", ""),
        (&["null.x"], "", ""),
    ] {
        let mut all = pieces.to_vec();
        all.insert(0, "let before = 5");
        all.push("before");
        let mut ends = session(&sandbox, &all);
        assert_eq!(ends.pop().unwrap().as_deref(), Ok("5"), "{pieces:?}");
        let last = ends.pop().unwrap();
        let Err(GuestError::Raised { message, traceback, .. }) = last else {
            panic!("{pieces:?}: {last:?}")
        };
        // The first piece counts.
        let trace = trace.replace("input 2", "input 3").replace("input 1", "input 2");
        assert!(message.contains(expected), "{pieces:?}: {message}");
        assert!(traceback.contains(&trace), "{pieces:?}: {traceback}");
    }
}
