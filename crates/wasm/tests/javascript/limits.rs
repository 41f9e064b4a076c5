//! What bounds a program: fuel, memory, the stack, and that it can be interrupted anywhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use capsule_backend::guest::{GuestError, Meter};
use capsule_spec::ByteSize;

use super::support::{NO_ARGUMENTS, Program, Sandbox, grant, main};

/// Programs that never end, each by other means.
const ENDLESS: &[&str] = &[
    "for (;;);",
    "(function f() { Promise.resolve().then(f) })(); await new Promise(() => {})",
    "(async function f() { for (;;) await null })(); await new Promise(() => {})",
    "(function f() { setTimeout(f, 0) })(); await new Promise(() => {})",
    "(function f() { setImmediate(f) })(); await new Promise(() => {})",
    "return /^(a+)+$/.test('a'.repeat(60) + 'b')",
    "return { toJSON() { for (;;); } }",
    "return { get x() { for (;;); } }",
    "throw { [Symbol.for('nodejs.util.inspect.custom')]() { for (;;); } }",
    "throw new Proxy(new Error('x'), { get() { for (;;); } })",
    "const it = { [Symbol.iterator]: () => ({ next: () => ({ value: 1 }) }) }; return [...it]",
    "console.log({ [Symbol.for('nodejs.util.inspect.custom')]() { for (;;); } })",
    "return { then() { for (;;); } }",
];

#[test]
fn whatever_never_ends_is_ended_by_fuel() {
    let Some(sandbox) = Sandbox::new() else { return };
    for body in ENDLESS {
        let grant = capsule_backend::guest::Grant {
            meter: Meter::new(1_000_000_000),
            ram: ByteSize::from_mib(128),
            ..grant()
        };
        let result = sandbox.run(body, &grant);
        let is_memory = matches!(&result, Err(GuestError::Raised { kind, .. }) if kind == "MemoryError")
            || matches!(&result, Err(GuestError::Crashed(_) | GuestError::OutOfMemory));
        let may_fill = body.contains("[...it]");
        assert!(
            result == Err(GuestError::OutOfFuel) || may_fill && is_memory,
            "{body}: {result:?}"
        );
        assert!(grant.meter.used() <= 1_100_000_000, "{body}");
    }
}

#[test]
fn whatever_never_ends_can_be_dropped_at_a_deadline() {
    let Some(sandbox) = Sandbox::new() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for body in &ENDLESS[..6] {
        let mut guest = sandbox.open(Arc::new(Program::new(&main(body))));
        let grant = grant();
        let begun = Instant::now();
        let ended = runtime.block_on(async {
            let call = guest.call("main", NO_ARGUMENTS, &grant);
            tokio::time::timeout(Duration::from_millis(200), call).await
        });
        assert!(ended.is_err(), "{body}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{body}: {:?}", begun.elapsed());
    }
}

#[test]
fn fuel_is_exact() {
    let Some(sandbox) = Sandbox::new() else { return };
    let burnt = || {
        let mut guest = sandbox.open(Arc::new(Program::new(&main(
            "let x = 0; for (let i = 0; i < 1e5; i++) x += i; return [x, JSON.stringify({ x }), [3, 1, 2].sort()]",
        ))));
        super::support::block_on(guest.call("main", NO_ARGUMENTS, &grant())).unwrap();
        guest.usage().fuel
    };
    let first = burnt();
    assert_eq!([burnt(), burnt()], [first, first]);
}

#[test]
fn memory_has_an_end_that_can_be_caught() {
    let Some(sandbox) = Sandbox::new() else { return };
    let small = || capsule_backend::guest::Grant { ram: ByteSize::from_mib(64), ..grant() };
    let caught = sandbox.value_with(
        "const held = []; try { for (;;) held.push(new Array(1e5).fill(held.length)) } catch (e) { held.length = 0; return String(e) }",
        &small(),
    );
    assert_eq!(caught, "out of memory");
    for body in [
        "const held = []; for (;;) held.push(new Array(1e5).fill(0))",
        "const held = []; for (;;) held.push(new Uint8Array(1e6))",
        "let s = 'x'; for (;;) s += s",
        "return 'x'.repeat(2 ** 29)",
        "return 'x'.repeat(2 ** 31)",
        "return new Array(1e6).fill('x'.repeat(1000))",
        "return Buffer.alloc(1e9)",
        // The engine cannot go on without memory for these.
        "const held = []; for (;;) held.push('x'.repeat(1e5) + Math.random())",
    ] {
        match sandbox.run(body, &small()) {
            // The engine itself could not go on.
            Err(GuestError::OutOfMemory) => {}
            Err(GuestError::Raised { kind, .. }) => {
                assert!(
                    kind == "MemoryError" || kind == "RangeError" || kind == "InternalError",
                    "{body}: {kind}"
                );
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn recursion_has_an_end_that_can_be_caught() {
    let Some(sandbox) = Sandbox::new() else { return };
    for body in [
        "(function f() { return f() + 1 })()",
        "(function f() { return [1].map(f) })()",
        "(function f() { return JSON.stringify({ toJSON: f }) })()",
        "(function f() { return 'x'.replace(/x/, f) })()",
        "(function f() { return Reflect.apply(f, null, []) })()",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; JSON.stringify(a)",
        "const p = new Proxy({}, { get: (t, k, r) => r[k] }); p.x",
        "eval('('.repeat(1e5))",
        "new RegExp('('.repeat(1e5) + ')'.repeat(1e5))",
    ] {
        let value = sandbox
            .value(&format!("try {{ {body}; return 'no end' }} catch (e) {{ return 'caught' }}"));
        assert_eq!(value, "caught", "{body}");
    }
    let deep = "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a";
    let (kind, message) = sandbox.thrown(deep);
    assert_eq!(kind, "NotExact");
    assert!(message.ends_with("is nested more than 100 deep, or holds itself"), "{message}");
}

#[test]
fn output_is_bounded_in_one_call() {
    let Some(sandbox) = Sandbox::new() else { return };
    let program = Arc::new(Program::new(&main(
        "const text = 'x'.repeat(1e6); for (let i = 0; i < 40; i++) console.log(text); return 'done'",
    )));
    assert_eq!(sandbox.call(&program, &grant()).as_deref(), Ok("\"done\""));
    assert_eq!(program.printed.lock().unwrap().len(), 16 << 20);
}
