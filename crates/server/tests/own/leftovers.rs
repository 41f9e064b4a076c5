//! The sandboxes of these tests leave no process, however a test ends.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Own;
use crate::suite::client::Site;
use crate::suite::exec::until;
use crate::support::{Folders, sys};

/// Starts what never ends by itself, and says which process it is.
fn spin(site: &Site) -> i32 {
    let id = site.create();
    let cmd = ["/bin/sh", "-c", "echo $$ >pid; while :; do :; done"];
    site.call("sandbox.v1.start", json!({ "id": id, "cmd": cmd })).unwrap();
    let read = || site.shell(&id, "cat pid 2>/dev/null; :").trim().parse().ok();
    until(|| read().is_some());
    read().unwrap()
}

fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which ends with the last bracket.
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

/// Waits for its end. If it does not come, it comes now: not even this test leaves it.
fn ends(pid: i32) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while lives(pid) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let has_ended = !lives(pid);
    if !has_ended {
        sys::kill(pid, libc::SIGKILL);
    }
    has_ended
}

#[test]
fn what_runs_outlives_its_server_and_not_its_test() {
    let data = tempfile::tempdir().unwrap();
    let backend = Arc::new(Folders::default());
    let own = Own::start(data.path(), &backend, |_| {});
    let pid = spin(&own.site);
    own.kill();
    assert!(lives(pid));
    drop(backend);
    assert!(ends(pid));
}

/// The server that all tests have in common is never dropped.
#[test]
fn what_runs_ends_with_the_process_of_a_test_that_failed() {
    const FILE: &str = "CAPSULE_LEFTOVER_TEST_FILE";
    if let Some(file) = std::env::var_os(FILE) {
        let pid = spin(&crate::site());
        std::fs::write(Path::new(&file), pid.to_string()).unwrap();
        panic!("it fails half-way");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let mut tests = Command::new(std::env::current_exe().unwrap());
    tests.args(["--exact", &name, "--test-threads=1"]).env(FILE, &file);
    let output = tests.output().unwrap();
    assert_eq!(output.status.code(), Some(101), "{output:?}");
    let pid = std::fs::read_to_string(&file).unwrap_or_else(|_| panic!("{output:?}"));
    assert!(ends(pid.parse().unwrap()));
}
