//! Programs that do not end by themselves.

use std::time::{Duration, Instant};

use capsule_spec::{Access, ErrorCode, Outcome, Status};
use capsule_wasm::Command;

use crate::place::{Place, READ, code, component, opening, run, start};

/// Runs it for 100 ms, and demands that it ends then.
#[track_caller]
fn times_out(name: &str, mut command: Command) -> Outcome {
    command.limits.timeout = Duration::from_millis(100);
    let begun = Instant::now();
    let outcome = run(&command);
    let told = (outcome.status, code(&outcome));
    assert_eq!(told, (Status::Timeout, Some(ErrorCode::TimedOut)), "{name}: {outcome:?}");
    let over = outcome.metrics.wall.saturating_sub(command.limits.timeout);
    eprintln!("{name}: over by {over:?}, {:?} in all", begun.elapsed());
    // 20 ms, on a machine with nothing else to do.
    assert!(over < Duration::from_millis(150), "{name}: over by {over:?}");
    outcome
}

#[test]
fn loops_end_at_the_deadline() {
    let place = Place::new();
    let grown = "(drop (memory.grow (i32.const 3000)))";
    for (name, body) in [
        ("an empty loop", start("(loop br 0)")),
        (
            "calls",
            "(func $f (result i32) (i32.const 1))
             (func (export \"_start\") (loop (br_if 0 (call $f))))"
                .to_owned(),
        ),
        (
            "the start function",
            "(func $s (loop br 0)) (start $s) (func (export \"_start\"))".to_owned(),
        ),
        (
            "a table",
            "(table $t 1000000 funcref) (func (export \"_start\")
             (loop (table.fill $t (i32.const 0) (ref.null func) (i32.const 1000000)) br 0))"
                .to_owned(),
        ),
        (
            "filling memory",
            start(&format!(
                "{grown} (loop (memory.fill (i32.const 0) (i32.const 7) (i32.const 190000000)) br 0)"
            )),
        ),
        (
            "copying memory",
            start(&format!(
                "{grown} (loop (memory.copy (i32.const 0) (i32.const 90000000) (i32.const 90000000)) br 0)"
            )),
        ),
        ("growing in vain", start("(loop (drop (memory.grow (i32.const 60000))) br 0)")),
        (
            "random bytes",
            start(&format!(
                "{grown} (loop (drop (call $random_get (i32.const 0) (i32.const 4194304))) br 0)"
            )),
        ),
        (
            "the clock",
            start(
                "(loop (drop (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 16))) br 0)",
            ),
        ),
        ("output", start("(loop (call $print (i32.const 0) (i32.const 65536)) br 0)")),
        (
            "much output",
            start(&format!(
                "{grown} (loop (call $print (i32.const 0) (i32.const 130000000)) br 0)"
            )),
        ),
        (
            "a bad descriptor",
            start("(loop (drop (call $fd_prestat_get (i32.const 9) (i32.const 16))) br 0)"),
        ),
        (
            "many subscriptions",
            start(&format!(
                "{grown} (loop (drop (call $poll_oneoff (i32.const 8) (i32.const 64000000) (i32.const 1000000) (i32.const 0))) br 0)"
            )),
        ),
    ] {
        times_out(name, place.preview1(&body));
    }
    for (name, definitions) in [
        ("a component", "(func (export \"run\") (result i32) (loop br 0) unreachable)"),
        (
            "a component that starts",
            "(func $s (loop br 0)) (start $s) (func (export \"run\") (result i32) unreachable)",
        ),
    ] {
        times_out(name, place.program(&component(definitions)));
    }
}

#[test]
fn files_in_a_loop_end_at_the_deadline() {
    let place = Place::new();
    let data = place.mount("data", "/", Access::ReadWrite);
    for number in 0..2000 {
        std::fs::write(place.path(&format!("data/{number}")), "x").unwrap();
    }
    let grown = "(drop (memory.grow (i32.const 1000)))";
    for (name, body) in [
        (
            "listing a folder",
            start("(loop (drop (call $fd_readdir (i32.const 3) (i32.const 4096) (i32.const 4096) (i64.const 0) (i32.const 16))) br 0)"),
        ),
        (
            "opening without closing",
            start("(i32.store8 (i32.const 4096) (i32.const 49)) (loop (drop (call $path_open (i32.const 3) (i32.const 1) (i32.const 4096) (i32.const 1)
             (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 16))) br 0)"),
        ),
        (
            "a path of 60 MB",
            start(&format!("{grown} (memory.fill (i32.const 4096) (i32.const 47) (i32.const 60000000))
             (loop (drop (call $path_unlink_file (i32.const 3) (i32.const 4096) (i32.const 60000000))) br 0)")),
        ),
        (
            "a path of many steps",
            start(&format!("{grown} (memory.fill (i32.const 4096) (i32.const 46) (i32.const 60000000))
             (loop (i32.store8 (i32.add (i32.const 4097) (local.get 0)) (i32.const 47))
               (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 2))) (i32.const 59999990))))
             (loop (drop (call $path_unlink_file (i32.const 3) (i32.const 4096) (i32.const 60000000))) br 0)")
                .replacen("(drop", "(local i32) (drop", 1)),
        ),
    ] {
        let mut command = place.preview1(&body);
        command.mounts = vec![data.clone()];
        times_out(name, command);
    }
}

#[test]
fn waiting_ends_at_the_deadline() {
    let place = Place::new();
    // One subscription, to a clock: an hour from now.
    let sleep = "(i32.store (i32.const 272) (i32.const 1))
         (i64.store (i32.const 280) (i64.const 3600000000000))
         (drop (call $poll_oneoff (i32.const 256) (i32.const 512) (i32.const 1) (i32.const 128)))";
    let outcome = times_out("sleeping", place.preview1(&start(sleep)));
    // On a busy machine nobody is left to tell the fuel.
    let slept = outcome.metrics.fuel.is_none_or(|fuel| fuel < 1000);
    assert!(slept, "it did not sleep: {outcome:?}");

    // Opening a pipe that nobody writes to.
    let mut command = place.preview1(&opening("pipe", 0, READ));
    command.mounts = vec![place.mount("data", "/", Access::ReadOnly)];
    place.pipe("data/pipe");
    times_out("a pipe", command);
}
