//! A call that is dropped is over: no process, mount, group or descriptor is left, and
//! that when `drop` returns.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::play::{self, Play};
use capsule_backend::guest::Guests;

/// Programs that do not want to end.
const STUBBORN: [&str; 4] = [
    "def main():\n    print('here', flush=True)\n    while True: pass\n",
    // Signals mean nothing to it.
    "import signal, time\n\
     def main():\n\
     \x20   for number in range(1, 65):\n\
     \x20       try: signal.signal(number, signal.SIG_IGN)\n\
     \x20       except (OSError, ValueError): pass\n\
     \x20   print('here', flush=True)\n\
     \x20   while True: time.sleep(1)\n",
    // Its children left it, its session, and each other.
    "import os, time\n\
     def main():\n\
     \x20   for _ in range(20):\n\
     \x20       if os.fork() == 0:\n\
     \x20           os.setsid()\n\
     \x20           if os.fork() == 0: time.sleep(1000)\n\
     \x20           os._exit(0)\n\
     \x20   print('here', flush=True)\n\
     \x20   time.sleep(1000)\n",
    // Threads, files, and a call that never comes back.
    "import threading, time\n\
     from capsule import task\n\
     never = task(name='never')(lambda: None)\n\
     @task\n\
     def main():\n\
     \x20   for _ in range(20): threading.Thread(target=time.sleep, args=(1000,)).start()\n\
     \x20   open('/tmp/x', 'wb').write(b'x' * 10**7)\n\
     \x20   waits = never.submit()\n\
     \x20   print('here', flush=True)\n\
     \x20   waits.result()\n",
];

/// Everything of the host that a jail could leave behind.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    processes: BTreeSet<i32>,
    mounts: usize,
    descriptors: BTreeSet<String>,
}

fn traces() -> Traces {
    Traces {
        processes: descendants(),
        mounts: fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count(),
        descriptors: fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .filter_map(|fd| fs::read_link(fd.path()).ok())
            .map(|path| path.to_string_lossy().into_owned())
            .filter(|path| !path.starts_with("/proc/"))
            .collect(),
    }
}

fn descendants() -> BTreeSet<i32> {
    let mut found = vec![i32::try_from(std::process::id()).unwrap()];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().map(|pid| pid.parse::<i32>().unwrap()));
        }
    }
    found.into_iter().skip(1).collect()
}

/// The control groups that this process holds.
fn groups() -> Vec<PathBuf> {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter_map(|fd| fs::read_link(fd.path()).ok())
        .filter(|path| path.to_string_lossy().contains("/capsule-"))
        .collect()
}

/// Looks at the whole process, so it runs alone in one of its own: the test binary
/// starts itself with only this test.
#[test]
fn a_dropped_call_leaves_nothing() {
    const ALONE: &str = "CAPSULE_NATIVE_TEST_ALONE";
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    if std::env::var_os(ALONE).is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--test-threads=1"])
            .env(ALONE, "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    // Once, so that what is kept for ever is there.
    assert_eq!(Play::new("def main(): return 1\n").run().value(), "1");
    let before = traces();
    assert_eq!(before.processes, BTreeSet::new());
    for program in STUBBORN {
        let (inside, groups, dropped) = drop_in_full_flight(program);
        assert!(inside.len() >= 2, "{inside:?} {program}");
        assert!(dropped < Duration::from_millis(1500), "{dropped:?} {program}");
        assert_eq!(traces(), before, "{program}");
        assert!(inside.iter().all(|pid| !is_alive(*pid)), "{program}");
        assert!(groups.iter().all(|path| !path.exists()), "{groups:?}");
    }
    // Before anything runs: after some polls, and after none.
    for patience in [0, 1, 3, 10, 30] {
        drop_after(Duration::from_millis(patience));
        assert_eq!(traces(), before, "{patience} ms");
    }
    a_runtime_that_shuts_down();
    assert_eq!(traces(), before);
    // What fails in its own way leaves as little.
    for program in
        ["import os\ndef main(): os.abort()\n", "import os\ndef main(): os.write(3, b'garbage')\n"]
    {
        assert!(Play::new(program).run().result.is_err());
        assert_eq!(traces(), before, "{program}");
    }
}

fn is_alive(pid: i32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_ok()
}

/// What was there when the call was dropped, and how long that took.
fn drop_in_full_flight(program: &str) -> (BTreeSet<i32>, Vec<PathBuf>, Duration) {
    let play = Play::new(program);
    let outside = play.outside();
    let mut guest = play.native.open(outside.clone()).unwrap();
    let seen = play::runtime().block_on(async {
        let call = guest.call("main", play::NOTHING, &play.grant);
        let mut call = Some(call);
        let running = async {
            while !outside.has_spoken() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            // By now it is in its groups.
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        tokio::select! {
            result = call.as_mut().unwrap() => panic!("it ended before it spoke: {result:?}"),
            () = running => {}
        }
        let (inside, groups) = (descendants(), groups());
        let started = Instant::now();
        call = None;
        drop(call);
        (inside, groups, started.elapsed())
    });
    assert!(guest.usage().fuel > 0 && guest.usage().ram > 0, "{:?}", guest.usage());
    seen
}

fn drop_after(patience: Duration) {
    let play = Play::new("import time\ndef main(): time.sleep(1000)\n");
    let mut guest = play.native.open(play.outside()).unwrap();
    play::runtime().block_on(async {
        let call = guest.call("main", play::NOTHING, &play.grant);
        assert!(tokio::time::timeout(patience, call).await.is_err());
    });
}

/// The call is a task of a runtime that is dropped while it is under way.
fn a_runtime_that_shuts_down() {
    let play = Play::new("def main():\n    print('here', flush=True)\n    while True: pass\n");
    let outside = play.outside();
    let runtime = play::runtime();
    let mut guest = play.native.open(outside.clone()).unwrap();
    runtime.spawn(async move {
        let _ = guest.call("main", play::NOTHING, &play.grant).await;
    });
    while !outside.has_spoken() {
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(runtime);
}
