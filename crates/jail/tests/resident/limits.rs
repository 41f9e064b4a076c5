//! Limits of a sandbox as a whole, what it uses, stopping it and letting it go on.

use std::time::Duration;

use capsule_backend::sandbox::{Reach, Root, SandboxUsage, Sandboxes};
use capsule_spec::{ByteSize, ErrorCode, Network, SeccompProfile, Wall};

use crate::place::{self, Place, finish, hear, program, sh, start, within};

const EATER: &str =
    "import time\nx=[]\nwhile True:\n  x.append(bytearray(4<<20))\n  time.sleep(0.002)\n";

#[tokio::test(flavor = "multi_thread")]
async fn memory_has_an_end() {
    let place = Place::new();
    let mut recipe = place::recipe();
    recipe.limits.memory = ByteSize::from_mib(64);
    let sandbox = place.make_with("memory", &recipe).await;
    // It is in its group by then, where there is one.
    sh(&sandbox, "sleep 0.1").await;
    let eater = start(&sandbox, &program(&["python3", "-c", EATER])).await;
    let said = finish(&eater).await;
    assert_eq!((said.ended.signal, said.ended.out_of_memory), (Some(9), true), "{said:?}");
    // The sandbox lives, and who behaves is not blamed.
    let said = sh(&sandbox, "echo well").await;
    assert_eq!((said.out.as_str(), said.ended.out_of_memory), ("well\n", false));
    place.end("memory", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_files_are_memory() {
    let place = Place::new();
    let mut recipe = place::recipe();
    recipe.limits.memory = ByteSize::from_mib(48);
    let sandbox = place.make_with("files", &recipe).await;
    sh(&sandbox, "sleep 0.1").await;
    let script =
        "exec 3>/tmp/big; while :; do head -c 1000000 /dev/zero >&3 || exit 9; sleep 0.005; done";
    let said = place::run(&sandbox, &place::shell(script)).await;
    assert!(said.code() != 0, "{said:?}");
    // It lives, and when the files are gone, all is well.
    let remove =
        capsule_backend::sandbox::Change::Remove { path: "/tmp/big".to_owned(), recursive: false };
    within(10, sandbox.change(&remove)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(sh(&sandbox, "echo well").await.out, "well\n");
    place.end("files", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_have_an_end() {
    let place = Place::new();
    let mut recipe = place::recipe();
    recipe.limits.max_pids = 20;
    let sandbox = place.make_with("pids", &recipe).await;
    let code = "import os,time\nn=0\ntry:\n  while n<500:\n    if os.fork()==0: time.sleep(3); os._exit(0)\n    n+=1\nexcept OSError as e: print(e.errno, n)";
    let said = place::run(&sandbox, &program(&["python3", "-c", code])).await;
    if crate::backend::is_gvisor() {
        // Nothing is refused there: above the limit all are ended.
        assert_eq!(said.ended.signal, Some(9), "{said:?}");
        assert_eq!(sh(&sandbox, "echo well").await.out, "well\n");
        return place.end("pids", &sandbox).await;
    }
    let mut words = said.out.split_whitespace().map(|word| word.parse::<i32>().unwrap());
    let (errno, count) = (words.next().unwrap(), words.next().unwrap());
    // Some places more are for keepers.
    assert!(errno == libc::EAGAIN && (20..60).contains(&count), "{said:?}");
    place.end("pids", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_is_told() {
    let place = Place::new();
    let sandbox = place.make("usage").await;
    let busy = start(
        &sandbox,
        &program(&[
            "python3",
            "-c",
            "x=bytearray(30<<20)\nprint('up',flush=True)\nwhile True: pass",
        ]),
    )
    .await;
    hear(&busy, "up").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let SandboxUsage { processor, memory, processes, disk, .. } = sandbox.usage().await.unwrap();
    assert!(processor.unwrap() > Duration::from_millis(20), "{processor:?}");
    assert!((25 << 20..200 << 20).contains(&memory.unwrap()), "{memory:?}");
    assert!((2..6).contains(&processes.unwrap()), "{processes:?}");
    assert!(disk.unwrap() < 1 << 20, "{disk:?}");
    busy.signal(libc::SIGKILL, Reach::Tree).await.unwrap();
    let ended = finish(&busy).await.ended;
    assert!(ended.processor > Duration::from_millis(20) && ended.duration > ended.processor / 4);
    place.end("usage", &sandbox).await;
    assert_eq!(sandbox.usage().await.unwrap_err().code, ErrorCode::SandboxEnded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_sandbox_stands_still() {
    let place = Place::new();
    let sandbox = place.make("paused").await;
    let ticker = start(&sandbox, &place::shell("while :; do echo x; sleep 0.02; done")).await;
    hear(&ticker, "x").await;
    within(5, sandbox.freeze(true)).await.unwrap();
    // What was said before.
    while tokio::time::timeout(Duration::from_millis(100), ticker.output()).await.is_ok() {}
    let silent = tokio::time::timeout(Duration::from_millis(300), ticker.output()).await;
    assert!(silent.is_err(), "{silent:?}");
    let failure = sandbox.spawn(&program(&["true"])).await.map(drop).unwrap_err();
    assert_eq!(failure.code, ErrorCode::WrongState);
    let failure = ticker.signal(libc::SIGKILL, Reach::Tree).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::WrongState);
    within(5, sandbox.freeze(true)).await.unwrap();
    within(5, sandbox.freeze(false)).await.unwrap();
    within(5, sandbox.freeze(false)).await.unwrap();
    hear(&ticker, "x").await;
    assert_eq!(sh(&sandbox, "echo well").await.out, "well\n");
    // It can be ended while it stands still, and what stopped it is removed.
    within(5, sandbox.freeze(true)).await.unwrap();
    let freezer = place.record("paused")["freezer"].clone();
    within(5, sandbox.end()).await.unwrap();
    assert_eq!(within(5, ticker.ended()).await.signal, Some(9));
    assert!(place.files_of("paused").is_empty());
    if let Some(freezer) = freezer.as_str() {
        assert!(!std::path::Path::new(freezer).exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused() {
    let place = Place::new();
    let mut other_root = place::recipe();
    other_root.root = match crate::backend::is_jail() {
        true => Root::Image("debian".to_owned()),
        false => Root::Host,
    };
    let refused = place.residents.create("image", &other_root).await.map(drop).unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidValue);
    let sandbox = place.make("plain").await;
    let refused = sandbox.set_network(&Network::Open).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ConflictingOptions);
    sandbox.set_network(&Network::Denied).await.unwrap();
    // A wall that does not stand fully is named, or refuses.
    let weaker: Vec<_> = sandbox.weaker().into_iter().map(|status| status.wall).collect();
    for wall in [Wall::Memory, Wall::Pids, Wall::Seccomp] {
        let mut strict = place::recipe();
        strict.require = vec![wall];
        let made = place.residents.create("strict", &strict).await;
        assert_eq!(made.is_err(), weaker.contains(&wall), "{wall}");
        match made {
            Ok(made) => place.end("strict", &made).await,
            Err(refused) => assert_eq!(refused.code, ErrorCode::WallUnavailable),
        }
        assert!(place.files_of("strict").is_empty());
    }
    place.end("plain", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walls_of_a_run_stand_here_too() {
    let place = Place::new();
    let sandbox = place.make("walls").await;
    let said = sh(
        &sandbox,
        "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; \
        cat /proc/sys/kernel/core_pattern > /dev/null && echo x > /proc/sys/kernel/core_pattern; \
        ls /root /home /var 2>&1 | head -1; touch /usr/x; hostname; cat /etc/shadow; \
        python3 -c 'import socket; socket.create_connection((\"1.1.1.1\",53),1)' 2>&1 | tail -1",
    )
    .await;
    assert!(said.out.contains("CapEff:\t0000000000000000"), "{said:?}");
    assert!(said.out.contains("Seccomp:\t2") && said.out.contains("capsule\n"), "{said:?}");
    // gVisor shows no such line, and has other words for no network.
    let (no_new, no_way) = match crate::backend::is_gvisor() {
        true => ("", "No route to host"),
        false => ("NoNewPrivs:\t1", "unreachable"),
    };
    assert!(said.out.contains(no_new) && said.out.contains(no_way), "{said:?}");
    assert!(said.err.contains("/usr/x") && said.err.contains("/etc/shadow"), "{said:?}");
    place.end("walls", &sandbox).await;
    let mut strict = place::recipe();
    strict.policy.seccomp = SeccompProfile::Strict;
    let sandbox = place.make_with("strict", &strict).await;
    let said =
        place::run(&sandbox, &program(&["python3", "-c", "import socket; socket.socket()"])).await;
    let allowed = place::run(&sandbox, &program(&["echo", "plain"])).await;
    assert_eq!(allowed.out, "plain\n", "{allowed:?}");
    assert_eq!(said.ended.signal, Some(libc::SIGSYS), "{said:?}");
    place.end("strict", &sandbox).await;
}
