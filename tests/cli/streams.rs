//! Without `--json`: the command's streams pass through as they come, its exit
//! code is ours, and our own words go to standard error.

use std::fs::File;
use std::time::{Duration, Instant};

use capsule_tests::{Run, Scratch, Signal};

#[test]
fn every_exit_code_of_the_command_is_ours() {
    for code in [0, 1, 2, 3, 42, 124, 125, 126, 127, 128, 137, 200, 254, 255] {
        let run = Run::shell(&[], &format!("exit {code}")).finish().ended_with(code);
        assert_eq!((run.text(), run.errors()), ("", ""), "{code}");
    }
}

#[test]
fn a_signal_is_128_and_its_number() {
    for (name, code) in [("KILL", 137), ("TERM", 143), ("SEGV", 139), ("ABRT", 134), ("USR1", 138)]
    {
        let run = Run::shell(&[], &format!("echo before; kill -{name} $$")).finish();
        let run = run.ended_with(code);
        assert_eq!(run.text(), "before\n");
        assert_eq!(run.error_code().as_deref(), Some("E3004"), "{name}");
    }
}

#[test]
fn output_arrives_while_the_command_runs() {
    let mut run = Run::shell(&[], "echo second >&2; echo first; sleep 30; echo never").start();
    run.wait_for("first\n");
    assert!(run.is_running());
    run.signal(Signal::Terminate);
    let run = run.finish();
    assert_eq!(run.text(), "first\n");
    assert!(run.errors().starts_with("second\n"), "{run}");
    assert!(run.took < Duration::from_secs(25), "{run}");
}

#[test]
fn a_conversation_goes_both_ways() {
    let mut run = Run::new(&["--stdin", "--", "sed", "-u", "s/^/got /"]).open_input().start();
    for word in ["one", "two"] {
        run.write(format!("{word}\n").as_bytes());
        run.wait_for(&format!("got {word}\n"));
    }
    run.close_input();
    assert_eq!(run.finish().ended_with(0).text(), "got one\ngot two\n");
}

#[test]
fn the_two_streams_stay_apart() {
    let run = Run::shell(&[], "echo out; echo err >&2").finish().ended_with(0);
    assert_eq!((run.text(), run.errors()), ("out\n", "err\n"));
}

#[test]
fn bytes_are_not_changed() {
    let run = Run::python(&[], "import sys; sys.stdout.buffer.write(bytes(range(256)) * 1000)");
    let expected: Vec<u8> = (0..256_000u32).map(|place| (place % 256) as u8).collect();
    assert!(run.finish().ended_with(0).stdout == expected, "the bytes changed on the way");
}

#[test]
fn output_to_a_file_is_whole() {
    let scratch = Scratch::new();
    let file = File::create(scratch.path().join("out")).unwrap();
    let run = Run::shell(&[], "head -c 700000 /dev/zero").stdout(file).finish();
    run.ended_with(0);
    assert_eq!(std::fs::metadata(scratch.at("out")).unwrap().len(), 700_000);
}

#[test]
fn a_file_that_is_appended_to_keeps_what_it_held() {
    let scratch = Scratch::new();
    let path = scratch.file("log", "old\n");
    let file = File::options().append(true).open(path).unwrap();
    Run::new(&["--", "echo", "new"]).stdout(file).finish().ended_with(0);
    assert_eq!(scratch.read("log"), "old\nnew\n");
}

#[test]
fn errors_have_a_code_and_a_hint_on_stderr() {
    let run = Run::new(&["--", "no-such-command"]).finish().ended_with(1);
    assert_eq!(run.text(), "");
    let mut lines = run.errors().lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("error[E3001]: there is no command \"no-such-command\""), "{run}");
    assert!(lines.next().unwrap().starts_with("hint: "), "{run}");
    assert_eq!(lines.next(), None, "{run}");
}

#[test]
fn a_command_that_fails_speaks_for_itself() {
    let run = Run::shell(&[], "echo mine >&2; exit 5").finish().ended_with(5);
    assert_eq!(run.errors(), "mine\n");
}

#[test]
fn a_script_of_the_current_folder_gets_a_hint() {
    let scratch = Scratch::new();
    scratch.file("script.sh", "echo hello\n");
    let run = Run::new(&["--", "sh", "script.sh"]).directory(scratch.path()).finish();
    assert_ne!(run.code, Some(0));
    let hint = "hint: script.sh is in the current folder, which the jail does not see";
    assert!(run.errors().contains(hint), "{run}");
}

#[test]
fn timeout_and_memory_have_their_exit_codes() {
    let timeout = Run::shell(&["-t", "300ms"], "echo so far; sleep 60").finish().ended_with(124);
    assert_eq!(timeout.text(), "so far\n");
    assert_eq!(timeout.error_code().as_deref(), Some("E3003"));
    let script = "import time; time.sleep(0.2); x = bytearray(200 << 20); time.sleep(5)";
    let memory = Run::python(&["-m", "48M"], script).finish().ended_with(137);
    assert_eq!(memory.error_code().as_deref(), Some("E4001"));
}

#[test]
fn a_reader_that_stops_reading_does_not_stop_the_clock() {
    // A pipe that nobody empties: the command blocks, the timeout does not.
    let (reader, writer) = std::io::pipe().unwrap();
    let run = Run::shell(&["-t", "1s"], "yes").stdout(writer).start();
    let started = Instant::now();
    let run = run.finish().ended_with(124);
    assert!(started.elapsed() < Duration::from_secs(20), "{run}");
    drop(reader);
}

#[test]
fn a_reader_that_goes_away_ends_the_run() {
    let (reader, writer) = std::io::pipe().unwrap();
    let run = Run::shell(&["-t", "60s"], "while :; do echo x; done").stdout(writer).start();
    std::thread::sleep(Duration::from_millis(100));
    drop(reader);
    let run = run.finish();
    // Silent, as every program at the head of a pipeline.
    assert_eq!((run.code, run.errors()), (Some(1), ""), "{run}");
    assert!(run.took < Duration::from_secs(30), "{run}");
}

#[test]
fn closed_streams_of_the_caller_do_no_harm() {
    // The jail's own descriptors must not land on 0, 1 and 2.
    let closing = ["sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"];
    Run::shell(&[], "echo x; echo y >&2; exit 6").through(&closing).finish().ended_with(6);
    let only_input = ["sh", "-c", "exec \"$@\" <&-", "sh"];
    let run = Run::shell(&[], "echo out; echo err >&2; cat; exit 6").through(&only_input).finish();
    let run = run.ended_with(6);
    assert_eq!((run.text(), run.errors()), ("out\n", "err\n"));
}
