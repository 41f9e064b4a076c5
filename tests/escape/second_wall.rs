//! The second wall: whatever process runs guests in WebAssembly has locked itself down
//! before their first instruction, as the kernel sees it.

use std::fs;

use capsule_tests::{Binary, Caller, Program, Run, Running, Scratch, cache};

/// What the kernel says of every thread of a process.
#[track_caller]
fn is_locked_down(pid: u32) {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    for thread in threads {
        let path = thread.expect("threads are listed").path().join("status");
        let status = fs::read_to_string(path).expect("it runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
        };
        assert_eq!(field("NoNewPrivs:"), "1", "{status}");
        // Of a filter.
        assert_eq!(field("Seccomp:"), "2", "{status}");
        for set in ["CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(u64::from_str_radix(&field(set), 16), Ok(0), "{set} {status}");
        }
    }
}

/// Waits until guest code runs, looks, and ends it.
#[track_caller]
fn look(run: Run) {
    let running: Running = run.start();
    running.wait_for("hello");
    is_locked_down(running.pid());
    running.kill_and_audit();
}

/// A program that prints and goes on for ever, behind `many` functions that do nothing.
fn endless(many: usize) -> Scratch {
    let padding = "(func (param i32) (drop (i32.mul (local.get 0) (local.get 0))))".repeat(many);
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
        {padding}
        (func (export "_start")
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
            (loop br 0)))"#
    );
    let folder = Scratch::new();
    folder.file("program.wasm", wat::parse_str(&text).expect("the program is sound"));
    folder
}

fn exec(folder: &Scratch, cache: &str) -> Run {
    Run::new(&["exec", &folder.at("program.wasm")])
        .binary(Binary::Capsule)
        .variable("CAPSULE_CACHE", cache)
}

#[test]
fn a_command_in_webassembly_runs_behind_it() {
    let small = endless(1);
    look(exec(&small, &cache()));
    look(exec(&small, "/dev/null/nowhere").caller(Caller::Unprivileged));
}

/// Threads of the compiler would stand outside of the wall.
#[test]
fn a_large_command_runs_behind_it_however_it_was_compiled() {
    let (large, own) = (endless(20_000), Scratch::new());
    let folder = own.directory("cache");
    // Compiled, and begun again; from the cache; and where nothing can be stored.
    look(exec(&large, &folder));
    assert_eq!(fs::read_dir(format!("{folder}/programs")).expect("it is there").count(), 1);
    look(exec(&large, &folder));
    look(exec(&large, "/dev/null/nowhere"));
}

#[test]
fn a_program_of_tasks_runs_behind_it() {
    let python = "from capsule import task\n\
        @task(name='main')\n\
        def main():\n    print('hello', flush=True)\n    while True: pass\n";
    look(Program::new(python).run(&["main.py"]));
    let typescript = "import { task } from '@capsule-run/sdk';\n\
        export const main = task({ name: 'main' }, (): void => {\n\
            console.log('hello');\n  for (;;) {}\n});\n";
    look(Program::new("").with("main.ts", typescript).run(&["main.ts"]));
}

/// Processes that a process has started.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let lists = threads.map(|thread| {
        let path = thread.expect("threads are listed").path().join("children");
        fs::read_to_string(path).expect("the kernel lists children")
    });
    let numbers = |list: String| {
        list.split_whitespace().map(|pid| pid.parse().expect("a number")).collect::<Vec<_>>()
    };
    lists.flat_map(numbers).collect()
}

fn frame(request: &serde_json::Value) -> Vec<u8> {
    let text = request.to_string();
    [&u32::try_from(text.len()).expect("it is short").to_be_bytes(), text.as_bytes()].concat()
}

const ENDLESS: &str = "from capsule import task\n\
    @task(name='main')\n\
    def main():\n    print('hello', flush=True)\n    while True: pass\n";

fn worker() -> Running {
    Run::new(&["worker"])
        .binary(Binary::Capsule)
        .variable("CAPSULE_CACHE", &cache())
        .open_input()
        .start()
}

#[test]
fn what_a_worker_runs_runs_behind_it() {
    let place = Program::new(ENDLESS);
    let folder = place.folder().text().to_owned();
    let mut worker = worker();
    let text = serde_json::json!({"id": 1, "op": "run", "source": ENDLESS});
    worker.write(&frame(&text));
    worker.wait_for("\"id\":1,\"output\"");
    let file = serde_json::json!({"id": 2, "op": "run", "file": "main.py", "cwd": folder});
    worker.write(&frame(&file));
    worker.wait_for("\"id\":2,\"output\"");
    // Text and a folder's program are granted different things.
    let runners = children(worker.pid());
    assert_eq!(runners.len(), 2, "{runners:?}");
    runners.into_iter().for_each(is_locked_down);
    // And none of them outlives it.
    worker.kill_and_audit();
}

#[test]
fn sessions_run_behind_it_beside_what_has_no_files() {
    let mut worker = worker();
    let code = "print('hello', flush=True)\nwhile True: pass";
    for (id, session) in [(1, Some("a")), (2, Some("b")), (3, None)] {
        let asked =
            serde_json::json!({"id": id, "op": "evaluate", "session": session, "code": code});
        worker.write(&frame(&asked));
        worker.wait_for(&format!("\"id\":{id},\"output\""));
    }
    let runners = children(worker.pid());
    assert_eq!(runners.len(), 2, "{runners:?}");
    runners.into_iter().for_each(is_locked_down);
    worker.close_input();
    worker.finish();
}

#[test]
fn a_process_of_guests_that_ends_is_told_of_and_replaced() {
    let mut worker = worker();
    let text = serde_json::json!({"id": 1, "op": "run", "source": ENDLESS});
    worker.write(&frame(&text));
    worker.wait_for("\"id\":1,\"output\"");
    let runners = children(worker.pid());
    let [runner] = runners.as_slice() else { panic!("{runners:?}") };
    capsule_tests::send_signal(*runner, capsule_tests::Signal::Kill);
    let told = worker.wait_for("\"id\":1,\"envelope\"");
    assert!(told.contains("the process that runs the sandboxes was killed"), "{told}");
    let again = ENDLESS.replace("while True: pass", "return 7");
    let text = serde_json::json!({"id": 2, "op": "run", "source": again});
    worker.write(&frame(&text));
    worker.wait_for("\"id\":2,\"envelope\":{\"success\":true,\"result\":7");
    worker.close_input();
    worker.finish();
}

/// Who waits for a reset or a close hears of its end, in the documented form, also when the
/// process dies meanwhile: what it held is gone, as was asked.
#[test]
fn a_session_is_given_up_with_its_process() {
    for op in ["reset", "close"] {
        let mut worker = worker();
        let code = serde_json::json!({"id": 1, "op": "evaluate", "session": "s", "code": "x = 1"});
        worker.write(&frame(&code));
        worker.wait_for("\"id\":1,\"envelope\"");
        let runners = children(worker.pid());
        for runner in &runners {
            capsule_tests::send_signal(*runner, capsule_tests::Signal::Stop);
        }
        worker.write(&frame(&serde_json::json!({"id": 2, "op": op, "session": "s"})));
        // What comes after it has been read, it has been passed on.
        worker.write(&frame(&serde_json::json!({"id": 3, "op": "nothing"})));
        worker.wait_for("\"id\":3,\"error\"");
        for runner in &runners {
            capsule_tests::send_signal(*runner, capsule_tests::Signal::Kill);
        }
        worker.wait_for("{\"id\":2,\"done\":true}");
        let again =
            serde_json::json!({"id": 4, "op": "evaluate", "session": "s", "code": "'x' in dir()"});
        worker.write(&frame(&again));
        let told = worker.wait_for("\"id\":4,\"envelope\"");
        assert!(told.contains("\"success\":true,\"result\":false"), "{told}");
        worker.close_input();
        worker.finish();
    }
}
