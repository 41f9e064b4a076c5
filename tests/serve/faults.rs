//! Faults that a server of this kind had, each shown absent, and attacks on the doors that
//! need a real sandbox behind them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::Serve;
use crate::suite::exec::until;
use crate::suite::is_gvisor;

/// A process that left its session is ended with the rest at the timeout.
#[test]
fn nothing_escapes_the_timeout() {
    let serve = Serve::start(&[]);
    let id = serve.create();
    let script = "setsid setsid sh -c 'sleep 301 & sleep 302' >/dev/null 2>&1 & sleep 300";
    let params = json!({ "id": id, "cmd": ["/bin/sh", "-c", script], "timeout_ms": 500 });
    let began = Instant::now();
    assert_eq!(serve.call("sandbox.v1.exec", params).unwrap()["timed_out"], json!(true));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let left = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done | grep -c 'sleep 30[0-2]$' || true";
    assert_eq!(serve.shell(&id, left).trim(), "0");
}

/// A grandchild that holds the pipes does not hold the answer.
#[test]
fn a_grandchild_holds_nothing_up() {
    let serve = Serve::start(&[]);
    let id = serve.create();
    let began = Instant::now();
    let done = serve.exec(&id, &["/bin/sh", "-c", "sleep 300 & echo done"]);
    assert_eq!((&done["stdout"], &done["timed_out"]), (&json!("done\n"), &json!(false)));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn nobody_is_root_and_the_host_is_not_there() {
    let serve = Serve::start(&[]);
    let id = serve.create();
    assert_ne!(serve.shell(&id, "id -u").trim(), "0");
    let secret = serve.data.join("server.db");
    assert!(secret.is_file());
    for path in
        [secret.to_str().unwrap(), "/etc/shadow", "/proc/1/environ", "/proc/1/root/etc/shadow"]
    {
        let refused = serve.call("sandbox.v1.readFile", json!({ "id": id, "path": path }));
        let refused = refused.unwrap_err();
        assert!(["E3010", "E3011"].contains(&refused.error_code.as_str()), "{path}: {refused:?}");
    }
    // A link of the sandbox leads nowhere else than for its own processes.
    serve.shell(&id, &format!("ln -s {} link; ln -s / root", secret.display()));
    for path in ["link".to_owned(), format!("root{}", secret.display())] {
        let refused = serve.call("sandbox.v1.readFile", json!({ "id": id, "path": path }));
        let code = refused.unwrap_err().error_code;
        // In gVisor what is behind a link to `/` is `/`, which is no file.
        let is_root = is_gvisor() && code == "E3012";
        assert!(code == "E3010" || is_root, "{path}: {code}");
    }
    // No network but its own loopback.
    let interfaces = serve.shell(&id, "ls /sys/class/net 2>/dev/null || cut -d: -f1 /proc/net/dev");
    assert!(!interfaces.contains("eth"), "{interfaces}");
}

#[test]
fn two_sandboxes_do_not_meet() {
    let serve = Serve::start(&[]);
    let (one, other) = (serve.create(), serve.create());
    serve.shell(&one, "echo secret >/workspace/file; echo secret >/tmp/file");
    assert_eq!(
        serve.shell(&other, "cat /workspace/file /tmp/file 2>/dev/null || echo none"),
        "none\n"
    );
    serve.call("sandbox.v1.start", json!({ "id": one, "cmd": ["sleep", "4321"] })).unwrap();
    let seen = serve.shell(&other, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    assert!(!seen.contains("4321"), "{seen}");
}

#[test]
fn a_disk_has_an_end() {
    let serve = Serve::start(&[]);
    let limits = json!({ "disk_bytes": 4 << 20 });
    let id = serve.create_with(json!({ "template": "shell", "limits": limits }));
    let path = format!("/sandbox/{id}/files?path=big");
    let put = serve.http("PUT", &path, &[], &vec![1; 8 << 20]);
    assert_eq!(put.status, 507, "{}", put.head);
    assert_eq!(put.json()["error"]["data"]["details"]["error_code"], json!("E4006"));
    // It goes on living.
    serve.shell(&id, "rm -f big; echo fine");
}

#[test]
fn no_zombie_stays() {
    let serve = Serve::start(&[]);
    let id = serve.create();
    serve.shell(&id, "i=0; while [ $i -lt 50 ]; do (setsid true &); i=$((i+1)); done; sleep 0.3");
    let zombies = "cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ' || true";
    assert_eq!(serve.shell(&id, zombies).trim(), "0");
}

/// Files many times the size of what the server may hold.
#[test]
fn memory_stays_small() {
    let serve = Serve::start(&[]);
    let limits = json!({ "disk_bytes": 1_u64 << 30, "memory_bytes": 1_u64 << 30 });
    let id = serve.create_with(json!({ "template": "shell", "limits": limits }));
    let path = format!("/sandbox/{id}/files?path=big");
    let size = 192 << 20;
    assert_eq!(serve.http("PUT", &path, &[], &vec![1; size]).status, 200);
    assert_eq!(serve.http("GET", &path, &[], b"").body.len(), size);
    let refused = serve.call("sandbox.v1.readFile", json!({ "id": id, "path": "big" }));
    assert!(refused.unwrap_err().hint.unwrap().contains("GET"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", serve.process())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kibibytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kibibytes < 64 << 10, "{kibibytes} KiB");
}

/// So are archives, however large their members are.
#[test]
fn archives_stay_small() {
    let serve = Serve::start(&[]);
    let limits = json!({ "disk_bytes": 1_u64 << 30, "memory_bytes": 2_u64 << 30 });
    let id = serve.create_with(json!({ "template": "shell", "limits": limits }));
    let size = 192 << 20;
    // Thousands of files take gVisor longer than a command usually may.
    let shell = |script: &str| {
        let command = json!({ "id": id, "cmd": ["sh", "-c", script], "timeout_ms": 60_000 });
        let done = serve.call("sandbox.v1.exec", command).unwrap();
        assert_eq!(done["exit_code"], json!(0), "{done}");
        done["stdout"].clone()
    };
    shell(&format!("mkdir in; head -c {size} /dev/zero >in/big; seq 2000 | (cd in; split -l 1)"));
    let got = serve.http("GET", &format!("/sandbox/{id}/files?path=in&archive=tar"), &[], b"");
    assert!(got.status == 200 && got.body.len() > size, "{}", got.head);
    let put =
        serve.http("PUT", &format!("/sandbox/{id}/files?path=out&archive=tar"), &[], &got.body);
    assert_eq!(put.status, 200, "{}", put.head);
    assert_eq!(shell("diff -r in out && echo same"), json!("same\n"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", serve.process())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kibibytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kibibytes < 64 << 10, "{kibibytes} KiB");
}

/// Many timeouts in one sandbox leave nothing that adds up.
#[test]
fn timeouts_do_not_add_up() {
    let serve = Serve::start(&[]);
    let id = serve.create();
    for _ in 0..140 {
        let params = json!({ "id": id, "cmd": ["sleep", "100"], "timeout_ms": 1 });
        // It may not even have started by then.
        let done = serve.call("sandbox.v1.exec", params);
        assert!(done.map_or_else(
            |refused| refused.code == -32004,
            |done| done["timed_out"] == json!(true)
        ));
    }
    // On a busy machine the last ones are still on their way out.
    let fine = json!({ "id": id, "cmd": ["echo", "fine"] });
    until(|| serve.call("sandbox.v1.exec", fine.clone()).is_ok());
    until(|| {
        serve.call("sandbox.v1.stats", json!({ "id": id })).unwrap()["processes"].as_u64() < Some(5)
    });
}
