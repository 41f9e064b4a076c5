//! The attack suite inside containers, as the product ships it; and the same hostile programs
//! in a container without walls, where they have to get through.

use std::process::Command;

use capsule_tests::{Binary, path_of};
use serde_json::Value;

use crate::server::engine;
use crate::suite::is_gvisor;

/// In gVisor some of it gets through, and some ends the sandbox: docs/guide-docker.md says what.
#[test]
fn nothing_gets_through_a_container() {
    let engine = engine();
    if is_gvisor() {
        return;
    }
    let output = Command::new(path_of(Binary::Capsule))
        .args(["attack", "--json", "--backend", "docker", "--runtime", &engine.runtime])
        .args(["--docker-socket", &engine.socket, "--image", &engine.image])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let count = |name: &str| report["counts"][name].as_u64().unwrap();
    let attempts = report["attempts"].as_array().unwrap().iter();
    let bad: Vec<_> = attempts
        .filter(|one| one["verdict"] == "escaped" || one["verdict"] == "inconclusive")
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!((count("leaks"), output.status.code()), (0, Some(0)), "{:#}", report["leaks"]);
    assert!(count("held") >= 60, "{:#}", report["counts"]);
}

/// Programs whose failure only the inside can see, in a container that somebody who knows
/// nothing better could make: root, with capabilities, and no filter of system calls.
#[test]
fn the_same_programs_get_through_a_container_without_walls() {
    let binary = format!("{}:/opt/capsule-attack/capsule:ro", path_of(Binary::Capsule).display());
    let gets_through = |name: &&str| {
        let output = Command::new("docker")
            .args(["run", "--rm", "--network", "none", "--user", "0", "--memory", "1g"])
            .args(WITHOUT_WALLS)
            .args(["-v", &binary, &engine().image])
            .args(["/opt/capsule-attack/capsule", "attack", "--inside", name, "x."])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        said.lines().any(|line| line.starts_with("through\t"))
    };
    let held: Vec<_> = HARMLESS.iter().filter(|name| !gets_through(name)).collect();
    assert!(held.is_empty(), "they cannot fail: {held:?}");
}

/// Not `--privileged`: the suite itself may run in a container that lacks a capability.
const WITHOUT_WALLS: [&str; 8] = [
    "--cap-add=SYS_ADMIN",
    "--cap-add=NET_ADMIN",
    "--cap-add=SYS_PTRACE",
    "--cap-add=SYS_CHROOT",
    "--security-opt",
    "seccomp=unconfined",
    "--security-opt",
    "apparmor=unconfined",
];

/// Attempts that cost the host nothing if they get through.
const HARMLESS: [&str; 36] = [
    "become-root",
    "bpf-and-perf",
    "chroot",
    "clone-namespaces",
    "clone3",
    "disk-fill",
    "disk-reserve",
    "fork-bomb",
    "fork-bomb-sessions",
    "gain-capabilities",
    "hidden-files",
    "inode-flood",
    "interfaces",
    "io-uring",
    "memory-at-once",
    "memory-heap",
    "memory-locked",
    "memory-memfd",
    "memory-shared",
    "memory-system-v",
    "memory-tmp",
    "message-queues",
    "mount-new",
    "mount-old",
    "netlink",
    "raise-limits",
    "rare-calls",
    "raw-sockets",
    "seccomp-listener",
    "setns",
    "status-inside",
    "thread-bomb",
    "unshare",
    "userfaultfd",
    "watch-the-host",
    "write-system",
];
