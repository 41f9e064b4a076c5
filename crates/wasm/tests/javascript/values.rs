//! Values that cross the wall: exactly, or not at all.

use super::support::{Program, Sandbox, block_on, grant};
use std::sync::Arc;

fn text(sandbox: &Sandbox, expression: &str) -> String {
    sandbox.run(&format!("return {expression}"), &grant()).unwrap()
}

#[test]
fn what_json_holds_stays_what_it_is() {
    let Some(sandbox) = Sandbox::new() else { return };
    for (expression, json) in [
        ("undefined", "null"),
        ("null", "null"),
        ("[true, false]", "[true,false]"),
        (
            "[1, -0, 0.1, 1e21, 5e-324, 9007199254740993n, -(2n ** 70n)]",
            "[1,-0,0.1,1e+21,5e-324,9007199254740993,-1180591620717411303424]",
        ),
        ("'a\\n\"\\u2028😀'", "\"a\\n\\\"\u{2028}😀\""),
        ("({ b: 1, a: { c: undefined, d: [] }, 7: 'x' })", r#"{"7":"x","b":1,"a":{"d":[]}}"#),
        ("new Date(0)", r#""1970-01-01T00:00:00.000Z""#),
        ("new URL('http://x.example/a')", r#""http://x.example/a""#),
        ("new (class P { x = 1; get y() { return 2; } #z = 3 })()", r#"{"x":1}"#),
        ("Object.assign(Object.create(null), { k: 1 })", r#"{"k":1}"#),
        (
            "JSON.parse('{\"__proto__\": 1, \"constructor\": 2}')",
            r#"{"__proto__":1,"constructor":2}"#,
        ),
        ("[new Number(5), new String('s'), new Boolean(false)]", r#"[5,"s",false]"#),
        ("({ toJSON() { return { said: [1] }; } })", r#"{"said":[1]}"#),
    ] {
        assert_eq!(text(&sandbox, expression), json, "{expression}");
    }
}

#[test]
fn what_json_would_change_is_refused_with_its_place() {
    let Some(sandbox) = Sandbox::new() else { return };
    for (expression, message) in [
        ("NaN", "the result is NaN, which JSON has no word for: use null or text"),
        (
            "({ a: [1, -Infinity] })",
            "the result.a[1] is -Infinity, which JSON has no word for: use null or text",
        ),
        ("[undefined]", "the result[0] is undefined, which JSON has no word for: use null"),
        ("[, 1]", "the result[0] is undefined, which JSON has no word for: use null"),
        (
            "({ m: new Map() })",
            "the result.m is a Map, which JSON cannot hold: use Object.fromEntries(value)",
        ),
        ("new Set([1])", "the result is a Set, which JSON cannot hold: use [...value]"),
        (
            "Buffer.from('x')",
            "the result is bytes, which JSON cannot hold: use Buffer.from(value).toString(\"base64\")",
        ),
        (
            "new ArrayBuffer(1)",
            "the result is bytes, which JSON cannot hold: use Buffer.from(value).toString(\"base64\")",
        ),
        ("({ f() {} })", "the result.f is a function, which JSON cannot hold"),
        ("Symbol('x')", "the result is a symbol, which JSON cannot hold"),
        ("/x/", "the result is a RegExp, which JSON cannot hold: use value.source"),
        ("[Promise.resolve(1)]", "the result[0] is a Promise, which JSON cannot hold: await it"),
        ("new TypeError('x')", "the result is a Error, which JSON cannot hold: use String(value)"),
        ("new Date(NaN)", "the result is a date that is no date"),
        (
            "'\\ud800'",
            "the result holds half a surrogate pair, which no text can: use value.toWellFormed()",
        ),
    ] {
        let thrown = sandbox.thrown(&format!("return {expression}"));
        assert_eq!(thrown, ("NotExact".to_owned(), message.to_owned()), "{expression}");
    }
}

#[test]
fn arguments_arrive_exactly() {
    let Some(sandbox) = Sandbox::new() else { return };
    let program = Arc::new(Program::new(
        "const { task } = require('@capsule-run/sdk');\n\
         task({ name: 'main' }, (...given) => [given.length, ...given.map((x) => typeof x + ':' + String(x))]);",
    ));
    let mut guest = sandbox.open(program);
    let given = r#"{"args":[1,"1",null,123456789012345678901234567890,0.1,-0,1e400,[9007199254740993]],"kwargs":{"a":2}}"#;
    let value = block_on(guest.call("main", given, &grant())).unwrap();
    assert_eq!(
        value,
        r#"[9,"number:1","string:1","object:null","bigint:123456789012345678901234567890","number:0.1","number:0","number:Infinity","object:9007199254740993","object:[object Object]"]"#
    );
}
