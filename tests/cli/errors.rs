//! Every error code, each by a real cause. The last test holds this file to that:
//! a code without a test `eNNNN_…` fails it.

use std::time::Duration;

use capsule_spec::ErrorCode;
use capsule_tests::{
    Binary, Caller, Finished, Limit, Run, Scratch, Server, Signal, answer, own_user, skip,
    wall_stands,
};
use serde_json::json;

/// Ends with `exit`, and says `code` in text.
#[track_caller]
fn fails(run: Run, exit: i32, code: &str) -> Finished {
    let run = run.finish().ended_with(exit);
    assert_eq!(run.error_code().as_deref(), Some(code), "{run}");
    run
}

/// The same in JSON: `status`, and `error.code`.
#[track_caller]
fn answers(run: Run, status: &str, code: &str) -> Finished {
    let run = run.finish();
    assert_eq!(run.verdict(), (status.to_owned(), code.to_owned()), "{run}");
    assert_ne!(run.code, Some(0), "{run}");
    run
}

#[track_caller]
fn hints(run: &Finished, hint: &str) {
    assert!(run.errors().contains("\nhint: ") && run.errors().contains(hint), "{run}");
}

#[test]
fn e1001_request_that_is_not_json() {
    answers(Run::new(&["--json"]).input("{\"command\": [\"true\""), "error", "E1001");
}

#[test]
fn e1002_unknown_flag_and_field() {
    hints(&fails(Run::new(&["--memmory=1M", "--", "true"]), 2, "E1002"), "--memory");
    answers(Run::json(&json!({"comand": []})), "error", "E1002");
}

#[test]
fn e1003_value_out_of_range() {
    fails(Run::new(&["--timeout=0", "--", "true"]), 2, "E1003");
    answers(Run::json(&json!({"command": ["true"], "timeout_ms": 0})), "error", "E1003");
}

#[test]
fn e1004_no_command() {
    hints(&fails(Run::new(&[]), 2, "E1004"), "--");
    answers(Run::json(&json!({"command": []})), "error", "E1004");
}

#[test]
fn e1005_path_that_is_reserved() {
    fails(Run::new(&["--bind", "/usr:/proc/x", "--", "true"]), 2, "E1005");
    let request = json!({"command": ["true"], "isolation": {"working_directory": "here"}});
    answers(Run::json(&request), "error", "E1005");
}

#[test]
fn e1006_options_that_contradict() {
    let run = Run::new(&["--network", "--allow-host", "example.org", "--", "true"]);
    fails(run, 2, "E1006");
    let isolation = json!({"network": true, "allowed_hosts": ["example.org"]});
    let request = json!({"command": ["true"], "isolation": isolation});
    answers(Run::json(&request), "error", "E1006");
}

#[test]
fn e1007_configuration_that_cannot_be_read() {
    let scratch = Scratch::new();
    fails(Run::new(&["-c", &scratch.at("missing"), "--", "true"]), 2, "E1007");
    let file = scratch.file("wrong.toml", "timeout_ms = ");
    answers(Run::new(&["--json", "-c", &file]).input("{}"), "error", "E1007");
}

#[test]
fn e1008_profile_that_is_not_there() {
    let scratch = Scratch::new();
    let file = scratch.file("capsule.toml", "[profile.python]\n");
    fails(Run::new(&["-c", &file, "-p", "node", "--", "true"]), 2, "E1008");
    answers(Run::new(&["--json", "-p", "node"]).input("{}"), "error", "E1008");
}

#[test]
fn e2001_user_namespaces_used_up() {
    let none_left = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let wrapper = ["unshare", "--user", "--map-root-user", "sh", "-c", none_left, "sh"];
    let run = fails(Run::new(&["--", "true"]).through(&wrapper), 1, "E2001");
    hints(&run, "sysctl user.max_user_namespaces");
}

#[test]
fn e2001_seccomp_filter_of_a_container() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let run = Run::new(&["--", "true"]).without_call(libc::SYS_clone3, errno);
        let run = fails(run, 1, "E2001");
        hints(&run, "docker run --security-opt seccomp=unconfined");
        assert!(run.errors().contains("a seccomp filter round this process"), "{run}");
    }
    let run = Run::json(&json!({"command": ["true"]}));
    answers(run.without_call(libc::SYS_clone3, libc::EPERM), "error", "E2001");
}

#[test]
fn e2001_is_told_by_doctor() {
    let run = Run::new(&["doctor", "--json"]).binary(Binary::Capsule);
    let run = run.without_call(libc::SYS_clone3, libc::EPERM).finish().ended_with(1);
    let backend = &run.json()["backends"][0];
    assert_eq!((&backend["usable"], &backend["error"]["code"]), (&json!(false), &json!("E2001")));
}

#[test]
fn e2002_wall_that_cannot_be_built() {
    for call in [libc::SYS_pivot_root, libc::SYS_sethostname, libc::SYS_seccomp] {
        let run = Run::new(&["--", "true"]).without_call(call, libc::EPERM);
        hints(&fails(run, 1, "E2002"), "capsule doctor");
    }
    let run = Run::json(&json!({"command": ["true"]}));
    answers(run.without_call(libc::SYS_pivot_root, libc::EPERM), "error", "E2002");
}

#[test]
fn e2003_mount_source_that_is_not_there() {
    let scratch = Scratch::new();
    let missing = scratch.at("missing");
    hints(&fails(Run::new(&["--readonly", &missing, "--", "true"]), 1, "E2003"), "check the path");
    let request = json!({"command": ["true"], "isolation": {"readonly_paths": [missing]}});
    let run = answers(Run::json(&request), "error", "E2003");
    assert_eq!(run.json()["error"]["details"]["source"], scratch.at("missing"));
}

#[test]
fn e2003_mount_source_of_somebody_else() {
    if own_user() != 0 {
        return skip("only root can make a folder of another user");
    }
    let scratch = Scratch::new();
    let closed = scratch.directory("closed");
    let set = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::create_dir(format!("{closed}/inner")).unwrap();
    std::fs::set_permissions(&closed, set(0o700)).unwrap();
    let run = Run::new(&["--readonly", &format!("{closed}/inner"), "--", "true"]);
    let run = fails(run.caller(Caller::Unprivileged), 1, "E2003");
    assert!(run.errors().contains("may not be opened by this user"), "{run}");
}

#[test]
fn e2003_place_that_a_mount_does_not_have() {
    let scratch = Scratch::new();
    let place = format!("{}:/usr/share/no-such-folder-there", scratch.text());
    let run = fails(Run::new(&["--bind", &place, "--", "true"]), 1, "E2003");
    hints(&run, "make it on the host first");
}

#[test]
fn e2004_required_wall_that_does_not_stand() {
    fails(Run::new(&["--network", "--require", "network", "--", "true"]), 1, "E2004");
    let request =
        json!({"command": ["true"], "isolation": {"network": true, "require": ["network"]}});
    let run = answers(Run::json(&request), "error", "E2004");
    assert_eq!(run.json()["error"]["details"]["wall"], "network");
}

#[test]
fn e2004_limit_that_nothing_would_enforce() {
    let probe = Run::new(&["--dry-run", "--require", "cpu", "--", "true"]);
    if probe.caller(Caller::Unprivileged).finish().code == Some(0) {
        return skip("this user has control groups");
    }
    for flags in [["--require", "memory"], ["--require", "cpu"], ["--cpus", "1"]] {
        let run = Run::new(&[&flags[..], &["--", "true"]].concat());
        let run = fails(run.caller(Caller::Unprivileged), 1, "E2004");
        assert!(run.errors().contains("\nhint: "), "{run}");
    }
}

/// The group is made before anything else, by the only mkdir(2) of the supervisor.
#[test]
#[cfg(target_arch = "x86_64")]
fn e2005_control_group_that_cannot_be_made() {
    if !wall_stands("memory") {
        return skip("no control groups for this user");
    }
    let flags = ["--require", "memory", "--", "true"];
    let run = Run::new(&flags).without_call(libc::SYS_mkdir, libc::EACCES);
    hints(&fails(run, 1, "E2005"), "capsule doctor");
    let run = Run::new(&[&["--json"], &flags[..]].concat()).input("{}");
    answers(run.without_call(libc::SYS_mkdir, libc::EACCES), "error", "E2005");
}

/// A run that needs its group late must not go on without it either.
#[test]
#[cfg(target_arch = "x86_64")]
fn e2005_ends_a_command_that_already_runs() {
    if !wall_stands("memory") {
        return skip("no control groups for this user");
    }
    let run = Run::new(&["--", "sleep", "60"]).without_call(libc::SYS_mkdir, libc::EACCES);
    let run = fails(run, 1, "E2005");
    assert!(run.took < Duration::from_secs(30), "{run}");
}

#[test]
fn e2006_door_that_cannot_be_opened() {
    let run = Run::new(&["--allow-host", "example.org", "--", "true"]);
    fails(run.without_call(libc::SYS_listen, libc::EPERM), 1, "E2006");
    let isolation = json!({"allowed_hosts": ["example.org"]});
    let run = Run::json(&json!({"command": ["true"], "isolation": isolation}));
    answers(run.without_call(libc::SYS_listen, libc::EPERM), "error", "E2006");
}

#[test]
fn e3001_command_that_is_not_there() {
    hints(&fails(Run::new(&["--", "no-such-command"]), 1, "E3001"), "--readonly PATH");
    fails(Run::new(&["--", "/no/such/command"]), 1, "E3001");
    answers(Run::json(&json!({"command": ["no-such-command"]})), "error", "E3001");
}

#[test]
fn e3001_script_without_its_interpreter() {
    let scratch = Scratch::new();
    scratch.program("script", "#!/no/such/interpreter\n");
    let bind = format!("{}:/own", scratch.text());
    hints(&fails(Run::new(&["--bind", &bind, "--", "/own/script"]), 1, "E3001"), "interpreter");
}

#[test]
fn e3002_file_that_is_no_program() {
    let scratch = Scratch::new();
    scratch.file("data", "plain\n");
    scratch.program("text", "plain\n");
    let bind = format!("{}:/own", scratch.text());
    hints(&fails(Run::new(&["--bind", &bind, "--", "/own/data"]), 1, "E3002"), "chmod +x");
    hints(&fails(Run::new(&["--bind", &bind, "--", "/own/text"]), 1, "E3002"), "#!/bin/sh");
    fails(Run::new(&["--", "/usr"]), 1, "E3002");
    answers(Run::json(&json!({"command": ["/etc/passwd"]})), "error", "E3002");
}

#[test]
fn e3002_arguments_longer_than_the_kernel_takes() {
    let request = json!({"command": ["echo", "x".repeat(200_000)]});
    answers(Run::json(&request), "error", "E3002");
}

#[test]
fn e3003_timeout() {
    hints(&fails(Run::new(&["-t", "300", "--", "sleep", "60"]), 124, "E3003"), "--timeout");
    let request = json!({"command": ["sleep", "60"], "timeout_ms": 300});
    let run = answers(Run::json(&request), "timeout", "E3003");
    assert_eq!(run.json()["error"]["details"]["limit_ms"], "300");
}

#[test]
fn e3004_signal() {
    fails(Run::shell(&[], "kill -SEGV $$"), 139, "E3004");
    let run =
        answers(Run::json(&json!({"command": ["sh", "-c", "kill -9 $$"]})), "killed", "E3004");
    assert_eq!(run.json()["error"]["details"]["signal"], "9");
}

#[test]
fn e3005_exit_code() {
    let run = answers(Run::json(&json!({"command": ["sh", "-c", "exit 7"]})), "error", "E3005");
    assert_eq!(run.json()["error"]["details"]["exit_code"], "7");
}

#[test]
fn e3006_working_directory_that_is_not_there() {
    hints(&fails(Run::new(&["-w", "/no/where", "--", "true"]), 1, "E3006"), "--bind");
    let isolation = json!({"working_directory": "/etc/passwd"});
    let request = json!({"command": ["true"], "isolation": isolation});
    answers(Run::json(&request), "error", "E3006");
}

#[test]
fn e3007_interrupted() {
    let run = Run::shell(&[], "echo ready; exec sleep 60").start();
    run.wait_for("ready");
    run.signal(Signal::Terminate);
    let run = run.finish().ended_with(143);
    assert_eq!(run.error_code().as_deref(), Some("E3007"), "{run}");

    // Nothing shows in JSON before the end, so a file says that it is there.
    let scratch = Scratch::new();
    let bind = format!("{}:/own:rw", scratch.text());
    let run = Run::new(&["--json", "--bind", &bind])
        .input(r#"{"command":["sh","-c","echo kept; touch /own/ready; exec sleep 60"]}"#)
        .start();
    while !scratch.path().join("ready").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    run.signal(Signal::Interrupt);
    let run = run.finish();
    assert_eq!(run.verdict(), ("killed".to_owned(), "E3007".to_owned()), "{run}");
    assert_eq!(run.json()["stdout"], "kept\n");
}

/// Reads from a file that the kernel does not give at once, so that it is
/// under way when control groups of version 1 are joined.
const TAKE_MEMORY: &str = "import time; time.sleep(0.2); x = bytearray(200 << 20); time.sleep(5)";

#[test]
fn e4001_memory() {
    hints(&fails(Run::python(&["-m", "48M"], TAKE_MEMORY), 137, "E4001"), "--memory");
    let request = json!({"command": ["python3", "-c", TAKE_MEMORY],
                         "resources": {"memory_bytes": 50_000_000}});
    let run = answers(Run::json(&request), "killed", "E4001");
    assert_eq!(run.json()["error"]["details"]["limit_bytes"], "50000000");
}

/// Forks until it is refused, and then ends as if nothing had been.
const FORKS: &str = "
import os, time
time.sleep(0.2)
try:
    for _ in range(50):
        if os.fork() == 0:
            time.sleep(60)
except OSError as error:
    print(error.errno)
";

#[test]
fn e4002_processes() {
    // Without a group, RLIMIT_NPROC holds the wall, and nobody counts what it refuses.
    if !wall_stands("memory") {
        return skip("no control groups for this user");
    }
    let run = fails(Run::python(&["--max-pids", "8"], FORKS), 1, "E4002");
    assert_eq!(run.text(), "11\n");
    hints(&run, "--max-pids");
    let request = json!({"command": ["python3", "-c", FORKS], "resources": {"max_pids": 8}});
    let run = answers(Run::json(&request), "error", "E4002");
    assert_eq!(run.json()["error"]["details"]["limit"], "8");
}

#[test]
fn e4003_output() {
    let script = "head -c 5000 /dev/zero | tr '\\0' x; exit 3";
    let run = fails(Run::shell(&["--max-output", "1000"], script), 3, "E4003");
    hints(&run, "--max-output");
    assert_eq!(run.stdout.len(), 1000);
    let request = json!({"command": ["sh", "-c", script], "resources": {"max_output_bytes": 1000}});
    let run = answers(Run::json(&request), "error", "E4003");
    assert_eq!(run.json()["exit_code"], 3);
}

#[test]
fn e5001_system_call_that_strict_forbids() {
    let run = fails(Run::new(&["--seccomp", "strict", "--", "mkdir", "/tmp/x"]), 159, "E5001");
    hints(&run, "--seccomp default");
    let isolation = json!({"seccomp": "strict"});
    let request = json!({"command": ["mkdir", "/tmp/x"], "isolation": isolation});
    answers(Run::json(&request), "killed", "E5001");
}

#[test]
fn e5002_host_that_is_not_allowed() {
    let server = Server::start(|_| answer("never seen"));
    let url = format!("http://{}/", server.address());
    let fetch = format!("import urllib.request; urllib.request.urlopen('{url}')");
    let run = Run::python(&["--allow-host", "192.0.2.1", "-e", "no_proxy="], &fetch);
    let run = fails(run, 1, "E5002");
    hints(&run, &format!("--allow-host {}", server.address()));
    let request = json!({"command": ["python3", "-c", fetch], "environment": {"no_proxy": ""},
                         "isolation": {"allowed_hosts": ["192.0.2.1"]}});
    let run = answers(Run::json(&request), "error", "E5002");
    assert_eq!(run.json()["error"]["details"]["host"], server.address());
    assert_eq!(server.connections(), 0);
}

#[test]
fn e5003_mount_source_through_a_link() {
    let scratch = Scratch::new();
    let real = scratch.directory("real");
    std::os::unix::fs::symlink("real", scratch.path().join("link")).unwrap();
    for path in [scratch.at("link"), scratch.at("link/below")] {
        std::fs::create_dir_all(scratch.path().join("real/below")).unwrap();
        let run = fails(Run::new(&["--readonly", &path, "--", "true"]), 1, "E5003");
        hints(&run, &format!("name the real path: {real}"));
    }
    let request =
        json!({"command": ["true"], "isolation": {"readonly_paths": [scratch.at("link")]}});
    answers(Run::json(&request), "error", "E5003");
}

#[test]
fn e6001_call_that_should_have_succeeded() {
    let run = Run::new(&["--", "true"]).without_call(libc::SYS_pipe2, libc::EPERM);
    fails(run, 1, "E6001");
    let run = Run::json(&json!({"command": ["true"]}));
    answers(run.without_call(libc::SYS_pipe2, libc::EPERM), "error", "E6001");
}

#[test]
fn e6002_no_descriptors_left() {
    for count in [4, 6, 8] {
        let run = Run::new(&["--", "true"]).limited(Limit::OpenFiles(count));
        hints(&fails(run, 1, "E6002"), "ulimit -n");
    }
    let run = Run::json(&json!({"command": ["true"]})).limited(Limit::OpenFiles(6));
    answers(run, "error", "E6002");
}

#[test]
fn e6002_no_processes_left() {
    if own_user() != 0 {
        return skip("only root can become a user with no other process");
    }
    // A user of its own: the limit counts all processes of one.
    let user = Caller::User(2_000_000_000 + std::process::id());
    let run = Run::new(&["--", "true"]).caller(user).limited(Limit::Processes(1));
    hints(&fails(run, 1, "E6002"), "ulimit -u");
}

/// Silent without `--json`, as of any program at the head of a pipeline, and with
/// it nothing is written before the end: the code shows in the exit code only.
#[test]
fn e6003_reader_that_went_away() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = Run::shell(&[], "while echo x; do :; done; sleep 60").stdout(writer).finish();
    assert_eq!((run.code, run.errors()), (Some(1), ""), "{run}");
    assert!(run.took < Duration::from_secs(30), "{run}");
}

#[test]
fn every_code_has_a_cause_here() {
    let sources = [
        include_str!("errors.rs"),
        include_str!("../tasks/errors.rs"),
        include_str!("../serve/errors.rs"),
        include_str!("../serve/volumes.rs"),
        include_str!("../containers/own.rs"),
        include_str!("wasm.rs"),
    ];
    for code in ErrorCode::ALL {
        let test = format!("\nfn {}_", code.code().to_lowercase());
        assert!(
            sources.iter().any(|source| source.contains(&test)),
            "no test for {code}: {}",
            code.summary()
        );
    }
}
