//! Programs that want too much.

use std::time::Duration;

use capsule_spec::{ByteSize, ErrorCode, Status};

use crate::place::{Place, code, component, run, start};

#[test]
fn memory_is_bounded_as_a_sum() {
    let place = Place::new();
    let grow = "(loop (br_if 0 (i32.ne (i32.const -1) (memory.grow (i32.const 16))))) unreachable";
    let mut command = place.preview1(&start(grow));
    command.limits.memory = ByteSize::from_mib(8);
    let outcome = run(&command);
    assert_eq!((outcome.status, code(&outcome)), (Status::Killed, Some(ErrorCode::MemoryLimit)));
    assert_eq!(outcome.metrics.max_memory, (2 + 7 * 16) << 16);

    let many = "(memory 100) ".repeat(20);
    let empty = "(func (export \"_start\"))";
    let growing_table = "(module (table $t 1 funcref) (func (export \"_start\")
         (if (i32.eq (i32.const -1) (table.grow $t (ref.null func) (i32.const 9000000)))
         (then unreachable))))";
    for (what, text) in [
        ("one that starts too large", format!("(module (memory 200) {empty})")),
        ("many together", format!("(module {many} {empty})")),
        ("a table", format!("(module (table 10000000 funcref) {empty})")),
        ("a growing table", growing_table.to_owned()),
        ("a component", component("(memory 200) (func (export \"run\") (result i32) unreachable)")),
    ] {
        let mut command = place.program(&text);
        command.limits.memory = ByteSize::from_mib(8);
        let outcome = run(&command);
        assert_eq!(code(&outcome), Some(ErrorCode::MemoryLimit), "{what}: {outcome:?}");
    }
}

#[test]
fn a_program_that_gets_no_more_memory_can_go_on() {
    let place = Place::new();
    let body = start("(call $proc_exit (i32.sub (i32.const -1) (memory.grow (i32.const 9000))))");
    let outcome = run(&place.preview1(&body));
    assert_eq!((outcome.status, outcome.exit_code), (Status::Success, Some(0)));
}

#[test]
fn instances_memories_and_tables_are_counted() {
    let place = Place::new();
    let start = "(func (export \"_start\"))";
    for text in [
        format!("(module {} {start})", "(memory 0) ".repeat(100)),
        format!("(module {} {start})", "(memory 0) ".repeat(101)),
    ] {
        // A hundred is also what the validator takes.
        let found = match place.program(&text).run(
            capsule_spec::ExecutionId::random(),
            capsule_backend::Output::Captured,
            None,
            None,
        ) {
            Ok(outcome) => code(&outcome),
            Err(error) => Some(error.failure.code),
        };
        let fits = text.matches("(memory").count() == 100;
        assert_eq!(found, (!fits).then_some(ErrorCode::InvalidModule));
    }
}

#[test]
fn output_is_bounded_and_takes_no_memory() {
    let place = Place::new();
    // 2^31 bytes, in pieces of 64 KiB.
    let mut command = place.preview1(
        "(func (export \"_start\") (local $n i32) (local.set $n (i32.const 32768))
         (loop (call $print (i32.const 0) (i32.const 65536))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))",
    );
    command.limits.timeout = Duration::from_secs(60);
    let outcome = run(&command);
    assert_eq!(
        (outcome.status, outcome.exit_code),
        (Status::Error, Some(0)),
        "{:?}",
        outcome.error
    );
    assert_eq!(code(&outcome), Some(ErrorCode::OutputLimit));
    assert_eq!((outcome.stdout.bytes.len(), outcome.stdout.truncated), (1 << 20, true));
    assert!(!outcome.stderr.truncated);
    eprintln!("2 GiB of output in {:?}", outcome.metrics.wall);
}
