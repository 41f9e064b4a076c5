//! `--seccomp strict`: some fifty calls. What runs with them, and what dies.

use capsule_tests::{Caller, Run, found_on_path};
use serde_json::json;

const CALLERS: [Caller; 2] = [Caller::Current, Caller::Unprivileged];
const STRICT: [&str; 2] = ["--seccomp", "strict"];

#[test]
fn computing_and_reading_run() {
    for caller in CALLERS {
        for (script, said) in [
            ("echo hello", "hello\n"),
            ("cat /etc/group | head -1", "root:x:0:\n"),
            ("ls -l /usr > /dev/null && echo ok", "ok\n"),
            ("seq 1 100 | sort -rn | head -1", "100\n"),
            ("printf 'b\\na\\nb\\n' | sort | uniq -c | wc -l", "2\n"),
            ("echo a:b | cut -d: -f2 | tr b c", "c\n"),
            ("echo abc | sed s/b/x/ | grep x", "axc\n"),
            ("find /etc -name passwd", "/etc/passwd\n"),
            ("printf abc | sha256sum | cut -c 1-8", "ba7816bf\n"),
            ("date > /dev/null; sleep 0.1; echo $((6*7))", "42\n"),
            ("echo written > /tmp/file; cat /tmp/file", "written\n"),
        ] {
            let run = Run::shell(&STRICT, script).caller(caller).finish().ended_with(0);
            assert_eq!((run.text(), run.errors()), (said, ""), "{script}");
        }
        let script = "import hashlib, json, threading\n\
            t = threading.Thread(target=lambda: print(json.dumps({'a': 1}))); t.start(); t.join()\n\
            print(hashlib.sha256(b'abc').hexdigest()[:8], sum(range(1000)))";
        let run = Run::python(&STRICT, script).caller(caller).finish().ended_with(0);
        assert_eq!(run.text(), "{\"a\": 1}\nba7816bf 499500\n");
    }
}

#[test]
fn bash_runs() {
    if found_on_path("bash").is_none() {
        return capsule_tests::skip("no bash");
    }
    let script = "set -o pipefail; x=$(echo a | tr a b); for i in 1 2; do echo $x$i; done | tail \
        -1; (exit 3) | cat; echo $?";
    let run = Run::new(&[&STRICT[..], &["--", "bash", "-c", script]].concat()).finish();
    assert_eq!(run.ended_with(0).text(), "b2\n3\n");
}

#[test]
fn everything_else_is_killed_and_told() {
    for caller in CALLERS {
        for command in [
            &["mkdir", "/tmp/new"][..],
            &["rm", "-f", "/tmp/x"],
            &["mv", "/tmp/a", "/tmp/b"],
            &["touch", "/tmp/x"],
            &["chmod", "700", "/tmp"],
            &["ln", "-s", "a", "/tmp/b"],
            &["mkfifo", "/tmp/fifo"],
            &["id"],
            &["unshare", "--user", "true"],
            &["python3", "-c", "import socket; socket.socket(socket.AF_INET)"],
            &["python3", "-c", "import os; os.kill(os.getppid(), 0)"],
            &["python3", "-c", "import os; os.setsid()"],
        ] {
            let run = Run::new(&[&STRICT[..], &["--"], command].concat()).caller(caller).finish();
            let run = run.ended_with(128 + 31);
            assert_eq!(run.error_code().as_deref(), Some("E5001"), "{command:?}\n{run}");
        }
    }
}

#[test]
fn a_violation_is_killed_in_json() {
    let request = json!({"command": ["mkdir", "/tmp/new"], "isolation": {"seccomp": "strict"}});
    let run = Run::json(&request).finish().ended_with(159);
    assert_eq!(run.verdict(), ("killed".to_owned(), "E5001".to_owned()));
    assert_eq!(run.json()["error"]["details"]["signal"], "31");
    assert_eq!(run.json()["exit_code"], json!(null));
}

#[test]
fn the_default_runs_what_strict_kills() {
    let script = "mkdir /tmp/new && touch /tmp/x && mv /tmp/x /tmp/y && rm /tmp/y && id -u";
    assert_eq!(Run::shell(&[], script).finish().ended_with(0).text(), "1000\n");
}

/// Taken in the default profile by a 32-bit table or the x32 flag.
#[test]
#[cfg(target_arch = "x86_64")]
fn foreign_system_call_tables_are_closed() {
    let x32 = "import ctypes\n\
        libc = ctypes.CDLL(None, use_errno=True)\n\
        print(libc.syscall(ctypes.c_long(0x40000000 + 39)), ctypes.get_errno())";
    for flags in [&[][..], &STRICT] {
        let run = Run::python(flags, x32).finish();
        let refused = run.text() == "-1 38\n" || run.text() == "-1 1\n" || run.code == Some(159);
        assert!(refused, "{run}");
    }
    // int 0x80 with eax = 20, getpid of the 32-bit table.
    let int80 = "import ctypes, mmap\n\
        code = b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3'\n\
        m = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC); \
        m.write(code)\n\
        f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))\n\
        print(f())";
    for flags in [&[][..], &STRICT] {
        let run = Run::python(flags, int80).finish();
        let pid: Option<i32> = run.text().trim().parse().ok();
        assert!(run.code != Some(0) || pid.is_some_and(|pid| pid < 0), "{run}");
    }
}
