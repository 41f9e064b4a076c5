//! Commands that are waited for.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Site;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The README's requests, with the fields of its answers and no others.
pub fn wire(site: &Site) {
    let created =
        site.call("sandbox.v1.create", json!({ "template": "shell", "ttl_ms": 600_000 })).unwrap();
    let mut fields = keys(&created);
    fields.retain(|field| *field != "weaker");
    assert_eq!(fields, ["created_at", "expires_at", "id", "template"]);
    let id = created["id"].as_str().unwrap();
    let done = site
        .call(
            "sandbox.v1.exec",
            json!({ "id": id, "cmd": ["echo", "hello"], "timeout_ms": 30_000 }),
        )
        .unwrap();
    let fields = [
        "duration_ms",
        "exit_code",
        "stderr",
        "stderr_truncated",
        "stdout",
        "stdout_truncated",
        "timed_out",
    ];
    assert_eq!(keys(&done), fields);
    assert_eq!((&done["stdout"], &done["exit_code"]), (&json!("hello\n"), &json!(0)));
    let written = site.call(
        "sandbox.v1.writeFile",
        json!({ "id": id, "path": "/workspace/app.py", "content": "cHJpbnQoJ2hlbGxvJyk=" }),
    );
    assert_eq!(written.unwrap(), json!({ "ok": true }));
    let path = json!({ "id": id, "path": "/workspace/app.py" });
    let read = site.call("sandbox.v1.readFile", path).unwrap();
    assert_eq!(read, json!({ "content": "cHJpbnQoJ2hlbGxvJyk=" }));
    let listed = site.call("sandbox.v1.listDir", json!({ "id": id, "path": "/workspace" }));
    let file = json!({
        "name": "app.py", "path": "/workspace/app.py", "is_dir": false, "size": 14
    });
    assert_eq!(listed.unwrap(), json!({ "files": [file] }));
    site.delete(id);
}

pub fn timeout_answers_in_time(site: &Site) {
    let id = site.create();
    let began = Instant::now();
    let cmd = ["/bin/sh", "-c", "echo before; echo wrong >&2; sleep 8; echo after"];
    let params = json!({ "id": id, "cmd": cmd, "timeout_ms": 1_000 });
    let done = site.call("sandbox.v1.exec", params).unwrap();
    let took = began.elapsed();
    assert!((Duration::from_millis(990)..Duration::from_millis(2_500)).contains(&took), "{took:?}");
    assert_eq!((&done["timed_out"], &done["exit_code"]), (&json!(true), &json!(124)));
    assert_eq!((&done["stdout"], &done["stderr"]), (&json!("before\n"), &json!("wrong\n")));
    site.delete(&id);
}

pub fn endless_loop_is_ended(site: &Site) {
    let id = site.create();
    let began = Instant::now();
    let cmd = ["/bin/sh", "-c", "while :; do :; done"];
    let params = json!({ "id": id, "cmd": cmd, "timeout_ms": 500 });
    assert_eq!(site.call("sandbox.v1.exec", params).unwrap()["timed_out"], json!(true));
    assert!(began.elapsed() < Duration::from_secs(3));
    site.delete(&id);
}

pub fn timeout_leaves_no_process(site: &Site) {
    let id = site.create();
    let cmd = ["/bin/sh", "-c", "sleep 60 & echo $!; sleep 60"];
    let params = json!({ "id": id, "cmd": cmd, "timeout_ms": 300 });
    let done = site.call("sandbox.v1.exec", params).unwrap();
    let child = done["stdout"].as_str().unwrap().trim().to_owned();
    // A process that is dead may still be a zombie for a moment.
    let state = format!("test ! -d /proc/{child} || grep -q 'State:.[ZX]' /proc/{child}/status");
    assert_eq!(site.exec(&id, &["/bin/sh", "-c", &state])["exit_code"], json!(0));
    site.delete(&id);
}

pub fn output_cap_is_told(site: &Site) {
    let id = site.create();
    let done = site.exec(&id, &["/bin/sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; exit 7"]);
    assert_eq!(done["stdout"].as_str().unwrap().len(), 1 << 20);
    assert_eq!((&done["stdout_truncated"], &done["exit_code"]), (&json!(true), &json!(7)));
    assert_eq!((&done["stderr_truncated"], &done["timed_out"]), (&json!(false), &json!(false)));
    let params = json!({ "id": id, "cmd": ["echo", "1234"], "max_stdout_bytes": 5 });
    let done = site.call("sandbox.v1.exec", params).unwrap();
    assert_eq!((&done["stdout"], &done["stdout_truncated"]), (&json!("1234\n"), &json!(false)));
    // Still writing at the timeout: both are told, and no exit code is made up.
    let cmd = ["/bin/sh", "-c", "while :; do echo yyyyyyyyyyyyyyyy; done"];
    let params = json!({ "id": id, "cmd": cmd, "timeout_ms": 700, "max_stdout_bytes": 100 });
    let done = site.call("sandbox.v1.exec", params).unwrap();
    assert_eq!((&done["stdout_truncated"], &done["timed_out"]), (&json!(true), &json!(true)));
    assert_eq!(done["exit_code"], json!(124));
    site.delete(&id);
}

pub fn bytes_are_kept(site: &Site) {
    let id = site.create();
    let cmd = ["/bin/sh", "-c", "printf '\\377\\376a\\0'"];
    let done = site.call("sandbox.v1.exec", json!({ "id": id, "cmd": cmd, "base64": true }));
    let done = done.unwrap();
    assert_eq!(
        (&done["stdout"], &done["stdout_base64"]),
        (&json!("\u{fffd}\u{fffd}a\0"), &json!("//5hAA=="))
    );
    site.delete(&id);
}

pub fn missing_program_is_an_error(site: &Site) {
    let id = site.create();
    let missing = json!({ "id": id, "cmd": ["no-such-program"] });
    let refused = site.call("sandbox.v1.exec", missing).unwrap_err();
    assert_eq!((refused.code, refused.kind.as_str()), (-32005, "EXEC_FAILED"));
    assert_eq!(refused.error_code, "E3001");
    let elsewhere = json!({ "id": id, "cmd": ["true"], "cwd": "/workspace/nowhere" });
    let refused = site.call("sandbox.v1.exec", elsewhere).unwrap_err();
    assert_eq!((refused.code, refused.error_code.as_str()), (-32005, "E3006"));
    site.call("sandbox.v1.writeFile", json!({ "id": id, "path": "data", "content": "" })).unwrap();
    let refused = site.call("sandbox.v1.exec", json!({ "id": id, "cmd": ["./data"] })).unwrap_err();
    assert_eq!((refused.code, refused.error_code.as_str()), (-32005, "E3002"));
    site.delete(&id);
}

pub fn input_and_environment(site: &Site) {
    let id = site.create_with(json!({ "template": "shell", "env": { "A": "1", "B": "1" } }));
    let set = json!({ "id": id, "env": { "B": "2", "C": "2" }, "unset": ["A"] });
    site.call("sandbox.v1.setEnv", set).unwrap();
    let cmd = ["/bin/sh", "-c", "read line; echo \"$line,${A-none},$B,$C\"; cat | wc -c"];
    let params = json!({ "id": id, "cmd": cmd, "env": { "C": "3" }, "stdin": "a b\n1234" });
    let done = site.call("sandbox.v1.exec", params).unwrap();
    assert_eq!(done["stdout"].as_str().unwrap().replace(' ', ""), "ab,none,2,3\n4\n");
    let params = json!({ "id": id, "cmd": ["od", "-An", "-tx1"], "stdin_base64": "AP8=" });
    let done = site.call("sandbox.v1.exec", params).unwrap();
    assert_eq!(done["stdout"].as_str().unwrap().trim(), "00 ff");
    // A command that reads nothing of much input is no error, and waits for nothing.
    let params = json!({ "id": id, "cmd": ["true"], "stdin": "x".repeat(1 << 20) });
    assert_eq!(site.call("sandbox.v1.exec", params).unwrap()["exit_code"], json!(0));
    // Without input, there is nothing to read.
    assert_eq!(site.exec(&id, &["cat"])["stdout"], json!(""));
    site.delete(&id);
}

pub fn contexts_carry_over(site: &Site) {
    let id = site.create();
    let run = |code: &str| {
        let params = json!({ "id": id, "code": code, "language": "shell", "context": "main" });
        site.call("sandbox.exec", params)
    };
    assert_eq!(run("true").unwrap_err().error_code, "E1016");
    site.call("sandbox.v1.openContext", json!({ "id": id, "context": "main" })).unwrap();
    run("mkdir -p deep/er; cd deep/er; export X='a  b\nc'; unexported=1; exit 3").unwrap();
    let done = run("basename \"$PWD\"; printf %s \"$X\"").unwrap();
    assert_eq!(done["stdout"], json!("er\na  b\nc"));
    // Plain commands start there, too, and other contexts do not.
    let params = json!({ "id": id, "cmd": ["sh", "-c", "basename \"$PWD\""], "context": "main" });
    assert_eq!(site.call("sandbox.v1.exec", params).unwrap()["stdout"], json!("er\n"));
    assert_eq!(site.shell(&id, "echo ${X-none}"), "none\n");
    site.delete(&id);
}

pub fn batches_stop(site: &Site) {
    let id = site.create();
    let commands =
        json!([{ "cmd": ["echo", "1"] }, { "cmd": ["false"] }, { "cmd": ["echo", "3"] }]);
    let params = json!({ "id": id, "commands": commands });
    let done = site.call("sandbox.v1.batch", params).unwrap();
    assert_eq!(done["results"].as_array().unwrap().len(), 2);
    assert_eq!(done["complete"], json!(false));
    let params = json!({ "id": id, "commands": commands, "stop_on_failure": false });
    let done = site.call("sandbox.v1.batch", params).unwrap();
    assert_eq!((&done["results"][2]["stdout"], &done["complete"]), (&json!("3\n"), &json!(true)));
    let commands = json!([{ "cmd": ["no-such-program"] }]);
    let params = json!({ "id": id, "commands": commands });
    let done = site.call("sandbox.v1.batch", params).unwrap();
    assert_eq!(done["error"]["code"], json!("E3001"));
    site.delete(&id);
}

pub fn code_runs(site: &Site) {
    let id = site.create();
    for (language, code) in
        [("shell", "echo \"it's $((6*7))\""), ("python", "print('it\\'s', 6*7)")]
    {
        let params = json!({ "id": id, "code": code, "language": language });
        let done = site.call("sandbox.exec", params).unwrap();
        assert_eq!(done["stdout"], json!("it's 42\n"), "{language}: {done}");
    }
    site.delete(&id);
}

pub fn a_client_that_goes_takes_its_command_along(site: &Site) {
    let id = site.create();
    let cmd = ["/bin/sh", "-c", "sleep 100"];
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "sandbox.v1.exec",
        "params": { "id": id, "cmd": cmd, "timeout_ms": 100_000 } });
    let body = request.to_string();
    let length = body.len().to_string();
    let headers = [("Content-Type", "application/json"), ("Content-Length", &*length)];
    let mut stream = site.connect();
    stream.write_all((site.head("POST", "/rpc", &headers) + &body).as_bytes()).unwrap();
    let running = || site.call("sandbox.v1.get", json!({ "id": id })).unwrap()["processes"].clone();
    until(|| running() == json!(1));
    drop(stream);
    until(|| running() == json!(0));
    site.delete(&id);
}

/// Eight clients, each with a sandbox of its own.
pub fn many_at_once(site: &Site) {
    std::thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || {
                let id = site.create();
                for turn in 0..10 {
                    let text = format!("{number}-{turn}");
                    assert_eq!(site.exec(&id, &["echo", &text])["stdout"], json!(text + "\n"));
                }
                site.delete(&id);
            });
        }
    });
}

/// Waits until something is so.
#[track_caller]
pub fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to be");
        std::thread::sleep(Duration::from_millis(20));
    }
}
