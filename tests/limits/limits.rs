//! Limits: they hold, the outcome says so, and a run that reached one is no success.

use capsule_tests::{Caller, Finished, Run, skip, wall_stands};
use serde_json::{Value, json};

/// As root and as a stranger, who has no control groups.
const CALLERS: [Caller; 2] = [Caller::Current, Caller::Unprivileged];

fn python(script: &str, resources: &Value, caller: Caller) -> Finished {
    let request = json!({"command": ["python3", "-c", script], "resources": resources});
    Run::json(&request).caller(caller).finish()
}

#[track_caller]
fn killed_for_memory(run: &Finished) {
    assert_eq!(run.verdict(), ("killed".to_owned(), "E4001".to_owned()), "{run}");
    assert_eq!(run.code, Some(137), "{run}");
    assert_eq!(run.json()["exit_code"], json!(null), "{run}");
}

#[test]
fn memory_of_one_process_is_bounded() {
    let script = "print('kept', flush=True)\nx = bytearray(200 << 20)\n\
        import time; time.sleep(2); print('got it')";
    for caller in CALLERS {
        let run = python(script, &json!({"memory_bytes": 64 << 20}), caller);
        killed_for_memory(&run);
        assert_eq!(run.json()["stdout"], "kept\n");
        let enough = python(script, &json!({"memory_bytes": 400 << 20}), caller);
        assert_eq!(enough.json()["stdout"], "kept\ngot it\n", "{enough}");
    }
}

#[test]
fn memory_of_many_processes_is_counted_together() {
    let script = "import os, time\n\
        for _ in range(8):\n\
        \x20   if os.fork() == 0:\n\
        \x20       x = bytearray(24 << 20); time.sleep(4); os._exit(0)\n\
        for _ in range(8):\n\
        \x20   if os.wait()[1] != 0: time.sleep(0.5); raise SystemExit(9)";
    for caller in CALLERS {
        let run = python(script, &json!({"memory_bytes": 96 << 20}), caller);
        assert_eq!(run.verdict().1, "E4001", "{run}");
        assert_ne!(run.verdict().0, "success", "{run}");
    }
}

#[test]
fn private_files_count_as_memory() {
    let script = "import time\n\
        f = open('/tmp/file', 'wb')\n\
        for _ in range(160):\n\
        \x20   f.write(bytes(1 << 20)); time.sleep(0.005)\n\
        f.flush(); time.sleep(1); print('all of it')";
    for caller in CALLERS {
        let run = python(script, &json!({"memory_bytes": 64 << 20}), caller);
        assert_eq!(run.verdict().1, "E4001", "{run}");
    }
}

#[test]
fn shared_memory_counts_too() {
    let script = "import mmap, time\n\
        time.sleep(0.1)\n\
        m = mmap.mmap(-1, 160 << 20)\n\
        for place in range(0, len(m), 4096): m[place] = 1\n\
        time.sleep(1); print('all of it')";
    for caller in CALLERS {
        killed_for_memory(&python(script, &json!({"memory_bytes": 64 << 20}), caller));
    }
}

/// A child that the kernel killed for memory makes the run no success, whatever
/// its parent makes of it.
#[test]
fn a_killed_child_is_not_hidden_by_its_parent() {
    if !wall_stands("memory") {
        return skip("no memory control group");
    }
    let script = "import os, time\n\
        time.sleep(0.2)\n\
        if os.fork() == 0: x = bytearray(200 << 20); os._exit(0)\n\
        os.wait(); print('carried on')";
    let run = python(script, &json!({"memory_bytes": 64 << 20}), Caller::Current);
    assert_eq!(run.verdict().1, "E4001", "{run}");
    assert_ne!(run.code, Some(0), "{run}");
}

/// Forks as often as it can, and says how often.
const FORKS: &str = "
import os, time
count = 0
try:
    while count < 200:
        if os.fork() == 0:
            time.sleep(60)
        count += 1
except BlockingIOError:
    pass
print(count)
";

#[test]
fn processes_are_bounded_exactly() {
    for caller in CALLERS {
        for limit in [5, 20] {
            let run = python(FORKS, &json!({"max_pids": limit}), caller);
            // The command itself is one of them.
            let expected = format!("{}\n", limit - 1);
            assert_eq!(run.json()["stdout"], expected, "{caller:?} {limit}\n{run}");
        }
    }
}

#[test]
fn processes_are_bounded_from_the_first_moment() {
    // No interpreter that takes its time: the shell forks at once.
    let script = "i=0; while [ $i -lt 60 ]; do sleep 30 & i=$((i+1)); done; echo all";
    for caller in CALLERS {
        let run = Run::shell(&["--max-pids", "10"], script).caller(caller).finish();
        assert!(!run.text().contains("all"), "{run}");
        assert_ne!(run.code, Some(0), "{run}");
    }
}

#[test]
fn threads_count_as_processes() {
    let script = "import threading, time\n\
        count = 0\n\
        try:\n\
        \x20   for _ in range(50):\n\
        \x20       threading.Thread(target=time.sleep, args=(2,), daemon=True).start(); count += \
        1\n\
        except RuntimeError: pass\n\
        print(count)";
    for caller in CALLERS {
        let run = python(script, &json!({"max_pids": 10}), caller);
        assert_eq!(run.json()["stdout"], "9\n", "{run}");
    }
}

#[test]
fn one_process_is_enough_for_one_command() {
    for caller in CALLERS {
        let run = Run::new(&["--max-pids", "1", "--", "echo", "alone"]).caller(caller).finish();
        assert_eq!(run.ended_with(0).text(), "alone\n");
    }
}

#[test]
fn two_runs_do_not_share_their_count() {
    for caller in CALLERS {
        let holding = Run::shell(
            &["--max-pids", "10"],
            "for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; echo full; wait",
        );
        let holding = holding.caller(caller).start();
        holding.wait_for("full");
        let other = Run::shell(
            &["--max-pids", "6"],
            "for i in 1 2 3 4; do sleep 0.1 & done; wait; echo ok",
        );
        assert_eq!(other.caller(caller).finish().ended_with(0).text(), "ok\n");
        holding.signal(capsule_tests::Signal::Terminate);
        holding.signal(capsule_tests::Signal::Interrupt);
        holding.finish();
    }
}

#[test]
fn output_beyond_the_limit_is_dropped_and_flagged() {
    for caller in CALLERS {
        let script = "head -c 100000 /dev/zero | tr '\\0' o; head -c 90000 /dev/zero | tr '\\0' \
            e >&2; \
                      sleep 0.3; touch /tmp/end; exit 5";
        let request =
            json!({"command": ["sh", "-c", script], "resources": {"max_output_bytes": 1000}});
        let run = Run::json(&request).caller(caller).finish();
        let answer = run.json();
        assert_eq!(answer["stdout"], "o".repeat(1000));
        assert_eq!(answer["stderr"], "e".repeat(1000));
        assert_eq!(answer["stdout_truncated"], true);
        assert_eq!(answer["stderr_truncated"], true);
        // The command was not cut short: its own exit code came.
        assert_eq!(answer["exit_code"], 5);
        assert_eq!(run.verdict(), ("error".to_owned(), "E4003".to_owned()));
        assert_eq!(run.code, Some(5));
    }
}

#[test]
fn output_over_the_limit_is_no_success() {
    let request = json!({"command": ["sh", "-c", "head -c 1001 /dev/zero; exit 0"],
                         "resources": {"max_output_bytes": 1000}});
    let run = Run::json(&request).finish();
    assert_eq!(run.verdict(), ("error".to_owned(), "E4003".to_owned()));
    assert_eq!((run.json()["exit_code"].clone(), run.code), (json!(0), Some(1)));
    assert!(run.json().get("stderr_truncated").is_none());
}

#[test]
fn output_of_exactly_the_limit_is_whole() {
    for (flags, json_mode) in
        [(&["--max-output", "1000"][..], false), (&["--json", "--max-output", "1000"], true)]
    {
        let command = ["--", "head", "-c", "1000", "/dev/zero"];
        let run = Run::new(&[flags, &command].concat()).input("{}").finish().ended_with(0);
        if json_mode {
            assert!(run.json().get("stdout_truncated").is_none());
        } else {
            assert_eq!(run.stdout.len(), 1000);
        }
    }
}

#[test]
fn live_output_is_bounded_too() {
    for caller in CALLERS {
        let run =
            Run::shell(&["--max-output", "5000"], "yes | head -c 300000; exit 7").caller(caller);
        let run = run.finish().ended_with(7);
        assert_eq!(run.stdout.len(), 5000);
        assert_eq!(run.error_code().as_deref(), Some("E4003"));
    }
}

#[test]
fn the_private_disk_has_a_size() {
    let script = "for place in /tmp /workspace /dev/shm; do \
        head -c 3000000 /dev/zero > $place/file 2>/dev/null || echo full; done; \
        cat /tmp/file /workspace/file /dev/shm/file | wc -c";
    for caller in CALLERS {
        // All three places are one disk.
        let run = Run::shell(&["--disk", "4M"], script).caller(caller).finish().ended_with(0);
        let bytes: u64 = run.text().lines().last().unwrap().parse().unwrap();
        assert!(run.text().starts_with("full\n"), "{run}");
        assert!((3_000_000..=4 << 20).contains(&bytes), "{run}");
        let roomy = Run::shell(&["--disk", "16M"], script).caller(caller).finish();
        assert_eq!(roomy.ended_with(0).text(), "9000000\n");
    }
}

#[test]
fn the_private_disk_has_a_number_of_files() {
    let script = "import errno, os\n\
        count = 0\n\
        try:\n\
        \x20   while True:\n\
        \x20       open(f'/tmp/{count}', 'w').close(); count += 1\n\
        except OSError as error: print(errno.errorcode[error.errno])\n\
        print(count)";
    for caller in CALLERS {
        // The least number, which a small disk has, less what the jail itself made.
        let run = Run::python(&["--disk", "1M"], script).caller(caller).finish().ended_with(0);
        let (error, count) = run.text().trim().split_once('\n').unwrap();
        assert_eq!(error, "ENOSPC");
        assert!((900..1024).contains(&count.parse::<u32>().unwrap()), "{run}");
    }
}

#[test]
fn open_files_are_bounded() {
    let script = "import os, resource\n\
        count = 3\n\
        try:\n\
        \x20   while True: os.dup(0); count += 1\n\
        except OSError: print(count)\n\
        print(resource.getrlimit(resource.RLIMIT_NOFILE))\n\
        try: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))\n\
        except (OSError, ValueError): print('refused')";
    for caller in CALLERS {
        let run = Run::python(&[], script).caller(caller).finish().ended_with(0);
        assert_eq!(run.text(), "1024\n(1024, 1024)\nrefused\n");
    }
}

#[test]
fn other_kernel_memory_is_bounded() {
    // Hard limits. For core files 0 or 1, both too small for any.
    let script = "awk '/core file|locked memory|msgqueue|pending/ { print $(NF-1) }' \
        /proc/self/limits | tr '\\n' ' '";
    for caller in CALLERS {
        let run = Run::shell(&[], script).caller(caller).finish().ended_with(0);
        assert!(["0 65536 1024 0 ", "1 65536 1024 0 "].contains(&run.text()), "{run}");
    }
}

/// Its own share of a processor over two seconds, in hundredths.
const SPIN: &str = "import time\n\
    start = time.monotonic(); used = time.process_time()\n\
    while time.monotonic() - start < 2: pass\n\
    print(round(100 * (time.process_time() - used) / (time.monotonic() - start)))";

#[test]
fn a_cpu_quota_throttles() {
    if !wall_stands("cpu") {
        return skip("no cpu control group");
    }
    let run = Run::python(&["--cpus", "0.2"], SPIN).finish().ended_with(0);
    let share: u32 = run.text().trim().parse().unwrap();
    assert!(share <= 35, "{share}% of a processor where 20% were allowed");
}

#[test]
fn cpu_shares_weigh() {
    if !wall_stands("cpu") {
        return skip("no cpu control group");
    }
    // As many as there are processors of each kind, so that they must share.
    let count = std::thread::available_parallelism().unwrap().get();
    let start = |shares: &str| Run::python(&["--cpu", shares], SPIN).start();
    let light: Vec<_> = (0..count).map(|_| start("64")).collect();
    let heavy: Vec<_> = (0..count).map(|_| start("8192")).collect();
    let sum = |runs: Vec<capsule_tests::Running>| -> u32 {
        runs.into_iter().map(|run| run.finish().text().trim().parse::<u32>().unwrap()).sum()
    };
    let (light, heavy) = (sum(light), sum(heavy));
    assert!(heavy > light, "{heavy} with 8192 shares, {light} with 64");
}

#[test]
fn weaker_walls_are_named() {
    let request = json!({"command": ["true"]});
    let run = Run::json(&request).caller(Caller::Unprivileged).finish().ended_with(0);
    let answer = run.json();
    let weaker = answer["weaker"].as_array().cloned().unwrap_or_default();
    let stands = |name: &str| {
        let run = Run::new(&["--dry-run", "--require", name, "--", "true"]);
        run.caller(Caller::Unprivileged).finish().code == Some(0)
    };
    for wall in ["memory", "pids", "cpu", "disk", "user", "seccomp", "landlock"] {
        let named = weaker.iter().find(|status| status["wall"] == wall);
        assert_eq!(named.is_none(), stands(wall), "{wall} in {answer}");
        if let Some(named) = named {
            assert!(["weaker", "absent"].contains(&named["state"].as_str().unwrap()), "{named}");
            assert!(named["why"].as_str().unwrap().len() > 10, "{named}");
        }
    }
}

#[test]
fn an_open_network_is_named_as_weaker() {
    let answer = Run::json(&json!({"command": ["true"], "isolation": {"network": true}}));
    let answer = answer.finish().ended_with(0).json();
    let network = answer["weaker"].as_array().unwrap().iter().find(|w| w["wall"] == "network");
    assert_eq!(network.unwrap()["state"], "absent");
}
