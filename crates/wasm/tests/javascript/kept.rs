//! Programs that are loaded once: which ones can be, and that nobody notices.

use std::sync::Arc;

use capsule_backend::guest::GuestError;

use super::support::{NO_ARGUMENTS, Program, Sandbox, block_on, grant, main};

#[test]
fn a_program_is_kept_unless_it_asked_for_time_or_chance() {
    let Some(sandbox) = Sandbox::new() else { return };
    let is_kept = |source: &str| {
        let mut guest = sandbox.open(Arc::new(Program::new(source)));
        block_on(guest.declare(&grant())).unwrap();
        guest.save().is_some()
    };
    for source in [
        "",
        "const known = new Map([[{}, new Set(['a', 1])]]); class Point { x = 1 }",
        "const { random } = Math; const { now } = Date; setImmediate(() => {})",
        "require('node:fs'); require('node:zlib'); new URL('http://x'); new Date(0)",
        "Promise.resolve(1).then(() => {}); queueMicrotask(() => {})",
        "const all = []; for (let i = 0; i < 1000; i += 1) all.push(i); all.sort()",
    ] {
        assert!(is_kept(source), "{source}");
    }
    for source in [
        "Date.now()",
        "new Date()",
        "Date()",
        "Math.random()",
        "crypto.randomUUID()",
        "crypto.getRandomValues(new Uint8Array(1))",
        "require('node:crypto').randomBytes(1)",
        "performance.now()",
        "const { now } = performance; Reflect.apply(now, performance, [])",
        "performance.timeOrigin",
        "process.hrtime.bigint()",
        "process.uptime()",
        "console.time('a')",
        "setTimeout(() => {}, 1)",
        "AbortSignal.timeout(1000)",
        // After the program was loaded, in what it left behind.
        "Promise.resolve().then(() => performance.now())",
        "(async () => { for (let i = 0; i < 9; i += 1) await null; performance.now(); })()",
        "queueMicrotask(() => Date.now())",
    ] {
        assert!(!is_kept(source), "{source}");
    }
}

#[test]
fn what_begins_with_a_kept_program_is_as_if_it_was_loaded() {
    let Some(sandbox) = Sandbox::new() else { return };
    let body = "counter += 1; console.log('said'); \
        return { counter, chance: Math.random(), id: crypto.randomUUID(), key: process.env.KEY, \
                 size: new Map(known).size, late: Date.now(), runs: performance.now(), args, \
                 waited: await new Promise((done) => setTimeout(done, 1, 'waited')) };";
    let source = format!("let counter = 0; const known = new Map([['a', 1]]);\n{}", main(body));
    let program = Arc::new(Program::new(&source));
    let mut first = sandbox.open(program.clone());
    block_on(first.declare(&grant())).unwrap();
    let kept = first.save().unwrap();
    let mut rights = grant();
    rights.environment = vec![("KEY".to_owned(), "value".to_owned())];
    let mut values = Vec::new();
    let mut burnt = Vec::new();
    for _ in 0..3 {
        let mut guest = kept.open(program.clone()).unwrap();
        let value = block_on(guest.call("main", NO_ARGUMENTS, &rights)).unwrap();
        values.push(serde_json::from_str::<serde_json::Value>(&value).unwrap());
        burnt.push(guest.usage().fuel);
    }
    for value in &values {
        assert_eq!((&value["counter"], &value["size"]), (&1.into(), &1.into()));
        assert_eq!((&value["key"], &value["waited"]), (&"value".into(), &"waited".into()));
    }
    assert_ne!(values[0]["chance"], values[1]["chance"]);
    assert_ne!(values[0]["id"], values[1]["id"]);
    assert!(values[0]["late"].as_f64() <= values[1]["late"].as_f64());
    assert_eq!(*program.printed.lock().unwrap(), b"said\nsaid\nsaid\n");
    // Loading is charged to each.
    assert!(burnt.iter().all(|fuel| *fuel > first.usage().fuel), "{burnt:?}");
}

#[test]
fn a_program_that_is_only_read_has_not_run() {
    let Some(sandbox) = Sandbox::new() else { return };
    let top =
        "console.log(`ran ${process.env.KEY} ${Date.now() > 9} ${Math.random().toFixed(9)}`);";
    let program = Arc::new(Program::new(&format!("{top}\n{}", main("return 1;"))));
    let mut reader = sandbox.open(program.clone());
    block_on(reader.read(&grant())).unwrap();
    let read = reader.save().unwrap();
    assert_eq!(*program.printed.lock().unwrap(), b"");
    let mut rights = grant();
    rights.environment = vec![("KEY".to_owned(), "value".to_owned())];
    let mut burnt = Vec::new();
    for _ in 0..3 {
        let mut guest = read.open(program.clone()).unwrap();
        block_on(guest.call("main", NO_ARGUMENTS, &rights)).unwrap();
        burnt.push(guest.usage().fuel);
    }
    let printed = String::from_utf8(program.printed.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = printed.lines().collect();
    assert!(lines.iter().all(|line| line.starts_with("ran value true 0.")), "{printed}");
    assert!(lines.len() == 3 && lines[0] != lines[1] && lines[1] != lines[2], "{printed}");
    // Reading is charged to each.
    assert!(burnt.iter().all(|fuel| *fuel > reader.usage().fuel), "{burnt:?}");
    // And it can be declared from there, as any other.
    let mut guest = read.open(program).unwrap();
    assert!(!block_on(guest.declare(&grant())).unwrap().is_pure);
}

#[test]
fn what_cannot_be_read_says_why() {
    let Some(sandbox) = Sandbox::new() else { return };
    let mut guest = sandbox.open(Arc::new(Program::new("const a = 1;\nconst a = 2;")));
    let error = block_on(guest.read(&grant())).unwrap_err();
    let GuestError::Raised { kind, message, .. } = error else { panic!("{error:?}") };
    assert_eq!(kind, "SyntaxError");
    assert!(message.contains("redeclaration"), "{message}");
}

#[test]
fn no_text_leaves_the_function_that_it_is_read_as() {
    let Some(sandbox) = Sandbox::new() else { return };
    for source in [
        "}); console.log('out'); (function () {",
        "}\nconsole.log('out');\n{",
        "}; console.log('out'); //",
        "} catch { } console.log('out'); try {",
        "/* open",
        "`open",
    ] {
        let program = Arc::new(Program::new(source));
        let mut guest = sandbox.open(program.clone());
        let error = block_on(guest.read(&grant())).unwrap_err();
        assert!(
            matches!(&error, GuestError::Raised { kind, .. } if kind == "SyntaxError"),
            "{source}: {error:?}"
        );
        assert_eq!(*program.printed.lock().unwrap(), b"", "{source}");
    }
}

#[test]
fn a_program_that_looks_at_a_variable_late_is_not_pure() {
    let Some(sandbox) = Sandbox::new() else { return };
    for source in [
        "process.env.HOME",
        "Promise.resolve().then(() => process.env.HOME)",
        "(async () => { await null; await null; Object.keys(process.env); })()",
    ] {
        let mut guest = sandbox.open(Arc::new(Program::new(source)));
        assert!(!block_on(guest.declare(&grant())).unwrap().is_pure, "{source}");
    }
}

#[test]
fn no_clock_goes_back_in_a_kept_program() {
    let Some(sandbox) = Sandbox::new() else { return };
    let body = "const { uptime } = require('node:os'); \
        return [performance.now(), Number(process.hrtime.bigint()), uptime(), process.uptime()];";
    let program = Arc::new(Program::new(&main(body)));
    let mut first = sandbox.open(program.clone());
    block_on(first.declare(&grant())).unwrap();
    let kept = first.save().unwrap();
    for _ in 0..3 {
        let mut guest = kept.open(program.clone()).unwrap();
        let value = block_on(guest.call("main", NO_ARGUMENTS, &grant())).unwrap();
        let shown: Vec<f64> = serde_json::from_str(&value).unwrap();
        assert!(shown.iter().all(|clock| *clock >= 0.0), "{value}");
    }
}
