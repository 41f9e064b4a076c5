//! What ordinary programs rely on.

use std::time::{Duration, Instant};

use capsule_spec::Access;

use crate::play::Play;

#[test]
fn a_function_is_called_with_its_arguments() {
    let play = Play::new(
        "from capsule import task\n\
         @task\n\
         def add(a, b, *, c=0): return a + b + c\n",
    );
    let seen = play.call("add", r#"{"args":[1,2.5],"kwargs":{"c":10}}"#);
    assert_eq!(seen.value(), "13.5");
    assert!(seen.usage.fuel > 10_000_000, "{:?}", seen.usage);
    assert!(seen.usage.ram > 1 << 20, "{:?}", seen.usage);
}

#[test]
fn output_comes_by_itself_and_never_touches_the_protocol() {
    let seen = Play::new(
        "import os, sys, subprocess\n\
         def main():\n\
         \x20   print('ä', end='')\n\
         \x20   print('err', file=sys.stderr)\n\
         \x20   os.write(1, b'\\x00\\x00\\x00\\x02{}\\n')\n\
         \x20   subprocess.run(['/bin/echo', 'child'])\n\
         \x20   print('last', end='')\n\
         \x20   return {'ok': True}\n",
    )
    .run();
    assert_eq!(seen.value(), r#"{"ok": true}"#);
    assert_eq!(seen.stdout, "\0\0\0\x02{}\nchild\nälast");
    assert_eq!(seen.stderr, "err\n");
}

#[test]
fn a_traceback_names_the_users_lines_and_no_others() {
    let seen = Play::new(
        "import helpers.inner\n\
         def main():\n\
         \x20   return helpers.inner.divide(1, 0)\n",
    )
    .module("helpers", "app/helpers/__init__.py", "")
    .module("helpers.inner", "app/helpers/inner.py", "def divide(a, b):\n    return a / b\n")
    .run();
    let (kind, message, traceback) = seen.raised();
    assert_eq!((kind, message), ("ZeroDivisionError", "division by zero"));
    let frames: Vec<_> = traceback.lines().filter(|line| line.contains("File ")).collect();
    assert_eq!(
        frames,
        [
            "  File \"app/main.py\", line 3, in main",
            "  File \"app/helpers/inner.py\", line 2, in divide"
        ]
    );
}

#[test]
fn a_traceback_of_a_coroutine_is_as_clean() {
    let seen = Play::new(
        "import asyncio\n\
         async def main():\n\
         \x20   await asyncio.sleep(0)\n\
         \x20   raise KeyError('x')\n",
    )
    .run();
    let (kind, message, traceback) = seen.raised();
    assert_eq!((kind, message), ("KeyError", "'x'"));
    let frames: Vec<_> = traceback.lines().filter(|line| line.contains("File ")).collect();
    assert_eq!(frames, ["  File \"app/main.py\", line 4, in main"]);
}

#[test]
fn a_program_that_cannot_be_loaded_says_where() {
    let seen = Play::new("def main(:\n").run();
    let (kind, _, traceback) = seen.raised();
    assert_eq!(kind, "SyntaxError");
    assert!(traceback.contains("File \"app/main.py\", line 1"), "{traceback}");
    let seen = Play::new("import nowhere\n").run();
    assert_eq!(seen.raised().1, "No module named 'nowhere'");
    let seen = Play::new("def other(): pass\ndef main(): pass\n")
        .call("other", r#"{"args":[],"kwargs":{}}"#);
    assert_eq!(seen.raised().0, "LookupError");
}

#[test]
fn the_standard_library_cannot_be_shadowed_and_packages_can() {
    let seen = Play::new("import json, mine\ndef main(): return [json.dumps(1), mine.x]\n")
        .module("json", "app/json.py", "raise SystemExit('shadowed')\n")
        .module("mine", "app/mine.py", "x = 7\n")
        .run();
    assert_eq!(seen.value(), r#"["1", 7]"#);
}

#[test]
fn values_cross_by_the_same_rules_as_everywhere() {
    for (expression, shown) in [
        ("(1, 'ä', None)", r#"[1, "ä", null]"#),
        ("__import__('datetime').date(2024, 1, 2)", r#""2024-01-02""#),
        ("10**30", "1000000000000000000000000000000"),
    ] {
        let seen = Play::new(&format!("def main(): return {expression}\n")).run();
        assert_eq!(seen.value(), shown);
    }
    for (expression, kind) in [
        ("float('nan')", "NotExact"),
        ("b''", "NotExact"),
        ("{1: 2}", "NotExact"),
        ("object()", "NotExact"),
        ("'\\ud800'", "NotExact"),
    ] {
        let seen = Play::new(&format!("def main(): return {expression}\n")).run();
        assert_eq!(seen.raised().0, kind, "{expression}");
    }
}

#[test]
fn tasks_call_tasks_one_after_the_other_and_in_parallel() {
    let started = Instant::now();
    let seen = Play::new(
        "from capsule import task\n\
         @task\n\
         def echo(*args, **kwargs): pass\n\
         @task\n\
         def slow(*args): pass\n\
         @task\n\
         def main():\n\
         \x20   first = echo(1, x='ä')\n\
         \x20   rest = slow.map(range(10))\n\
         \x20   return [first, [value['args'][0] for value in rest]]\n",
    )
    .run();
    let expected = r#"[{"args": [1], "kwargs": {"x": "ä"}}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]"#;
    assert_eq!(seen.value(), expected);
    assert_eq!(seen.calls.len(), 11);
    assert!(started.elapsed() < Duration::from_millis(2500), "{:?}", started.elapsed());
}

#[test]
fn coroutines_wait_for_tasks_and_for_each_other() {
    let started = Instant::now();
    let seen = Play::new(
        "import asyncio\n\
         from capsule import task\n\
         @task\n\
         async def slow(n): pass\n\
         @task\n\
         def echo(n): pass\n\
         @task\n\
         async def main():\n\
         \x20   values = await asyncio.gather(*(slow(n) for n in range(10)), asyncio.sleep(0.3))\n\
         \x20   late = echo.submit(5)\n\
         \x20   await asyncio.sleep(0.1)\n\
         \x20   return [value['args'][0] for value in values[:10]] + (await late)['args']\n",
    )
    .run();
    assert_eq!(seen.value(), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 5]");
    assert!(started.elapsed() < Duration::from_millis(2500), "{:?}", started.elapsed());
}

#[test]
fn threads_wait_for_tasks_as_well() {
    let seen = Play::new(
        "from concurrent.futures import ThreadPoolExecutor\n\
         from capsule import task\n\
         @task\n\
         def slow(n): pass\n\
         @task\n\
         def main():\n\
         \x20   one = slow.submit('x')\n\
         \x20   with ThreadPoolExecutor(8) as pool:\n\
         \x20       same = list(pool.map(lambda _: one.result()['args'][0], range(8)))\n\
         \x20       return same + [value['args'][0] for value in pool.map(slow, range(8))]\n",
    )
    .run();
    assert_eq!(seen.value(), r#"["x", "x", "x", "x", "x", "x", "x", "x", 0, 1, 2, 3, 4, 5, 6, 7]"#);
}

#[test]
fn a_call_that_fails_is_an_exception() {
    let seen = Play::new(
        "from capsule import task, TaskError, DeniedError\n\
         @task\n\
         def fail(): pass\n\
         @task\n\
         def deny(): pass\n\
         @task\n\
         def large(): pass\n\
         @task\n\
         def never(): pass\n\
         @task\n\
         def main():\n\
         \x20   told = []\n\
         \x20   for one in (fail, large):\n\
         \x20       try: one()\n\
         \x20       except TaskError as e: told.append([e.task, e.error_type, e.traceback])\n\
         \x20   try: deny()\n\
         \x20   except DeniedError as e: told.append(str(e))\n\
         \x20   waits = never.submit()\n\
         \x20   try: waits.result(timeout=0.05)\n\
         \x20   except TimeoutError: told.append(waits.cancel())\n\
         \x20   try: waits.result()\n\
         \x20   except TaskError as e: told.append(e.error_type)\n\
         \x20   return told\n",
    )
    .run();
    assert_eq!(
        seen.value(),
        r#"[["fail", "ValueError", "its traceback"], ["large", "TooLarge", ""], "not allowed", true, "Cancelled"]"#
    );
}

#[test]
fn files_are_where_they_were_granted() {
    let folder = tempfile::tempdir().unwrap();
    let [readable, writable] = ["ro", "rw"].map(|name| folder.path().join(name));
    for path in [&readable, &writable] {
        std::fs::create_dir(path).unwrap();
        std::fs::write(path.join("in.txt"), "here").unwrap();
    }
    let seen = Play::new(
        "import os\n\
         def main():\n\
         \x20   told = [os.getcwd(), open('data/in.txt').read(), open('/out/in.txt').read()]\n\
         \x20   left_open = open('out/new.txt', 'w')\n\
         \x20   left_open.write('made')\n\
         \x20   globals()['keep'] = left_open\n\
         \x20   for path in ('data/in.txt', '/data/new.txt', '/etc/new', '/new', '/usr/new'):\n\
         \x20       try: open(path, 'w'); told.append('wrote ' + path)\n\
         \x20       except OSError as error: told.append(error.errno)\n\
         \x20   open('/tmp/private', 'w').write('x')\n\
         \x20   return told\n",
    )
    .file(readable.clone(), "/data", Access::ReadOnly)
    .file(writable.clone(), "/out", Access::ReadWrite)
    .run();
    assert_eq!(seen.value(), r#"["/", "here", "here", 30, 30, 30, 30, 30]"#);
    assert_eq!(std::fs::read_to_string(readable.join("in.txt")).unwrap(), "here");
    assert!(!readable.join("new.txt").exists());
    // What is still open is written when the interpreter ends.
    assert_eq!(std::fs::read_to_string(writable.join("new.txt")).unwrap(), "made");
}

#[test]
fn a_folder_granted_as_the_root_is_where_the_program_starts() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in.txt"), "here").unwrap();
    let seen = Play::new("def main(): return open('in.txt').read()\n")
        .file(folder.path().to_owned(), "/", Access::ReadOnly)
        .run();
    assert_eq!(seen.value(), r#""here""#);
}

#[test]
fn the_environment_is_the_granted_one() {
    let mut play = Play::new(
        "import os\n\
         os.environ['MADE'] = 'at the top'\n\
         def main(): return dict(sorted(os.environ.items()))\n",
    );
    play.grant.environment = vec![("TOKEN".to_owned(), "ä=1".to_owned())];
    let seen = play.run();
    let names: std::collections::BTreeMap<String, String> =
        serde_json::from_str(seen.value()).unwrap();
    assert_eq!(
        names.keys().collect::<Vec<_>>(),
        ["HOME", "LANG", "LOGNAME", "MADE", "PATH", "TMPDIR", "TOKEN", "USER"]
    );
    assert_eq!((names["TOKEN"].as_str(), names["MADE"].as_str()), ("ä=1", "at the top"));
}

#[test]
fn what_a_session_is_for_is_refused_here() {
    use capsule_backend::guest::{GuestError, Guests};
    use std::sync::Arc;
    let play = Play::new("");
    let mut guest = play.native.open(Arc::new(crate::play::Nobody)).unwrap();
    let runtime = crate::play::runtime();
    let declared = runtime.block_on(guest.declare(&play.grant)).map(|_| ());
    let evaluated = runtime.block_on(guest.evaluate("1", "", &play.grant)).map(|_| ());
    for result in [declared, evaluated] {
        assert!(matches!(result, Err(GuestError::Failed(_))), "{result:?}");
    }
}
