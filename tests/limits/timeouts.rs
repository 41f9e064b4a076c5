//! Time: the deadline ends everything, and what was said until then is kept.

use std::fs;
use std::time::Duration;

use capsule_tests::{Caller, Run, Scratch, own_user};
use serde_json::json;

/// As root and as a stranger, who has no control groups.
const CALLERS: [Caller; 2] = [Caller::Current, Caller::Unprivileged];
/// A hang is minutes; a busy machine is seconds.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn output_and_metrics_of_the_time_until_then_are_kept() {
    for caller in CALLERS {
        let script = "import sys, time\n\
            print('so far'); print('err', file=sys.stderr); sys.stdout.flush()\n\
            while True: sum(range(10000))";
        let request = json!({"command": ["python3", "-c", script], "timeout_ms": 1500});
        let run = Run::json(&request).caller(caller).finish().ended_with(124);
        assert_eq!(run.verdict(), ("timeout".to_owned(), "E3003".to_owned()), "{caller:?}");
        let answer = run.json();
        assert_eq!((&answer["stdout"], &answer["stderr"]), (&json!("so far\n"), &json!("err\n")));
        assert_eq!(answer["exit_code"], json!(null));
        let metric = |name: &str| answer["metrics"][name].as_u64().unwrap();
        // The clock of the deadline starts a little before that of the command.
        assert!(metric("wall_time_ms") >= 1300, "{answer}");
        assert!(metric("cpu_time_ms") >= 100, "{answer}");
        assert!(metric("max_memory_bytes") >= 1 << 20, "{answer}");
        assert!(metric("io_bytes_written") >= 11, "{answer}");
        assert!(run.took < SOON, "{run}");
    }
}

#[test]
fn the_whole_tree_dies() {
    for caller in CALLERS {
        let scratch = Scratch::new();
        let user =
            if caller == Caller::Unprivileged && own_user() == 0 { 65534 } else { own_user() };
        scratch.directory_of("out", user);
        let bind = format!("{}:/out:rw", scratch.at("out"));
        // A child, a child of it, one in a session of its own, one that forked twice, one
        // that ignores what it can, and one that is stopped. Each would write late.
        let script = "
late() { sleep 8; echo late > /out/$1; }
late child &
(late grandchild &) &
setsid sh -c 'sleep 8; echo late > /out/session' &
setsid sh -c '(sleep 8; echo late > /out/orphan) & exit' &
(trap '' TERM INT HUP QUIT; late deaf) &
late stopped & kill -STOP $!
echo started
wait";
        let run = Run::shell(&["-t", "1s", "--bind", &bind], script).caller(caller).finish();
        // The audit has seen no process of the run left; so nobody can write any more.
        let run = run.ended_with(124);
        assert_eq!(run.text(), "started\n", "{caller:?}");
        assert!(run.took < Duration::from_secs(8), "{run}");
        assert_eq!(fs::read_dir(scratch.at("out")).unwrap().count(), 0);
    }
}

#[test]
fn a_grandchild_that_holds_the_pipe_does_not_stretch_the_run() {
    for caller in CALLERS {
        for (script, code) in [
            // The command is over; somebody it left still holds its output.
            ("sleep 60 & echo done", 0),
            ("setsid sleep 60 & echo done; exit 3", 3),
            ("(sleep 60 &) ; (setsid sh -c 'trap \"\" TERM; sleep 60' &) ; echo done", 0),
        ] {
            let run = Run::shell(&["-t", "50s"], script).caller(caller).finish();
            let run = run.ended_with(code);
            assert_eq!(run.text(), "done\n");
            assert!(run.took < SOON, "{caller:?} {script}\n{run}");
        }
        let request = json!({"command": ["sh", "-c", "sleep 60 & echo done"]});
        let run = Run::json(&request).caller(caller).finish().ended_with(0);
        assert_eq!(run.json()["stdout"], "done\n");
        assert!(run.took < SOON, "{run}");
    }
}

#[test]
fn the_deadline_holds_for_a_tree_that_holds_the_pipe() {
    let run = Run::shell(&["-t", "1s"], "(setsid sleep 60 &); sleep 60").finish().ended_with(124);
    assert!(run.took < SOON, "{run}");
}

#[test]
fn a_stopped_command_times_out_too() {
    let run = Run::shell(&["-t", "1s"], "echo x; kill -STOP $$").finish().ended_with(124);
    assert_eq!(run.text(), "x\n");
    assert!(run.took < SOON, "{run}");
}

#[test]
fn a_command_that_ignores_every_signal_times_out_too() {
    let script = "import signal, time\n\
        for number in range(1, 65):\n\
        \x20try: signal.signal(number, signal.SIG_IGN)\n\
        \x20except (OSError, ValueError): pass\n\
        print('deaf', flush=True)\n\
        while True: time.sleep(60)";
    let run = Run::python(&["-t", "2s"], script).finish().ended_with(124);
    assert_eq!(run.text(), "deaf\n");
    assert!(run.took < SOON, "{run}");
}

#[test]
fn a_fork_bomb_times_out_too() {
    for caller in CALLERS {
        let bomb = "b() { b | b & }; b; sleep 60";
        let flags = ["-t", "3s", "--max-pids", "40"];
        let run = Run::shell(&flags, bomb).caller(caller).finish();
        assert_ne!(run.code, Some(0), "{run}");
        assert!(run.took < Duration::from_secs(60), "{run}");
    }
}

#[test]
fn a_flood_of_output_times_out_too() {
    let request = json!({"command": ["sh", "-c", "yes & yes >&2"], "timeout_ms": 1000,
                         "resources": {"max_output_bytes": 4096}});
    let run = Run::json(&request).finish().ended_with(124);
    let answer = run.json();
    assert_eq!(answer["status"], "timeout");
    assert_eq!(answer["stdout"].as_str().unwrap().len(), 4096);
    assert_eq!(answer["stderr"].as_str().unwrap().len(), 4096);
    assert_eq!(
        (&answer["stdout_truncated"], &answer["stderr_truncated"]),
        (&json!(true), &json!(true))
    );
}

#[test]
fn time_starts_with_the_command_and_short_commands_do_not_wait() {
    let run = Run::new(&["-t", "1h", "--", "true"]).finish().ended_with(0);
    assert!(run.took < SOON, "{run}");
}

#[test]
fn the_longest_timeout_is_accepted() {
    Run::new(&["-t", "365d", "--", "true"]).finish().ended_with(0);
}
