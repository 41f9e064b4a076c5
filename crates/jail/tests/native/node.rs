//! Programs in JavaScript, in Node.

use std::time::{Duration, Instant};

use capsule_backend::guest::{GuestError, Meter};
use capsule_spec::{Access, ByteSize};

use crate::play::{NOTHING, Play, Seen};

/// Declares `main` as a task with this body.
fn main(body: &str) -> Option<Play> {
    Play::node(&format!(
        "const {{ task, files, TaskError, DeniedError }} = require('@capsule-run/sdk');\n\
         const declare = (name) => task({{ name }}, () => {{}});\n\
         task({{ name: 'main' }}, async (...args) => {{\n{body}\n}});\n"
    ))
}

fn run(body: &str) -> Option<Seen> {
    main(body).map(Play::run)
}

#[test]
fn a_function_gets_its_arguments_and_gives_its_value() {
    let Some(play) = Play::node(
        "const { task } = require('@capsule-run/sdk');\n\
         exports.add = task({ name: 'add' }, (a, b, named) => [a + b, named, typeof b]);\n",
    ) else {
        return;
    };
    let seen = play.clone().call("add", r#"{"args":[1,2.5],"kwargs":{"c":10}}"#);
    assert_eq!(seen.value(), r#"[3.5,{"c":10},"number"]"#);
    assert!(seen.usage.fuel > 10_000_000, "{:?}", seen.usage);
    assert!(seen.usage.ram > 1 << 20, "{:?}", seen.usage);
    assert_eq!((seen.stdout.as_str(), seen.stderr.as_str()), ("", ""));
    let seen = play.call("other", NOTHING);
    assert_eq!(seen.raised().1, "the program has no task \"other\"");
}

#[test]
fn it_is_node_with_all_that_node_has() {
    let Some(seen) = run("const { Worker } = require('node:worker_threads');\n\
         const { execFileSync } = require('child_process');\n\
         const worker = new Worker('require(\"worker_threads\").parentPort.postMessage(7)', { eval: true });\n\
         const said = await new Promise((resolve) => worker.once('message', resolve));\n\
         const sqlite = require('node:module').builtinModules.length > 50;\n\
         return [said, execFileSync('/bin/echo', ['hi']).toString(), sqlite,\n\
           new Intl.NumberFormat('de').format(1234.5), typeof WebAssembly, typeof SharedArrayBuffer,\n\
           process.argv[1], process.cwd(), __filename, __dirname, await import('node:path').then((p) => p.sep)];")
    else {
        return;
    };
    assert_eq!(
        seen.value(),
        r#"[7,"hi\n",true,"1.234,5","object","function","/main.ts","/","/main.ts","/","/"]"#
    );
}

#[test]
fn values_cross_by_the_same_rules_as_in_webassembly() {
    for (expression, shown) in [
        (
            "[1, 'ä', null, -0, 1e21, 5n, new Date(0)]",
            r#"[1,"ä",null,-0,1e+21,5,"1970-01-01T00:00:00.000Z"]"#,
        ),
        ("args", "[12345678901234567890,{\"b\":[1.5]}]"),
        ("typeof args[0]", "\"bigint\""),
        ("undefined", "null"),
    ] {
        let Some(play) = main(&format!("return {expression};")) else { return };
        let seen = play.call("main", r#"{"args":[12345678901234567890,{"b":[1.5]}],"kwargs":{}}"#);
        assert_eq!(seen.value(), shown, "{expression}");
    }
    for (expression, message) in [
        ("NaN", "the result is NaN, which JSON has no word for: use null or text"),
        ("new Uint8Array(2)", "the result is bytes, which JSON cannot hold"),
        ("[new Map()]", "the result[0] is a Map, which JSON cannot hold"),
        ("new Response('')", "the result is a Response, which JSON cannot hold"),
        ("'\\ud800'", "the result holds half a surrogate pair"),
        ("() => 1", "the result is a function"),
    ] {
        let Some(seen) = run(&format!("return {expression};")) else { return };
        let (kind, said, _) = seen.raised();
        assert_eq!(kind, "NotExact", "{expression}");
        assert!(said.starts_with(message), "{expression}: {said}");
    }
}

#[test]
fn an_error_names_places_of_the_program_and_no_others() {
    let Some(play) = Play::node(
        "const { task } = require('@capsule-run/sdk');\n\
         const inner = (n) => { throw new RangeError('no ' + n); };\n\
         class Deep { go() { return [1].map(inner); } }\n\
         task({ name: 'main' }, async () => {\n\
         \x20 await null;\n\
         \x20 try { new Deep().go(); } catch (cause) { throw new Error('outer', { cause }); }\n\
         });\n\
         task({ name: 'late' }, () => new Promise(() => setTimeout(() => { throw new TypeError('late'); }, 5)));\n\
         task({ name: 'text' }, () => { throw 'a text'; });\n\
         task({ name: 'exit' }, () => process.exit(3));\n\
         task({ name: 'deadlock' }, () => new Promise(() => {}));\n\
         task({ name: 'forgotten' }, async () => { Promise.reject(new Error('x')); await new Promise((r) => setTimeout(r, 20)); return 1; });\n",
    ) else {
        return;
    };
    let seen = play.clone().run();
    let (kind, message, traceback) = seen.raised();
    assert_eq!((kind, message), ("Error", "outer"));
    let lines: Vec<_> = traceback
        .lines()
        .map(|line| line.rsplit_once(':').map_or(line, |(start, _)| start))
        .collect();
    assert_eq!(
        lines,
        [
            "Error",
            "    at app/main.ts:6",
            "caused by RangeError",
            "    at inner (app/main.ts:2",
            "    at Deep.go (app/main.ts:3",
            "    at app/main.ts:6",
        ],
        "{traceback}"
    );
    let late = play.clone().call("late", NOTHING);
    assert_eq!(late.raised().0, "TypeError");
    assert!(late.raised().2.contains("    at app/main.ts:8:"), "{late:?}");
    assert_eq!(play.clone().call("text", NOTHING).raised(), ("Thrown", "'a text'", ""));
    let exit = play.clone().call("exit", NOTHING);
    assert_eq!(
        (exit.raised().0, exit.raised().1),
        ("ProcessExit", "the task called process.exit(3)")
    );
    assert_eq!(play.clone().call("deadlock", NOTHING).raised().0, "Deadlock");
    assert_eq!(play.call("forgotten", NOTHING).value(), "1");
}

#[test]
fn a_program_that_cannot_be_loaded_says_so() {
    for (program, kind) in [
        ("const x = ;", "SyntaxError"),
        ("require('nowhere');", "Error"),
        ("null.x;", "TypeError"),
        ("\u{0}", "SyntaxError"),
    ] {
        let Some(play) = Play::node(program) else { return };
        let seen = play.run();
        assert_eq!(seen.raised().0, kind, "{program}: {seen:?}");
    }
}

#[test]
fn output_comes_by_itself_and_never_touches_the_protocol() {
    let Some(seen) = run("process.stdout.write('ä'); console.error('err');\n\
         require('fs').writeSync(1, Buffer.from([0, 0, 0, 2, 123, 125, 10]));\n\
         require('child_process').spawnSync('/bin/echo', ['child'], { stdio: 'inherit' });\n\
         process.stdout.write('x'.repeat(300000)); return { ok: true };")
    else {
        return;
    };
    assert_eq!(seen.value(), r#"{"ok":true}"#);
    assert!(seen.stdout.starts_with("ä\0\0\0\x02{}\nchild\nxxx"), "{:?}", &seen.stdout[..40]);
    assert!(seen.stdout.ends_with('x') && seen.stdout.len() > 300_000);
    assert_eq!(seen.stderr, "err\n");
}

#[test]
fn tasks_call_tasks_in_parallel_and_give_up() {
    let started = Instant::now();
    let Some(seen) = run("const [echo, slow, never] = ['echo', 'slow', 'never'].map(declare);\n\
         const first = await echo(1, 'ä', 12345678901234567890n);\n\
         const rest = await slow.map([...Array(10).keys()]);\n\
         const call = never(); const cancelled = call.cancel();\n\
         const why = await call.catch((error) => [error.name, error.errorType]);\n\
         const controller = new AbortController(); setTimeout(() => controller.abort(new Error('enough')), 10);\n\
         const aborted = await never.with({ signal: controller.signal }).run().catch((error) => error.message);\n\
         return [first, rest.map((value) => value.args[0]), cancelled, why, aborted];")
    else {
        return;
    };
    assert_eq!(
        seen.value(),
        r#"[{"args":[1,"ä",12345678901234567890],"kwargs":{}},[0,1,2,3,4,5,6,7,8,9],true,["TaskError","Cancelled"],"enough"]"#
    );
    assert_eq!(seen.calls.len(), 13);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn a_call_that_fails_is_an_error() {
    let Some(seen) = run("const told = [];\n\
         for (const name of ['fail', 'deny', 'large']) {\n\
           try { await declare(name)(); } catch (e) { told.push([e.name, e instanceof TaskError ? e.task : e.message, e.errorType ?? null, e.traceback ?? null]); }\n\
         }\n\
         try { await declare('echo')(NaN); } catch (e) { told.push(e.name); }\n\
         try { await declare('echo2')('x'.repeat(33 << 20)); } catch (e) { told.push(e.name); }\n\
         return told;")
    else {
        return;
    };
    assert_eq!(
        seen.value(),
        r#"[["TaskError","fail","ValueError","its traceback"],["DeniedError","not allowed",null,null],["TaskError","large","TooLarge",""],"NotExact","TooLarge"]"#
    );
}

#[test]
fn files_are_where_they_were_granted() {
    let folder = tempfile::tempdir().unwrap();
    let [readable, writable] = ["ro", "rw"].map(|name| folder.path().join(name));
    for path in [&readable, &writable] {
        std::fs::create_dir(path).unwrap();
        std::fs::write(path.join("in.txt"), "here").unwrap();
    }
    let Some(play) = main(
        "const fs = require('fs');\n\
         const told = [await files.readText('data/in.txt'), fs.readFileSync('/out/in.txt', 'utf8'), await files.list('/data'), await files.exists('/nowhere')];\n\
         await files.writeText('out/new.txt', 'made');\n\
         for (const path of ['data/in.txt', '/data/new.txt', '/etc/new', '/new', '/usr/new']) {\n\
           try { fs.writeFileSync(path, 'x'); told.push('wrote ' + path); } catch (error) { told.push(error.code); }\n\
         }\n\
         fs.writeFileSync('/tmp/private', 'x');\n\
         return told;",
    ) else {
        return;
    };
    let seen = play
        .file(readable.clone(), "/data", Access::ReadOnly)
        .file(writable.clone(), "/out", Access::ReadWrite)
        .run();
    assert_eq!(
        seen.value(),
        r#"["here","here",["in.txt"],false,"EROFS","EROFS","EROFS","EROFS","EROFS"]"#
    );
    assert_eq!(std::fs::read_to_string(readable.join("in.txt")).unwrap(), "here");
    assert_eq!(std::fs::read_to_string(writable.join("new.txt")).unwrap(), "made");
}

#[test]
fn the_environment_is_the_granted_one_and_none_of_it_decides_how_node_starts() {
    let Some(mut play) = main("return process.env;") else { return };
    play.grant.environment = vec![
        ("TOKEN".to_owned(), "ä=1".to_owned()),
        ("NODE_OPTIONS".to_owned(), "--no-such-option --require=/etc/passwd".to_owned()),
    ];
    let seen = play.run();
    let names: std::collections::BTreeMap<String, String> =
        serde_json::from_str(seen.value()).unwrap();
    assert_eq!(
        names.keys().collect::<Vec<_>>(),
        [
            "HOME",
            "LANG",
            "LOGNAME",
            "NODE_OPTIONS",
            "NODE_USE_ENV_PROXY",
            "PATH",
            "TMPDIR",
            "TOKEN",
            "USER"
        ]
    );
    assert_eq!(names["TOKEN"], "ä=1");
}

#[test]
fn memory_is_limited_and_garbage_is_not_memory() {
    // Ten times the limit, a little at a time.
    let Some(mut play) = main(
        "let sum = 0;\n\
         for (let i = 0; i < 640; i++) { const list = Array.from({ length: 20000 }, (_, n) => ({ n })); sum += list.length; }\n\
         return sum;",
    ) else {
        return;
    };
    play.grant.ram = ByteSize::from_mib(96);
    let seen = play.run();
    assert_eq!(seen.value(), "12800000");
    assert!(seen.usage.ram <= 96 << 20, "{:?}", seen.usage);
    for hold in ["{ a: [i++] }", "Buffer.alloc(1 << 20, 1)", "'x'.repeat(1 << 20) + i++"] {
        let Some(mut play) = main(&format!(
            "console.log('begun'); const all = []; let i = 0; for (;;) all.push({hold});"
        )) else {
            return;
        };
        play.grant.ram = ByteSize::from_mib(128);
        let seen = play.run();
        let (kind, message, _) = seen.raised();
        assert_eq!(
            (kind, message),
            ("MemoryError", "it used more memory than 128MiB"),
            "{hold} {seen:?}"
        );
        assert_eq!(seen.stdout, "begun\n");
    }
}

#[test]
fn processor_time_is_a_budget() {
    for body in [
        "for (;;) {}",
        "const next = () => Promise.resolve().then(next); await next();",
        "/(a+)+$/.test('a'.repeat(60) + 'b')",
        "const { Worker } = require('worker_threads'); for (let i = 0; i < 3; i++) new Worker('for (;;) {}', { eval: true }); await new Promise(() => {});",
    ] {
        let Some(mut play) = main(body) else { return };
        play.grant.meter = Meter::new(5_000_000_000);
        let started = Instant::now();
        let seen = play.run();
        assert_eq!(seen.result, Err(GuestError::OutOfFuel), "{body}");
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        assert!((5_000_000_000..10_000_000_000).contains(&seen.usage.fuel), "{:?}", seen.usage);
    }
}

#[test]
fn native_packages_are_loaded_from_where_they_are_mounted() {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("node_modules/answer");
    std::fs::create_dir_all(&package).unwrap();
    let source = folder.path().join("answer.c");
    std::fs::write(
        &source,
        "extern int napi_create_int32(void *, int, void **);\n\
         void *napi_register_module_v1(void *env, void *exports) {\n\
         \x20 void *value; napi_create_int32(env, 42, &value); return value;\n}\n",
    )
    .unwrap();
    let built = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([package.join("answer.node").as_os_str(), source.as_os_str()])
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return crate::packages::skip("no C compiler for a native package");
    }
    std::fs::write(package.join("package.json"), r#"{"main": "index.js"}"#).unwrap();
    std::fs::write(package.join("index.js"), "module.exports = require('./answer.node');").unwrap();
    let Some(mut play) = main(
        "const name = 'answer';\n\
         const { createRequire } = await import('node:module');\n\
         let write; try { require('fs').writeFileSync('/node_modules/answer/x', ''); } catch (error) { write = error.code; }\n\
         return [require(name), require('/node_modules/answer/answer.node'), createRequire('/')(name), write];",
    ) else {
        return;
    };
    let modules = folder.path().join("node_modules").canonicalize().unwrap();
    play.native = play.native.with_modules(vec![(modules, "/node_modules".to_owned())]);
    assert_eq!(play.run().value(), r#"[42,42,42,"EROFS"]"#);
}
