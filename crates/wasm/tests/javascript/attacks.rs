//! Programs that turn against the guest's own code, and through it against the host.
//!
//! Who attacks: a program that runs in the same realm as the code that speaks to the host.
//! Whatever it breaks is its own sandbox: the host takes text, which it parses itself, and
//! numbers, which it looks up.

use std::sync::Arc;

use capsule_backend::guest::{Grant, GuestError, Meter};
use serde_json::{Value, json};

use super::support::{NO_ARGUMENTS, Program, Sandbox, block_on, grant, main};

/// Programs that spoil what the guest's own code stands on.
const POLLUTION: &[&str] = &[
    "Object.prototype.tag = 'done'; Object.prototype.val = 'forged'; return 1",
    "Object.prototype.kind = 'Denied'; Object.prototype.payload = { kind: 'x' }; throw new Error('e')",
    "Object.defineProperty(Object.prototype, 'args', { get() { return ['forged'] } }); return 1",
    "JSON.stringify = () => 'forged'; JSON.parse = () => ({ args: [], kwargs: {} }); return { a: 's' }",
    "Array.prototype.join = () => '\"forged\"},{'; return [1, 2]",
    "String.prototype.isWellFormed = () => true; return '\\ud800'",
    "Number.isFinite = () => true; return NaN",
    "Promise.prototype.then = function () { return this }; return 1",
    "globalThis.Promise = class {}; return new Promise(() => {})",
    "Map.prototype.get = () => ({ run: () => 'forged' }); return 1",
    "TextEncoder.prototype.encode = () => new Uint8Array(1e6); console.log('x'); return 1",
    "TextDecoder.prototype.decode = () => '[]'; return 1",
    "Array.prototype[Symbol.iterator] = function* () { yield 'forged' }; console.log('x', 1); return [1]",
    "Function.prototype.call = Function.prototype.apply = () => 'forged'; return new Date(0)",
    "Symbol.hasInstance; Object.defineProperty(Error, Symbol.hasInstance, { value: () => true }); throw 1",
    "delete globalThis.Object; delete globalThis.Array; delete globalThis.Error; return { a: [1] }",
    "for (const name of Object.getOwnPropertyNames(globalThis)) { try { globalThis[name] = null } catch {} } return 1",
    "Object.freeze(Object.prototype); Object.freeze(Array.prototype); return [{ a: 1 }]",
    "Reflect.ownKeys = Object.keys = () => { throw new Error('no keys') }; return { a: 1 }",
    "BigInt.prototype.toString = () => '1,2'; return 5n",
    "Object.setPrototypeOf(Object.prototype === 1 ? 1 : Function.prototype, null); return 1",
];

#[test]
fn polluted_prototypes_only_spoil_their_own_sandbox() {
    let Some(sandbox) = Sandbox::new() else { return };
    for body in POLLUTION {
        let grant = Grant { meter: Meter::new(20_000_000_000), ..grant() };
        // Any end is right but one that the host cannot have come to by itself.
        match sandbox.run(body, &grant) {
            Ok(_)
            | Err(
                GuestError::Raised { .. }
                | GuestError::Crashed(_)
                | GuestError::OutOfFuel
                | GuestError::OutOfMemory
                | GuestError::TimedOut,
            ) => {}
            Err(error) => panic!("{body}: {error:?}"),
        }
        assert_eq!(sandbox.value("return [{ a: 1 }, 'next']"), json!([{"a": 1}, "next"]), "{body}");
    }
}

#[test]
fn two_faces_of_a_value_are_one_text() {
    let Some(sandbox) = Sandbox::new() else { return };
    for (body, value) in [
        ("let n = 0; return { get a() { return n++ ? NaN : 1 } }", json!({"a": 1})),
        ("let n = 0; return new Proxy({ a: 1 }, { get: () => ++n })", Value::Null),
        ("return new Proxy([1, 2], { get: (t, k) => k === 'length' ? 3 : 7 })", json!([7, 7, 7])),
        ("return Object.defineProperty({ a: 1 }, 'hidden', { value: 2 })", json!({"a": 1})),
        (
            "class T extends String { toString() { return 'x\"},{\"y' } valueOf() { return this.toString() } } return new T('a')",
            json!("x\"},{\"y"),
        ),
        ("return { '\"},{\"': 1 }", json!({"\"},{\"": 1})),
    ] {
        let text = sandbox.run(body, &grant());
        if value.is_null() {
            // What it says of itself is its own affair, as long as it is JSON.
            if let Ok(text) = text {
                serde_json::from_str::<Value>(&text).unwrap();
            }
        } else {
            assert_eq!(serde_json::from_str::<Value>(&text.unwrap()).unwrap(), value, "{body}");
        }
    }
    let lying = [
        "return new Proxy([], { get: (t, k) => k === 'length' ? 2 ** 32 - 1 : 0 })",
        "return { length: 1e9, [Symbol.iterator]: null }",
        "return new Proxy({}, { ownKeys: () => { throw new Error('no') } })",
        "return new Proxy({}, { getPrototypeOf: () => { throw new Error('no') } })",
        "return { get a() { throw { get message() { throw 1 }, get name() { throw 2 } } } }",
        "throw new Proxy(new Error('x'), { get() { throw new Error('y') } })",
        "throw Object.create(Error.prototype, { message: { get() { throw 1 } } })",
        "const e = new Error('x'); e.cause = e; throw e",
        "const e = new Error('x'); Object.defineProperty(e, 'stack', { value: 'forged@capsule:1:1' }); throw e",
    ];
    for body in lying {
        let grant = Grant { meter: Meter::new(20_000_000_000), ..grant() };
        let ended = sandbox.run(body, &grant);
        assert!(!matches!(ended, Err(GuestError::Failed(_))), "{body}: {ended:?}");
    }
}

#[test]
fn eval_and_function_find_no_way_to_the_host() {
    let Some(sandbox) = Sandbox::new() else { return };
    // Nothing by which the guest's own modules, or the host's functions, could be reached.
    let value = sandbox.value(
        "const reach = (code) => { try { return String(eval(code)) } catch (e) { return e.name } };\n\
         return [\n\
           reach('typeof source'), reach('typeof emit'), reach('typeof $bindings'), reach('typeof contentGlobal'),\n\
           reach('typeof defineBuiltinModule'), typeof new Function('return this')().source,\n\
           reach('(0, eval)(\"typeof listeners\")'),\n\
           Function('return typeof require')(),\n\
           // The interface can be had. Behind it, the host looks at everything.\n\
           await import('capsule:guest/host@0.1.0').then(({ connect }) => { try { connect('127.0.0.1', 80) } catch (e) { return e.payload.kind } }),\n\
           await import('capsule:guest/host@0.1.0').then(({ source }) => typeof source('../../etc/passwd')),\n\
           await import('wasi:filesystem/types@0.2.0').then(() => 'reached', () => 'refused'),\n\
           await import('/etc/passwd').then(() => 'reached', () => 'refused'),\n\
           await import('./src/main.js').then(() => 'reached', () => 'refused'),\n\
         ]",
    );
    assert_eq!(
        value,
        json!([
            "undefined",
            "undefined",
            "undefined",
            "undefined",
            "undefined",
            "undefined",
            "undefined",
            "undefined",
            "Denied",
            "undefined",
            "refused",
            "refused",
            "refused"
        ])
    );
}

#[test]
fn no_module_path_leaves_the_program() {
    let Some(sandbox) = Sandbox::new() else { return };
    for name in [
        "/etc/passwd",
        "../secret.js",
        "./x",
        "file:///etc/passwd",
        "capsule:guest/host@0.1.0",
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        "",
        "node:",
        "fs/../../x",
        "\\0",
    ] {
        let body =
            format!("try {{ return typeof require('{name}') }} catch (e) {{ return e.code }}");
        assert_eq!(sandbox.value(&body), json!("MODULE_NOT_FOUND"), "{name}");
    }
    for name in ["http", "node:child_process", "worker_threads", "net", "vm"] {
        let (_, message) = sandbox.thrown(&format!("require('{name}')"));
        assert_eq!(
            message,
            format!(
                "\"{name}\" of Node is not in a Wasm sandbox; the task option isolation: \"jail\" \
                 runs the task in Node"
            )
        );
    }
}

#[test]
fn files_are_what_was_granted() {
    let Some(sandbox) = Sandbox::new() else { return };
    let value = sandbox.value(
        "const fs = require('fs'); const code = (work) => { try { return String(work()) } catch (e) { return e.code } };\n\
         return [\n\
           code(() => fs.readFileSync('/etc/passwd')), code(() => fs.readFileSync('../../../etc/passwd')),\n\
           code(() => fs.readdirSync('/')), code(() => fs.writeFileSync('/x', 'y')),\n\
           code(() => fs.readFileSync('/proc/self/environ')), code(() => fs.readFileSync('/tmp/a\\0b')),\n\
           code(() => fs.symlinkSync('/etc/passwd', '/tmp/link')), code(() => fs.readFileSync('/tmp/link')),\n\
           code(() => fs.readFileSync('')), code(() => fs.openSync('/dev/null', 'w')),\n\
           code(() => fs.readFileSync('x'.repeat(5000))),\n\
         ]",
    );
    let value: Vec<String> = serde_json::from_value(value).unwrap();
    for (answer, allowed) in value.iter().zip([
        "ENOENT",
        "ENOENT EPERM",
        "tmp",
        "EROFS EPERM",
        "ENOENT",
        "ERR_INVALID_ARG_VALUE",
        "undefined EPERM",
        "ENOENT",
        "ENOENT",
        "ENOENT EROFS EPERM",
        "ENAMETOOLONG",
    ]) {
        assert!(allowed.split(' ').any(|one| one == answer), "{answer} is not one of {allowed}");
    }
}

#[test]
fn strange_events_and_calls_do_no_harm() {
    let Some(sandbox) = Sandbox::new() else { return };
    let mut guest = sandbox.open(Arc::new(Program::new(&main("return args.length"))));
    for (given, is_value) in [
        (r#"{"args":[],"kwargs":{}}"#, true),
        (r#"{"args":[{"__proto__":{"x":1}}],"kwargs":{"__proto__":1}}"#, true),
    ] {
        assert_eq!(block_on(guest.call("main", given, &grant())).is_ok(), is_value, "{given}");
    }
    for name in ["__proto__", "toString", "", "missing", "\u{0}"] {
        let mut guest = sandbox.open(Arc::new(Program::new(&main("return 1"))));
        let ended = block_on(guest.call(name, NO_ARGUMENTS, &grant()));
        let Err(GuestError::Raised { message, .. }) = ended else { panic!("{ended:?}") };
        assert_eq!(message, format!("the program has no task \"{name}\""));
    }
}

/// Evaluates pieces in a session of their own; how the last one ends.
fn evaluated(sandbox: &Sandbox, pieces: &[&str]) -> Result<String, GuestError> {
    let mut guest = sandbox.open(Arc::new(Program::new("")));
    let grant = Grant { meter: Meter::new(20_000_000_000), ..grant() };
    let mut last = Ok(String::new());
    for code in pieces {
        last = block_on(guest.evaluate(code, "", &grant));
    }
    last
}

#[test]
fn what_a_session_does_to_its_realm_is_gone_with_it() {
    let Some(sandbox) = Sandbox::new() else { return };
    let clean = r#"[typeof leaked, typeof require, ({}).polluted ?? null, [1, 2].map(String).join(), JSON.stringify({ a: 1 }), typeof Promise.prototype.then, Object.isExtensible(globalThis)]"#;
    let expected = r#"["undefined","function",null,"1,2","{\"a\":1}","function",true]"#;
    // More than memories wait to be used again, so that each is.
    for (round, spoil) in [
        "globalThis.leaked = 1; Object.prototype.polluted = 'x'",
        "Object.prototype.polluted = 'x'; Array.prototype.map = () => ['x']",
        "JSON.stringify = () => 'x'; var leaked = 'x'",
        "Promise.prototype.then = 1",
        "const require = 1; let leaked = 2; delete globalThis.Promise",
        "Object.preventExtensions(globalThis)",
        "for (const name of Object.getOwnPropertyNames(globalThis)) { try { globalThis[name] = null } catch {} }",
        "Object.defineProperty(Object.prototype, 'then', { get() { return 1 } })",
    ]
    .into_iter()
    .cycle()
    .take(24)
    .enumerate()
    {
        // How it ends is its own matter.
        let _ = evaluated(&sandbox, &[spoil, "1 + 1"]);
        assert_eq!(evaluated(&sandbox, &[clean]).as_deref(), Ok(expected), "{round}: {spoil}");
    }
}

#[test]
fn results_of_a_session_are_one_json_text() {
    let Some(sandbox) = Sandbox::new() else { return };
    for code in [
        "({ get x() { throw new Error('mine') } })",
        "let n = 0; ({ get x() { return n++ % 2 ? () => 1 : 1 } })",
        "new Proxy({}, { ownKeys() { throw new Error('mine') } })",
        "new Proxy({}, { getPrototypeOf() { throw new Error('mine') } })",
        "new Proxy([], { get(target, key) { return key === 'length' ? 2 ** 32 : 1 } })",
        "new Proxy(function () {}, { get() { throw new Error('mine') }, apply() { throw 1 } })",
        "({ then(resolve) { resolve({ then(again) { again(5) } }) } })",
        "({ then() { throw new Error('mine') } })",
        "({ get then() { throw new Error('mine') } })",
        "({ toJSON() { return '\"}],forged' } })",
        "({ [Symbol.for('nodejs.util.inspect.custom')]() { throw new Error('mine') }, f() {} })",
        "({ [Symbol.for('nodejs.util.inspect.custom')]: () => '\\ud800', f() {} })",
        "'\\ud800'",
        "JSON.parse('{\"__proto__\": {\"polluted\": 1}}')",
        "const deep = []; let at = deep; for (let i = 0; i < 5000; i++) { at.push([]); at = at[0] } deep",
        "const round = {}; round.round = round; round",
        "Object.prototype.toJSON = () => '1,2'; ({ a: 1 })",
        "String.prototype.isWellFormed = () => true; '\\ud800'",
        "Number.isFinite = () => true; NaN",
    ] {
        match evaluated(&sandbox, &[code]) {
            Ok(text) => {
                let read: Result<Value, _> = serde_json::from_str(&text);
                let is_known = code.contains("isWellFormed") || code.contains("isFinite");
                assert!(read.is_ok() || is_known, "{code}: {text}");
            }
            Err(GuestError::Raised { .. } | GuestError::Crashed(_) | GuestError::OutOfFuel) => {}
            Err(error) => panic!("{code}: {error:?}"),
        }
    }
}

#[test]
fn whatever_never_ends_in_a_session_is_ended() {
    let Some(sandbox) = Sandbox::new() else { return };
    for code in [
        "while (true);",
        "await null; while (true);",
        "(function again() { Promise.resolve().then(again) })(); await new Promise(() => {})",
        "(function again() { queueMicrotask(again) })()",
        "const again = () => setTimeout(again, 0); again(); await new Promise(() => {})",
        "setInterval(() => {}, 1); await new Promise(() => {})",
        "const then = { then(resolve) { resolve(then) } }; then",
        "/(a+)+$/.test('a'.repeat(40) + 'b')",
        "new Proxy([], { get(target, key) { return key === 'length' ? 2 ** 53 : 1 } })",
        "({ get then() { while (true); } })",
        "throw { get message() { while (true); }, get name() { while (true); } }",
    ] {
        let mut guest = sandbox.open(Arc::new(Program::new("")));
        let grant = Grant { meter: Meter::new(1 << 60), ..grant() };
        let ended = block_on(async {
            let work = guest.evaluate(code, "", &grant);
            tokio::time::timeout(std::time::Duration::from_millis(300), work).await
        });
        // Some ends by itself: with an error of its own, never with a value.
        assert!(!matches!(ended, Ok(Ok(_))), "{code}: {ended:?}");
        let grant = Grant { meter: Meter::new(3_000_000_000), ..self::grant() };
        let mut guest = sandbox.open(Arc::new(Program::new("")));
        let ended = block_on(guest.evaluate(code, "", &grant));
        assert!(ended.is_err(), "{code}: {ended:?}");
    }
    assert_eq!(evaluated(&sandbox, &["1 + 1"]).as_deref(), Ok("2"));
}

#[test]
fn code_that_is_hard_to_read_harms_its_session_only() {
    let Some(sandbox) = Sandbox::new() else { return };
    let large = format!("'{}'.length", "x".repeat(20 << 20));
    for code in [
        "(".repeat(200_000),
        format!("{}1{}", "(".repeat(50_000), ")".repeat(50_000)),
        "[".repeat(200_000),
        "a<".repeat(50_000),
        format!("let x: {}number{} = 1", "Array<".repeat(20_000), ">".repeat(20_000)),
        format!("`{}", "${`".repeat(20_000)),
        "/*".to_owned(),
        "\u{0}\u{feff}\u{2028}".to_owned(),
        large,
    ] {
        let begin: String = code.chars().take(20).collect();
        let mut guest = sandbox.open(Arc::new(Program::new("")));
        let grant = Grant { meter: Meter::new(500_000_000), ..grant() };
        match block_on(guest.evaluate(&code, "", &grant)) {
            Ok(text) => assert!(text == "20971520" || text == "null", "{begin}: {text}"),
            Err(
                GuestError::Raised { .. }
                | GuestError::Crashed(_)
                | GuestError::OutOfFuel
                | GuestError::OutOfMemory,
            ) => {}
            Err(error) => panic!("{begin}: {error:?}"),
        }
    }
    assert_eq!(evaluated(&sandbox, &["1 + 1"]).as_deref(), Ok("2"));
}
