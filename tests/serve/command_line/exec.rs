//! A command inside, as if it ran here.

use std::time::{Duration, Instant};

use capsule_tests::Signal;
use serde_json::json;

use super::{capsule, created};
use crate::server::Serve;
use crate::suite::exec::until;

/// How many processes run in a sandbox beside its PID 1.
fn running(serve: &Serve, id: &str) -> u64 {
    let sandbox = serve.call("sandbox.v1.get", json!({ "id": id })).unwrap();
    sandbox["processes"].as_u64().unwrap()
}

/// Whether a process with this in its command line runs inside.
fn runs(serve: &Serve, id: &str, what: &str) -> bool {
    // Processes come and go while their list is read.
    let script = format!(
        "for p in /proc/[0-9]*; do {{ tr '\\0' ' ' <$p/cmdline; echo; }} 2>/dev/null; done | \
         grep -c '^{what} $' || true"
    );
    serve.shell(id, &script).trim() != "0"
}

#[test]
fn streams_and_the_exit_code_are_the_commands() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let script = "cat; echo error >&2; printf '\\000\\377\\033[1m'; exit 7";
    let run = capsule(&serve, &["sandbox", "exec", &id, "--", "sh", "-c", script]);
    let ended = run.input("typed\n").finish().ended_with(7);
    // Byte for byte: it is the command that writes here.
    assert_eq!(ended.stdout, b"typed\n\0\xff\x1b[1m");
    assert_eq!(ended.errors(), "error\n");
    // Options of the command are the command's.
    let run = capsule(&serve, &["sandbox", "exec", &id, "ls", "--all", "-d", "/workspace"]);
    assert_eq!(run.finish().ended_with(0).text(), "/workspace\n");
    let options = ["-w", "/tmp", "-e", "A=1", "-e", "B=2"];
    let all =
        [&["sandbox", "exec"][..], &options, &[&id, "--", "sh", "-c", "pwd; echo $A$B"]].concat();
    assert_eq!(capsule(&serve, &all).finish().ended_with(0).text(), "/tmp\n12\n");
}

#[test]
fn output_comes_as_it_is_written() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let script = "echo first; read line; echo got $line";
    let run = capsule(&serve, &["sandbox", "exec", &id, "--", "sh", "-c", script]);
    let mut running = run.open_input().start();
    running.wait_for("first\n");
    running.write(b"second\n");
    running.wait_for("got second\n");
    running.close_input();
    running.finish().ended_with(0);
}

#[test]
fn much_goes_through_both_ways_at_once() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let run = capsule(&serve, &["sandbox", "exec", &id, "--", "cat"]).input(bytes.clone());
    let ended = run.finish().ended_with(0);
    assert!(ended.stdout == bytes, "{} bytes came back", ended.stdout.len());
}

#[test]
fn a_timeout_says_so() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let timeout = ["sandbox", "exec", "--timeout", "300ms", &id, "--"];
    let sleep = [&timeout[..], &["sh", "-c", "echo begun; sleep 60"]].concat();
    let ended = capsule(&serve, &sleep).finish().ended_with(124);
    assert_eq!(ended.text(), "begun\n");
    assert_eq!(ended.error_code().as_deref(), Some("E3003"), "{ended}");
}

#[test]
fn a_command_that_is_not_there_is_not_run() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let missing = capsule(&serve, &["sandbox", "exec", &id, "--", "no-such-command"]).finish();
    let missing = missing.ended_with(125);
    assert_eq!(missing.error_code().as_deref(), Some("E3001"), "{missing}");
    let missing = capsule(&serve, &["sandbox", "exec", "nobody", "--", "true"]).finish();
    assert_eq!(missing.ended_with(125).error_code().as_deref(), Some("E1015"));
}

/// Ctrl-C reaches the command and all that it started; who catches it goes on until the next.
#[test]
fn signals_are_passed_on() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let exec = |script: &str| {
        let run = capsule(&serve, &["sandbox", "exec", &id, "--", "sh", "-c", script]);
        let running = run.open_input().start();
        running.wait_for("ready\n");
        running
    };
    let running = exec("echo ready; (sleep 4001; true)");
    running.signal(Signal::Interrupt);
    running.finish().ended_with(130);
    until(|| !runs(&serve, &id, "sleep 4001"));
    let running = exec("trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.1; done");
    running.signal(Signal::Terminate);
    let ended = running.finish().ended_with(9);
    assert_eq!(ended.text(), "ready\ncaught\n");
    let running = exec("trap '' INT; echo ready; while :; do sleep 0.1; done");
    running.signal(Signal::Interrupt);
    std::thread::sleep(Duration::from_millis(500));
    running.signal(Signal::Interrupt);
    running.finish().ended_with(130);
    until(|| running_none(&serve, &id));
}

fn running_none(serve: &Serve, id: &str) -> bool {
    running(serve, id) == 0
}

/// However this side ends, nothing goes on inside.
#[test]
fn a_command_whose_caller_is_killed_ends() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let script = "echo ready; exec sleep 4002";
    let run = capsule(&serve, &["sandbox", "exec", &id, "--", "sh", "-c", script]);
    let running = run.open_input().start();
    running.wait_for("ready\n");
    assert!(runs(&serve, &id, "sleep 4002"));
    running.signal(Signal::Kill);
    running.finish_unaudited();
    until(|| !runs(&serve, &id, "sleep 4002"));
}

/// A command that reads nothing, with an input that never ends, can still be told to stop.
#[test]
fn input_that_nobody_reads_is_in_no_signals_way() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let script = "echo ready; exec sleep 4003";
    let run = capsule(&serve, &["sandbox", "exec", &id, "--", "sh", "-c", script]);
    let running = run.input(vec![b'x'; 8 << 20]).start();
    running.wait_for("ready\n");
    let began = Instant::now();
    running.signal(Signal::Interrupt);
    running.finish().ended_with(130);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    until(|| !runs(&serve, &id, "sleep 4003"));
}

/// `exec … | head -1` ends.
#[test]
fn a_reader_that_has_enough_ends_the_command() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let (reader, writer) = std::io::pipe().unwrap();
    let run = capsule(&serve, &["sandbox", "exec", &id, "--", "yes"]).stdout(writer);
    let running = run.open_input().start();
    let mut piece = [0; 4];
    std::io::Read::read_exact(&mut &reader, &mut piece).unwrap();
    drop(reader);
    assert_eq!((running.finish().ended_with(141).code, &piece), (Some(141), b"y\ny\n"));
    until(|| !runs(&serve, &id, "yes"));
}

#[test]
fn a_sandbox_that_ends_and_a_server_that_goes_are_told_of() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let start = |serve: &Serve| {
        let sleep = ["sandbox", "exec", &id, "--", "sh", "-c", "echo ready; sleep 4004"];
        let running = capsule(serve, &sleep).open_input().start();
        running.wait_for("ready\n");
        running
    };
    let running = start(&serve);
    serve.delete(&id);
    // Its process is killed with it; which of the two is heard of first is chance.
    let ended = running.finish();
    let is_told = (ended.code, ended.error_code().as_deref()) == (Some(125), Some("E3014"));
    assert!(is_told || ended.code == Some(137), "{ended}");
    let id = created(&serve);
    let sleep = ["sandbox", "exec", &id, "--", "sh", "-c", "echo ready; sleep 4005"];
    let running = capsule(&serve, &sleep).open_input().start();
    running.wait_for("ready\n");
    let (data, folder) = serve.kill();
    let ended = running.finish().ended_with(125);
    assert_eq!(ended.error_code().as_deref(), Some("E2011"), "{ended}");
    // The next server ends what nobody waits for any more.
    let serve = Serve::again(&data, &[]);
    until(|| running_none(&serve, &id));
    drop((serve, folder));
}

#[test]
fn json_has_all_of_it_in_one_answer() {
    let serve = Serve::start(&[]);
    let id = created(&serve);
    let run =
        capsule(&serve, &["sandbox", "exec", "--json", &id, "--", "sh", "-c", "echo out; exit 3"]);
    let ended = run.finish().ended_with(3);
    assert_eq!((&ended.json()["stdout"], &ended.json()["exit_code"]), (&json!("out\n"), &json!(3)));
}
