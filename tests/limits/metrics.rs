//! Metrics are measured: each is held against work of known size.

use capsule_tests::{Caller, Run};
use serde_json::{Value, json};

const CALLERS: [Caller; 2] = [Caller::Current, Caller::Unprivileged];

fn run(command: &[&str], caller: Caller) -> Value {
    let request = json!({"command": command, "timeout_ms": 60_000});
    Run::json(&request).caller(caller).finish().ended_with(0).json()
}

fn metric(answer: &Value, name: &str) -> u64 {
    answer["metrics"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {answer}"))
}

/// Within a tenth, and `slack` for what the interpreter and the clock do.
#[track_caller]
fn assert_near(reported: u64, known: u64, slack: u64, answer: &Value) {
    let reach = known / 10 + slack;
    assert!(
        (known.saturating_sub(reach)..=known + reach).contains(&reported),
        "{reported} reported, {known} known: {answer}"
    );
}

#[test]
fn processor_time_is_that_of_the_command() {
    // Asks its own clock, which the machine's load does not change.
    let script = "import resource, time\n\
        while time.process_time() < 0.6: pass\n\
        u = resource.getrusage(resource.RUSAGE_SELF)\n\
        print(round((u.ru_utime + u.ru_stime) * 1000))";
    for caller in CALLERS {
        let answer = run(&["python3", "-c", script], caller);
        let known: u64 = answer["stdout"].as_str().unwrap().trim().parse().unwrap();
        assert!(known >= 600);
        assert_near(metric(&answer, "cpu_time_ms"), known, 60, &answer);
    }
}

#[test]
fn processor_time_of_children_counts() {
    // Waited for, orphaned and killed ones: none may be lost.
    let script = "import os, signal, time\n\
        def spin():\n\
        \x20   while time.process_time() < 0.3: pass\n\
        if os.fork() == 0: spin(); os._exit(0)\n\
        os.wait()\n\
        if os.fork() == 0:\n\
        \x20   if os.fork() == 0: spin()\n\
        \x20   os._exit(0)\n\
        os.wait()\n\
        child = os.fork()\n\
        if child == 0:\n\
        \x20   spin()\n\
        \x20   while True: time.sleep(60)\n\
        time.sleep(3)";
    for caller in CALLERS {
        let answer = run(&["python3", "-c", script], caller);
        assert_near(metric(&answer, "cpu_time_ms"), 900, 250, &answer);
    }
}

#[test]
fn user_and_kernel_time_are_told_apart() {
    for caller in CALLERS {
        let spinning = "import time\nwhile time.process_time() < 0.5: sum(range(100000))";
        let user = run(&["python3", "-c", spinning], caller);
        assert!(metric(&user, "user_time_ms") > metric(&user, "kernel_time_ms"), "{user}");
        let copying = "import os\n\
            f = open('/dev/zero', 'rb', buffering=0); b = bytearray(1 << 20)\n\
            while os.times().system < 0.5: f.readinto(b)";
        let kernel = run(&["python3", "-c", copying], caller);
        assert!(metric(&kernel, "kernel_time_ms") > metric(&kernel, "user_time_ms"), "{kernel}");
        for answer in [user, kernel] {
            let sum = metric(&answer, "user_time_ms") + metric(&answer, "kernel_time_ms");
            assert!(metric(&answer, "cpu_time_ms").abs_diff(sum) <= 1, "{answer}");
        }
    }
}

#[test]
fn sleeping_costs_wall_time_only() {
    for caller in CALLERS {
        let answer = run(&["sleep", "0.7"], caller);
        let wall = metric(&answer, "wall_time_ms");
        assert!((700..10_000).contains(&wall), "{answer}");
        assert!(metric(&answer, "cpu_time_ms") < 200, "{answer}");
    }
}

#[test]
fn peak_memory_is_that_of_the_work() {
    // Long enough for the watch of a machine without control groups to see it.
    let script = "import time\nx = bytearray(96 << 20)\ntime.sleep(0.5)\ndel x\ntime.sleep(0.2)";
    for caller in CALLERS {
        let answer = run(&["python3", "-c", script], caller);
        assert_near(metric(&answer, "max_memory_bytes"), 104 << 20, 8 << 20, &answer);
    }
}

#[test]
fn peak_memory_of_a_short_command_is_known_too() {
    for caller in CALLERS {
        let answer = run(&["true"], caller);
        let memory = metric(&answer, "max_memory_bytes");
        assert!((100 << 10..64 << 20).contains(&memory), "{caller:?}: {answer}");
        // Over before any group could be joined: 64 MiB in one go.
        let answer = run(&["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"], caller);
        assert_near(metric(&answer, "max_memory_bytes"), 66 << 20, 8 << 20, &answer);
    }
}

#[test]
fn bytes_read_and_written_are_counted() {
    for caller in CALLERS {
        let mebibytes = 40u64;
        let count = format!("count={mebibytes}");
        let dd = ["dd", "if=/dev/zero", "of=/tmp/file", "bs=1M", &count, "status=none"];
        let answer = run(&dd, caller);
        assert_near(metric(&answer, "io_bytes_written"), mebibytes << 20, 1 << 16, &answer);
        assert_near(metric(&answer, "io_bytes_read"), mebibytes << 20, 1 << 16, &answer);
        // Children count as well.
        let script =
            "head -c 5000000 /dev/zero > /tmp/a; cat /tmp/a > /tmp/b; (cat /tmp/b > /dev/null &)
            sleep 1";
        let answer = run(&["sh", "-c", script], caller);
        assert_near(metric(&answer, "io_bytes_written"), 15_000_000, 200_000, &answer);
        assert_near(metric(&answer, "io_bytes_read"), 15_000_000, 200_000, &answer);
    }
}

#[test]
fn nothing_much_is_counted_for_nothing() {
    let answer = run(&["true"], Caller::Current);
    assert!(metric(&answer, "io_bytes_written") < 4096, "{answer}");
    assert!(metric(&answer, "cpu_time_ms") < 500, "{answer}");
}
