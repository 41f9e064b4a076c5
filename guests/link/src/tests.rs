//! Components in text form, linked and looked at.

use wasmparser::{Operator, Parser, Payload, Validator};

use crate::component::link;

/// As a dynamic linker lays it out: a module with the memory, two libraries that
/// call each other through it, and one that fills in what the host makes.
const LIBRARIES: &str = r#"
(component
  (import "log" (func $log (param "text" string)))
  (import "tick" (func $tick))
  (core module $shim
    (table (export "host") 1 funcref)
    (type $log (func (param i32 i32)))
    (func (export "log") (param i32 i32)
      (call_indirect (type $log) (local.get 0) (local.get 1) (i32.const 0))))
  (core module $env
    (memory (export "memory") 1)
    (table (export "table") 8 funcref)
    (global (export "base") i32 (i32.const 3))
    (global (export "stack") (mut i32) (i32.const 1024))
    (global (export "got") (mut i32) (i32.const 77))
    (data (i32.const 16) "hello"))
  (core module $first
    (import "env" "memory" (memory 1))
    (import "env" "table" (table 1 funcref))
    (import "env" "base" (global $base i32))
    (import "env" "stack" (global $stack (mut i32)))
    (import "GOT" "got" (global $got (mut i32)))
    (import "host" "log" (func $log (param i32 i32)))
    (import "host" "tick" (func $tick))
    (func $push (export "push") (result i32)
      (global.set $stack (i32.sub (global.get $stack) (i32.const 16)))
      (i32.add (global.get $got) (global.get $base)))
    (func $say (call $tick) (call $log (i32.const 16) (i32.const 5)))
    (func $nobody (export "nobody") (result i32) (i32.const 99))
    (elem (global.get $base) func $say))
  (core module $second
    (import "first" "push" (func $push (result i32)))
    (import "env" "table" (table 1 funcref))
    (type $say (func))
    (func (export "run") (result i32)
      (call_indirect (type $say) (i32.const 3))
      (call $push)))
  (core module $fill
    (import "" "host" (table 1 funcref))
    (import "" "log" (func $log (param i32 i32)))
    (elem (i32.const 0) func $log))
  (core instance $shim (instantiate $shim))
  (core instance $env (instantiate $env))
  (core func $tick (canon lower (func $tick)))
  (core instance $first (instantiate $first
    (with "env" (instance $env))
    (with "GOT" (instance $env))
    (with "host" (instance (export "log" (func $shim "log")) (export "tick" (func $tick))))))
  (core instance $second (instantiate $second
    (with "first" (instance $first)) (with "env" (instance $env))))
  (core func $log (canon lower (func $log) (memory (core memory $env "memory"))))
  (core instance (instantiate $fill
    (with "" (instance (export "host" (table $shim "host")) (export "log" (func $log))))))
  (func (export "run") (result u32) (canon lift (core func $second "run"))))
"#;

struct Seen {
    modules: usize,
    functions: u32,
    globals: u32,
    gets: usize,
    elements: Vec<i32>,
}

fn look(component: &[u8]) -> Seen {
    let mut seen = Seen { modules: 0, functions: 0, globals: 0, gets: 0, elements: Vec::new() };
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } => seen.modules += 1,
            Payload::FunctionSection(section) => seen.functions += section.count(),
            Payload::GlobalSection(section) => seen.globals += section.count(),
            Payload::CodeSectionEntry(body) => {
                let operators = body.get_operators_reader().unwrap();
                let is_get =
                    |operator: &Operator<'_>| matches!(operator, Operator::GlobalGet { .. });
                seen.gets += operators.into_iter().map(Result::unwrap).filter(is_get).count();
            }
            Payload::ElementSection(section) => {
                for element in section {
                    if let wasmparser::ElementKind::Active { offset_expr, .. } =
                        element.unwrap().kind
                        && let Operator::I32Const { value } =
                            offset_expr.get_operators_reader().read().unwrap()
                    {
                        seen.elements.push(value);
                    }
                }
            }
            _ => {}
        }
    }
    seen
}

#[test]
fn libraries_become_one_module() {
    let linked = link(&wat::parse_str(LIBRARIES).unwrap()).unwrap();
    Validator::new().validate_all(&linked).unwrap();
    let seen = look(&linked);
    // What fills in the host's functions needs the memory first.
    assert_eq!(seen.modules, 2);
    // log of the shim, push, say, run; nobody calls `nobody`.
    assert_eq!(seen.functions, 4);
    // The stack pointer changes; the others are numbers in the code now.
    assert_eq!((seen.globals, seen.gets), (1, 1));
    assert_eq!(seen.elements, [3, 0]);
}

#[test]
fn it_can_be_linked_again() {
    let once = link(&wat::parse_str(LIBRARIES).unwrap()).unwrap();
    let twice = link(&once).unwrap();
    Validator::new().validate_all(&twice).unwrap();
    assert_eq!(look(&twice).modules, 2);
}

#[test]
fn what_is_not_understood_is_refused() {
    for (text, why) in [
        ("(module)", "not a component"),
        ("(component (core module $m (func) (start 0)) (core instance (instantiate $m)))", "start"),
        (
            "(component (core module $m) (core instance (instantiate $m)) \
             (core instance (instantiate $m)))",
            "twice",
        ),
    ] {
        let error = link(&wat::parse_str(text).unwrap()).unwrap_err();
        assert!(format!("{error:#}").contains(why), "{text}: {error:#}");
    }
    let whole = wat::parse_str(LIBRARIES).unwrap();
    // Cut between two sections it may still be one; nowhere does it panic.
    let cut = (0..whole.len()).filter(|length| link(&whole[..*length]).is_err()).count();
    assert!(cut > whole.len() / 2);
}
