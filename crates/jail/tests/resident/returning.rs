//! What happens when the server is killed: the next one finds everything, or nobody does
//! and it ends by itself.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use capsule_backend::sandbox::{Reach, Sandboxes};

use crate::backend;
use crate::place::{
    self, Place, Traces, finish, hear, is_alive, on_terminal, read, sh, start, within,
};

const FOLDER: &str = "CAPSULE_RESIDENT_TEST_FOLDER";
const LEASE: &str = "CAPSULE_RESIDENT_TEST_LEASE";

/// The part of the server that is killed: only when it is started for that.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let lease: u64 = std::env::var(LEASE).unwrap().parse().unwrap();
    let residents = backend::open(folder, Duration::from_secs(lease)).unwrap();
    let mut recipe = place::recipe();
    recipe.policy.environment.insert("FROM".to_owned(), "recipe".to_owned());
    let one = residents.create("one", &recipe).await.unwrap();
    place::write(&one, "/workspace/file", b"kept").await.unwrap();
    let reader = start(&one, &place::program(&["cat"])).await;
    reader.input(b"before ").await.unwrap();
    let _ended = start(&one, &place::shell("echo last words; exit 5")).await;
    let shell = start(&one, &on_terminal(&["bash", "--norc"])).await;
    shell.input(b"VALUE=7\n").await.unwrap();
    let _loud = start(&one, &place::shell("while :; do echo line; sleep 0.01; done")).await;
    let _two = residents.create("two", &recipe).await.unwrap();
    let three = residents.create("three", &recipe).await.unwrap();
    let _ticker = start(&three, &place::shell("while :; do echo x; sleep 0.02; done")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    three.freeze(true).await.unwrap();
    println!("\nready");
    std::thread::sleep(Duration::from_secs(100));
}

fn start_server(folder: &Path, lease: u64) -> Child {
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "returning::the_server_that_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .env(LEASE, lease.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "ready"), "the server failed");
    server
}

fn kill_server(mut server: Child) {
    server.kill().unwrap();
    server.wait().unwrap();
}

/// A place whose sandboxes a server has left that was killed.
async fn left_by_a_killed_server(lease: u64) -> (Place, Vec<Traces>) {
    let folder = tempfile::Builder::new().prefix("capsule-resident-").tempdir().unwrap();
    let state = folder.path().join("state");
    let server = start_server(&state, lease);
    kill_server(server);
    let residents = backend::open(&state, Duration::from_secs(lease)).unwrap();
    let place = Place { residents, folder };
    let traces = ["one", "two", "three"].map(|name| place.traces(name));
    (place, traces.into())
}

fn assert_gone(traces: &[Traces]) {
    for pid in traces.iter().flat_map(|traces| &traces.processes) {
        // A zombie is whoever adopts orphans on this host; it is not ours.
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(!is_alive(*pid) || status.contains(") Z "), "{pid} lives");
    }
    for group in traces.iter().flat_map(|traces| &traces.groups) {
        assert!(!group.exists(), "{}", group.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_server_finds_everything() {
    let (place, traces) = left_by_a_killed_server(30).await;
    assert!(traces[0].processes.len() > 6, "{traces:?}");
    assert!(place.residents.adopt("four").await.unwrap().is_none());
    assert!(place.residents.adopt("../one").await.unwrap().is_none());
    let one = within(5, place.residents.adopt("one")).await.unwrap().expect("it lives");
    let processes = one.processes().await.unwrap();
    let numbers: Vec<_> = processes.iter().map(|process| process.number()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    // Its input goes on where it was, and so does its output.
    processes[0].input(b"after").await.unwrap();
    processes[0].close_input();
    let said = finish(&processes[0]).await;
    assert_eq!((said.out.as_str(), said.code()), ("before after", 0));
    // One that ended in between tells how, and what it said.
    let said = finish(&processes[1]).await;
    assert_eq!((said.out.as_str(), said.code()), ("last words\n", 5));
    processes[2].input(b"echo is $VALUE\n").await.unwrap();
    hear(&processes[2], "is 7\r\n").await;
    hear(&processes[3], "line").await;
    within(5, processes[3].signal(libc::SIGKILL, Reach::Tree)).await.unwrap();
    assert_eq!(finish(&processes[3]).await.ended.signal, Some(9));
    assert_eq!(read(&one, "/workspace/file").await.unwrap(), b"kept");
    assert_eq!(sh(&one, "echo $FROM; id -u").await.out, "recipe\n1000\n");
    let fifth = start(&one, &place::program(&["true"])).await;
    assert!(fifth.number() > 4);
    // Asked again it is the same one.
    let again = place.residents.adopt("one").await.unwrap().expect("it lives");
    assert_eq!(read(&again, "/workspace/file").await.unwrap(), b"kept");
    // One that was paused is paused.
    let three = within(5, place.residents.adopt("three")).await.unwrap().expect("it lives");
    let ticker = three.processes().await.unwrap().remove(0);
    let failure = three.spawn(&place::program(&["true"])).await.map(drop).unwrap_err();
    assert_eq!(failure.code, capsule_spec::ErrorCode::WrongState);
    while tokio::time::timeout(Duration::from_millis(200), ticker.output()).await.is_ok() {}
    within(5, three.freeze(false)).await.unwrap();
    hear(&ticker, "x").await;
    within(5, three.end()).await.unwrap();
    // And what is not wanted is swept.
    assert_eq!(within(10, place.residents.sweep(&["one".to_owned()])).await.unwrap(), 1);
    assert!(place.files_of("two").is_empty());
    assert_gone(&traces[1..]);
    within(10, one.end()).await.unwrap();
    assert_gone(&traces);
    assert!(place.files_of("one").is_empty());
    assert_eq!(place.residents.sweep(&[]).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_it_ends_by_itself() {
    let started = Instant::now();
    let (place, traces) = left_by_a_killed_server(2).await;
    let two = place.residents.adopt("two").await.unwrap().expect("it lives");
    while is_alive(traces[0].processes[0]) && started.elapsed() < Duration::from_secs(15) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    // The one that was adopted lives on.
    assert_eq!(sh(&two, "echo here").await.out, "here\n");
    // The other one is not there any more, and its leavings are removed.
    assert!(place.residents.adopt("one").await.unwrap().is_none());
    assert!(place.files_of("one").is_empty());
    assert_gone(&traces[..1]);
    // One that stood still has ended as well, but where PID 1 stood, too: in version 2, and in
    // a container.
    let init_goes_on = !Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if init_goes_on && backend::is_jail() {
        let deadline = Instant::now() + Duration::from_secs(5);
        while is_alive(traces[2].processes[0]) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let status = format!("/proc/{}/stat", traces[2].processes[0]);
        let status = std::fs::read_to_string(status).unwrap_or_default();
        assert!(status.is_empty() || status.contains(") Z "), "{status}");
    }
    assert!(within(10, place.residents.sweep(&["two".to_owned()])).await.is_ok());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_gone(&traces[2..]);
    two.end().await.unwrap();
    assert_gone(&traces);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_at_a_time() {
    let place = Place::new();
    let second = backend::open(place.state(), Duration::from_secs(1)).map(drop).unwrap_err();
    assert_eq!(second.code, capsule_spec::ErrorCode::StoreFailed);
    let sandbox = place.make("only").await;
    let twice = place.residents.create("only", &place::recipe()).await.map(drop).unwrap_err();
    assert_eq!(twice.code, capsule_spec::ErrorCode::WrongState);
    assert_eq!(sh(&sandbox, "echo unharmed").await.out, "unharmed\n");
    for name in ["", "a/b", "..", "x\0", "ü", &"x".repeat(65)] {
        let failure = place.residents.create(name, &place::recipe()).await.map(drop).unwrap_err();
        assert_eq!(failure.code, capsule_spec::ErrorCode::InvalidValue);
    }
    place.end("only", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_init_is_noticed() {
    let place = Place::new();
    let sandbox = place.make("killed").await;
    let process = start(&sandbox, &place::program(&["sleep", "1000"])).await;
    let traces = place.traces("killed");
    let init = rustix::process::Pid::from_raw(place.init("killed")).unwrap();
    rustix::process::kill_process(init, rustix::process::Signal::KILL).unwrap();
    within(5, sandbox.ended()).await;
    assert_eq!(within(5, process.ended()).await.signal, Some(9));
    traces.assert_gone();
    assert!(place.files_of("killed").is_empty());
    // Its name is free.
    let sandbox = place.make("killed").await;
    place.end("killed", &sandbox).await;
}
