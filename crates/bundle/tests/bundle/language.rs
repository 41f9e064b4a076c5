//! TypeScript and JavaScript as people write them.

use serde_json::json;

use crate::support::Project;

#[test]
fn typescript_is_removed_and_what_it_adds_stays() {
    let project = Project::new(&[
        (
            "main.ts",
            r#"
import { type Shape, area } from "./shapes";
import type { Nothing } from "./not-there-and-only-a-type";
import data from "./data.json";
import { list } from "./data.json";
import text from "./note.txt";
enum Color { Red, Blue = 5, Green }
const enum Fast { On = "on" }
namespace Space { export const inner = 1; export namespace Deep { export const more = 2; } }
abstract class Base<T> { constructor(protected readonly value: T) {} abstract get(): T }
class Box extends Base<number> { declare extra: string; get = () => this.value satisfies number; }
function over(a: string): string; function over(a: number): number; function over(a: any) { return a!; }
export const main = (n?: number): unknown => {
  const shape = { width: 2, height: 3 } as Shape;
  return [area(shape), data.hello, list, text, Color.Green, Color[5], Fast.On, Space.inner,
    Space.Deep.more, new Box(7).get(), over("x"), <number>1, n ?? null];
};
"#,
        ),
        (
            "shapes.ts",
            "export interface Shape { width: number; height: number }\nexport const area = (shape: Shape): number => shape.width * shape.height;",
        ),
        ("data.json", r#"{"hello": "world", "list": [1, 2]}"#),
        ("note.txt", "a note"),
    ]);
    let expected = json!([6, "world", [1, 2], "a note", 6, "Blue", "on", 1, 2, 7, "x", 1, null]);
    assert_eq!(project.run("main.ts"), expected);
}

#[test]
fn every_ending_is_a_module() {
    let project = Project::new(&[
        (
            "main.mts",
            r#"
import a from "./a.ts"; import b from "./b.mts"; import c from "./c.cts"; import d from "./d.tsx";
import e from "./e.js"; import f from "./f.mjs"; import g from "./g.cjs"; import h from "./h.jsx";
import i from "./i"; import j from "./folder"; import k from "./built.js"; import l from "./built.mjs";
export const main = () => [a, b, c.c, d, e, f, g.g, h, i, j, k, l];
"#,
        ),
        ("a.ts", "export default 'a' as string;"),
        ("b.mts", "export default 'b' as string;"),
        ("c.cts", "module.exports.c = 'c' as string;"),
        (
            "d.tsx",
            "/** @jsxRuntime classic @jsx h */ const h = (tag: string) => tag; export default <d/>;",
        ),
        ("e.js", "export default 'e';"),
        ("f.mjs", "export default 'f';"),
        ("g.cjs", "exports.g = 'g';"),
        ("h.jsx", "/** @jsxRuntime classic @jsx h */ const h = (tag) => tag; export default <h/>;"),
        ("i.ts", "export default 'i';"),
        ("folder/index.ts", "export default 'j';"),
        ("built.ts", "export default 'k';"),
        ("built.mts", "export default 'l';"),
        ("package.json", r#"{"type": "module"}"#),
    ]);
    let expected = json!(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]);
    assert_eq!(project.run("main.mts"), expected);
}

#[test]
fn every_ending_can_be_the_program() {
    for (name, text) in [
        ("main.ts", "export const main = (): number => 1;"),
        ("main.mts", "export const main = (): number => 1;"),
        ("main.cts", "exports.main = (): number => 1;"),
        ("main.tsx", "export const main = (): number => 1;"),
        ("main.js", "export const main = () => 1;"),
        ("main.mjs", "export const main = () => 1;"),
        ("main.cjs", "exports.main = () => 1;"),
        ("main.jsx", "export const main = () => 1;"),
        ("deep/er/main.js", "module.exports = { main: () => 1 };"),
    ] {
        assert_eq!(Project::new(&[(name, text)]).run(name), json!(1), "{name}");
    }
}

#[test]
fn the_program_is_the_file_that_is_named() {
    let project = Project::new(&[
        ("main.js", "export const main = () => 'js';"),
        ("main.ts", "export const main = () => 'ts';"),
        ("main/index.ts", "export const main = () => 'folder';"),
    ]);
    assert_eq!(project.run("main.js"), json!("js"));
    assert_eq!(project.run("main.ts"), json!("ts"));
}

#[test]
fn decorators_are_typescripts_if_the_settings_say_so() {
    let main = r#"
const log: string[] = [];
function seen(target: any, key: string) { log.push(`${typeof target} ${key}`); }
function named(name: string) { return (target: Function) => { log.push(`${target.name} ${name}`); }; }
@named("box") class Box { @seen value = 1; @seen method() {} }
export const main = () => [log, new Box().value];
"#;
    let settings = r#"{ "compilerOptions": { /* of old */ "experimentalDecorators": true, } }"#;
    let project = Project::new(&[("main.ts", main), ("tsconfig.json", settings)]);
    assert_eq!(project.run("main.ts"), json!([["object value", "object method", "Box box"], 1]));
    // Those of the standard are something else, and the guest's engine does not know them.
    let project = Project::new(&[("main.ts", main)]);
    let problem = &project.problems("main.ts")[0];
    assert_eq!((problem.line, problem.column), (5, 1));
    assert!(problem.hint.contains("experimentalDecorators"), "{problem:?}");
    // A word with the sign is no decorator.
    let project = Project::new(&[("main.ts", "export const main = () => 'a@b'; // @c")]);
    assert_eq!(project.run("main.ts"), json!("a@b"));
}

#[test]
fn fields_of_classes_are_as_the_target_has_them() {
    let main = "class A { set x(value: number) { (globalThis as any).set = value; } }\n\
                class B extends A { x = 3; y; }\n\
                export const main = () => { const b = new B(); return [(globalThis as any).set ?? null, 'y' in b]; };";
    let run = |settings: &str| {
        Project::new(&[("main.ts", main), ("tsconfig.json", settings)]).run("main.ts")
    };
    assert_eq!(run("{}"), json!([null, true]));
    assert_eq!(run(r#"{"compilerOptions": {"target": "ES2020"}}"#), json!([3, false]));
    let both = r#"{"compilerOptions": {"target": "es2020", "useDefineForClassFields": true}}"#;
    assert_eq!(run(both), json!([null, true]));
}

#[test]
fn paths_of_the_settings_are_followed() {
    let project = Project::new(&[
        (
            "src/main.ts",
            "import a from '@/a'; import b from 'lib/b'; import c from 'c'; export const main = () => a + b + c;",
        ),
        ("src/a.ts", "export default 'a';"),
        ("packages/lib/b.ts", "export default 'b';"),
        ("src/c.ts", "export default 'c';"),
        (
            "base.json",
            r#"{"compilerOptions": {"paths": {"@/*": ["./src/*"], "lib/*": ["./packages/lib/*"]}}}"#,
        ),
        (
            "tsconfig.json",
            r#"{"extends": "./base.json", "compilerOptions": {"baseUrl": "src", "paths": {"@/*": ["./*"], "lib/*": ["../packages/lib/*"]}}}"#,
        ),
    ]);
    assert_eq!(project.run("src/main.ts"), json!("abc"));
}

#[test]
fn type_errors_stop_nothing() {
    let text = "const x: number = 'text'; export const main = (): boolean => x.nothing?.y ?? x;";
    assert_eq!(Project::new(&[("main.ts", text)]).run("main.ts"), json!("text"));
}

#[test]
fn dynamic_imports_are_in_the_script() {
    let project = Project::new(&[
        (
            "main.ts",
            "export const main = async () => [(await import('./late')).default, await import('./late') === await import('./late'), typeof (await import('node:path')).join];",
        ),
        ("late.ts", "export default 'late';"),
    ]);
    assert_eq!(project.run("main.ts"), json!(["late", true, "function"]));
}

#[test]
fn what_the_guest_has_stays_outside() {
    let project = Project::new(&[(
        "main.ts",
        "import { task } from '@capsule-run/sdk'; import { readFileSync } from 'node:fs'; import path from 'path';\n\
         import * as runner from '@capsule-run/sdk/runner'; import { createHash } from 'crypto';\n\
         export const main = task({ name: 'main' }, () => [path.join('a', 'b'), typeof readFileSync, typeof runner, typeof createHash]);",
    )]);
    assert_eq!(project.run("main.ts"), json!(["a/b", "function", "object", "function"]));
    // Files of the project cannot take its place.
    let project = Project::new(&[
        (
            "main.ts",
            "import { task } from '@capsule-run/sdk'; export const main = task({}, () => 'right');",
        ),
        ("node_modules/@capsule-run/sdk/package.json", r#"{"main": "index.js"}"#),
        ("node_modules/@capsule-run/sdk/index.js", "exports.task = () => () => 'wrong';"),
    ]);
    assert_eq!(project.run("main.ts"), json!("right"));
}

#[test]
fn what_is_set_while_bundling_is_set() {
    let text = "export const main = () => [process.env.NODE_ENV, import.meta.url, typeof import.meta.dirname, typeof require];";
    let expected = json!(["production", "file:///program/main.ts", "string", "function"]);
    assert_eq!(Project::new(&[("main.ts", text)]).run("main.ts"), expected);
}

#[test]
fn newer_syntax_is_lowered_to_what_the_engine_knows() {
    let text = "export const main = () => { const log: string[] = []; { using a = { [Symbol.dispose]() { log.push('closed'); } }; log.push('open'); } return log; };\n\
                (Symbol as any).dispose ??= Symbol('dispose');";
    let project = Project::new(&[("main.ts", text)]);
    assert!(!project.script().script.contains("using a"));
    assert_eq!(project.run("main.ts"), json!(["open", "closed"]));
}

#[test]
fn unused_code_is_left_out() {
    let project = Project::new(&[
        ("main.ts", "import { used } from './all'; export const main = () => used;"),
        ("all.ts", "export const used = 1; export const unused = 'not-in-the-script';"),
    ]);
    assert!(!project.script().script.contains("not-in-the-script"));
}

#[test]
fn a_mark_at_the_start_of_a_file_is_no_character() {
    let project = Project::new(&[
        (
            "main.ts",
            "\u{feff}#!/usr/bin/env node\nimport d from './d.json';\nexport const main = () => d.x;",
        ),
        ("d.json", "\u{feff}{\"x\": 1}"),
    ]);
    assert_eq!(project.run("main.ts"), json!(1));
}

#[test]
fn properties_of_characters_are_written_out() {
    let project = Project::new(&[(
        "main.ts",
        r#"const word = /^[\p{L}\p{N}_]+$/u, not = /^\P{L}+$/u, sets = /^[\p{L}--[a-z]]+$/v, none = /^\p{2}$/;
export const main = () => ["héllo1", "日本", "a-b"].map((text) => [word.test(text), not.test(text), sets.test(text)]).concat([[not.test("1 \ud800"), none.test("pp"), /[^\P{Lu}]/u.test("É")]]);"#,
    )]);
    assert!(!project.script().script.contains("p{L"), "{}", project.script().script);
    let expected = json!([
        [true, false, false],
        [true, false, true],
        [false, false, false],
        [true, true, true]
    ]);
    assert_eq!(project.run("main.ts"), expected);
}
