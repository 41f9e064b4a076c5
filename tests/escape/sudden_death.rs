//! SIGKILL to the supervisor, at any moment of its life: nothing stays behind.

use std::fs;
use std::time::Duration;

use capsule_tests::{Caller, Run, Running, Signal, send_signal};

const CALLERS: [Caller; 2] = [Caller::Current, Caller::Unprivileged];

/// What is killed: as many kinds of helpers as there are.
const FLAGS: [&[&str]; 3] = [&[], &["--allow-host", "192.0.2.1"], &["--network"]];

#[test]
fn a_run_under_way_dies_with_it() {
    let script = "setsid sh -c 'sleep 60 & sleep 60' & (sleep 60 &) ; echo ready; sleep 60";
    for caller in CALLERS {
        for flags in FLAGS {
            let run = Run::shell(flags, script).caller(caller).start();
            run.wait_for("ready");
            // The door, if any, is open by now; a moment before is the next test's matter.
            std::thread::sleep(Duration::from_millis(100));
            run.kill_and_audit();
        }
    }
}

/// The first milliseconds, in which processes are made that must each be tied to
/// the supervisor before it is gone.
#[test]
fn a_jail_half_built_dies_with_it() {
    for caller in CALLERS {
        for flags in FLAGS {
            for delay in [0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 25] {
                let run =
                    Run::new(&[flags, &["--", "sleep", "60"]].concat()).caller(caller).start();
                std::thread::sleep(Duration::from_millis(delay));
                run.kill_and_audit();
            }
        }
    }
}

#[test]
fn a_door_half_open_dies_with_it() {
    for caller in CALLERS {
        for _ in 0..8 {
            let flags = ["--allow-host", "192.0.2.1"];
            let run = Run::shell(&flags, "echo ready; sleep 60").caller(caller).start();
            run.wait_for("ready");
            run.kill_and_audit();
        }
    }
}

#[test]
fn a_stopped_jail_dies_with_it() {
    let run = Run::shell(&[], "sleep 60 & kill -STOP $!; echo ready; kill -STOP $$").start();
    run.wait_for("ready");
    run.kill_and_audit();
}

fn descendants(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children: Vec<u32> = text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    let below: Vec<u32> = children.iter().flat_map(|pid| descendants(*pid)).collect();
    [children, below].concat()
}

/// Whoever else held them would keep the caller's reader waiting after a death.
#[test]
fn nobody_else_holds_the_callers_streams() {
    let streams = |pid: u32| -> Vec<_> {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        entries.filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
    };
    let caller_streams = |run: &Running| {
        [1, 2].map(|fd| fs::read_link(format!("/proc/{}/fd/{fd}", run.pid())).unwrap())
    };
    let flags = ["--stdin", "--allow-host", "192.0.2.1"];
    let run = Run::shell(&flags, "echo ready; sleep 60").open_input().start();
    run.wait_for("ready");
    std::thread::sleep(Duration::from_millis(200));
    let found = descendants(run.pid());
    assert!(found.len() >= 4, "PID 1, the door, the shell and its child: {found:?}");
    for pid in found {
        let held = streams(pid);
        for stream in caller_streams(&run) {
            assert!(!held.contains(&stream), "{pid} holds {}", stream.display());
        }
    }
    run.kill_and_audit();
}

/// Without its door a run does not have what it was given, so it is no success; nor
/// does the supervisor spin on a door that says nothing more.
#[test]
fn a_door_that_dies_is_reported() {
    for caller in CALLERS {
        let script = "echo ready; sleep 2";
        let run = Run::shell(&["--allow-host", "192.0.2.1"], script).caller(caller).start();
        run.wait_for("ready");
        send_signal(door_of(run.pid()), Signal::Kill);
        let end = run.finish().ended_with(1);
        assert!(end.errors().contains("error[E2006]"), "{end}");
    }
}

/// The supervisor's child that has no process namespace of its own.
fn door_of(supervisor: u32) -> u32 {
    let children = format!("/proc/{supervisor}/task/{supervisor}/children");
    let children = fs::read_to_string(children).expect("the supervisor lives");
    let is_door = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let names = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        names.is_some_and(|names| names.split_whitespace().count() == 1)
    };
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    children.into_iter().find(is_door).expect("there is a door")
}
