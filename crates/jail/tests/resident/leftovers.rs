//! After many sandboxes the server is as it was: no descriptor, process, mount or group.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use capsule_backend::sandbox::{Reach, Sandboxes};

use crate::place::{self, Place, finish, hear, on_terminal, read, sh, start, write};

#[derive(Debug, PartialEq, Eq)]
struct Server {
    processes: usize,
    mounts: usize,
    descriptors: BTreeMap<String, usize>,
}

fn server() -> Server {
    let mut descriptors = BTreeMap::new();
    for fd in fs::read_dir("/proc/self/fd").unwrap().flatten() {
        if let Ok(path) = fs::read_link(fd.path()) {
            let path = path.to_string_lossy().into_owned();
            let kind = path.split(['[', '(']).next().unwrap_or_default().to_owned();
            *descriptors.entry(kind).or_default() += 1;
        }
    }
    Server {
        processes: place::descendants(i32::try_from(std::process::id()).unwrap()).len(),
        // An engine mounts for others meanwhile.
        mounts: match crate::backend::is_jail() {
            true => fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count(),
            false => 0,
        },
        descriptors,
    }
}

/// Looks at the whole process, so it runs alone in one of its own.
#[test]
fn the_server_is_as_it_was() {
    const ALONE: &str = "CAPSULE_RESIDENT_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "leftovers::the_server_is_as_it_was", "--test-threads=1"])
            .env(ALONE, "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let place = Place::new();
        a_life(&place, "warm").await;
        // What is dropped in the background is, by then.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let before = server();
        for round in 0..5 {
            a_life(&place, &format!("round-{round}")).await;
        }
        for round in 0..5 {
            refused(&place, &format!("refused-{round}")).await;
        }
        // Futures that are dropped half-way.
        for patience in [0, 1, 2, 3, 5, 8] {
            let recipe = place::recipe();
            let making = place.residents.create("dropped", &recipe);
            let patience = Duration::from_millis(patience);
            if let Ok(Ok(sandbox)) = tokio::time::timeout(patience, making).await {
                sandbox.end().await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut after = server();
        for _ in 0..50 {
            if after == before {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            after = server();
        }
        assert_eq!(after, before);
        let left: Vec<_> =
            fs::read_dir(place.state()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["lock"]);
    });
}

/// A bit of everything.
async fn a_life(place: &Place, name: &str) {
    let sandbox = place.make(name).await;
    write(&sandbox, "/workspace/x", b"x").await.unwrap();
    read(&sandbox, "/workspace/x").await.unwrap();
    read(&sandbox, "/workspace/nothing").await.unwrap_err();
    sandbox.list("/workspace", 10).await.unwrap();
    for _ in 0..20 {
        sh(&sandbox, "echo x; (sleep 1000 &)").await;
    }
    let shell = start(&sandbox, &on_terminal(&["bash"])).await;
    shell.input(b"echo 4''2\n").await.unwrap();
    hear(&shell, "42").await;
    shell.signal(libc::SIGKILL, Reach::Tree).await.unwrap();
    finish(&shell).await;
    // Left running, and told to nobody.
    let _running = start(&sandbox, &place::program(&["sleep", "1000"])).await;
    let _ended = start(&sandbox, &place::program(&["true"])).await;
    sandbox.usage().await.unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    place.end(name, &sandbox).await;
}

async fn refused(place: &Place, name: &str) {
    let mut recipe = place::recipe();
    let source = capsule_spec::HostPath::new("/no/such/folder").unwrap();
    let destination = capsule_spec::GuestPath::new("/workspace/x").unwrap();
    let access = capsule_spec::Access::ReadOnly;
    recipe.policy.files = vec![capsule_spec::Mount { source, destination, access }];
    let failure = place.residents.create(name, &recipe).await.map(drop).unwrap_err();
    assert_eq!(failure.code, capsule_spec::ErrorCode::MountFailed);
}
