//! What a program gets.

use std::time::Duration;

use capsule_spec::{ErrorCode, Fuel, Status};

use crate::place::{BADF, Place, code, exit_with, run, start};

const HELLO: &str = "(call $print (i32.const 1024) (i32.const 6))";

#[test]
fn a_program_prints_and_ends() {
    let place = Place::new();
    let outcome = run(&place.preview1(&start(HELLO)));
    assert_eq!((outcome.status, outcome.exit_code), (Status::Success, Some(0)));
    assert_eq!(outcome.error, None);
    assert_eq!(outcome.stdout.bytes, b"hello\n");
    assert_eq!(outcome.metrics.max_memory, 2 << 16);
}

#[test]
fn fuel_is_the_same_in_every_run() {
    let place = Place::new();
    let command = place.preview1(&start(HELLO));
    let fuel = run(&command).metrics.fuel;
    assert!(fuel.is_some_and(|fuel| (5..1000).contains(&fuel)), "{fuel:?}");
    assert_eq!(run(&command).metrics.fuel, fuel);
}

#[test]
fn exit_codes_are_passed_on() {
    let place = Place::new();
    for (number, status, expected) in [
        (0, Status::Success, Some(0)),
        (1, Status::Error, Some(1)),
        (125, Status::Error, Some(125)),
        (126, Status::Error, Some(126)),
        (255, Status::Error, Some(255)),
        (256, Status::Killed, None),
        (-1, Status::Killed, None),
        (i32::MIN, Status::Killed, None),
    ] {
        let body = format!("(call $proc_exit (i32.const {number}))");
        let outcome = run(&place.preview1(&start(&body)));
        assert_eq!((outcome.status, outcome.exit_code), (status, expected), "{number}");
    }
}

#[test]
fn it_gets_its_arguments_and_no_variable_but_those_given() {
    let place = Place::new();
    let print_all = |what: &str| {
        start(&format!(
            "(drop (call ${what}_sizes_get (i32.const 16) (i32.const 20)))
             (drop (call ${what}_get (i32.const 2048) (i32.const 8192)))
             (call $print (i32.const 8192) (i32.load (i32.const 20)))"
        ))
    };
    let mut command = place.preview1(&print_all("args"));
    command.arguments = vec!["--x".into(), String::new(), "é \n".into()];
    assert_eq!(run(&command).stdout.bytes, "program.wasm\0--x\0\0é \n\0".as_bytes());
    let mut command = place.preview1(&print_all("environ"));
    assert!(std::env::vars_os().count() > 0);
    assert_eq!(run(&command).stdout.bytes, b"");
    command.environment = vec![("A".into(), "1".into())];
    assert_eq!(run(&command).stdout.bytes, b"A=1\0");
}

#[test]
fn nothing_is_there_to_read_or_open() {
    let place = Place::new();
    let read = "(i32.store (i32.const 0) (i32.const 4096)) (i32.store (i32.const 4) (i32.const 10))
         (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
            (then unreachable))
         (call $proc_exit (i32.load (i32.const 8)))";
    assert_eq!(run(&place.preview1(&start(read))).exit_code, Some(0));
    for call in ["fd_prestat_get 3 16", "sock_accept 3 0 16", "fd_read 3 0 0 8"] {
        assert_eq!(run(&place.preview1(&exit_with(call))).exit_code, Some(BADF), "{call}");
    }
}

#[test]
fn crashes_are_told() {
    let place = Place::new();
    let recursion = "(func $f (param i32) (call $f (i32.const 1)) (call $f (i32.const 2)))
          (func (export \"_start\") (call $f (i32.const 0)))";
    for (body, message) in [
        (recursion.to_owned(), "it recursed too deeply"),
        (start("unreachable"), "wasm trap: wasm `unreachable` instruction executed"),
        (start("(drop (i32.load (i32.const -4)))"), "wasm trap: out of bounds memory access"),
        (
            start("(drop (i32.div_s (i32.const 1) (i32.const 0)))"),
            "wasm trap: integer divide by zero",
        ),
        (
            exit_with("random_get -4 9"),
            "Pointer out of bounds: Region { start: 4294967292, len: 9 }",
        ),
    ] {
        let outcome = run(&place.preview1(&body));
        assert_eq!((outcome.status, outcome.exit_code), (Status::Killed, None), "{body}");
        let failure = outcome.error.unwrap();
        let expected = format!("the program was ended by a trap: {message}");
        assert_eq!((failure.code, failure.message), (ErrorCode::Crashed, expected));
    }
}

#[test]
fn fuel_bounds_work() {
    let place = Place::new();
    let mut command = place.preview1(&start("(loop br 0)"));
    command.limits.fuel = Fuel::exactly(50_000_000);
    command.limits.timeout = Duration::from_secs(60);
    let outcome = run(&command);
    assert_eq!((outcome.status, code(&outcome)), (Status::Killed, Some(ErrorCode::FuelExhausted)));
    assert_eq!(outcome.metrics.fuel, Some(50_000_000));
}
