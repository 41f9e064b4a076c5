//! Starting, hearing, signalling and ending processes.

use std::time::{Duration, Instant};

use capsule_backend::guest::Channel;
use capsule_backend::sandbox::{Program, Reach};
use capsule_spec::ErrorCode;

use crate::place::{self, Place, finish, hear, program, run, sh, shell, start, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_and_ends() {
    let place = Place::new();
    let sandbox = place.make("first").await;
    let said = sh(&sandbox, "echo out; echo err >&2; pwd; id -u; exit 3").await;
    assert_eq!((said.out.as_str(), said.err.as_str()), ("out\n/workspace\n1000\n", "err\n"));
    assert_eq!((said.code(), said.ended.signal), (3, None));
    assert!(said.ended.duration > Duration::ZERO && said.ended.duration < Duration::from_secs(5));
    let said = sh(&sandbox, "kill -TERM $$").await;
    assert_eq!((said.code(), said.ended.signal), (143, Some(15)));
    // Files stay, and so does nothing else.
    sh(&sandbox, "echo kept > /workspace/file").await;
    place::settles(&sandbox, place.init("first"), 1).await;
    // A jail's /proc does not show what is Capsule's own: PID 1 and a keeper.
    // In gVisor PID 1 are two.
    let seen = match (crate::backend::is_jail(), crate::backend::is_gvisor()) {
        (true, _) => "kept\n2\n",
        (false, false) => "kept\n4\n",
        (false, true) => "kept\n5\n",
    };
    let count = "import os; print(sum(name.isdigit() for name in os.listdir(\"/proc\")))";
    let counted = sh(&sandbox, &format!("cat file; python3 -c '{count}'; true")).await;
    assert_eq!(counted.out, seen);
    place.end("first", &sandbox).await;
    let failure = sandbox.spawn(&shell("true")).await.map(drop).unwrap_err();
    assert_eq!(failure.code, ErrorCode::SandboxEnded);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commands_one_after_the_other_and_at_once() {
    let place = Place::new();
    let sandbox = place.make("many").await;
    for number in 0..300 {
        let said = run(&sandbox, &program(&["echo", &number.to_string()])).await;
        assert_eq!(said.out, format!("{number}\n"));
    }
    // In gVisor more processes than there may be for a moment end all of them.
    let at_once = if crate::backend::is_gvisor() { 10 } else { 30 };
    let all: Vec<_> = (0..at_once)
        .map(|number| {
            let sandbox = sandbox.clone();
            tokio::spawn(async move {
                let said = sh(&sandbox, &format!("sleep 0.1; echo {number}; exit {number}")).await;
                assert_eq!((said.out, said.ended.exit_code), (format!("{number}\n"), number));
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    let init = place.init("many");
    // Keepers are ended once their process is.
    place::settles(&sandbox, init, 1).await;
    place.end("many", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_says_why() {
    let place = Place::new();
    let sandbox = place.make("refuses").await;
    let codes = [
        (program(&["no-such-program"]), ErrorCode::CommandNotFound),
        (program(&["/no/such"]), ErrorCode::CommandNotFound),
        (program(&["/etc/passwd"]), ErrorCode::CommandNotExecutable),
        (program(&["/usr"]), ErrorCode::CommandNotExecutable),
        (program(&[]), ErrorCode::MissingCommand),
        (program(&[""]), ErrorCode::MissingCommand),
        (program(&["echo", "a\0b"]), ErrorCode::InvalidValue),
        (program(&["echo", &"x".repeat(1 << 20)]), ErrorCode::InvalidValue),
        (program(&["x"; 10_000]), ErrorCode::InvalidValue),
        (
            Program { working_directory: "/nowhere".to_owned(), ..program(&["true"]) },
            ErrorCode::WorkdirMissing,
        ),
        (
            Program { working_directory: "etc".to_owned(), ..program(&["true"]) },
            ErrorCode::InvalidPath,
        ),
    ];
    for (program, code) in codes {
        let failure = sandbox.spawn(&program).await.map(drop).unwrap_err();
        assert_eq!(failure.code, code, "{failure:?}");
    }
    // What is long, but not too long.
    let long = "y".repeat(100_000);
    assert_eq!(run(&sandbox, &program(&["echo", &long])).await.out.len(), 100_001);
    // And nothing has stayed behind.
    assert!(sandbox.processes().await.unwrap().is_empty());
    place.end("refuses", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_go_over_the_base() {
    let place = Place::new();
    let mut recipe = place::recipe();
    recipe.policy.environment.insert("ONE".to_owned(), "recipe".to_owned());
    recipe.policy.environment.insert("TWO".to_owned(), "recipe".to_owned());
    let sandbox = place.make_with("env", &recipe).await;
    let mut program = shell("echo $HOME $ONE $TWO $THREE");
    program.environment.insert("TWO".to_owned(), "program".to_owned());
    program.environment.insert("THREE".to_owned(), "a b\nc".to_owned());
    assert_eq!(run(&sandbox, &program).await.out, "/workspace recipe program a b c\n");
    // A PATH of its own is where it is looked for.
    sh(&sandbox, "mkdir bin; printf '#!/bin/sh\\necho mine' > bin/tool; chmod +x bin/tool").await;
    let mut program = place::program(&["tool"]);
    program.environment.insert("PATH".to_owned(), "/nowhere:/workspace/bin:/usr/bin".to_owned());
    assert_eq!(run(&sandbox, &program).await.out, "mine\n");
    place.end("env", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_goes_in_and_can_be_closed() {
    let place = Place::new();
    let sandbox = place.make("input").await;
    let process = start(&sandbox, &program(&["cat"])).await;
    process.input(b"one ").await.unwrap();
    assert_eq!(hear(&process, "one ").await, "one ");
    // Another keeper must not hold the first one's input.
    let other = start(&sandbox, &program(&["sleep", "100"])).await;
    process.input(b"two").await.unwrap();
    process.close_input();
    let said = finish(&process).await;
    assert_eq!((said.out.as_str(), said.code()), ("two", 0));
    assert_eq!(process.input(b"three").await.unwrap_err().code, ErrorCode::ProcessEnded);
    // More than a pipe holds, to one who reads late and one who never does.
    let big = vec![b'z'; 1 << 20];
    let slow = start(&sandbox, &shell("sleep 0.3; wc -c")).await;
    within(10, slow.input(&big)).await.unwrap();
    slow.close_input();
    assert_eq!(finish(&slow).await.out.trim(), "1048576");
    let deaf = start(&sandbox, &shell("exec <&-; sleep 0.2")).await;
    within(10, deaf.input(&big)).await.unwrap();
    other.signal(libc::SIGKILL, Reach::Tree).await.unwrap();
    place.end("input", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_comes_as_it_is_made_and_all_of_it() {
    let place = Place::new();
    let sandbox = place.make("output").await;
    let process = start(&sandbox, &shell("echo first; sleep 0.4; echo second")).await;
    let started = Instant::now();
    let (channel, bytes) = process.output().await.unwrap();
    assert_eq!((channel, bytes.as_slice()), (Channel::Stdout, &b"first\n"[..]));
    assert!(started.elapsed() < Duration::from_millis(350), "{:?}", started.elapsed());
    // A reader that gives up loses nothing.
    for _ in 0..3 {
        let _ = tokio::time::timeout(Duration::from_millis(10), process.output()).await;
    }
    assert_eq!(finish(&process).await.out, "second\n");
    let said = sh(&sandbox, "head -c 5000000 /dev/zero; head -c 3000000 /dev/zero >&2").await;
    assert_eq!((said.out.len(), said.err.len()), (5_000_000, 3_000_000));
    let said = sh(&sandbox, "printf '\\377\\000\\001'").await;
    assert_eq!(said.out.as_bytes(), "\u{fffd}\0\u{1}".as_bytes());
    place.end("output", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_does_not_wait_for_who_holds_the_pipes() {
    let place = Place::new();
    let sandbox = place.make("holders").await;
    let started = Instant::now();
    let process = start(
        &sandbox,
        &shell("(while sleep 0.05; do echo alive; echo x >> beats; done) & echo main"),
    )
    .await;
    let said = finish(&process).await;
    assert!(said.out.starts_with("main\n") && said.code() == 0, "{said:?}");
    assert!(started.elapsed() < Duration::from_secs(2));
    drop(process);
    // What was left lives on, and can go on writing.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let beats = |said: place::Said| said.out.trim().parse::<u32>().unwrap();
    let before = beats(sh(&sandbox, "wc -l < beats").await);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let after = beats(sh(&sandbox, "wc -l < beats").await);
    assert!(after > before + 2, "{before} {after}");
    place.end("holders", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reaches_one_or_all() {
    let place = Place::new();
    let sandbox = place.make("signals").await;
    let script = "trap 'echo caught' TERM; (trap '' TERM; while :; do sleep 0.05; done) & echo up; \
                  while :; do sleep 0.05; done";
    let process = start(&sandbox, &shell(script)).await;
    hear(&process, "up").await;
    process.signal(libc::SIGTERM, Reach::Process).await.unwrap();
    hear(&process, "caught").await;
    let failure = process.signal(0, Reach::Process).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::InvalidValue);
    assert_eq!(process.signal(65, Reach::Tree).await.unwrap_err().code, ErrorCode::InvalidValue);
    // To the tree: its sleeps hear it, too.
    process.signal(libc::SIGTERM, Reach::Tree).await.unwrap();
    hear(&process, "caught").await;
    process.signal(libc::SIGKILL, Reach::Tree).await.unwrap();
    let said = finish(&process).await;
    assert_eq!((said.ended.signal, said.code()), (Some(9), 137));
    let failure = process.signal(libc::SIGTERM, Reach::Process).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::ProcessEnded);
    place.end("signals", &sandbox).await;
}

/// Programs of which killing the first process kills nothing.
const STUBBORN: [&str; 5] = [
    "trap '' TERM HUP INT; echo up; while :; do sleep 1; done",
    "for i in 1 2 3; do setsid sh -c 'setsid sleep 1000 & sleep 1000' & done; echo up; wait",
    "(setsid sh -c '(setsid sleep 1000 &) & exec sleep 1000' &) ; echo up; sleep 1000",
    "sleep 1000 & kill -STOP $!; echo up; kill -STOP $$",
    "python3 -c 'import os,time,ctypes\nctypes.CDLL(None).prctl(4,0)\nfor _ in range(9):\n  if os.fork()==0:\n    os.setsid()\n    if os.fork()==0: time.sleep(1000)\n    os._exit(0)\nprint(\"up\",flush=True)\ntime.sleep(1000)'",
];

#[tokio::test(flavor = "multi_thread")]
async fn killing_a_tree_leaves_none_of_it_and_all_others() {
    let place = Place::new();
    let sandbox = place.make("trees").await;
    let bystander = start(&sandbox, &shell("sleep 1000 & echo up; wait")).await;
    hear(&bystander, "up").await;
    let init = place.init("trees");
    let before = place::count(&sandbox, init).await;
    for script in STUBBORN {
        let process = start(&sandbox, &shell(script)).await;
        hear(&process, "up").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let started = Instant::now();
        within(5, process.signal(libc::SIGKILL, Reach::Tree)).await.unwrap();
        let took = started.elapsed();
        let said = finish(&process).await;
        // gVisor may tell a group that lost its parents (SIGHUP) before it is killed.
        let signals = if crate::backend::is_gvisor() { &[9, 1][..] } else { &[9] };
        assert!(said.ended.signal.is_some_and(|signal| signals.contains(&signal)), "{script}");
        drop(process);
        place::settles(&sandbox, init, before).await;
        assert!(took < Duration::from_millis(300), "{took:?} {script}");
    }
    bystander.signal(libc::SIGKILL, Reach::Tree).await.unwrap();
    place.end("trees", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_never_used_again_and_ends_are_told_until_heard() {
    let place = Place::new();
    let sandbox = place.make("numbers").await;
    let first = start(&sandbox, &program(&["sleep", "1000"])).await;
    let second = start(&sandbox, &program(&["true"])).await;
    assert_eq!((first.number(), second.number()), (1, 2));
    // Dropped before anybody heard of its end: still there.
    drop(second);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let listed = sandbox.processes().await.unwrap();
    assert_eq!(listed.iter().map(|process| process.number()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(within(5, listed[1].ended()).await.exit_code, 0);
    drop(listed);
    let listed = sandbox.processes().await.unwrap();
    assert_eq!(listed.iter().map(|process| process.number()).collect::<Vec<_>>(), [1]);
    assert_eq!(start(&sandbox, &program(&["true"])).await.number(), 3);
    place.end("numbers", &sandbox).await;
    // Who waits for it hears that it is over.
    assert_eq!(within(5, first.ended()).await.signal, Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_clients_at_once_leave_it_as_it_was() {
    let place = Place::new();
    let sandboxes = [place.make("busy-0").await, place.make("busy-1").await];
    let until = Instant::now() + Duration::from_secs(3);
    let clients: Vec<_> = (0..30)
        .map(|number| {
            let sandbox = sandboxes[number % 2].clone();
            tokio::spawn(async move {
                let path = format!("/tmp/{number}");
                let mut rounds = 0;
                while Instant::now() < until {
                    let text = format!("{number} {rounds}");
                    place::write(&sandbox, &path, text.as_bytes()).await.unwrap();
                    let said = run(&sandbox, &program(&["cat", &path])).await;
                    assert_eq!((said.out.as_str(), said.code()), (text.as_str(), 0));
                    assert_eq!(place::read(&sandbox, &path).await.unwrap(), text.as_bytes());
                    let killed = start(&sandbox, &program(&["sleep", "1000"])).await;
                    killed.signal(libc::SIGKILL, Reach::Tree).await.unwrap();
                    assert_eq!(within(5, killed.ended()).await.signal, Some(9));
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    let mut rounds = 0;
    for client in clients {
        rounds += client.await.unwrap();
    }
    assert!(rounds > 60, "{rounds}");
    for (number, sandbox) in sandboxes.iter().enumerate() {
        let name = format!("busy-{number}");
        place::settles(sandbox, place.init(&name), 1).await;
        assert!(sandbox.processes().await.unwrap().is_empty());
        place.end(&name, sandbox).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_a_start_leaves_no_process() {
    let place = Place::new();
    let sandbox = place.make("given-up").await;
    for microseconds in [0, 50, 100, 200, 400, 800, 1600] {
        let sleeper = program(&["sleep", "1000"]);
        let patience = Duration::from_micros(microseconds);
        if let Ok(Ok(process)) = tokio::time::timeout(patience, sandbox.spawn(&sleeper)).await {
            process.signal(libc::SIGKILL, Reach::Tree).await.unwrap();
            process.ended().await;
        }
    }
    for _ in 0..100 {
        if sandbox.processes().await.unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(sandbox.processes().await.unwrap().is_empty());
    place::settles(&sandbox, place.init("given-up"), 1).await;
    place.end("given-up", &sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_want_one_name_do_not_harm_each_other() {
    let place = std::sync::Arc::new(Place::new());
    for _ in 0..5 {
        let both: Vec<_> = (0..4)
            .map(|_| {
                let place = place.clone();
                tokio::spawn(async move {
                    use capsule_backend::sandbox::Sandboxes;
                    place.residents.create("same", &place::recipe()).await
                })
            })
            .collect();
        let mut made = Vec::new();
        for one in both {
            match one.await.unwrap() {
                Ok(sandbox) => made.push(sandbox),
                Err(failure) => assert_eq!(failure.code, ErrorCode::WrongState),
            }
        }
        assert_eq!(made.len(), 1);
        assert_eq!(sh(&made[0], "echo well").await.out, "well\n");
        place.end("same", &made[0]).await;
    }
}
