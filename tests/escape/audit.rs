//! The leak audits see control groups that nobody holds: made for real, by supervisors that
//! are killed where no other run sweeps.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use capsule_tests::{Binary, Run, Running, Scratch, Signal, own_user, skip};

/// What one test leaves on purpose, the audit of another would find.
static ALONE: Mutex<()> = Mutex::new(());

/// A run sweeps the groups beside its own, so these runs have a place of their own.
struct Nest {
    folders: Vec<PathBuf>,
    _alone: MutexGuard<'static, ()>,
}

impl Nest {
    /// `None` where this user makes no groups.
    fn make(name: &str) -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let controllers = ["memory", "pids", "cpu"].map(|name| root.join(name));
        let parents: Vec<_> = match root.join("cgroup.controllers").exists() {
            true => vec![root.to_owned()],
            false => controllers.into_iter().filter(|folder| folder.exists()).collect(),
        };
        let name = format!("audit-{}-{name}", std::process::id());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut nest = Self { folders: Vec::new(), _alone: alone };
        for parent in parents {
            let folder = parent.join(&name);
            fs::create_dir(&folder).ok()?;
            nest.folders.push(folder);
        }
        (!nest.folders.is_empty()).then_some(nest)
    }

    /// A run of `capsule-run` that is in the nest.
    fn run(&self, arguments: &[&str]) -> Run {
        let places: Vec<_> = self.folders.iter().map(|folder| folder.display()).collect();
        let enter: String =
            places.iter().map(|place| format!("echo $$ >{place}/cgroup.procs && ")).collect();
        Run::new(arguments).through(&["sh", "-c", &format!("{enter} exec \"$@\""), "sh"])
    }

    /// One that lives, and its groups; `None` where they are not in the nest.
    fn living(&self) -> Option<(Running, BTreeSet<PathBuf>)> {
        let run = self.run(&["--", "sh", "-c", "echo ready; sleep 60"]).start();
        run.wait_for("ready");
        let deadline = Instant::now() + Duration::from_secs(10);
        // Joined a moment after the start.
        while run.groups().len() < self.folders.len() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let groups = run.groups();
        let is_inside =
            |group: &PathBuf| self.folders.iter().any(|folder| group.starts_with(folder));
        (!groups.is_empty() && groups.iter().all(is_inside)).then_some((run, groups))
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        // What a test left by failing, and where a supervisor of version 2 went.
        for folder in &self.folders {
            for below in fs::read_dir(folder).into_iter().flatten().flatten() {
                let _ = fs::remove_dir(below.path());
            }
            let _ = fs::remove_dir(folder);
        }
    }
}

/// A nest in which groups are made, or the reason why the test is left out.
fn nest(name: &str) -> Option<Nest> {
    if own_user() != 0 {
        skip("only root makes control groups here");
        return None;
    }
    let nest = Nest::make(name);
    if nest.is_none() {
        skip("no control group can be made here");
    }
    nest
}

fn none_of_its_own() {
    skip("a run in a control group of its own makes none below it");
}

fn told(groups: &BTreeSet<PathBuf>) -> BTreeSet<String> {
    groups.iter().map(|group| format!("control group {}", group.display())).collect()
}

#[test]
fn a_group_of_a_killed_supervisor_is_seen_until_the_next_run() {
    let Some(nest) = nest("killed") else { return };
    let Some((run, groups)) = nest.living() else { return none_of_its_own() };
    run.signal(Signal::Kill);
    let (finished, traces, _scratch) = run.finish_unaudited();
    assert_eq!(finished.code, None, "{finished}");
    let left: BTreeSet<String> = traces.left(Duration::from_secs(3)).into_iter().collect();
    assert!(left.is_superset(&told(&groups)), "{left:?} lacks some of {groups:?}");
    let deadline = Instant::now() + Duration::from_secs(15);
    while groups.iter().any(|group| group.exists()) {
        assert!(Instant::now() < deadline, "not swept: {groups:?}");
        nest.run(&["--", "sleep", "0.1"]).finish();
    }
    traces.assert_gone();
}

/// Neither processes in it nor, when it is empty, an owner: only both together are a leak.
#[test]
fn a_group_that_somebody_holds_is_no_leak() {
    let Some(nest) = nest("held") else { return };
    let run = Run::new(&["--", "true"]).start();
    let (_, traces, _scratch) = run.finish_unaudited();
    let Some((living, groups)) = nest.living() else { return none_of_its_own() };
    // By name, as a server's that was just made.
    let empty = nest.folders[0].join("capsule-6c1b2f9e-5b0e-4f07-9d70-2a1d6cf3b7e4");
    fs::create_dir(&empty).unwrap();
    let owner = File::open(&empty).unwrap();
    owner.lock().unwrap();
    let others: BTreeSet<PathBuf> = groups.iter().chain([&empty]).cloned().collect();
    let among = |left: Vec<String>| -> BTreeSet<String> {
        told(&others).intersection(&left.into_iter().collect()).cloned().collect()
    };
    assert_eq!(among(traces.left(Duration::from_secs(3))), BTreeSet::new());
    // What nobody can lock any more is not looked for by its name alone.
    drop(owner);
    assert_eq!(among(traces.left(Duration::from_secs(3))), told(&[empty.clone()].into()));
    fs::remove_dir(empty).unwrap();
    living.signal(Signal::Terminate);
    living.finish();
}

/// The audit of `capsule attack`: a group that is left meanwhile makes it fail.
#[test]
fn an_attack_tells_of_a_group_that_is_left() {
    let Some(nest) = nest("attack") else { return };
    let scene = Scratch::new();
    let attempts = ["attack", "--json", "--jobs", "1", "killed-supervisor", "status-outside"];
    let attack = Run::new(&attempts).binary(Binary::Capsule).variable("TMPDIR", scene.text());
    let mut attack = attack.start();
    // Its folder is made before it looks at the host, and a run takes longer than that.
    let has_begun = || fs::read_dir(scene.path()).unwrap().next().is_some();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !has_begun() {
        assert!(Instant::now() < deadline, "it does not begin");
        std::thread::sleep(Duration::from_millis(2));
    }
    let Some((run, groups)) = nest.living() else { return none_of_its_own() };
    run.signal(Signal::Kill);
    run.finish_unaudited();
    assert!(attack.is_running(), "it was over too soon to show anything");
    let (told, traces, _scratch) = attack.finish_unaudited();
    let report = told.json();
    assert_eq!(told.code, Some(1), "{report:#}");
    let leaks = report["leaks"].as_array().unwrap();
    let leaks: BTreeSet<_> = leaks
        .iter()
        .filter(|leak| leak["kind"] == "cgroup")
        .map(|leak| PathBuf::from(leak["what"].as_str().unwrap()))
        .collect();
    assert!(leaks.is_superset(&groups), "{leaks:?} lacks some of {groups:?}");
    // As root it has groups, and has seen them go.
    let attempts = report["attempts"].as_array().unwrap();
    let attempt = attempts.iter().find(|one| one["name"] == "killed-supervisor").unwrap();
    let evidence = attempt["evidence"].as_str().unwrap();
    assert!(evidence.contains("control groups, none after"), "{report:#}");
    assert!(!evidence.contains(" 0 control groups"), "{report:#}");
    nest.run(&["--", "sleep", "0.1"]).finish();
    traces.assert_gone();
}
