//! Files that are no programs, and programs that are not what they should be.

use std::fs;
use std::time::{Duration, Instant};

use capsule_backend::Output;
use capsule_spec::{ErrorCode, ExecutionId, Status};
use capsule_wasm::Command;
use proptest::prelude::*;

use crate::place::{Place, code, component, module, refused, run, start};

#[test]
fn files_that_are_no_programs_are_refused() {
    let place = Place::new();
    let message = |command: &Command| {
        let failure = refused(command).failure;
        assert_eq!(failure.code, ErrorCode::InvalidModule);
        failure.message
    };
    assert!(message(&place.file(b"(module)")).ends_with("is WebAssembly in its text form"));
    assert!(message(&place.file(b"\x7fELF")).ends_with("is machine code, not WebAssembly"));
    assert!(message(&place.file(b"")).ends_with("is not WebAssembly"));
    assert!(message(&Command::new("/dev/zero")).ends_with("/dev/zero is not a file"));
    assert!(message(&Command::new(place.path(""))).ends_with("is not a file"));
    assert!(message(&Command::new(place.pipe("pipe"))).ends_with("is not a file"));
    let huge = place.path("huge.wasm");
    fs::File::create(&huge).unwrap().set_len((64 << 20) + 1).unwrap();
    assert!(message(&Command::new(huge)).ends_with("is larger than 64 MiB"));
    let missing = refused(&Command::new(place.path("missing"))).failure;
    assert_eq!(missing.code, ErrorCode::ProgramNotFound);
}

#[test]
fn programs_that_want_what_there_is_not_are_refused() {
    let place = Place::new();
    let empty = "(func (export \"_start\"))";
    let import = |what: &str| format!("(module (import {what}) {empty})");
    let long = format!("\"{}\" \"f\" (func)", "x".repeat(5000));
    let no_start = "it exports no function _start, so it is not a command";
    for (text, expected) in [
        ("(module)".to_owned(), no_start),
        ("(module (func (export \"_initialize\")))".to_owned(), no_start),
        ("(module (global (export \"_start\") i32 (i32.const 0)))".to_owned(), no_start),
        ("(module (func (export \"_start\") (param i32)))".to_owned(), "expected 0 types, found 1"),
        (import("\"env\" \"f\" (func)"), "it imports env.f, which WASI preview 1 does not have"),
        (import("\"env\" \"memory\" (memory 1)"), "it imports env.memory, which"),
        (import("\"wasi_snapshot_preview1\" \"fd_write\" (func)"), "incompatible"),
        (import(&long), "it imports xxxxxxxxxx"),
        ("(component)".to_owned(), "it does not export wasi:cli/run of preview 2"),
        (
            "(component (import \"f\" (func)))".to_owned(),
            "component imports function `f`, but a matching implementation was not found",
        ),
    ] {
        let outcome = run(&place.program(&text));
        let told = (outcome.status, code(&outcome));
        let failure = outcome.error.unwrap();
        assert_eq!(told, (Status::Error, Some(ErrorCode::InvalidModule)), "{failure}");
        let message = failure.message;
        assert!(message.contains(expected) && message.len() < 400, "{message}");
    }
}

/// Runs it with a bound on the time for compiling; how long it took, in all.
fn compiled_within(mut command: Command, patience: Duration) -> (Option<ErrorCode>, Duration) {
    command.limits.compile_timeout = patience;
    command.limits.timeout = Duration::from_secs(2);
    let begun = Instant::now();
    let found = match command.run(ExecutionId::random(), Output::Captured, None, None) {
        Ok(outcome) => code(&outcome),
        Err(error) => Some(error.failure.code),
    };
    (found, begun.elapsed())
}

#[test]
fn a_program_that_is_slow_to_compile_is_given_up() {
    let place = Place::new();
    let body = "(drop (i32.mul (local.get 0) (i32.add (local.get 0) (i32.const 7))))".repeat(20);
    let functions = format!("(func (param i32) {body})").repeat(20_000);
    let command = place.program(&format!("(module {functions} (func (export \"_start\")))"));
    let (code, took) = compiled_within(command, Duration::from_millis(150));
    assert_eq!(code, Some(ErrorCode::TimedOut));
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[test]
fn one_enormous_function_is_given_up_or_compiled() {
    let place = Place::new();
    // Nested blocks, and every variable alive all the time.
    let locals = "(local i64)".repeat(40_000);
    let code = "(local.set 7 (i64.add (local.get 9) (local.get 39999))) (br_if 0 (i32.const 1)) "
        .repeat(20_000);
    let text = format!("(module (func (export \"_start\") {locals} (block {code})))");
    let (found, took) = compiled_within(place.program(&text), Duration::from_secs(2));
    assert!(
        matches!(found, None | Some(ErrorCode::TimedOut | ErrorCode::MemoryLimit)),
        "{found:?}"
    );
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[test]
fn a_million_imports_are_dealt_with() {
    let place = Place::new();
    let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0".to_vec();
    let mut section = leb(1_000_000);
    for _ in 0..1_000_000 {
        section.extend_from_slice(b"\x16wasi_snapshot_preview1\x0bsched_yield\0\0");
    }
    bytes.push(2);
    bytes.extend(leb(section.len()));
    bytes.extend(section);
    let (found, took) = compiled_within(place.file(&bytes), Duration::from_secs(20));
    assert_eq!(found, Some(ErrorCode::InvalidModule));
    assert!(took < Duration::from_secs(25), "{took:?}");
    eprintln!("a million imports: {took:?}");
}

#[test]
fn a_hundred_thousand_functions_are_dealt_with() {
    let place = Place::new();
    let functions = "(func)".repeat(100_000);
    let command = place.program(&format!("(module {functions} (func (export \"_start\")))"));
    let (found, took) = compiled_within(command, Duration::from_secs(4));
    assert!(matches!(found, None | Some(ErrorCode::TimedOut)), "{found:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    eprintln!("a hundred thousand functions: {took:?}");
}

fn leb(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        out.push(if value == 0 { byte } else { byte | 0x80 });
        if value == 0 {
            return out;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        is_component: bool,
    ) {
        let place = Place::new();
        let text = match is_component {
            true => component("(func (export \"run\") (result i32) (i32.const 0))"),
            false => module(&start("(call $print (i32.const 1024) (i32.const 6))")),
        };
        let mut bytes = wat::parse_str(&text).unwrap();
        for (index, byte) in changes {
            let at = 8 + index.index(bytes.len() - 8);
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(8 + cut.index(bytes.len() - 8));
        }
        let mut command = place.file(&bytes);
        command.limits.timeout = Duration::from_millis(300);
        match command.run(ExecutionId::random(), Output::Captured, None, None) {
            Ok(outcome) => prop_assert_ne!(code(&outcome), Some(ErrorCode::SystemFailure)),
            Err(error) => {
                prop_assert_eq!(error.failure.code, ErrorCode::InvalidModule);
                prop_assert_ne!(error.internal, "the compiler panicked");
            }
        }
    }
}
