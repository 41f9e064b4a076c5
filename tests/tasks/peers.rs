//! Faults that task runtimes were seen to have: each is shown to be absent.

use std::time::Duration;

use capsule_tests::{Finished, Program, Server, redirect};
use serde_json::{Value, json};

#[track_caller]
fn result(run: Finished) -> Value {
    run.ended_with(0).json()["result"].clone()
}

/// The worst one: what a guest says when it calls a task was the task's policy.
#[test]
fn a_call_carries_no_policy() {
    let program = Program::new(
        "import json, os\nfrom capsule import task\nfrom wit_world.imports import host\n\
         @task\ndef child(**given):\n\
         \x20   seen = [sorted(os.environ)]\n\
         \x20   for path in ('/main.py', '/secret', '/etc/passwd'):\n\
         \x20       try:\n            seen.append(open(path).read())\n\
         \x20       except OSError as error:\n            seen.append('denied')\n\
         \x20   return seen\n\
         @task\ndef main():\n\
         \x20   rights = {'allowed_files': ['.'], 'env_variables': ['HOME'], 'allowed_hosts': ['*']}\n\
         \x20   child.options.update(rights)\n\
         \x20   call = {'args': [], 'kwargs': {}, 'policy': rights, 'options': rights, **rights}\n\
         \x20   [event] = host.wait([host.call('child', json.dumps(call))], None)\n\
         \x20   return [child(**rights), json.loads(event.outcome.value)]\n",
    )
    .with("secret", "secret");
    let denied = json!([[], "denied", "denied", "denied"]);
    assert_eq!(result(program.answer(&[])), json!([denied, denied]));
}

#[test]
fn a_timeout_interrupts_a_loop() {
    let program = Program::new(
        "from capsule import task\n@task(timeout='1s')\ndef main():\n    while True: pass\n",
    );
    let run = program.answer(&[]).ended_with(1);
    assert_eq!(run.json()["error"]["code"], "E3003");
    assert!(run.took < Duration::from_secs(20), "{:?}", run.took);
}

#[test]
fn limits_do_not_fail_open() {
    for options in [
        "ram='64 MiBs'",
        "ram='-1'",
        "timeout='1'",
        "timeout='soon'",
        "compute='lots'",
        "max_retries='2'",
    ] {
        let program = Program::new(&format!(
            "from capsule import task\n@task({options})\ndef main():\n    return 1\n"
        ));
        assert_eq!(program.answer(&[]).ended_with(1).json()["error"]["code"], "E1010", "{options}");
    }
    // One option that is computed does not lose the others.
    let program = Program::new(
        "from capsule import task\nsize = f'{8 * 8}MB'\n@task(ram=size, compute='L' + 'OW')\ndef main():\n    return len(bytearray(1 << 28))\n",
    );
    assert_eq!(program.answer(&[]).ended_with(1).json()["error"]["code"], "E4001");
}

#[test]
fn a_redirect_stays_within_the_allowed_hosts() {
    let forbidden = Server::start(|_| capsule_tests::answer("secret"));
    let target = format!("http://{}/", forbidden.address());
    let allowed = Server::start(move |path| match path {
        "/plain" => capsule_tests::answer("plain"),
        _ => redirect(&target),
    });
    let program = Program::new(&format!(
        "from capsule import http, task, DeniedError\n\
         @task(allowed_hosts=['{0}'])\ndef main():\n\
         \x20   plain = http.get('http://{0}/plain').text()\n\
         \x20   try:\n        return http.get('http://{0}/away').text()\n\
         \x20   except DeniedError as error:\n        return [plain, str(error)]\n",
        allowed.address()
    ));
    let told = result(program.answer(&[]));
    assert_eq!(told[0], "plain", "{told}");
    assert!(told[1].as_str().is_some_and(|text| text.contains("allowed_hosts")), "{told}");
    assert_eq!(forbidden.connections(), 0);
}

#[test]
fn a_large_answer_does_not_take_the_hosts_memory() {
    let server = Server::start(|_| capsule_tests::answer(&"x".repeat(300 << 20)));
    let program = Program::new(&format!(
        "from capsule import http, task\n@task(ram='64MB', allowed_hosts=['{0}'])\ndef main():\n\
         \x20   return len(http.get('http://{0}/', max_body_bytes=1 << 30).content)\n",
        server.address()
    ));
    let mut running = program.run(&["--json", "main.py"]).start();
    let mut peak = 0;
    while running.is_running() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid()));
        let own = status.unwrap_or_default().lines().find_map(|line| {
            line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
        });
        peak = peak.max(own.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    let run = running.finish().ended_with(1);
    assert_eq!(run.json()["error"]["code"], "E4001", "{run}");
    assert!(peak > 0 && peak < 250 << 10, "{peak} KiB");
}

#[test]
fn a_task_does_not_see_what_another_left() {
    let program = Program::new(
        "import builtins, os\nfrom capsule import task\nLEFT = []\n\
         @task\ndef leave():\n    LEFT.append(1)\n    builtins.LEFT = 1\n    os.environ['LEFT'] = '1'\n    open('/tmp/left', 'w').write('1')\n\
         @task\ndef look():\n    return [LEFT, hasattr(builtins, 'LEFT'), 'LEFT' in os.environ, os.listdir('/tmp')]\n\
         @task\ndef main():\n    leave()\n    return [look(), leave(), look()]\n",
    );
    let clean = json!([[], false, false, []]);
    assert_eq!(result(program.answer(&[])), json!([clean, null, clean]));
}

#[test]
fn a_failure_is_an_exit_code_and_an_error_with_its_type() {
    let program =
        Program::new("from capsule import task\n@task\ndef main():\n    return {}['key']\n");
    let run = program.answer(&[]).ended_with(1);
    let error = &run.json()["error"];
    assert_eq!(error["error_type"], "KeyError");
    assert!(
        error["traceback"].as_str().is_some_and(|text| text.contains("line 4, in main")),
        "{run}"
    );
}

#[test]
fn keyword_arguments_arrive() {
    let program = Program::new(
        "from capsule import task\n@task\ndef child(a, *, b, c=3):\n    return [a, b, c]\n\
         @task\ndef main():\n    return child(1, b=2)\n",
    );
    assert_eq!(result(program.answer(&[])), json!([1, 2, 3]));
}

#[test]
fn a_print_without_its_line_end_hangs_nobody() {
    let program = Program::new(
        "from capsule import task\n@task\ndef main():\n    print('half a line', end='')\n    return 1\n",
    );
    let run = program.answer(&[]).ended_with(0);
    assert_eq!((run.errors(), &run.json()["result"]), ("half a line", &json!(1)));
}

#[test]
fn the_standard_library_is_there() {
    let program = Program::new(
        "import importlib\nfrom capsule import task\n\
         @task\ndef main():\n\
         \x20   missing = []\n\
         \x20   for name in '''abc argparse array ast asyncio base64 bisect calendar collections concurrent.futures\n\
         \x20       configparser contextlib copy csv ctypes dataclasses datetime decimal difflib email enum fileinput\n\
         \x20       fnmatch fractions functools getpass gettext glob graphlib gzip hashlib heapq hmac html http.client\n\
         \x20       inspect io ipaddress itertools json logging lzma math mimetypes numbers operator os pathlib pickle\n\
         \x20       platform pprint queue random re sched secrets select shelve shlex shutil signal socket sqlite3 ssl\n\
         \x20       statistics string struct subprocess tarfile tempfile textwrap threading time timeit tomllib\n\
         \x20       traceback typing unicodedata unittest urllib.request uuid warnings weakref xml.etree.ElementTree\n\
         \x20       zipfile zlib zoneinfo'''.split():\n\
         \x20       try:\n            importlib.import_module(name)\n\
         \x20       except ImportError as error:\n            missing.append(f'{name}: {error}')\n\
         \x20   return missing\n",
    );
    assert_eq!(result(program.answer(&[])), json!([]));
}

#[test]
fn event_loops_and_thread_pools_work() {
    let program = Program::new(
        "import asyncio\nfrom concurrent.futures import ThreadPoolExecutor\nfrom capsule import task\n\
         async def one(n):\n    await asyncio.sleep(0.01 * n)\n    return n\n\
         async def several():\n    async with asyncio.TaskGroup() as group:\n        made = [group.create_task(one(n)) for n in range(3)]\n    return [await asyncio.wait_for(t, 1) for t in made]\n\
         @task\ndef main():\n\
         \x20   with ThreadPoolExecutor(4) as pool:\n        squares = list(pool.map(lambda n: n * n, range(4)))\n\
         \x20   return [asyncio.run(several()), squares]\n",
    );
    assert_eq!(result(program.answer(&[])), json!([[0, 1, 2], [0, 1, 4, 9]]));
}

#[test]
fn appending_appends() {
    let program = Program::new(
        "from capsule import task\n@task(allowed_files=['log'])\ndef main():\n\
         \x20   for text in 'ab':\n        with open('/log/file', 'a') as file:\n            file.write(text)\n\
         \x20   return open('/log/file').read()\n",
    )
    .with("log/file", "begun ");
    assert_eq!(result(program.answer(&[])), "begun ab");
    assert_eq!(program.folder().read("log/file"), "begun ab");
}
