//! Packages in node_modules.

use serde_json::json;

use crate::support::Project;

const MAIN: &str = "import * as all from 'p'; export const main = () => ({ ...all });";

#[test]
fn of_all_builds_the_one_that_needs_no_node_is_taken() {
    for (package, expected) in [
        // As uuid has it.
        (
            r#"{"exports": {".": {"node": "./node.js", "browser": "./web.js", "default": "./any.js"}}}"#,
            "web",
        ),
        // As nanoid has it.
        (
            r#"{"type": "module", "exports": {".": {"types": "./t.d.ts", "browser": "./web.js", "default": "./node.js"}}}"#,
            "web",
        ),
        // As axios has it.
        (
            r#"{"type": "module", "main": "node.js", "browser": {"./node.js": "./web.js"}, "exports": {".": {"browser": {"require": "./any.js", "default": "./web.js"}, "default": {"require": "./any.js", "default": "./node.js"}}}}"#,
            "web",
        ),
        (
            r#"{"exports": {".": {"worker": "./web.js", "browser": "./any.js", "default": "./node.js"}}}"#,
            "web",
        ),
        (
            r#"{"exports": {".": {"node": "./node.js", "import": "./web.js", "require": "./any.js"}}}"#,
            "web",
        ),
        (
            r#"{"exports": {".": {"deno": "./node.js", "bun": "./node.js", "default": "./web.js"}}}"#,
            "web",
        ),
        (r#"{"main": "node.js", "browser": "web.js"}"#, "web"),
        (r#"{"main": "node.js", "module": "web.js"}"#, "web"),
        (r#"{"main": "./lib", "browser": {"./node.js": "./web.js"}}"#, "web"),
        (r#"{"main": "web"}"#, "web"),
        (r#"{"exports": "./web.js"}"#, "web"),
    ] {
        let project = Project::new(&[
            ("main.ts", MAIN),
            ("node_modules/p/package.json", package),
            ("node_modules/p/node.js", "export const build = 'node';"),
            ("node_modules/p/any.js", "export const build = 'any';"),
            ("node_modules/p/web.js", "export const build = 'web';"),
            ("node_modules/p/lib/index.js", "export * from '../node.js';"),
        ]);
        assert_eq!(project.run("main.ts"), json!({"build": expected}), "{package}");
    }
}

#[test]
fn an_import_and_a_require_get_their_own() {
    let project = Project::new(&[
        ("main.ts", "import a from 'p'; const b = require('p'); export const main = () => [a, b];"),
        (
            "node_modules/p/package.json",
            r#"{"exports": {"import": "./a.mjs", "require": "./b.cjs"}}"#,
        ),
        ("node_modules/p/a.mjs", "export default 'import';"),
        ("node_modules/p/b.cjs", "module.exports = 'require';"),
    ]);
    assert_eq!(project.run("main.ts"), json!(["import", "require"]));
}

#[test]
fn subpaths_patterns_and_imports_of_packages_are_followed() {
    let project = Project::new(&[
        (
            "main.ts",
            "import a from 'p/a'; import b from 'p/features/b'; import c from '@scope/q'; export const main = () => [a, b, c];",
        ),
        (
            "node_modules/p/package.json",
            r##"{"type": "module", "exports": {"./a": "./lib/a.js", "./features/*": "./lib/*.js"}, "imports": {"#inner": "./lib/inner.js"}}"##,
        ),
        ("node_modules/p/lib/a.js", "import inner from '#inner'; export default 'a' + inner;"),
        ("node_modules/p/lib/inner.js", "export default 'inner';"),
        ("node_modules/p/lib/b.js", "export default 'b';"),
        ("node_modules/@scope/q/package.json", r#"{"main": "./q.js"}"#),
        ("node_modules/@scope/q/q.js", "module.exports = require('r').x;"),
        ("node_modules/@scope/q/node_modules/r/index.js", "exports.x = 'nested';"),
        ("node_modules/r/index.js", "exports.x = 'hoisted';"),
    ]);
    assert_eq!(project.run("main.ts"), json!(["ainner", "b", "nested"]));
    let project = Project::new(&[
        ("main.ts", "import x from 'p/private'; export const main = () => x;"),
        ("node_modules/p/package.json", r#"{"exports": {".": "./index.js"}}"#),
        ("node_modules/p/private.js", "export default 1;"),
    ]);
    assert!(project.problem("main.ts").contains("not exported"), "{}", project.problem("main.ts"));
}

#[test]
fn commonjs_meets_modules_as_in_node_and_in_typescript() {
    let package = [
        ("node_modules/p/package.json", "{}"),
        (
            "node_modules/p/index.js",
            "Object.defineProperty(exports, '__esModule', { value: true }); exports.default = 'default'; exports.named = 'named';",
        ),
    ];
    let main = "import p, { named } from 'p'; export const main = () => [typeof p, named];";
    let mut files = vec![("main.ts", main)];
    files.extend(package);
    // As tsc with esModuleInterop, and all bundlers.
    assert_eq!(Project::new(&files).run("main.ts"), json!(["string", "named"]));
    // As Node, where the default is module.exports.
    files.push(("package.json", r#"{"type": "module"}"#));
    assert_eq!(Project::new(&files).run("main.ts"), json!(["object", "named"]));
}

#[test]
fn what_a_package_calls_nothing_is_nothing() {
    let project = Project::new(&[
        ("main.ts", "import p from 'p'; export const main = () => p;"),
        (
            "node_modules/p/package.json",
            r#"{"main": "a.js", "browser": {"./gone.js": false, "other": false, "./a-node.js": "./a-web.js"}}"#,
        ),
        (
            "node_modules/p/a.js",
            "module.exports = [Object.keys(require('./gone.js')).length, Object.keys(require('other')).length, require('./a-node.js')];",
        ),
        ("node_modules/p/gone.js", "module.exports = { gone: false };"),
        ("node_modules/p/a-node.js", "module.exports = 'node';"),
        ("node_modules/p/a-web.js", "module.exports = 'web';"),
    ]);
    assert_eq!(project.run("main.ts"), json!([0, 0, "web"]));
}

#[test]
fn packages_without_effects_are_left_out() {
    let files = |effects: &'static str| {
        Project::new(&[
            (
                "main.ts",
                "import 'p'; import { x } from 'p/x'; export const main = () => (globalThis as any).effect ?? x;",
            ),
            ("node_modules/p/package.json", effects),
            ("node_modules/p/index.js", "globalThis.effect = 'effect';"),
            ("node_modules/p/x.js", "globalThis.other = 1; export const x = 'none';"),
        ])
    };
    assert_eq!(files(r#"{"sideEffects": false}"#).run("main.ts"), json!("none"));
    assert_eq!(files(r#"{"sideEffects": ["./index.js"]}"#).run("main.ts"), json!("effect"));
    assert_eq!(files("{}").run("main.ts"), json!("effect"));
}

#[test]
fn what_is_optional_may_be_missing() {
    let project = Project::new(&[
        (
            "main.ts",
            "let found = 'none'; try { found = require('not-installed'); } catch {} try { require('./build/native.node'); } catch {}\nimport p from 'p'; export const main = () => [found, p()];",
        ),
        (
            "node_modules/p/index.js",
            "exports.__esModule = true; exports.default = () => { try { return require('peer'); } catch (error) { return error.message; } };",
        ),
    ]);
    assert_eq!(project.run("main.ts"), json!(["none", "the guest has no module peer"]));
}

/// Node loads it from where packages are mounted for it; the other guest says that it cannot.
#[test]
fn native_code_of_packages_is_left_to_node() {
    let project = Project::new(&[
        (
            "main.ts",
            "export const main = async () => [(await import('n')).default, (await import('node:path')).sep];",
        ),
        ("node_modules/n/package.json", r#"{"main": "lib/index.js"}"#),
        ("node_modules/n/lib/index.js", "module.exports = require('../build/n.node');"),
        ("node_modules/n/build/n.node", "\u{7f}ELF"),
    ]);
    let script = project.bundle("main.ts").unwrap().script;
    assert!(script.contains("require(\"/node_modules/n/build/n.node\")"), "{script}");
    // Nor is anything else left to the engine's own `import()`, which finds nothing there.
    assert!(!script.contains("import("), "{script}");
}

#[test]
fn links_inside_of_the_root_are_followed() {
    // As pnpm installs packages, and npm the members of a workspace.
    let project = Project::new(&[
        (
            "app/main.ts",
            "import p from 'p'; import member from 'member'; export const main = () => [p, member];",
        ),
        ("node_modules/.pnpm/p@1/node_modules/p/index.js", "module.exports = require('q');"),
        ("node_modules/.pnpm/q@1/node_modules/q/index.js", "module.exports = 'q';"),
        ("packages/member/package.json", r#"{"main": "member.ts"}"#),
        ("packages/member/member.ts", "export default 'member' as string;"),
    ]);
    project.link("app/node_modules/p", "../../node_modules/.pnpm/p@1/node_modules/p");
    project.link("node_modules/.pnpm/p@1/node_modules/q", "../../q@1/node_modules/q");
    project.link("node_modules/member", "../packages/member");
    assert_eq!(project.run("app/main.ts"), json!(["q", "member"]));
}

#[test]
fn names_of_globals_may_be_taken() {
    // As lodash-es does: hoisted, and not set when the script begins.
    let project = Project::new(&[
        (
            "main.ts",
            "import { tag } from './tag'; import * as all from './tag'; export default 1; export const main = () => [tag, Object.keys(all), typeof all.tag];",
        ),
        (
            "tag.ts",
            "var Symbol = globalThis.Symbol; var Object_ = Object; var Promise = 1; export const tag = typeof Symbol.iterator + Promise + typeof Object_;",
        ),
    ]);
    assert_eq!(project.run("main.ts"), json!(["symbol1function", ["tag"], "string"]));
}
